"""`nacbench data`: fetch recordings that the project may not carry itself."""

from __future__ import annotations

from pathlib import Path

import click

from nacbench.commands.terminal import resumable, steps


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

    with resumable("the same command goes on from here."), steps() as progress:
        for one in name:
            fetch_collection(one, folder, jobs=jobs, progress=progress)
