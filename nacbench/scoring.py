"""Score a pair of clips with many metrics: convert once, prepare each reference once, never raise.

A metric that has no value for a pair leaves a reason. So does a metric that fails in a way its
author did not foresee: one bad pair must not cost the run, and a made-up number would be averaged
in and lie. Metrics over a set of clips (`SetScorer`) are asked in two steps, so that what is found
out about a clip can be kept.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nacbench import metrics as recipes
from nacbench import stats
from nacbench.audio import at_rate, to_mono
from nacbench.core import Clip, CorpusMetric, Metric, Score
from nacbench.errors import CodecUnavailableError, UnscorableError
from nacbench.identity import version_of

Rows = NDArray[np.float64]  # [parts, dimensions]
REFERENCES_KEPT = 2  # per scorer; a worker goes through one clip's operating points in a row
LONGEST_KEPT_S = 60.0  # what is prepared for a minute of stereo takes up to 0.7 GB


class Scorer:
    """Metrics by recipe name, ready to score pairs of clips.

    Args:
        metrics: recipe names or aliases of them ("mel_distance").

    Attributes:
        names: recipe names, aliases followed, in the order given.
        versions: recipe name -> version and, where the metric tells, build of what computes it.

    Raises:
        UserError: an unknown recipe.
        CodecUnavailableError: a recipe whose library is not installed; the message says how.
    """

    def __init__(self, metrics: Sequence[str]) -> None:
        names = dict.fromkeys(recipes.ALIASES.get(name, name) for name in metrics)
        self._metrics: dict[str, Metric] = {name: _build(name) for name in names}
        self.names: tuple[str, ...] = tuple(self._metrics)
        self.versions: Mapping[str, str] = MappingProxyType(
            {name: version_of(metric) for name, metric in self._metrics.items()}
        )
        self._references: OrderedDict[int, _Reference] = OrderedDict()
        self._decoded: _Conversions | None = None

    def score(
        self, reference: Clip, decoded: Clip, only: Collection[str] | None = None
    ) -> dict[str, Score]:
        """Every metric's score of one pair; `decoded` is aligned (`alignment.align`).

        Args:
            reference, decoded: same rate, channels and length. Work done for an object is not
                repeated when it comes again: a reference with other decoded clips, or a pair
                with other metrics.
            only: recipe names to compute; all by default.
        """
        names = [name for name in self.names if only is None or name in only]
        own = self._reference(reference)
        if self._decoded is None or self._decoded.clip is not decoded:
            self._decoded = _Conversions(decoded)
        reason = _disagreement(own, self._decoded)
        if reason is not None:
            return dict.fromkeys(names, Score(reason=reason))
        return {name: self._score_one(name, own, self._decoded) for name in names}

    def score_batch(
        self, reference: Clip, decoded: Sequence[Clip], only: Collection[str] | None = None
    ) -> list[dict[str, Score]]:
        """`score` of several decoded clips of one reference, in their order.

        A metric that has `score_batch` hears them together, which may move its scores in their
        last digits; the others hear one after the other.
        """
        names = [name for name in self.names if only is None or name in only]
        own = self._reference(reference)
        pairs = [_Conversions(clip) for clip in decoded]
        reasons = [_disagreement(own, pair) for pair in pairs]
        fit = [pair for pair, reason in zip(pairs, reasons, strict=True) if reason is None]
        found = {name: iter(self._score_all(name, own, fit)) for name in names}
        return [
            {name: next(found[name]) if reason is None else Score(reason=reason) for name in names}
            for reason in reasons
        ]

    def _score_all(
        self, name: str, reference: _Reference, decoded: Sequence[_Conversions]
    ) -> list[Score]:
        metric = self._metrics[name]
        batch = getattr(metric, "score_batch", None)
        if batch is not None and len(decoded) > 1:
            try:
                clips = [clip.as_wanted_by(metric) for clip in decoded]
                values = [
                    float(value) for value in batch(reference.prepared_for(name, metric), clips)
                ]
                if len(values) == len(clips) and all(map(math.isfinite, values)):
                    return [Score(value=value) for value in values]
            except Exception:
                pass  # one by one, to learn which clip it was
        return [self._score_one(name, reference, clip) for clip in decoded]

    def _score_one(self, name: str, reference: _Reference, decoded: _Conversions) -> Score:
        metric = self._metrics[name]
        try:
            prepared = reference.prepared_for(name, metric)
            value = float(metric.score(prepared, decoded.as_wanted_by(metric)))
        except UnscorableError as error:
            return Score(reason=str(error) or "the metric gives no reason")
        except Exception as error:
            return Score(reason=f"{type(error).__name__}: {error}")
        if not math.isfinite(value):
            return Score(reason=f"the metric returned {value}")
        return Score(value=value)

    def _reference(self, clip: Clip) -> _Reference:
        if clip.duration_s > LONGEST_KEPT_S:
            return _Reference(clip)
        entry = self._references.pop(id(clip), None) or _Reference(clip)
        self._references[id(clip)] = entry
        if len(self._references) > REFERENCES_KEPT:
            self._references.popitem(last=False)
        return entry


class _Conversions:
    """A clip as each metric wants it: its rate, its channels. Each is made once."""

    def __init__(self, clip: Clip) -> None:
        self.clip = clip  # also keeps the object alive, so that its id stays its own
        self._converted: dict[tuple[int, bool], Clip] = {}
        self.not_finite = clip.samples.size - int(np.isfinite(clip.samples).sum())

    def as_wanted_by(self, metric: Metric | CorpusMetric) -> Clip:
        rate = metric.sample_rate_hz or self.clip.sample_rate_hz
        key = (rate, metric.mono)
        if key not in self._converted:
            clip = to_mono(self.clip) if metric.mono else self.clip
            self._converted[key] = at_rate(clip, rate)
        return self._converted[key]


class _Reference(_Conversions):
    """A reference clip with what each metric prepared from it, or why it could not."""

    def __init__(self, clip: Clip) -> None:
        super().__init__(clip)
        self._prepared: dict[str, Any] = {}
        self._refused: dict[str, UnscorableError] = {}

    def prepared_for(self, name: str, metric: Metric) -> Any:
        if name in self._refused:
            raise self._refused[name]
        if name in self._prepared:
            return self._prepared[name]
        try:
            prepared = metric.prepare(self.as_wanted_by(metric))
        except UnscorableError as error:
            self._refused[name] = error
            raise
        if self.clip.duration_s <= LONGEST_KEPT_S:
            self._prepared[name] = prepared
        return prepared


@dataclass(frozen=True)
class SetResult:
    """What a corpus metric says of a set; `records.SetScore` has the meaning of each."""

    score: Score
    low: float | None = None
    high: float | None = None
    replicates: tuple[float, ...] = ()


class SetScorer:
    """Corpus metrics by recipe name (`fad:logmel`), ready to embed pairs and compare sets of them.

    Attributes and errors as of `Scorer`.
    """

    def __init__(self, metrics: Sequence[str]) -> None:
        names = dict.fromkeys(recipes.ALIASES.get(name, name) for name in metrics)
        self._metrics: dict[str, CorpusMetric] = {name: _build(name) for name in names}
        self.names: tuple[str, ...] = tuple(self._metrics)
        self.versions: Mapping[str, str] = MappingProxyType(
            {name: version_of(metric) for name, metric in self._metrics.items()}
        )

    def embed(self, name: str, reference: Clip, decoded: Clip) -> tuple[Rows, Rows] | str:
        """The rows of an aligned pair, `[parts, dimensions]` twice, or why it cannot take part."""
        metric = self._metrics[name]
        own, other = _Conversions(reference), _Conversions(decoded)
        reason = _disagreement(own, other)
        if reason is not None:
            return reason
        try:
            rows = [metric.embed(clip.as_wanted_by(metric)) for clip in (own, other)]
            first, second = (np.asarray(found, np.float64) for found in rows)
        except UnscorableError as error:
            return str(error) or "the metric gives no reason"
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        if first.ndim != 2 or second.ndim != 2 or not (np.isfinite(first).all() and
                                                       np.isfinite(second).all()):  # fmt: skip
            return "the metric's rows are not finite numbers, [parts, dimensions]"
        return first, second

    def compare(
        self, name: str, pairs: Sequence[tuple[Rows, Rows]], clusters: Sequence[Hashable] | None
    ) -> SetResult:
        """The value of a set and its interval.

        Args:
            pairs: what `embed` gave, one for each clip.
            clusters: who was drawn independently, as in `nacbench.stats`.
        """
        if not pairs:
            return SetResult(Score(reason="no clip can take part"))
        metric: Any = self._metrics[name]
        sides = [[pair[side] for pair in pairs] for side in (0, 1)]
        try:
            value = float(metric.compare(*map(np.concatenate, sides)))
            if not math.isfinite(value):
                return SetResult(Score(reason=f"the metric returned {value}"))
            group = stats.groups_of(stats.unit_of(len(pairs), clusters))
            plain = getattr(metric, "uncorrected", metric.compare)
            without = tuple(float(plain(*rows)) for rows in _without_each(group, sides))
        except UnscorableError as error:
            return SetResult(Score(reason=str(error) or "the metric gives no reason"))
        except Exception as error:
            return SetResult(Score(reason=f"{type(error).__name__}: {error}"))
        low, high = stats.jackknife_interval(value, without)
        known = math.isfinite(low) and math.isfinite(high)
        return SetResult(
            Score(value=value), low if known else None, high if known else None, without
        )


def _without_each(
    group: NDArray[np.int64], sides: Sequence[Sequence[Rows]]
) -> Iterator[tuple[Rows, Rows]]:
    """Both sides of a set without each group of its clips in turn; nothing for one group."""
    count = int(group.max()) + 1
    for left_out in range(count if count > 1 else 0):
        kept = np.flatnonzero(group != left_out).tolist()
        first, second = (np.concatenate([side[index] for index in kept]) for side in sides)
        yield first, second


def score_set(recipe: str, pairs: Iterable[tuple[Clip, Clip]]) -> Score:
    """A metric over a set (`fad:logmel`) of pairs of reference and decoded clip, aligned.

    A clip that cannot take part is left out on both sides.

    Raises:
        UserError: an unknown recipe.
        CodecUnavailableError: its weights are not there; the message says how to get them.
    """
    scorer = SetScorer([recipe])
    (name,) = scorer.names
    embedded = (scorer.embed(name, *pair) for pair in pairs)
    return scorer.compare(
        name, [rows for rows in embedded if not isinstance(rows, str)], None
    ).score


def _build(name: str) -> Any:
    reason = recipes.missing(name)
    if reason is not None:
        raise CodecUnavailableError(f"metric '{name}' cannot run here: {reason}")
    return recipes.build(name)


def _disagreement(reference: _Conversions, decoded: _Conversions) -> str | None:
    """Why the two clips are not a pair, or None."""
    own, other = reference.clip, decoded.clip
    if own.length == 0:
        return "the reference has no samples"
    if own.sample_rate_hz != other.sample_rate_hz:
        return f"decoded at {other.sample_rate_hz} Hz, reference at {own.sample_rate_hz} Hz"
    if own.samples.shape != other.samples.shape:
        return (
            f"decoded audio is {other.samples.shape}, "
            f"the reference {own.samples.shape} [channels, time]"
        )
    for name, clip in (("reference", reference), ("decoded audio", decoded)):
        if clip.not_finite:
            return f"the {name} has {clip.not_finite} samples that are NaN or infinite"
    return None
