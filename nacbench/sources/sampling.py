"""Take some of the clips, the same ones every time."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

from nacbench.core import ClipRef


def choose(
    refs: Sequence[ClipRef],
    limit: int | None = None,
    seed: int = 0,
    per_speaker: int | None = None,
) -> list[ClipRef]:
    """At most `per_speaker` clips of each speaker and `limit` in all, in their given order.

    Clips are drawn by a hash of seed and id, so a draw of 10 is part of the draw of 20, and
    adding a file to the set moves at most one clip.

    Raises:
        ValueError: a limit below 1.
    """
    for name, value in (("limit", limit), ("per_speaker", per_speaker)):
        if value is not None and (not isinstance(value, int) or value < 1):
            raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
    if limit is None and per_speaker is None:
        return list(refs)
    drawn = sorted(range(len(refs)), key=lambda index: _rank(refs[index].id, seed))
    if per_speaker is not None:
        drawn = _first_of_each_speaker(refs, drawn, per_speaker)
    return [refs[index] for index in sorted(drawn[:limit])]


def _first_of_each_speaker(refs: Sequence[ClipRef], order: list[int], count: int) -> list[int]:
    taken: Counter[str] = Counter()
    kept = []
    for index in order:
        speaker = refs[index].tags.get("speaker", refs[index].id)
        if taken[speaker] < count:
            taken[speaker] += 1
            kept.append(index)
    return kept


def _rank(clip_id: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{clip_id}".encode()).digest()
