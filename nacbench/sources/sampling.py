"""Take some of the clips, the same ones every time, and excerpts of long ones."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from nacbench import audio
from nacbench.core import ClipRef
from nacbench.errors import UserError
from nacbench.registry import did_you_mean


@dataclass(frozen=True)
class Sampling:
    """What is taken of a large set: the options that every public set shares.

    Attributes:
        speakers: only these; None takes all.
        per_speaker, limit, seed: see `choose`.
        excerpt_s: take parts of this length; None takes whole files. A shorter file is whole.
        excerpts: how many parts of each file, spread evenly over it.

    Raises:
        ValueError: a length or a number that makes no sense.
    """

    limit: int | None = None
    per_speaker: int | None = None
    seed: int = 0
    speakers: Sequence[str] | None = None
    excerpt_s: float | None = None
    excerpts: int = 1

    def __post_init__(self) -> None:
        choose((), self.limit, self.seed, self.per_speaker)  # checks the limits
        if self.excerpt_s is not None and not 0 < self.excerpt_s <= 3600:
            raise ValueError(f"excerpt_s must lie in 0…3600 s, got {self.excerpt_s!r}")
        if not isinstance(self.excerpts, int) or not 1 <= self.excerpts <= 1000:
            raise ValueError(f"excerpts must be a whole number in 1…1000, got {self.excerpts!r}")
        if self.excerpts > 1 and self.excerpt_s is None:
            raise ValueError("excerpts needs excerpt_s, their length")
        if isinstance(self.speakers, str):
            raise ValueError(f"speakers must be a list, got {self.speakers!r}")

    def take(self, refs: Sequence[ClipRef]) -> list[ClipRef]:
        """Speakers first, then files, then parts of the files taken.

        Raises:
            UserError: a speaker who is not in the set.
        """
        if self.speakers is not None:
            known = {ref.tags.get("speaker", "") for ref in refs}
            for speaker in self.speakers:
                if str(speaker) not in known:
                    close = did_you_mean(str(speaker), known)
                    raise UserError(f"there is no speaker '{speaker}' in this set.{close}")
            wanted = {str(speaker) for speaker in self.speakers}
            refs = [ref for ref in refs if ref.tags.get("speaker") in wanted]
        chosen = choose(refs, self.limit, self.seed, self.per_speaker)
        return [part for ref in chosen for part in self._parts(ref)]

    def _parts(self, ref: ClipRef) -> list[ClipRef]:
        """The middles of `excerpts` equal stretches; fewer where the file is too short."""
        if self.excerpt_s is None:
            return [ref]
        length_s = audio.duration_s(ref.path)
        count = min(self.excerpts, int(length_s / self.excerpt_s))
        if count == 0:
            return [ref]
        starts = [(n + 0.5) * length_s / count - self.excerpt_s / 2 for n in range(count)]
        return [
            replace(
                ref,
                id=f"{ref.id}@{start_s:.2f}s",
                start_s=round(start_s, 2),
                duration_s=self.excerpt_s,
            )
            for start_s in starts
        ]


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
