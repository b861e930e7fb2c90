"""`nacbench data`: fetch recordings that the project may not carry itself."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nacbench.commands.terminal import console, plural, resumable

if TYPE_CHECKING:
    from nacbench.data.fetching import Progress


@click.group()
def data() -> None:
    """Fetch recordings: downloaded, verified, converted, kept."""


@data.command()
@click.argument("name", nargs=-1, required=True)
@click.option(
    "--data", "folder", type=click.Path(file_okay=False, path_type=Path), help="Where to keep them."
)
@click.option(
    "--jobs", type=click.IntRange(1, 32), default=4, show_default=True, help="Downloads at a time."
)
def fetch(name: tuple[str, ...], folder: Path | None, jobs: int) -> None:
    """Download NAME… ('nacbench list data' shows the names), verify, convert and keep it.

    Interrupted, it goes on where it stopped. A file whose hash differs is refused.
    """
    from nacbench.data.fetching import fetch as fetch_collection

    with resumable("the same command goes on from here."), _bar() as progress:
        for one in name:
            files = fetch_collection(one, folder, jobs=jobs, progress=progress)
            click.echo(f"{one}: {plural(len(files), 'file')} in {_common_folder(files)}")


@contextlib.contextmanager
def _bar() -> Iterator[Progress | None]:
    """Bytes, rate and time left on a terminal; a log gets only the last line of each collection."""
    screen = console(stderr=True)
    if not screen.is_terminal:
        yield None
        return
    from rich import progress as rich

    columns = (
        rich.TextColumn("{task.description}"),
        rich.BarColumn(bar_width=30),
        rich.DownloadColumn(),
        rich.TransferSpeedColumn(),
        rich.TimeRemainingColumn(),
        rich.TextColumn("[red]{task.fields[failed]}"),
    )
    with rich.Progress(*columns, console=screen) as bar:
        tasks: dict[str, rich.TaskID] = {}

        def show(name: str, fetched: int, total: int, failed: int) -> None:
            shown = f"{failed} failed" if failed else ""
            if name not in tasks:
                tasks[name] = bar.add_task(name, total=total, failed=shown)
            bar.update(tasks[name], completed=fetched, failed=shown)

        yield show


def _common_folder(files: Sequence[Path]) -> Path:
    return Path(os.path.commonpath([file.parent for file in files]))
