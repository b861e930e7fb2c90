"""`nacbench list`: what is there, what is missing, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from nacbench.commands.terminal import print_table

if TYPE_CHECKING:
    from nacbench.registry import Registry

HERE = "[green]here[/]"


@click.group("list")
def list_() -> None:
    """Show what is there, what is missing, and why."""


@list_.command()
def codecs() -> None:
    """Codecs, and how to install those that are missing."""
    from nacbench.codecs import CODECS
    from nacbench.suite.options import parameters

    rows = []
    for name, cls, missing in _loaded(CODECS):
        points: Sequence[object] = getattr(cls, "default_points", ({},))
        summary = _first_line(cls)
        options = parameters(cls) if cls else {}
        sweep = ", ".join(name for name in getattr(cls, "sweep", ("kbps",)) if name in options)
        state = _state(missing) if missing else _state_at(name, points)
        rows.append((name, summary, sweep, str(len(points)), state))
    print_table(
        ("codec", "what it is", "sweeps", "default points", "state"),
        rows,
        right=("default points",),
    )


@list_.command()
def metrics() -> None:
    """Metrics, with recipe version, unit, direction and working rate."""
    from nacbench.metrics import CORPUS_METRICS, METRICS

    rows = []
    for name, cls, missing in [*_loaded(METRICS), *_loaded(CORPUS_METRICS)]:
        better = {True: "higher", False: "lower", None: "–"}[getattr(cls, "higher_is_better", None)]
        rate = getattr(cls, "sample_rate_hz", None)
        rows.append(
            (
                name,
                str(getattr(cls, "version", "")),
                str(getattr(cls, "unit", "")),
                better,
                f"{rate / 1000:g} kHz" if rate else "the clip's",
                str(getattr(cls, "domain", "")),
                _state(missing),
            )
        )
    columns = ("recipe", "version", "unit", "better", "works at", "for", "state")
    print_table(columns, rows)


@list_.command("suites")
def suites_() -> None:
    """Suites that can be run by name."""
    from nacbench import suite as suites
    from nacbench.errors import UserError

    rows = []
    for name in suites.names():
        try:
            suite = suites.load(name)
        except UserError as error:
            rows.append((name, "", "", "", "", f"[red]{_escape(str(error).splitlines()[0])}[/]"))
            continue
        state = HERE
        try:
            clips = str(len(suite.clips()))
        except UserError as error:
            clips, state = "–", f"[yellow]{_escape(str(error))}[/]"
        codecs = len({point.series for point in suite.points})
        rows.append((name, suite.title, clips, str(codecs), str(len(suite.points)), state))
    columns = ("suite", "title", "clips", "codecs", "points", "state")
    print_table(columns, rows, right=("clips", "codecs", "points"))


@list_.command()
def data() -> None:
    """Recordings that can be fetched, and public sets: what is here, and how to get the rest."""
    import re

    from nacbench import data as recordings
    from nacbench.sources import SOURCES

    rows = []
    for name in recordings.collections():
        entries = recordings.collection(name)
        here = sum(recordings.find(entry) is not None for entry in entries)
        size_mb = sum(entry.source_bytes for entry in entries) / 1e6
        sets = ", ".join(sorted({entry.set for entry in entries if entry.set})) or "–"
        # "CC BY 4.0 (VCTK corpus, …)": the index has the whole sentence for each file.
        kinds = {re.split(r" \(|;", entry.tags["licence"])[0] for entry in entries}
        licences = ", ".join(sorted(kinds))
        fetch = f"[yellow]missing: nacbench data fetch {name}[/]"
        state = HERE if here == len(entries) else fetch
        row = (name, sets, f"{here} of {len(entries)}", f"{size_mb:.0f} MB", _escape(licences))
        rows.append((*row, state))
    for name, cls, missing in _loaded(SOURCES):
        if hasattr(cls, "HOME"):
            rows.append((name, "–", "–", "–", "–", _state(missing)))
    columns = ("data", "sets", "files", "download", "licences", "state")
    print_table(columns, rows, right=("files", "download"))


@list_.command()
def sources() -> None:
    """Kinds of sources that a suite may name, with their options."""
    from nacbench.sources import SOURCES

    _print_options(SOURCES)


@list_.command()
def conditions() -> None:
    """Kinds of conditions that a suite may name, with their options."""
    from nacbench.conditions import CONDITIONS

    _print_options(CONDITIONS)


def _print_options(registry: Registry) -> None:
    from nacbench.suite.options import parameters

    rows = []
    for name, cls, missing in _loaded(registry):
        options = ", ".join(parameters(cls)) if cls else ""
        rows.append((name, _first_line(cls), options, _state(missing)))
    print_table((registry.kind, "what it is", "options", "state"), rows)


def _loaded(registry: Registry) -> list[tuple[str, Any, str | None]]:
    """Name, class and why it is missing (None: it is here) of everything registered."""
    from nacbench.errors import UserError
    from nacbench.suite.points import missing_reason

    entries: list[tuple[str, Any, str | None]] = []
    for name in registry.names():
        try:
            cls = registry.get(name)
            entries.append((name, cls, missing_reason(cls)))
        except UserError as error:
            entries.append((name, None, str(error)))
    return entries


def _state(missing: str | None) -> str:
    return HERE if missing is None else f"[yellow]missing: {_escape(missing)}[/]"


def _state_at(codec: str, points: Sequence[Any]) -> str:
    """Packages may be here where weights are not, or where a codec cannot do without an option."""
    from nacbench import coding
    from nacbench.errors import CodecUnavailableError, UserError

    name = f"codec '{codec}'"
    try:
        coding.build(codec, points[0] if points else {})
    except CodecUnavailableError as error:
        return _state(str(error).removeprefix(f"{name}: "))
    except UserError as error:
        told = str(error).removeprefix(f"{name}: ").removeprefix(f"{name} ").rstrip(".")
        return f"{HERE}; {_escape(told)}"
    except Exception as error:  # a plug-in that is broken must not hide the others
        return f"[red]{_escape(f'{type(error).__name__}: {error}')}[/]"
    return HERE


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _first_line(cls: type | None) -> str:
    return _escape((cls.__doc__ or "").strip().split("\n")[0]) if cls else ""
