"""`nacbench run`: plan, progress, leaderboard, and where everything lies."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nacbench.commands.report import show_and_write
from nacbench.commands.terminal import (
    EXIT_FAILED_RECORDS,
    console,
    numbers,
    plural,
    progress_bar,
    resumable,
    words,
)

if TYPE_CHECKING:
    from nacbench.suite import Suite

DIRECTORY = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.argument("suite")
@click.option(
    "--codec",
    multiple=True,
    callback=words,
    metavar="NAME,…",
    help="Only these codecs; also one that the suite lacks, or package.module:Class.",
)
@click.option("--kbps", multiple=True, callback=numbers, metavar="N,…", help="Only these rates.")
@click.option(
    "--metric",
    multiple=True,
    callback=words,
    metavar="NAME,…",
    help="These metrics instead of the suite's.",
)
@click.option("--limit", type=click.IntRange(min=1), help="At most this many clips.")
@click.option("--workers", type=click.IntRange(min=1), help="Worker processes [default: all cores]")
@click.option("--out", type=DIRECTORY, help="Where runs are written [default: results].")
@click.option("--fresh", is_flag=True, help="Start a new run; use nothing that is cached.")
@click.option("--audio", type=DIRECTORY, help="Your own recordings instead of the suite's clips.")
@click.option("--data", type=DIRECTORY, help="Folder that holds fetched data sets.")
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
    audio: Path | None,
    data: Path | None,
    parquet: bool,
    timing: bool,
) -> None:
    """Run a suite: clips through codecs, scored, to a leaderboard.

    SUITE is a file or the name of one in suites/: speech, noisy_speech, music, real/speech.
    Stop it when you like; the same command goes on from there.
    """
    from nacbench import suite as suites

    if data:
        os.environ["NACBENCH_DATA"] = str(data.resolve())  # workers inherit it
    loaded = suites.load(suite, codecs=codec, kbps=kbps, metrics=metric, audio=audio)
    runner = importlib.import_module("nacbench.runner")
    plan = runner.plan(loaded, limit=limit, out=out, fresh=fresh, workers=workers, timing=timing)
    _show_plan(plan, loaded)
    with resumable("the same command goes on from here."), progress_bar() as progress:
        table = runner.execute(plan, progress=progress)
    board = show_and_write(table, plan.directory, parquet)
    if board.failed:
        raise click.exceptions.Exit(EXIT_FAILED_RECORDS)


def _show_plan(plan: Any, suite: Suite) -> None:
    out = console()
    out.print(f"[bold]{suite.title}[/]" + " (synthetic pack)" * suite.synthetic)
    out.print(
        f"{plural(plan.clips, 'clip')} × {plural(len(suite.conditions), 'condition')} × "
        f"{plural(len(suite.points), 'operating point')} = {plural(plan.total, 'coded clip')}, "
        f"each scored by {plural(len(suite.metrics), 'metric')}"
    )
    todo = plan.total - plan.done
    if plan.done:
        out.print(f"{plan.done:,} are done already, {todo:,} to go")
    if todo and plan.estimate_s:
        minutes = plan.estimate_s / 60
        about = f"{minutes:.0f} min" if minutes >= 2 else f"{plan.estimate_s:.0f} s"
        out.print(f"about {about} on {plural(plan.workers, 'worker')}")
