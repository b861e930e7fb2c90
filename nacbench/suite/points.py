"""Codec entries of a suite -> operating points, with the names they are shown by."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter
from typing import Any

from nacbench.codecs import CODECS
from nacbench.core import OperatingPoint
from nacbench.errors import UserError
from nacbench.suite.document import Document, Place
from nacbench.suite.options import check_names, check_type, parameters
from nacbench.suite.schema import Entry

UNITS = {"kbps": "kbps", "hz": "Hz", "khz": "kHz", "ms": "ms", "s": "s", "db": "dB", "bits": "bit"}
LABEL = "label"


@dataclass(frozen=True)
class PlacedPoint:
    """An operating point, where it was written, and why it cannot run here (None: it can)."""

    point: OperatingPoint
    place: Place
    missing: str | None


def expand(entries: Sequence[tuple[Place, Entry]], document: Document) -> list[PlacedPoint]:
    """The points of every entry; problems, duplicates among them, are noted in the document."""
    placed: list[PlacedPoint] = []
    for place, entry in entries:
        placed += _points(entry, place, document)
    seen: dict[str, Place] = {}
    for item in placed:
        point = item.point
        shown_as = f"{point.series} {point.setting}".strip()
        for key, what in (
            (f"key {_with_defaults(point)}", f"'{shown_as}' is already a point"),
            (f"name {shown_as}", f"another point is already shown as '{shown_as}'"),
        ):
            if key in seen:
                line = document.lines.get(seen[key], ("", 0))[1]
                mend = "Remove one" if key.startswith("key") else "Give one a label"
                document.note(item.place, f"{what}{f' (line {line})' * bool(line)}. {mend}.")
                break
            seen[key] = item.place
    return placed


def _points(entry: Entry, place: Place, document: Document) -> Iterator[PlacedPoint]:
    try:
        name, argument = CODECS.split(entry.name)
        cls = CODECS.get(name)
    except UserError as error:
        document.note(place, str(error))
        return
    given = {key: value for key, value in entry.options.items() if key != LABEL}
    place = (*place, entry.name) if entry.options else place
    label = entry.options.get(LABEL)
    if label is not None and not (isinstance(label, str) and 0 < len(label) <= 60):
        document.note((*place, LABEL), "expected a short text.")
        return
    missing = missing_reason(cls)
    options_at: list[tuple[dict[str, Any] | None, Place]]
    if given or argument:
        options_at = _swept(cls, {**argument, **given}, place)
    else:
        default_points: Sequence[Mapping[str, Any]] = getattr(cls, "default_points", ({},))
        options_at = [(dict(options), place) for options in default_points]
    for options, where in options_at:
        if options is None:
            document.note(where, "is empty; at least one value is needed.")
            continue
        if not _fits(cls, name, options, place, where, document):
            continue
        if missing is None and not _builds(cls, name, options, where, document):
            continue
        series, setting = _names(cls, name, options, label)
        yield PlacedPoint(OperatingPoint(name, options, series, setting), where, missing)


def _swept(
    cls: type, options: Mapping[str, Any], place: Place
) -> list[tuple[dict[str, Any] | None, Place]]:
    """One options mapping per point, with its place: lists of swept options are multiplied out."""
    swept = [n for n in getattr(cls, "sweep", ("kbps",)) if isinstance(options.get(n), list)]
    for name in swept:
        if not options[name]:
            return [(None, (*place, name))]
    points: list[tuple[dict[str, Any] | None, Place]] = []
    for indices in itertools.product(*(range(len(options[name])) for name in swept)):
        chosen = {name: options[name][i] for name, i in zip(swept, indices, strict=True)}
        where = (*place, swept[-1], indices[-1]) if swept else place
        points.append(({k: _whole(v) for k, v in {**options, **chosen}.items()}, where))
    return points


def _whole(value: Any) -> Any:
    """6.0 -> 6, so that both spellings are the same point."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _fits(
    cls: type, name: str, options: Mapping[str, Any], place: Place, where: Place, document: Document
) -> bool:
    fits = check_names(cls, options, f"codec '{name}'", place, document)
    for option, value in options.items():
        swept_here = len(where) > len(place) and where[len(place)] == option
        fits &= check_type(cls, option, value, where if swept_here else (*place, option), document)
    return fits


def _builds(
    cls: type, name: str, options: Mapping[str, Any], where: Place, document: Document
) -> bool:
    try:
        cls(**options)
    except (UserError, ValueError) as error:
        document.note(where, f"codec '{name}': {str(error).rstrip('.')}.")
        return False
    except Exception as error:  # a plug-in's own bug is the suite's problem, not a crash
        document.note(where, f"codec '{name}' cannot be built: {type(error).__name__}: {error}.")
        return False
    return True


def missing_reason(cls: type) -> str | None:
    """Why a codec or metric cannot run here and how to install it; None when it can."""
    ask = getattr(cls, "missing", None)
    return ask() if ask else None


def _names(cls: type, name: str, options: Mapping[str, Any], label: str | None) -> tuple[str, str]:
    """Series and setting: ("Opus", "6 kbps"), ("Opus (vbr off)", "12 kbps")."""
    moving = [*getattr(cls, "sweep", ("kbps",))]
    argument: str | None = getattr(cls, "argument", None)
    if argument and isinstance(options.get(argument), (int, float)):
        moving.append(argument)
    setting = ", ".join(_shown(n, options[n]) for n in dict.fromkeys(moving) if n in options)
    if label:
        return label, setting
    fixed = [
        _shown(option, value)
        for option, value in options.items()
        if option not in moving and isinstance(value, str | int | float)
    ]
    title = getattr(cls, "title", name)
    return f"{title} ({', '.join(fixed)})" if fixed else title, setting


def _shown(option: str, value: Any) -> str:
    """`kbps`, 6 -> "6 kbps"; `frame_ms`, 20 -> "frame 20 ms"; `vbr`, "off" -> "vbr off"."""
    quantity, _, unit = option.rpartition("_")
    text = f"{value:g}" if isinstance(value, float) else str(value)
    if unit in UNITS and not isinstance(value, str):
        return f"{quantity} {text} {UNITS[unit]}".strip()
    return f"{option.replace('_', ' ')} {text}"


def _with_defaults(point: OperatingPoint) -> str:
    """The point's key with unsaid options at their defaults: kbps=12 is kbps=12, vbr="on"."""
    defaults = {
        name: parameter.default
        for name, parameter in parameters(CODECS.get(point.codec)).items()
        if parameter.default is not Parameter.empty
    }
    options = {**defaults, **point.options}
    return f"{point.codec} {json.dumps(options, sort_keys=True, default=str)}"
