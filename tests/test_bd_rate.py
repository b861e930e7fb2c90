"""BD-rate and BD-metric: closed forms, an independent package, refusals, intervals."""

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import interpolate

from nacbench import bd_rate as bd

# Both compute the same exact integral of the same cubic in float64.
SAME_ARITHMETIC = 1e-9
RATES = np.array([6.0, 8, 12, 16, 24, 32, 48, 64])


def logistic(kbps: NDArray[np.float64], shift: float = 0.0) -> NDArray[np.float64]:
    return 1 + 3.6 / (1 + np.exp(-(np.log2(kbps) - 3.5 - shift)))


def test_a_codec_that_always_needs_half_the_rate_has_a_bd_rate_of_minus_50_percent() -> None:
    for interpolation in ("pchip", "akima"):
        value = bd.bd_rate(
            RATES, logistic(RATES), RATES / 2, logistic(RATES), interpolation=interpolation
        )
        assert value == pytest.approx(-50, abs=SAME_ARITHMETIC)


def test_a_codec_that_is_always_a_tenth_better_has_that_bd_metric() -> None:
    value = bd.bd_metric(RATES, logistic(RATES), RATES, logistic(RATES) + 0.1)
    assert value == pytest.approx(0.1, abs=SAME_ARITHMETIC)


def test_swapping_anchor_and_test_inverts_the_ratio_of_rates() -> None:
    a, b = (RATES, logistic(RATES)), (RATES, logistic(RATES, 0.4))
    there, back = bd.bd_rate(*a, *b), bd.bd_rate(*b, *a)
    assert (1 + there / 100) * (1 + back / 100) == pytest.approx(1, abs=SAME_ARITHMETIC)


def test_the_three_parts_average_to_the_whole_on_the_logarithmic_scale() -> None:
    a, b = (RATES, logistic(RATES)), (RATES, logistic(RATES, 0.4) + 0.05)
    logs = {part: np.log1p(bd.bd_rate(*a, *b, part=part) / 100) for part in bd.PARTS}
    parts = np.mean([logs[part] for part in ("low", "middle", "high")])
    assert logs["whole"] == pytest.approx(parts, abs=SAME_ARITHMETIC)


@pytest.mark.parametrize("interpolation", ["pchip", "akima"])
@pytest.mark.parametrize("seed", range(20))
def test_deltas_equal_those_of_the_bjontegaard_package(interpolation: str, seed: int) -> None:
    import bjontegaard

    rng = np.random.default_rng(seed)
    curves = []
    for _ in range(2):
        points = int(rng.integers(4, 9))
        rate = np.sort(rng.uniform(4, 90, points))
        curves += [rate, np.sort(logistic(rate) + rng.normal(scale=0.05, size=points))]
    ours = bd.bd_rate(*curves, interpolation=interpolation)
    ours_metric = bd.bd_metric(*curves, interpolation=interpolation)
    options = {"method": interpolation, "min_overlap": 0, "require_matching_points": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = bjontegaard.bd_rate(*curves, **options)
        theirs_metric = bjontegaard.bd_psnr(*curves, **options)
    assert ours == pytest.approx(theirs, rel=SAME_ARITHMETIC)
    # The package takes log10 of the rate; a mean over the axis does not depend on its unit.
    assert ours_metric == pytest.approx(theirs_metric, rel=1e-7)


@given(
    st.lists(st.floats(0.05, 3), min_size=4, max_size=9),
    # As scores are: no slopes that only the smallest floats can have.
    st.lists(st.floats(-2, 2).map(lambda y: round(y, 9)), min_size=9, max_size=9),
)
@settings(max_examples=80, deadline=None)
def test_integrals_equal_scipys(steps: list[float], heights: list[float]) -> None:
    x, y = np.cumsum(steps), np.array(heights[: len(steps)])
    edges = np.linspace(x[0], x[-1], 4)
    for name, peer in (
        ("pchip", interpolate.PchipInterpolator),
        ("akima", interpolate.Akima1DInterpolator),
    ):
        ours = bd._integrals(x[np.newaxis], y[np.newaxis], edges[np.newaxis], name)[0]
        cubic = peer(x, y)
        theirs = [cubic.integrate(a, b) for a, b in itertools.pairwise(edges)]
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-8)


@pytest.mark.parametrize(
    ("quality", "shift", "says"),
    [
        (logistic(RATES[:3]), 1.0, "3 points; 4 are needed"),
        (np.array([2.0, 3, 2.9, 4]), 1.0, "not monotone: 3 at 8 kbps, then 2.9 at 12 kbps"),
        (np.array([2.0, 3, 3, 4]), 1.0, "not monotone"),
        (np.array([4.5, 4.6, 4.7, 4.8]), 1.0, "share 0%"),
        (np.array([3.9, 4.4, 4.6, 4.8]), 1.0, "50% are needed"),
        (np.array([2.0, np.nan, 3, 4]), 1.0, "without a rate or a score"),
    ],
)
def test_curves_that_cannot_carry_a_number_are_refused(
    quality: NDArray[np.float64], shift: float, says: str
) -> None:
    with pytest.raises(bd.NoDeltaError, match=says):
        bd.bd_rate([6, 8, 12, 16], [2, 2.5, 3, 4], RATES[: quality.size], quality)


def curve(
    rng: np.random.Generator, quality: NDArray[np.float64], clips: int, noise: float
) -> bd.Curve:
    duration = rng.uniform(4, 8, clips)
    kbit = RATES * duration[:, np.newaxis] * rng.uniform(0.95, 1.05, (clips, 1))
    scatter = rng.normal(scale=noise, size=(clips, 1)) + rng.normal(
        scale=noise / 4, size=(clips, RATES.size)
    )
    return bd.Curve(kbit, quality + scatter, duration)


def test_a_delta_over_clips_equals_the_delta_of_the_mean_curves() -> None:
    rng = np.random.default_rng(3)
    anchor, test = (curve(rng, logistic(RATES, s), 24, 0.1) for s in (0, 0.5))
    found = bd.delta(anchor, test, draws=200)
    columns = [c[0] for one in (anchor, test) for c in one.at(np.ones((1, 24)))]
    assert found.value == pytest.approx(bd.bd_rate(*columns), rel=1e-4)
    assert found.low is not None and found.high is not None and found.value is not None
    assert found.low < found.value < found.high
    assert set(found.parts) == {"low", "middle", "high"}


def test_a_delta_says_why_there_is_none() -> None:
    rng = np.random.default_rng(3)
    anchor = curve(rng, logistic(RATES), 8, 0.1)
    broken = bd.Curve(anchor.kbit, np.full_like(anchor.quality, np.nan), anchor.duration_s)
    assert bd.delta(anchor, broken).reason == "no clip has a score at every point of both curves"
    falling = bd.Curve(anchor.kbit, anchor.quality[:, ::-1], anchor.duration_s)
    assert "the test is not monotone" in str(bd.delta(anchor, falling).reason)


def coverage(sets: int, clips: int, draws: int) -> float:
    """Share of simulated studies whose BD-rate interval holds the truth."""
    truth = bd.bd_rate(RATES, logistic(RATES), RATES, logistic(RATES, 0.3))
    hits = 0
    for seed in range(sets):
        rng = np.random.default_rng(seed)
        anchor, test = (curve(rng, logistic(RATES, s), clips, 0.15) for s in (0, 0.3))
        found = bd.delta(anchor, test, draws=draws)
        assert found.low is not None and found.high is not None, found.reason
        hits += found.low <= truth <= found.high
    return hits / sets


def test_bd_rate_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    assert coverage(sets=150, clips=24, draws=400) >= 0.90  # 95 % less 3 standard errors


@pytest.mark.slow
def test_bd_rate_intervals_hold_the_truth_in_95_percent_of_studies() -> None:
    assert coverage(sets=2000, clips=24, draws=1000) == pytest.approx(0.95, abs=0.015)
