"""Conformance check for metrics, third parties' and ours; `nacbench.testing` offers it.

    from nacbench.testing import check_metric

    def test_my_metric_keeps_the_contract():
        print(check_metric("my_package.metric:MyMetric"))

Raises an AssertionError that names every promise that was broken, in a sentence each.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nacbench import audio, pack
from nacbench.core import Clip, Metric, Samples
from nacbench.errors import UnscorableError
from nacbench.metrics import METRICS

ATTRIBUTES: Mapping[str, tuple[type, ...]] = {
    "name": (str,),
    "version": (str,),
    "unit": (str,),
    "bounds": (tuple,),
    "higher_is_better": (bool, type(None)),
    "sample_rate_hz": (int, type(None)),
    "mono": (bool,),
    "domain": (str,),
    "source": (str,),
}
DOMAINS = ("speech", "any")
SNRS_DB = (30.0, 15.0, 0.0)  # each worse than the one before, for any metric of quality
CHANGE = 1e-9  # of a score between two runs; threads add in different orders
BATCHED = 1e-4  # of a score between a clip alone and among others, in single precision
BEYOND = 1e-6  # of a bound; a score at the bound may round past it


@dataclass
class MetricReport:
    """What `check_metric` saw. `print` it.

    Attributes:
        scores: of the copy, of noise at 30, 15 and 0 dB, and of silence; a reason where none.
        passed: checks that held, in order.
    """

    metric: str
    scores: dict[str, float | str] = field(default_factory=dict)
    passed: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        scores = [f"  {name}: {score}" for name, score in self.scores.items()]
        return "\n".join([f"{self.metric}: {len(self.passed)} checks passed", *scores])


def check_metric(metric: str | type, /, reference: Clip | None = None) -> MetricReport:
    """Check that a metric keeps the contract of `nacbench.core.Metric`.

    Args:
        metric: a registered name, `package.module:Class`, or the class itself.
        reference: mono audio to degrade; three seconds of the embedded speech by default. Give
            another where the metric cannot score that.

    Returns:
        What was measured, to print or to look at.

    Raises:
        AssertionError: promises that were broken, one line each.
        UserError: an unknown name.
    """
    cls = METRICS.get(metric) if isinstance(metric, str) else metric
    registered = metric if isinstance(metric, str) and metric in METRICS.names() else None
    reference = reference or audio.read(
        Path(pack.__file__).parent / "speech" / "en_pico.flac", duration_s=3.0
    )
    return _Examination(cls, registered, reference).run()


class _Examination:
    def __init__(self, cls: type, registered: str | None, reference: Clip) -> None:
        self.cls = cls
        self.registered = registered
        self.metric: Metric = cls()
        self.report = MetricReport(getattr(cls, "name", cls.__name__))
        self.broken: list[str] = []
        rate = getattr(cls, "sample_rate_hz", None) or reference.sample_rate_hz
        self.reference = audio.at_rate(audio.to_mono(reference), rate)
        self.noisy = {snr_db: with_noise(self.reference, snr_db) for snr_db in SNRS_DB}

    @property
    def _reference_free(self) -> bool:
        return bool(getattr(self.cls, "reference_free", False))

    def run(self) -> MetricReport:
        self._hold("attributes", self._attributes)
        if not self.broken:
            for title, check in (
                (
                    "an estimate without a reference heeds none"
                    if self._reference_free
                    else "a copy is best and more noise never better",
                    self._order,
                ),
                ("the same every time, by any instance", self._repeatable),
                ("a prepared reference serves many clips", self._prepared_once),
                ("odd clips get a score or a reason", self._odd_clips),
                *self._batch_checks(),
            ):
                self._hold(title, check)
        assert not self.broken, "\n".join([f"{self.report.metric}:", *self.broken])
        return self.report

    def _hold(self, title: str, check: Callable[[], Iterator[str]]) -> None:
        before = len(self.broken)
        try:
            self.broken.extend(check())
        except Exception as error:
            self.broken.append(f"{title}: raised {type(error).__name__}: {error}")
        if len(self.broken) == before:
            self.report.passed.append(title)

    def _attributes(self) -> Iterator[str]:
        yield from attribute_faults(self.cls, self.cls)
        if self.registered is not None and getattr(self.cls, "name", None) != self.registered:
            yield f"is registered as '{self.registered}' and calls itself '{self.report.metric}'"

    def _order(self) -> Iterator[str]:
        values = {"copy": self._score(self.reference, self.reference)}
        values |= {f"{s:g} dB SNR": self._score(self.reference, c) for s, c in self.noisy.items()}
        self.report.scores |= values
        for name, value in values.items():
            if isinstance(value, str):
                # A pitch tracker, say, may find nothing to compare in as much noise as voice.
                if name != "0 dB SNR" or value.startswith(_RAISED):
                    yield f"{name}: no score of plain audio: {value}"
            else:
                yield from self._within_bounds(name, value)
        if self._reference_free:
            yield from self._heeds_no_reference()
            return
        if self.metric.higher_is_better is None:
            return
        sign = 1 if self.metric.higher_is_better else -1
        scored = [(name, sign * v) for name, v in values.items() if not isinstance(v, str)]
        for (better, high), (worse, low) in itertools.pairwise(scored):
            if low > high + CHANGE:
                yield f"{worse} scores better than {better}: {sign * low} and {sign * high}"

    def _heeds_no_reference(self) -> Iterator[str]:
        own = self._score(self.reference, self.noisy[15.0])
        other = self._score(self.noisy[0.0], self.noisy[15.0])
        if not _equal(own, other):
            yield f"is called reference-free, and another reference changes {own} to {other}"

    def _repeatable(self) -> Iterator[str]:
        pair = self.reference, self.noisy[15.0]
        first, again = self._score(*pair), self._score(*pair)
        other = self._score(*pair, self.cls())
        for what, value in (("a second time", again), ("by another instance", other)):
            if not _equal(first, value):
                yield f"the same pair scores {first} and, {what}, {value}"

    def _prepared_once(self) -> Iterator[str]:
        prepared = self.metric.prepare(self.reference)
        for snr_db in (*SNRS_DB, *SNRS_DB[::-1]):
            kept = self._plain(partial(self.metric.score, prepared, self.noisy[snr_db]))
            fresh = self._score(self.reference, self.noisy[snr_db])
            if not _equal(kept, fresh):
                yield (
                    f"{snr_db:g} dB SNR: {kept} with a reference that was used before, "
                    f"{fresh} with a fresh one"
                )

    def _batch_checks(self) -> Iterator[tuple[str, Callable[[], Iterator[str]]]]:
        if hasattr(self.cls, "score_batch"):
            yield "a clip's score does not depend on its batch", self._batched

    def _batched(self) -> Iterator[str]:
        metric: Any = self.cls()
        prepared = metric.prepare(self.reference)
        clips = [self.noisy[snr_db] for snr_db in SNRS_DB[:2]]
        copies = [_changed(clip, clip.samples) for clip in clips]
        together = [float(value) for value in metric.score_batch(prepared, copies)]
        alone = [float(metric.score(prepared, clip)) for clip in clips]
        if len(together) != len(alone):
            yield f"score_batch gives {len(together)} scores for {len(alone)} clips"
        for snr_db, value, own in zip(SNRS_DB, together, alone, strict=False):
            if not abs(value - own) <= BATCHED:
                yield f"{snr_db:g} dB SNR: {value} in a batch, {own} alone"

    def _odd_clips(self) -> Iterator[str]:
        clip = self.reference
        silence = _changed(clip, np.zeros_like(clip.samples))
        pairs = {
            "silence for speech": (clip, silence),
            "a silent reference": (silence, clip),
            "silence for silence": (silence, silence),
            "one sample": (_first(clip, 1), _first(clip, 1)),
            "no samples": (_first(clip, 0), _first(clip, 0)),
            "50 ms": (_first(clip, clip.sample_rate_hz // 20),) * 2,
            "an offset": (clip, _changed(clip, clip.samples + np.float32(0.5))),
            "beyond full scale": (clip, _changed(clip, clip.samples * np.float32(100))),
        }
        if not self.metric.mono:
            both = _changed(clip, np.concatenate([clip.samples, 0.5 * clip.samples]))
            pairs["stereo"] = (both, with_noise(both, 15.0))
            pairs["eight channels"] = (_changed(clip, np.repeat(clip.samples, 8, axis=0)),) * 2
        for name, (reference, decoded) in pairs.items():
            value = self._score(reference, decoded)
            if name == "silence for speech":
                self.report.scores["silence"] = value
            if isinstance(value, float):
                yield from self._within_bounds(name, value)
            elif value.startswith(_RAISED):
                yield f"{name}: {value}; UnscorableError with a reason is the way to say no"
            elif not value:
                yield f"{name}: UnscorableError without a reason"

    def _within_bounds(self, name: str, value: float) -> Iterator[str]:
        low, high = self.metric.bounds
        if not math.isfinite(value):
            yield f"{name}: returned {value}; UnscorableError with a reason is the way to say no"
        elif not low - BEYOND <= value <= high + BEYOND:
            yield f"{name}: {value} lies outside the bounds {low} to {high}"

    def _score(self, reference: Clip, decoded: Clip, by: Metric | None = None) -> float | str:
        metric = by or self.metric
        return self._plain(lambda: metric.score(metric.prepare(reference), decoded))

    def _plain(self, compute: Callable[[], Any]) -> float | str:
        """The value, the reason, or what was raised instead of a reason."""
        try:
            return float(compute())
        except UnscorableError as error:
            return str(error)
        except Exception as error:
            return f"{_RAISED} {type(error).__name__}: {error}"


def attribute_faults(cls: type, described: Any) -> Iterator[str]:
    """What a metric's class should say of itself and does not.

    Args:
        described: has the attributes: the class, or an instance whose recipe has an argument.
    """
    for name, kinds in ATTRIBUTES.items():
        value = getattr(described, name, cls)
        if not isinstance(value, kinds):
            wanted = " or ".join(kind.__name__ for kind in kinds).replace("NoneType", "None")
            found = "nothing" if value is cls else repr(value)
            yield f"class attribute '{name}': expected {wanted}, found {found}"
    if not (cls.__doc__ or "").strip():
        yield "has no docstring: it defines the metric"
    for name in ("version", "source"):
        if getattr(described, name, None) == "":
            yield f"class attribute '{name}' is empty"
    domain = getattr(described, "domain", "any")
    if domain not in DOMAINS:
        yield f"class attribute 'domain': expected one of {DOMAINS}, found {domain!r}"
    bounds = getattr(described, "bounds", (0, 1))
    if len(bounds) != 2 or not bounds[0] < bounds[1]:
        yield f"class attribute 'bounds': expected (low, high), found {bounds!r}"


_RAISED = "raised"


def _equal(first: float | str, second: float | str) -> bool:
    if isinstance(first, float) and isinstance(second, float):
        return abs(first - second) <= CHANGE
    return first == second


def with_noise(clip: Clip, snr_db: float) -> Clip:
    noise = np.random.default_rng(0).standard_normal(clip.samples.shape)
    power = np.mean(clip.samples.astype(np.float64) ** 2)
    noise *= np.sqrt(power / np.mean(noise**2) * 10 ** (-snr_db / 10))
    return _changed(clip, (clip.samples + noise).astype(np.float32))


def _first(clip: Clip, length: int) -> Clip:
    return _changed(clip, clip.samples[:, :length])


def _changed(clip: Clip, samples: Samples) -> Clip:
    return Clip(samples, clip.sample_rate_hz, clip.id, clip.tags)
