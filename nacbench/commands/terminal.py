"""How the commands read and print: rich on a terminal, plain aligned text in a pipe."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Task
    from rich.text import Text

EXIT_FAILED_RECORDS = 3
EXIT_INTERRUPTED = 130
PIPE_WIDTH = 1000  # characters; a pipe has no edge at which to wrap
PIPE_PERIOD_S = 30.0  # how often progress writes a line into a log

Progress = Callable[[str, int, int, int], None]
"""`progress(stage, done, total, failed)`: "scoring", 12 of 640, none of them failed."""


def console(stderr: bool = False) -> Console:
    from rich.console import Console

    screen = Console(stderr=stderr, highlight=False)
    return (
        screen if screen.is_terminal else Console(stderr=stderr, highlight=False, width=PIPE_WIDTH)
    )


def words(
    context: click.Context, option: click.Parameter, values: Sequence[str]
) -> tuple[str, ...]:
    """`--codec opus,mp3 --codec aac` -> ("opus", "mp3", "aac")."""
    return tuple(word.strip() for value in values for word in value.split(",") if word.strip())


def numbers(
    context: click.Context, option: click.Parameter, values: Sequence[str]
) -> tuple[float, ...]:
    """`--kbps 6,12` -> (6.0, 12.0).

    Raises:
        click.BadParameter: not a positive number.
    """
    found = []
    for word in words(context, option, values):
        try:
            number = float(word)
        except ValueError:
            number = -1.0
        if not 0 < number < float("inf"):
            raise click.BadParameter(f"'{word}' is not a positive number.", context, option)
        found.append(number)
    return tuple(found)


def plural(count: int, noun: str) -> str:
    """`1 clip`, `16 clips`, `1,234 clips`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()
) -> None:
    """A table of strings with markup; columns named in `right` hold numbers."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(
            column,
            justify="right" if column in right else "left",
            no_wrap=column == columns[0],
            overflow="fold",
        )
    for row in rows:
        table.add_row(*row)
    console().print(table)


@contextlib.contextmanager
def resumable(what: str) -> Iterator[None]:
    """Turn Ctrl-C into the sentence that matters and exit status 130."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"\nStopped. Nothing is lost: {what}", err=True)
        raise click.exceptions.Exit(EXIT_INTERRUPTED) from None


@contextlib.contextmanager
def progress_bar() -> Iterator[Progress]:
    """A bar with rate and time left on stderr; in a log, a line now and then."""
    screen = console(stderr=True)
    if not screen.is_terminal:
        yield _Log(screen)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TextColumn
    from rich.progress import Progress as Bar
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(_pace(task.finished_speed or task.speed, task.time_remaining))

    columns = (
        TextColumn("{task.description:<8}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        Rate(),
        TextColumn("[red]{task.fields[failed]}"),
    )
    with Bar(*columns, console=screen, expand=True) as bar:
        tasks: dict[str, tuple[object, int]] = {}

        def progress(stage: str, done: int, total: int, failed: int) -> None:
            shown = f"{failed} failed" if failed else ""
            if stage not in tasks:
                # What an earlier run did is the bar's start, not this run's speed.
                tasks[stage] = bar.add_task(stage, total=total, completed=done, failed=shown), done
            bar.update(tasks[stage][0], completed=done, total=total, failed=shown)  # type: ignore[arg-type]

        yield progress


class _Log:
    """Progress for a log file: the first line, then one every half minute, then the last."""

    def __init__(self, screen: Console) -> None:
        self._screen = screen
        self._stages: dict[str, tuple[float, int]] = {}
        self._last = 0.0

    def __call__(self, stage: str, done: int, total: int, failed: int) -> None:
        now = time.monotonic()
        started, already = self._stages.setdefault(stage, (now, done))
        if done < total and now - self._last < PIPE_PERIOD_S:
            return
        self._last = now
        speed = (done - already) / (now - started) if now > started else None
        left = (total - done) / speed if speed else None
        trouble = f", {failed} failed" if failed else ""
        pace = _pace(speed, left)
        self._screen.print(f"{stage}: {done}/{total}{trouble}{f' ({pace})' if pace else ''}")


def _pace(per_second: float | None, left_s: float | None) -> str:
    """`4.2/s, 2:31 left`."""
    if not per_second:
        return ""
    rate = f"{per_second:.1f}/s" if per_second >= 0.1 else f"{per_second * 60:.1f}/min"
    if not left_s:
        return rate
    minutes, seconds = divmod(round(left_s), 60)
    hours, minutes = divmod(minutes, 60)
    clock = f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
    return f"{rate}, {clock} left"
