"""Codec entries of a suite -> operating points, with the names they are shown by."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter
from types import MappingProxyType
from typing import Any

from nacbench.codecs import CODECS
from nacbench.core import OperatingPoint
from nacbench.errors import CodecUnavailableError, UserError
from nacbench.suite.document import Document, Place
from nacbench.suite.options import check_names, check_type, parameters
from nacbench.suite.schema import Entry

UNITS = {"kbps": "kbps", "hz": "Hz", "khz": "kHz", "ms": "ms", "s": "s", "db": "dB", "bits": "bit"}
LABEL = "label"
MAX_LABEL = 60
MAX_POINTS = 500  # of one entry; no comparison needs as many


@dataclass(frozen=True)
class PlacedPoint:
    """An operating point, where it was written, and why it cannot run here (None: it can)."""

    point: OperatingPoint
    place: Place
    missing: str | None
    kbps: float | None = None  # nominal; None where there is none, or it depends on the clip


def expand(entries: Sequence[tuple[Place, Entry]], document: Document) -> list[PlacedPoint]:
    """The points of every entry; problems, duplicates among them, are noted in the document."""
    placed: list[PlacedPoint] = []
    for place, entry in entries:
        try:
            placed += _Expansion(entry, place, document).points()
        except UserError as error:
            document.note(place, str(error))
    _note_duplicates(placed, document)
    return placed


def missing_reason(cls: type, argument: Mapping[str, Any] = MappingProxyType({})) -> str | None:
    """Why a codec or metric cannot run here and how to install it; None when it can.

    Args:
        argument: what the name gives behind its colon, where that decides.
    """
    ask = getattr(cls, "missing", None)
    try:
        return ask(**argument) if ask else None
    except Exception as error:  # a plug-in that cannot even tell is missing
        return f"{type(error).__name__}: {error}"


class _Expansion:
    """One entry of the list of codecs on its way to points.

    Raises:
        UserError: the codec is unknown or cannot be loaded.
    """

    def __init__(self, entry: Entry, place: Place, document: Document) -> None:
        self.name, argument = CODECS.split(entry.name)
        self.cls = CODECS.get(self.name)
        self.options = {**argument, **entry.options}
        self.label = self.options.pop(LABEL, None)
        self.place = (*place, entry.name) if entry.options else place
        self.document = document
        self.sweep: Sequence[str] = getattr(self.cls, "sweep", ("kbps",))

    def points(self) -> Iterator[PlacedPoint]:
        if self.label is not None and not (
            isinstance(self.label, str) and 0 < len(self.label) <= MAX_LABEL
        ):
            message = f"expected a text of up to {MAX_LABEL} characters."
            self.document.note((*self.place, LABEL), message)
            return
        missing = missing_reason(self.cls)
        for options, where in self._settings():
            if not self._fits(options, where):
                continue
            kbps, absent = options.get("kbps"), missing
            if missing is None:
                try:
                    codec = self._built(options, where)
                except CodecUnavailableError as error:  # a program or file of this very setting
                    absent = str(error)
                else:
                    if codec is None:
                        continue
                    kbps = getattr(codec, "nominal_kbps", kbps)
            point = OperatingPoint(self.name, options, *self._names(options))
            yield PlacedPoint(point, where, absent, kbps)

    def _settings(self) -> Iterator[tuple[dict[str, Any], Place]]:
        """Options and place of each point: lists of swept options are multiplied out."""
        if not self.options:
            defaults: Sequence[Mapping[str, Any]] = getattr(self.cls, "default_points", ({},))
            yield from ((dict(options), self.place) for options in defaults)
            return
        lists = {n: v for n in self.sweep if isinstance(v := self.options.get(n), list)}
        for name, values in lists.items():
            if not values:
                message = "is empty; at least one value is needed."
                self.document.note((*self.place, name), message)
        if math.prod(map(len, lists.values())) > MAX_POINTS:
            self.document.note(self.place, f"asks for more than {MAX_POINTS} points.")
            return
        for chosen in itertools.product(*(enumerate(values) for values in lists.values())):
            where = self.place
            options = dict(self.options)
            for name, (index, value) in zip(lists, chosen, strict=True):
                options[name] = value
                where = (*self.place, name, index)
            yield {name: _whole(value) for name, value in options.items()}, where

    def _fits(self, options: Mapping[str, Any], where: Place) -> bool:
        what = f"codec '{self.name}'"
        fits = check_names(self.cls, options, what, self.place, self.document)
        for option, value in options.items():
            place = (*self.place, option)
            place = where if where[: len(place)] == place else place
            fits &= check_type(self.cls, option, value, place, self.document)
        return fits

    def _built(self, options: Mapping[str, Any], where: Place) -> Any:
        """The codec, or None with the reason noted."""
        try:
            return self.cls(**options)
        except CodecUnavailableError:
            raise
        except (UserError, ValueError) as error:
            self.document.note(where, f"codec '{self.name}': {str(error).rstrip('.')}.")
        except Exception as error:  # a plug-in's own bug is the suite's problem, not a crash
            reason = f"{type(error).__name__}: {error}"
            self.document.note(where, f"codec '{self.name}' cannot be built: {reason}.")
        return None

    def _names(self, options: Mapping[str, Any]) -> tuple[str, str]:
        """Series and setting: ("Opus", "6 kbps"), ("Opus (vbr off)", "12 kbps")."""
        moving = list(self.sweep)
        argument: str | None = getattr(self.cls, "argument", None)
        if argument and isinstance(options.get(argument), (int, float)):
            moving.append(argument)
        moving = [name for name in dict.fromkeys(moving) if name in options]
        setting = ", ".join(_shown(name, options[name]) for name in moving)
        if not setting and (nominal := getattr(self.cls, "nominal_kbps", None)):
            setting = _shown("kbps", nominal)  # a codec with one rate
        if self.label:
            return self.label, setting
        fixed = [
            _shown(name, value)
            for name, value in options.items()
            if name not in moving and isinstance(value, (str, int, float))
        ]
        title: str = getattr(self.cls, "title", self.name)
        return f"{title} ({', '.join(fixed)})" if fixed else title, setting


def _whole(value: Any) -> Any:
    """6.0 -> 6, so that both spellings are the same point."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _shown(option: str, value: Any) -> str:
    """`kbps`, 6 -> "6 kbps"; `frame_ms`, 20 -> "frame 20 ms"; `vbr`, "off" -> "vbr off"."""
    quantity, _, unit = option.rpartition("_")
    text = f"{value:g}" if isinstance(value, float) else str(value)
    if unit in UNITS and not isinstance(value, str):
        return f"{quantity} {text} {UNITS[unit]}".strip()
    return f"{option.replace('_', ' ')} {text}"


def _note_duplicates(placed: Sequence[PlacedPoint], document: Document) -> None:
    points: dict[str, PlacedPoint] = {}
    names: dict[tuple[str, str], PlacedPoint] = {}
    for item in placed:
        point = item.point
        shown = point.name
        same = points.setdefault(_with_defaults(point), item)
        namesake = names.setdefault((point.series, point.setting), item)
        if same is not item:
            where = _line(same, document)
            document.note(item.place, f"'{shown}' is already a point{where}. Remove one.")
        elif namesake is not item:
            where = _line(namesake, document)
            message = f"another point is already shown as '{shown}'{where}. Give one a '{LABEL}'."
            document.note(item.place, message)


def _line(item: PlacedPoint, document: Document) -> str:
    line = document.line(item.place)
    return f" in line {line}" if line else ""


def _with_defaults(point: OperatingPoint) -> str:
    """The point's key with unsaid options at their defaults: kbps=12 is kbps=12, vbr="on"."""
    defaults = {
        name: parameter.default
        for name, parameter in parameters(CODECS.get(point.codec)).items()
        if parameter.default is not Parameter.empty
    }
    return f"{point.codec} {json.dumps({**defaults, **point.options}, sort_keys=True, default=str)}"
