"""`nacbench rd`: rate against distortion: curves, Pareto fronts, every clip, BD-rates."""

from __future__ import annotations

from pathlib import Path

import click

from nacbench.commands.report import latest_run
from nacbench.commands.terminal import console


@click.command()
@click.argument("run", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--anchor", default="Opus", show_default=True, help="Series that BD-rates refer to.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to write [default: into the run; needed for several].",
)
def rd(run: tuple[Path, ...], anchor: str, out: Path | None) -> None:
    """Rate-distortion of RUN: curves, Pareto front, every clip as a dot, BD-rates.

    Writes rd_curves and rd_clips (PNG, SVG), pareto.csv, bd_rate.csv and bd_rate.md. Several runs
    merge.
    """
    from nacbench import pareto
    from nacbench.errors import UserError
    from nacbench.leaderboard import leaderboard
    from nacbench.registry import did_you_mean
    from nacbench.report import bd_table, curves, fronts, scatter
    from nacbench.results import ResultTable

    runs = [latest_run(path) for path in run]
    if out is None and len(runs) > 1:
        raise UserError("rd: several runs merge into new files. Say where with '--out DIR'.")
    directory = out or runs[0]
    directory.mkdir(parents=True, exist_ok=True)
    table = ResultTable.load(*runs)
    board = leaderboard(table)
    series = list(dict.fromkeys(row.series for s in board.sections for row in s.rows))
    if anchor not in series and anchor != bd_table.ANCHOR:
        raise UserError(
            f"rd: no series '{anchor}' in these results.{did_you_mean(anchor, series)} "
            f"There are: {', '.join(series)}."
        )
    points = pareto.fronts(board)
    files = [directory / name for name in ("rd_curves.png", "rd_curves.svg", "rd_clips.png")]
    files += [directory / "rd_clips.svg", directory / "pareto.csv"]
    ringed = {point.place for point in points if point.front == pareto.BY_RATE}
    curves.draw(board, files[0], files[1], ringed)
    scatter.draw(table, board, files[2], files[3])
    pareto.write_csv(points, files[4])
    gaps, more = bd_table.write(table, board, directory, anchor)
    screen = console()
    fronts.show(points, screen)
    bd_table.show(gaps, board, screen)
    if not gaps:
        screen.print(f"No BD-rates: '{anchor}' has no rated curve to compare with. See --anchor.")
    names = ", ".join(file.name for file in [*files, *more])
    screen.print(f"\nWritten to [bold]{directory}[/]: {names}", soft_wrap=True)
