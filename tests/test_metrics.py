"""Every metric keeps the contract, and `check_metric` catches those that do not."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from signals import changed, noise, voice, with_noise

from nacbench.core import Clip, Metric
from nacbench.errors import UnscorableError
from nacbench.metrics import ALIASES, CORPUS_METRICS, METRICS
from nacbench.scoring import Scorer
from nacbench.testing import check_metric

# Recipes whose weights are not there are tested with tiny ones, in the tests of their files.
THAT_RUN = [name for name in METRICS.names() if not getattr(METRICS.get(name), "missing", bool)()]


@pytest.mark.parametrize("name", THAT_RUN)
def test_a_registered_metric_keeps_the_contract(name: str) -> None:
    report = check_metric(name)
    assert len(report.passed) == 5
    assert f"{name}: 5 checks passed" in str(report)


@pytest.mark.parametrize("name", METRICS.names())
def test_a_metric_cites_its_source_and_says_how_it_differs(name: str) -> None:
    cls = METRICS.get(name)
    model = {cls.argument: "a-model"} if hasattr(cls, "argument") else {}
    assert isinstance(cls(**model), Metric)
    documentation = inspect.getdoc(cls) or ""
    if "Source:" in documentation:
        assert "Differs:" in documentation


def test_aliases_name_recipes() -> None:
    for recipe in ALIASES.values():
        over_sets = recipe.partition(":")[0] in CORPUS_METRICS.names()
        assert over_sets or recipe in METRICS.names()
    assert not set(ALIASES) & set(METRICS.names())


def score(name: str, reference: Clip, decoded: Clip) -> float:
    found = Scorer([name]).score(reference, decoded)[name]
    assert found.value is not None, found.reason
    return found.value


ROUNDING = 1e-5  # relative; float32 samples times a power of two or -1 are exact, sums are not
PESQ_LEVEL = 0.01  # PESQ levels both signals, in float32
DISTANCES = ["mel:dac", "mel:audiotools", "mel:nemo", "stft:audiotools", "stft:nemo"]
INVARIANT_TO_GAIN = [
    *("si_sdr", "stoi", "estoi", "pesq:wb", "pesq:nb"),
    *("visqol:speech-lattice", "visqol:speech-exponential", "visqol:audio"),
]


@pytest.mark.parametrize("name", INVARIANT_TO_GAIN)
def test_a_gain_does_not_count(name: str) -> None:
    decoded = with_noise(voice(), 15)
    quiet = changed(decoded, np.float32(0.25) * decoded.samples)
    tolerance = PESQ_LEVEL if name.startswith("pesq") else ROUNDING
    value = score(name, voice(), decoded)
    assert score(name, voice(), quiet) == pytest.approx(value, rel=tolerance)


@pytest.mark.parametrize("name", ["snr", "lsd", "loudness_difference", "dc", *DISTANCES])
def test_a_gain_counts(name: str) -> None:
    quiet = changed(voice(), np.float32(0.25) * voice().samples)
    assert score(name, voice(), quiet) != score(name, voice(), voice())


@pytest.mark.parametrize("name", [name for name in THAT_RUN if name not in ("snr", "dc")])
def test_an_inverted_polarity_does_not_count(name: str) -> None:
    decoded = with_noise(voice(), 15)
    inverted = changed(decoded, -decoded.samples)
    value = score(name, voice(), decoded)
    tolerance = PESQ_LEVEL if name.startswith("pesq") else ROUNDING
    assert score(name, voice(), inverted) == pytest.approx(value, rel=tolerance)


@pytest.mark.parametrize("name", [n for n in THAT_RUN if not METRICS.get(n).mono])
def test_swapping_the_channels_of_both_clips_changes_nothing(name: str) -> None:
    reference = noise(1.0, 48000, channels=2)
    decoded = changed(reference, reference.samples + 0.01 * noise(1.0, 48000, 2, seed=3).samples)
    swapped = [changed(clip, clip.samples[::-1]) for clip in (reference, decoded)]
    value = score(name, reference, decoded)
    assert score(name, *swapped) == pytest.approx(value, rel=ROUNDING)


class Honest:
    """Mean absolute difference."""

    name = "honest"
    version = "1"
    unit = ""
    bounds: Any = (0.0, 1000.0)
    higher_is_better: bool | None = False
    sample_rate_hz = 16000
    mono = True
    domain = "any"
    source = "test"

    def prepare(self, reference: Clip) -> Any:
        return reference.samples

    def score(self, prepared: Any, decoded: Clip) -> float:
        if not decoded.samples.any() or not prepared.any():
            raise UnscorableError("silence")
        return float(np.mean(np.abs(prepared - decoded.samples)))


def test_an_honest_metric_passes() -> None:
    report = check_metric(Honest)
    assert report.scores["copy"] == 0.0
    assert report.scores["silence"] == "silence"


class WrongDirection(Honest):
    """Says that more is better."""

    higher_is_better = True


class OutOfBounds(Honest):
    """Leaves its bounds with noise at 0 dB."""

    bounds = (0.0, 1e-3)


class NotANumber(Honest):
    """Divides by the energy of silence."""

    def score(self, prepared: Any, decoded: Clip) -> float:
        return (
            float(np.mean(np.abs(prepared - decoded.samples))) if decoded.samples.any() else np.nan
        )


class Raising(Honest):
    """Raises an error of its own on a short clip."""

    def prepare(self, reference: Clip) -> Any:
        if reference.length < 100:
            raise IndexError("short")
        return super().prepare(reference)


class Consuming(Honest):
    """Spoils what it prepared."""

    def prepare(self, reference: Clip) -> Any:
        return reference.samples.copy()

    def score(self, prepared: Any, decoded: Clip) -> float:
        value = super().score(prepared, decoded)
        prepared *= 0.9
        return value


class Random(Honest):
    """Draws without a seed."""

    def score(self, prepared: Any, decoded: Clip) -> float:
        return super().score(prepared, decoded) + np.random.default_rng().random() / 100


class Unexplained(Honest):
    """Gives no reason."""

    def score(self, prepared: Any, decoded: Clip) -> float:
        if not decoded.samples.any() or not prepared.any():
            raise UnscorableError
        return super().score(prepared, decoded)


class Undocumented(Honest):
    source = ""


Undocumented.__doc__ = None


class Misspelt(Honest):
    """Forgets a flag and has no such domain."""

    mono: Any = "yes"
    domain = "voice"


@pytest.mark.parametrize(
    ("metric", "complaint"),
    [
        (WrongDirection, "scores better than copy"),
        (OutOfBounds, "0 dB SNR: .* outside the bounds"),
        (NotANumber, "silence for speech: returned nan"),
        (Raising, "one sample: raised IndexError: short"),
        (Consuming, "with a reference that was used before"),
        (Random, "the same pair scores"),
        (Unexplained, "without a reason"),
        (Undocumented, "has no docstring"),
        (Undocumented, "'source' is empty"),
        (Misspelt, "'mono': expected bool, found 'yes'"),
        (Misspelt, "'domain': expected one of"),
    ],
)
def test_a_broken_promise_is_named(metric: type, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check_metric(metric)


def test_a_name_that_differs_from_the_registered_one_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(METRICS, "_added", {"other": Honest})
    with pytest.raises(AssertionError, match="registered as 'other' and calls itself 'honest'"):
        check_metric("other")
