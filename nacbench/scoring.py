"""Score a pair of clips with many metrics: convert once, prepare each reference once, never raise.

A metric that has no value for a pair leaves a reason. So does a metric that fails in a way its
author did not foresee: one bad pair must not cost the run, and a made-up number would be averaged
in and lie.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from nacbench import metrics as recipes
from nacbench.audio import at_rate, to_mono
from nacbench.core import Clip, CorpusMetric, Metric, Score
from nacbench.errors import CodecUnavailableError, UnscorableError
from nacbench.identity import version_of

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


def score_set(recipe: str, pairs: Iterable[tuple[Clip, Clip]]) -> Score:
    """A metric over a set (`fad:logmel`) of pairs of reference and decoded clip, aligned.

    A clip that cannot take part is left out on both sides.

    Raises:
        UserError: an unknown recipe.
        CodecUnavailableError: its weights are not there; the message says how to get them.
    """
    base, argument = recipes.CORPUS_METRICS.split(recipe)
    cls = recipes.CORPUS_METRICS.get(base)
    reason = cls.missing(**argument) if hasattr(cls, "missing") else None
    if reason is not None:
        raise CodecUnavailableError(f"metric '{recipe}' cannot run here: {reason}")
    metric: CorpusMetric = cls(**argument)
    rows: tuple[list[Any], list[Any]] = [], []
    for pair in pairs:
        try:
            embedded = [metric.embed(_Conversions(clip).as_wanted_by(metric)) for clip in pair]
        except UnscorableError:
            continue
        for side, found in zip(rows, embedded, strict=True):
            side.append(found)
    if not rows[0]:
        return Score(reason="no clip can take part")
    try:
        value = metric.compare(*(np.concatenate(side) for side in rows))
    except UnscorableError as error:
        return Score(reason=str(error))
    return Score(value=value) if math.isfinite(value) else Score(reason=f"the metric gave {value}")


def _build(name: str) -> Metric:
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
