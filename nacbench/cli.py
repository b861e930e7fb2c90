"""`nacbench`: parse, call, print, exit code.

Exit codes: 0 all is well; 1 a regression or a failed self-test; 2 the user can mend it (one line
says how); 3 the run is complete but some records failed; 130 interrupted.
"""

from __future__ import annotations

import contextlib
import io
import sys
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import click

from nacbench import __version__
from nacbench.commands.cache import cache
from nacbench.commands.check import baseline, check
from nacbench.commands.compare import compare
from nacbench.commands.data import data
from nacbench.commands.doctor import doctor
from nacbench.commands.listing import list_
from nacbench.commands.rd import rd
from nacbench.commands.report import report
from nacbench.commands.run import run
from nacbench.commands.score import score
from nacbench.commands.selftest import selftest
from nacbench.commands.validate import validate
from nacbench.commands.view import view
from nacbench.errors import UserError

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130


class Bench(click.Group):
    """A group whose commands end in an exit code and a sentence, not in a traceback."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except UserError as error:
            click.echo(str(error), err=True)
            context.exit(EXIT_USER_ERROR)
        except KeyboardInterrupt:
            click.echo("\nInterrupted.", err=True)
            context.exit(EXIT_INTERRUPTED)

    def list_commands(self, context: click.Context) -> list[str]:
        # In the order of use, not of the alphabet; then what other packages add.
        return [*self.commands, *sorted(set(added()) - set(self.commands))]

    def get_command(self, context: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self.commands or cmd_name not in added():
            return super().get_command(context, cmd_name)
        entry = added()[cmd_name]
        try:
            command = entry.load()
        except ImportError as error:
            raise UserError(
                f"nacbench {cmd_name}: {error}. Install what it needs; for the listening test: "
                "pip install 'nacbench[mushra]'"
            ) from error
        assert isinstance(command, click.Command), f"{entry.value} is no click command"
        return command


def added() -> dict[str, EntryPoint]:
    """Commands of other packages: name -> entry point of the group `nacbench.commands`."""
    return {entry.name: entry for entry in entry_points(group="nacbench.commands")}


@click.group(cls=Bench, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", message="nacbench %(version)s")
def cli() -> None:
    """Which audio codec, at which bitrate, sounds best on which material, and are we sure?

    Start with:  nacbench run speech
    """


for command in (
    run,
    validate,
    list_,
    report,
    rd,
    view,
    doctor,
    compare,
    check,
    baseline,
    score,
    data,
    cache,
    selftest,
):
    cli.add_command(command)


def main() -> None:
    sys.path.append(str(Path.cwd()))  # so that '--codec lab.codec:Mine' needs no packaging
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            with contextlib.suppress(ValueError):
                stream.reconfigure(errors="replace")  # a terminal without "×" is no reason to die
    cli(prog_name="nacbench")
