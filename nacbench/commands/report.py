"""`nacbench report`: tables and curves again, from the records of one or several runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nacbench.commands.terminal import console

if TYPE_CHECKING:
    from nacbench.board import Board
    from nacbench.results import ResultTable


@click.command()
@click.argument("run", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to write [default: into the run; needed for several].",
)
@click.option("--parquet", is_flag=True, help="Also write records.parquet.")
@click.option("--html", is_flag=True, help="Also write report.html: one file with players.")
@click.option(
    "--audio",
    type=click.Choice(["opus", "flac"]),
    default="opus",
    show_default=True,
    help="How --html embeds audio: small, or sample by sample.",
)
@click.option(
    "--mushra",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="STUDY",
    help="Also a column of listeners' scores, from 'nacbench mushra analyze STUDY'.",
)
@click.option(
    "--items",
    type=click.IntRange(min=0),
    default=4,
    show_default=True,
    help="How many of the worst clips --html gives players.",
)
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where the recordings of the run lie, for --html.",
)
def report(
    run: tuple[Path, ...],
    out: Path | None,
    parquet: bool,
    html: bool,
    audio: str,
    mushra: Path | None,
    items: int,
    data: Path | None,
) -> None:
    """Rebuild leaderboard and curves from RUN; several runs merge.

    RUN is a directory that 'nacbench run' wrote, or results/SUITE for its latest run.
    """
    from nacbench.errors import UserError
    from nacbench.results import ResultTable

    if data:
        os.environ["NACBENCH_DATA"] = str(data.resolve())
    runs = [latest_run(path) for path in run]
    if out is None and len(runs) > 1:
        raise UserError("report: several runs merge into new tables. Say where with '--out DIR'.")
    table, directory = ResultTable.load(*runs), out or runs[0]
    board = show_and_write(table, directory, parquet, study=mushra)
    if html:
        from functools import partial

        from nacbench.cache import Cache, default_root
        from nacbench.report import html as page
        from nacbench.runner.work import decoded_of

        stored = partial(decoded_of, cache=Cache(default_root()))
        path = page.write(
            table, directory / page.FILE, stored, audio=audio, items=items, board=board
        )
        size = path.stat().st_size / 1e6
        console().print(f"[bold]{path}[/] ({size:.1f} MB)", soft_wrap=True)


def latest_run(path: Path) -> Path:
    """The run directory itself, or the newest one in a suite's directory of results."""
    if (path / "records.jsonl").exists() or not path.is_dir():
        return path
    runs = sorted(path.glob("*/records.jsonl"), key=lambda file: file.stat().st_mtime)
    return runs[-1].parent if runs else path


def show_and_write(
    table: ResultTable,
    directory: Path,
    parquet: bool,
    again: bool = True,
    study: Path | None = None,
) -> Board:
    """Write tables and curves, print the leaderboard, and say where everything lies.

    Args:
        again: write even what was written from the same records before.
        study: of a listening test, whose scores get a column.

    Raises:
        UserError: there are no records, or Parquet is asked for and pyarrow is not installed.
    """
    from nacbench.report import build, tables

    screen = console()
    if again:
        board, files = build.write(table, directory, study)
    else:
        board, files = build.refresh(table, directory)
    if parquet:
        files.append(directory / "records.parquet")
        table.to_parquet(files[-1])
    screen.print()
    tables.show(board, screen)
    names = ", ".join(file.name for file in files)
    screen.print(f"\nWritten to [bold]{directory}[/]: {names}", soft_wrap=True)
    return board
