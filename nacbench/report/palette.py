"""One look per codec in every picture: colour, marker and line, told apart without colour too."""

from __future__ import annotations

import itertools
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

# Codecs that every suite has keep their look, so that two pictures can be laid side by side.
KNOWN = ("Opus", "MP3", "AAC-LC", "Vorbis", "AMR-WB", "AMR-NB", "LC3", "G.722", "Codec2", "Speex")


class Look(NamedTuple):
    colour: str
    marker: str
    line: Line
    open: bool  # hollow markers, from the second round of colours on


def looks(series: Iterable[str]) -> dict[str, Look]:
    """A look for each series, in alphabetical order: fixed for the known ones, the next free one
    for the others.
    """
    known = {_squash(name): index for index, name in enumerate(KNOWN)}
    names = sorted(set(series), key=str.lower)
    free = itertools.count(len(KNOWN))
    return {n: _look(known[_squash(n)] if _squash(n) in known else next(free)) for n in names}


def _look(index: int) -> Look:
    """The marker moves on one step more in every round of colours, so no pair comes twice."""
    turn = index // len(COLOURS)
    marker = MARKERS[(index + turn) % len(MARKERS)]
    return Look(COLOURS[index % len(COLOURS)], marker, LINES[turn % len(LINES)], turn > 0)


def _squash(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())
