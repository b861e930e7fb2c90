"""How the commands read and print: rich on a terminal, plain aligned text in a pipe."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, Task
    from rich.text import Text

EXIT_FAILED_RECORDS = 3
EXIT_INTERRUPTED = 130
PIPE_WIDTH = 1000  # characters; a pipe has no edge at which to wrap
LOG_PERIOD_S = 30.0  # how often progress writes a line into a log


def console(stderr: bool = False) -> Console:
    from rich.console import Console

    screen = Console(stderr=stderr, highlight=False)
    return (
        screen if screen.is_terminal else Console(stderr=stderr, highlight=False, width=PIPE_WIDTH)
    )


def _name_weights(context: click.Context, option: click.Parameter, value: Path | None) -> None:
    if value:
        os.environ["NACBENCH_WEIGHTS"] = str(value.resolve())  # workers inherit it


weights_option = click.option(
    "--weights",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    expose_value=False,
    callback=_name_weights,
    help="Folder with weights and models of metrics.",
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
    columns: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[str] = ()
) -> None:
    """A table of strings with markup; columns named in `right` hold numbers."""
    screen = console()
    if not screen.is_terminal:
        _print_plain(columns, rows, right)
        return
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for column in columns:
        table.add_column(
            column,
            justify="right" if column in right else "left",
            no_wrap=column == columns[0],
            overflow="fold",
        )
    for row in rows:
        table.add_row(*row)
    screen.print(table)


def _print_plain(
    columns: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[str]
) -> None:
    from rich.text import Text

    lines = [list(columns), *([Text.from_markup(cell).plain for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for cell, width, column in zip(line, widths, columns, strict=True)
        ]
        click.echo("  ".join(cells).rstrip())


@contextlib.contextmanager
def resumable(what: str) -> Iterator[None]:
    """Turn Ctrl-C into the sentence that matters and exit status 130."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"\nStopped. Nothing is lost: {what}", err=True)
        raise click.exceptions.Exit(EXIT_INTERRUPTED) from None


class Steps(Protocol):
    """Progress as it is shown; phases follow one another."""

    def begin(self, phase: str, total: int) -> None: ...

    def advance(self, what: str, failure: str | None = None) -> None: ...


@contextlib.contextmanager
def steps() -> Iterator[Steps]:
    """A bar with rate and time left on stderr; in a log, a line now and then."""
    screen = console(stderr=True)
    if not screen.is_terminal:
        yield _Log(screen)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn
    from rich.text import Text

    class Pace(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(pace(task.finished_speed or task.speed, task.time_remaining))

    columns = (
        TextColumn("{task.description:<9}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        Pace(),
        TextColumn("[red]{task.fields[failed]}[/][dim]{task.fields[what]}"),
    )
    # The estimate looks back over a minute: codecs differ in speed by a factor of a hundred.
    bar = Progress(*columns, console=screen, speed_estimate_period=60)
    try:
        yield _Bar(bar)
    finally:
        bar.stop()


class _Bar:
    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._failed = 0

    def begin(self, phase: str, total: int) -> None:
        self._failed = 0
        self._bar.start()  # not before: until now lines were printed where the bar will be
        self._task = self._bar.add_task(phase, total=total, failed="", what="")

    def advance(self, what: str, failure: str | None = None) -> None:
        self._failed += failure is not None
        failed = f"{self._failed} failed  " if self._failed else ""
        self._bar.update(self._task, advance=1, failed=failed, what=what)
        if self._bar.tasks[-1].finished:
            self._bar.update(self._task, what="")


class _Log:
    """Progress for a log file: a line now and then, and one at the end of each phase."""

    def __init__(self, screen: Console) -> None:
        self._screen = screen

    def begin(self, phase: str, total: int) -> None:
        self._phase, self._total, self._done, self._failed = phase, total, 0, 0
        self._began = self._last = time.monotonic()

    def advance(self, what: str, failure: str | None = None) -> None:
        self._done += 1
        self._failed += failure is not None
        now = time.monotonic()
        if self._done < self._total and now - self._last < LOG_PERIOD_S:
            return
        self._last = now
        per_second = self._done / (now - self._began) if now > self._began else None
        left_s = (self._total - self._done) / per_second if per_second else None
        failed = f", {self._failed} failed" if self._failed else ""
        self._screen.print(
            f"{self._phase}: {self._done}/{self._total}{failed}, {pace(per_second, left_s)}"
        )


def pace(per_second: float | None, left_s: float | None) -> str:
    """`4.2/s, 2:31 left`."""
    if not per_second:
        return ""
    rate = f"{per_second:.1f}/s" if per_second >= 0.1 else f"{per_second * 60:.1f}/min"
    return f"{rate}, {clock(left_s)} left" if left_s else rate


def about(seconds: float) -> str:
    """`12 s`, `4 min`, `2.5 h`."""
    if seconds < 100:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def clock(seconds: float) -> str:
    """`2:31`, `1:02:31`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
