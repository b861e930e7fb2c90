"""How a token codec uses its codebooks, over all clips of a run at one operating point."""

from __future__ import annotations

import functools
import operator
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nacbench import coding
from nacbench.cache import Cache
from nacbench.core import Bitstream, OperatingPoint
from nacbench.executors import Call, Failure, Stage
from nacbench.records import TokenUse
from nacbench.runner.planning import Plan
from nacbench.runner.work import Conditioned, Task, streams_key

Counts = list[NDArray[np.int64]]  # per codebook, how often each entry occurred


@dataclass(frozen=True)
class Tally:
    """The tokens of one clip, or of several.

    Attributes:
        coded_bits: of the payload, where the codec's own entropy coder wrote it; else None.
    """

    counts: Counts
    duration_s: float
    coded_bits: int | None = None

    def __add__(self, other: Tally) -> Tally:
        counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        bits = None
        if self.coded_bits is not None and other.coded_bits is not None:
            bits = self.coded_bits + other.coded_bits
        return Tally(counts, self.duration_s + other.duration_s, bits)


class TokenCounter:
    """(Task, streams or None) -> Tally, or None when the streams are needed and not cached."""

    def __init__(self, cache: str, reads: bool) -> None:
        self._cache = Cache(cache, reads)
        self._references = Conditioned()

    def __call__(
        self, question: tuple[Task, tuple[Bitstream, ...] | None], stage: Stage
    ) -> Tally | None:
        task, streams = question
        reference, sha256 = self._references.get(task, stage)
        if streams is None:
            streams = self._cache.get_streams(streams_key(task, sha256))
        if streams is None:
            return None
        stage("tokens")
        codec: Any = coding.build(task.point.codec, task.point.options)
        own = getattr(codec, "entropy_coded", False)
        bits = sum(8 * len(stream.payload) for stream in streams) if own else None
        return Tally(count(codec, streams), reference.duration_s, bits)


def count(codec: Any, streams: Sequence[Bitstream]) -> Counts:
    """Occurrences of every entry of every codebook.

    Raises:
        ValueError: the codec's tokens are not `[codebooks, frames]` within `codebook_sizes`.
    """
    sizes = tuple(int(size) for size in codec.codebook_sizes)
    counts: Counts = [np.zeros(size, np.int64) for size in sizes]
    for stream in streams:
        tokens = np.asarray(codec.tokens(stream))
        if tokens.ndim != 2 or len(tokens) != len(sizes) or tokens.dtype.kind not in "iu":
            raise ValueError(
                f"tokens are {tokens.dtype} {tokens.shape}, expected integers "
                f"[{len(sizes)}, frames]"
            )
        for codebook, (row, size) in enumerate(zip(tokens, sizes, strict=True)):
            if row.size and not 0 <= int(row.min()) <= int(row.max()) < size:
                raise ValueError(f"codebook {codebook} has {size} entries, a token is outside them")
            counts[codebook] += np.bincount(row, minlength=size)
    return counts


def untallied(plan: Plan) -> list[OperatingPoint]:
    """Points of token codecs of which a clip is still to be coded, or no count is written."""
    counted = {
        (use.point_key, use.version) for use in (plan.earlier.token_uses if plan.earlier else ())
    }
    pending = {task.point.key for task in plan.tasks}
    return [
        point
        for point in plan.suite.points
        if plan.surveyed.get(point.key, {}).get("tokens")
        and (point.key in pending or (point.key, plan.versions(point)["codec"]) not in counted)
    ]


def tally(task: Task) -> Generator[Call, Any, Tally | Failure]:
    """One clip's tokens, encoded again where the cache was pruned."""
    answer = yield Call("tokens", (task, None))
    if not isinstance(answer, Failure) and answer.value is None:
        encoded = yield Call("encoder", task)
        if isinstance(encoded, Failure):
            return encoded
        answer = yield Call("tokens", (task, encoded.value.streams))
    if isinstance(answer, Failure):
        return answer
    total: Tally = answer.value
    return total


def summarise(
    plan: Plan, point: OperatingPoint, tallies: Sequence[Tally | Failure]
) -> tuple[TokenUse | None, str | None]:
    """Usage and empirical entropy over the clips that could be coded; why there is none."""
    counted = [tally for tally in tallies if isinstance(tally, Tally)]
    failures = [str(tally) for tally in tallies if isinstance(tally, Failure)]
    if not counted:
        return None, failures[0]
    total = functools.reduce(operator.add, counted)
    entropy_bits = tuple(entropy(c / max(c.sum(), 1)) for c in total.counts)
    bits: float | None = total.coded_bits
    if bits is None:
        bits = sum(h * int(c.sum()) for h, c in zip(entropy_bits, total.counts, strict=True))
    use = TokenUse(
        run=plan.run,
        suite=plan.suite.name,
        codec=point.codec,
        options=point.options,
        series=point.series,
        setting=point.setting,
        frames=int(total.counts[0].sum()),
        codebook_sizes=tuple(len(c) for c in total.counts),
        usage=tuple(float(np.count_nonzero(c) / len(c)) for c in total.counts),
        entropy_bits=entropy_bits,
        entropy_kbps=bits / total.duration_s / 1000,
        version=plan.versions(point)["codec"],
        uncounted=len(failures),
        reason=failures[0] if failures else None,
    )
    return use, use.reason


def entropy(probabilities: NDArray[np.float64]) -> float:
    """Bits per symbol: -Σ p log2 p."""
    p = probabilities[probabilities > 0]
    return float(-(p * np.log2(p)).sum()) + 0.0  # no -0.0
