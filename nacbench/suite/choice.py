"""`--codec` and `--kbps`: some of a suite's operating points, or others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nacbench.codecs import CODECS
from nacbench.suite.document import Document, Place
from nacbench.suite.options import parameters
from nacbench.suite.points import PlacedPoint, expand
from nacbench.suite.schema import Entry


def choose(
    points: list[PlacedPoint], codecs: Sequence[str], kbps: Sequence[float], document: Document
) -> list[PlacedPoint]:
    """The points of these codecs at these rates; an empty list of either asks for all.

    A codec that the suite lacks is added, and so is a rate of a codec that is named. Problems are
    noted in the document.
    """
    if not codecs:
        return _at_rates(points, kbps, document) if kbps else points
    chosen: dict[str, PlacedPoint] = {}
    for index, wanted in enumerate(codecs):
        place: Place = ("--codec", index)
        document.lines[place] = ("--codec", 0)
        own = [item for item in points if _is_called(item, wanted)]
        added = [] if own else expand([(place, Entry(name=wanted))], document)
        if kbps and (own or added):
            own = _with_rates(own, added, kbps, place, document)
        for item in own or added:
            chosen.setdefault(item.point.key, item)
    return list(chosen.values())


def _is_called(item: PlacedPoint, wanted: str) -> bool:
    """By the codec's name, `pcm:8`, or the name of the curve."""
    point = item.point
    with_argument = ":".join((point.codec, *map(str, point.options.values())))
    known = (point.codec, point.series, with_argument)
    return wanted.casefold() in (name.casefold() for name in known)


def _with_rates(
    own: list[PlacedPoint],
    added: list[PlacedPoint],
    kbps: Sequence[float],
    place: Place,
    document: Document,
) -> list[PlacedPoint]:
    """A named codec at these rates, whether the suite lists them or not.

    Args:
        own, added: its points in the suite, or else those it has by default.
    """
    point = (own or added)[0].point
    codec, others = point.codec, {k: v for k, v in point.options.items() if k != "kbps"}
    lacking = [rate for rate in kbps if rate not in {item.kbps for item in own}]
    if lacking and "kbps" in parameters(CODECS.get(codec)):
        entry = Entry(name=codec, options={**others, "kbps": lacking})
        asked = expand([(place, entry)], document)
        return [item for item in own if item.kbps in kbps] + asked
    kept = [item for item in own or added if item.kbps is None or item.kbps in kbps]
    if not kept:
        there = _listed(item.kbps for item in own or added)
        document.note(place, f"codec '{codec}' runs at {there} kbps, not at {_listed(kbps)}.")
    return kept


def _at_rates(
    points: list[PlacedPoint], kbps: Sequence[float], document: Document
) -> list[PlacedPoint]:
    document.lines["--kbps",] = ("--kbps", 0)
    for rate in kbps:
        if rate not in {item.kbps for item in points}:
            there = _listed(item.kbps for item in points)
            document.note(
                ("--kbps",),
                f"no codec of this suite has a point at {rate:g} kbps; there are {there}. "
                f"'--codec NAME --kbps {rate:g}' adds one.",
            )
    return [item for item in points if item.kbps in kbps]


def _listed(rates: Iterable[float | None]) -> str:
    return ", ".join(f"{rate:g}" for rate in sorted({r for r in rates if r is not None})) or "none"
