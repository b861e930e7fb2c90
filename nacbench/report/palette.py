"""One look per codec in every picture: colour, marker and line, told apart without colour too."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

# Okabe & Ito's set without yellow, which vanishes on white, and three of Paul Tol's "muted";
# both are made for readers with any of the common colour-vision deficiencies.
COLOURS = (
    "#0072B2",  # blue
    "#D55E00",  # vermilion
    "#009E73",  # green
    "#CC79A7",  # pink
    "#E69F00",  # orange
    "#56B4E9",  # sky
    "#332288",  # indigo
    "#882255",  # wine
    "#999933",  # olive
)
MARKERS = "osD^v<>pd"
Line = Literal["-", "--", ":"]
LINES: tuple[Line, ...] = ("-", "--", ":")
GREY = "#888888"

# Codecs that every suite has keep their look, so that two pictures can be laid side by side.
KNOWN = ("Opus", "MP3", "AAC", "Vorbis", "AMR-WB", "AMR-NB", "LC3", "G.722", "Codec2", "Speex")
# References that frame the picture rather than compete in it.
ANCHORS = ("identity", "PCM", "low-pass", "FLAC")


class Look(NamedTuple):
    colour: str
    marker: str
    line: Line
    open: bool  # hollow markers, from the second round of colours on


def looks(series: Iterable[str]) -> dict[str, Look]:
    """A look for each series: fixed for the known ones, the next free one for the others.

    Anchors come last; the others in alphabetical order.
    """
    known = {_squash(name): index for index, name in enumerate(KNOWN)}
    chosen: dict[str, Look] = {}
    free, grey = len(KNOWN), 0
    for name in sorted(set(series), key=lambda n: (is_anchor(n), n.lower())):
        if is_anchor(name):
            chosen[name] = Look(GREY, MARKERS[grey % len(MARKERS)], LINES[1], False)
            grey += 1
        elif _squash(name) in known:
            chosen[name] = _look(known[_squash(name)])
        else:
            chosen[name] = _look(free)
            free += 1
    return chosen


def is_anchor(series: str) -> bool:
    return _squash(series).startswith(tuple(_squash(anchor) for anchor in ANCHORS))


def _look(index: int) -> Look:
    """The marker moves on one step more in every round of colours, so no pair comes twice."""
    turn = index // len(COLOURS)
    marker = MARKERS[(index + turn) % len(MARKERS)]
    return Look(COLOURS[index % len(COLOURS)], marker, LINES[turn % len(LINES)], turn > 0)


def _squash(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())
