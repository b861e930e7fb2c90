"""`nacbench run`: plan, progress, leaderboard, and where everything lies."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nacbench.commands.report import show_and_write
from nacbench.commands.terminal import (
    EXIT_FAILED_RECORDS,
    numbers,
    resumable,
    steps,
    weights_option,
    words,
)

if TYPE_CHECKING:
    from nacbench.board import Board

NEAR = 1.5  # as 'nacbench mushra prepare --kbps' takes it
AT_LEAST_1 = click.IntRange(min=1)
DIRECTORY = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.argument("suite")
@click.option(
    "--codec",
    multiple=True,
    callback=words,
    metavar="NAME,…",
    help="Only these codecs; also one the suite lacks, or package.module:Class.",
)
@click.option("--kbps", multiple=True, callback=numbers, metavar="N,…", help="Only these rates.")
@click.option(
    "--metric",
    multiple=True,
    callback=words,
    metavar="NAME,…",
    help="These metrics instead of the suite's.",
)
@click.option("--limit", type=AT_LEAST_1, metavar="N", help="At most N clips.")
@click.option("--workers", type=AT_LEAST_1, metavar="N", help="Worker processes. [default: cores]")
@click.option(
    "--out", type=DIRECTORY, metavar="DIR", help="Where runs are written. [default: results]"
)
@click.option("--fresh", is_flag=True, help="Begin a new run; use nothing that is stored.")
@click.option("--retry-failed", is_flag=True, help="Try again what failed before.")
@click.option(
    "--audio",
    type=DIRECTORY,
    metavar="DIR",
    help="Your own recordings instead of the suite's clips.",
)
@click.option("--data", type=DIRECTORY, metavar="DIR", help="Where fetched recordings lie.")
@click.option(
    "--device",
    type=click.Choice(["cpu", "cuda", "auto"]),
    help="Where networks run. [default: cpu]",
)
@click.option(
    "--batch-size", type=AT_LEAST_1, metavar="N", help="Pieces that go through a network together."
)
@weights_option
@click.option("--parquet", is_flag=True, help="Also write records.parquet.")
@click.option("--timing/--no-timing", default=True, help="Measure speed after the scoring.")
def run(
    suite: str,
    codec: tuple[str, ...],
    kbps: tuple[float, ...],
    metric: tuple[str, ...],
    limit: int | None,
    workers: int | None,
    out: Path | None,
    fresh: bool,
    retry_failed: bool,
    audio: Path | None,
    data: Path | None,
    device: str | None,
    batch_size: int | None,
    parquet: bool,
    timing: bool,
) -> None:
    """Run a suite: clips through codecs, scored, to a leaderboard.

    SUITE is a file or the name of one in suites/: speech, noisy_speech, music, real/speech.
    Stop it when you like; the same command goes on from there.
    """
    from nacbench import devices
    from nacbench import suite as suites
    from nacbench.commands.progress import Shown
    from nacbench.runner import run as run_suite

    if data:
        os.environ["NACBENCH_DATA"] = str(data.resolve())  # workers inherit it
    if device:
        os.environ[devices.DEVICE] = device
    if batch_size:
        os.environ[devices.BATCH] = str(batch_size)
    devices.described()  # a GPU that is not there is said now
    loaded = suites.load(suite, codecs=codec, kbps=kbps, metrics=metric, audio=audio)
    with resumable("the same command goes on from here."), steps() as shown:
        progress = Shown(shown)
        table = run_suite(
            loaded, limit=limit, workers=workers, out=out, fresh=fresh, retry_failed=retry_failed,
            timing=timing, progress=progress,
        )  # fmt: skip
    board = show_and_write(table, progress.directory, parquet, again=False)
    if rate := crowded_kbps(board):
        study = f"studies/{board.sections[0].suite}"
        click.echo(
            f"Let people listen: nacbench mushra prepare {progress.directory} --kbps {rate:.3g} "
            f"--out {study}\n"
            f"             then: nacbench mushra serve {study}"
        )
    if table.something_failed:
        raise click.exceptions.Exit(EXIT_FAILED_RECORDS)


def crowded_kbps(board: Board) -> float | None:
    """The payload rate that most operating points are near: what a listening test can compare."""
    rows = board.sections[0].rows
    rates = [row.payload_kbps for row in rows if row.payload_kbps and not row.anchor]
    return max(
        rates,
        key=lambda rate: sum(rate / NEAR <= other <= rate * NEAR for other in rates),
        default=None,
    )
