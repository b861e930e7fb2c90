"""FAD against the closed form of Gaussians, and over a set of clips."""

from __future__ import annotations

import numpy as np
import pytest
from signals import noise, voice, with_noise

from nacbench.core import Clip, CorpusMetric
from nacbench.errors import CodecUnavailableError
from nacbench.metrics.fad import Fad, extrapolated, frechet_distance
from nacbench.scoring import score_set
from nacbench.stats import jackknife_interval
from nacbench.testing import check_corpus_metric

DIMENSIONS = 8
MEAN = np.linspace(0, 1, DIMENSIONS)
SPREAD = np.linspace(0.5, 2, DIMENSIONS)  # standard deviations; independent dimensions
TRUE = float(MEAN @ MEAN + np.sum((SPREAD - 1) ** 2))  # the closed form for diagonal covariances


def gaussians(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    a, b = random.standard_normal((2, count, DIMENSIONS))
    return a, MEAN + SPREAD * b


def test_the_distance_of_large_sets_is_the_closed_form() -> None:
    assert frechet_distance(*gaussians(200_000, 0)) == pytest.approx(TRUE, rel=0.01)


def test_turning_both_sets_changes_nothing() -> None:
    a, b = gaussians(500, 1)
    turn = np.linalg.qr(np.random.default_rng(2).standard_normal((DIMENSIONS, DIMENSIONS)))[0]
    assert frechet_distance(a @ turn, b @ turn) == pytest.approx(frechet_distance(a, b))


def test_a_set_has_no_distance_from_itself() -> None:
    a, _ = gaussians(300, 3)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


def test_extrapolation_takes_out_most_of_the_bias_of_small_sets() -> None:
    """Two sets of one distribution are 0 apart; finite ones seem further."""
    plain, corrected = [], []
    for seed in range(40):
        a = np.random.default_rng(seed).standard_normal((2, 120, DIMENSIONS))
        plain.append(frechet_distance(*a))
        corrected.append(extrapolated(*a, frechet_distance))
    assert np.mean(plain) > 0.1
    assert abs(np.mean(corrected)) < 0.25 * np.mean(plain)


def test_more_noise_lies_further_from_the_originals() -> None:
    clips = [voice(9.0, seed=seed) for seed in range(4)]
    near, far = (
        score_set("fad:logmel", ((clip, with_noise(clip, snr_db)) for clip in clips)).value
        for snr_db in (30, 0)
    )
    assert near is not None
    assert far is not None
    assert near < far


def test_too_small_a_set_and_missing_weights_are_reasons() -> None:
    assert "too few" in str(score_set("fad:logmel", [(voice(), voice())]).reason)
    assert score_set("fad:logmel", [(noise(0.1), noise(0.1))]).reason == "no clip can take part"
    with pytest.raises(CodecUnavailableError, match="hf download"):
        score_set("fad:nobody/encoder", [])


def test_fad_is_a_corpus_metric() -> None:
    assert isinstance(Fad(), CorpusMetric)
    assert Fad("nobody/encoder").name == "fad:nobody/encoder"


def test_copies_lie_at_zero_however_small_the_set() -> None:
    clips = [voice(9.0, seed=seed) for seed in range(4)]
    value = score_set("fad:logmel", ((clip, clip) for clip in clips)).value
    assert value == pytest.approx(0, abs=1e-5)


def test_fad_keeps_the_contract_of_metrics_over_sets() -> None:
    report = check_corpus_metric("fad:logmel")
    assert len(report.passed) == 6
    assert report.scores["0 dB SNR"] > report.scores["30 dB SNR"]


class Wrong(Fad):
    """Says that more noise is better, and calls itself by another name."""

    higher_is_better = True

    def embed(self, clip: Clip) -> np.ndarray:
        return super().embed(clip)[:, 0]


def test_the_check_of_metrics_over_sets_names_what_is_broken() -> None:
    with pytest.raises(AssertionError, match=r"expected \[parts, dimensions\]"):
        check_corpus_metric(Wrong)


def test_an_interval_that_leaves_out_groups_has_the_width_of_the_closed_form() -> None:
    """Of a mean the jackknife finds the standard error; t has n - 1 degrees of freedom."""
    values = np.random.default_rng(5).standard_normal(12)
    without = [float(np.delete(values, i).mean()) for i in range(12)]
    low, high = jackknife_interval(float(values.mean()), without)
    error = values.std(ddof=1) / np.sqrt(12)
    assert high - low == pytest.approx(2 * 2.2009852 * error)  # t of 11 degrees, two-sided 95 %
    assert np.isnan(jackknife_interval(1.0, [1.0])).all()
