"""Intervals, tests and groups: closed forms, scipy, invariants, coverage on simulated studies."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from nacbench import stats

Floats = NDArray[np.float64]

# 5,000 resamples place a 2.5 % quantile within about 0.2 % of probability, here 3 % of a width.
MONTE_CARLO = 0.03


def skewed(rng: np.random.Generator, *shape: int) -> Floats:
    """Mean 0, variance 1, skewness 1: scores that crowd at the top of a scale look like this."""
    return (rng.gamma(4.0, size=shape) - 4.0) / 2.0


def test_with_few_units_the_interval_is_students_t() -> None:
    values = np.array([3.1, 2.7, 3.9, 3.0])
    ours = stats.mean_interval(values)
    theirs = scipy_stats.ttest_1samp(values, 0).confidence_interval(0.95)
    np.testing.assert_allclose([ours.low[0], ours.high[0]], theirs, rtol=1e-12)
    assert stats.mean_test(values)[0] == pytest.approx(
        scipy_stats.ttest_1samp(values, 0).pvalue, rel=1e-9
    )


def test_one_unit_has_a_mean_and_no_interval() -> None:
    found = stats.mean_interval([3.0, 4.0], ["ann", "ann"])
    assert found.estimate[0] == 3.5
    assert np.isnan([found.low[0], found.high[0], stats.mean_test([3.0, 4.0], ["a", "a"])[0]]).all()


def test_a_column_without_values_has_nothing() -> None:
    found = stats.mean_interval(np.full((5, 1), np.nan))
    assert np.isnan([found.estimate[0], found.low[0], found.high[0]]).all()
    assert found.units[0] == 0


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_bootstrap_intervals_agree_with_scipys_at_the_widened_level(method: str) -> None:
    values = skewed(np.random.default_rng(5), 30)
    ours = stats.mean_interval(values, method=method, draws=20000)
    widened = np.sqrt(30 / 29) * scipy_stats.t.ppf(0.975, 29)
    theirs = scipy_stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=20000,
        confidence_level=2 * scipy_stats.norm.cdf(widened) - 1,
        method="BCa" if method == "bca" else method,
        rng=np.random.default_rng(1),
    ).confidence_interval
    tolerance = MONTE_CARLO * (theirs.high - theirs.low)
    np.testing.assert_allclose([ours.low[0], ours.high[0]], theirs, rtol=0, atol=tolerance)


def test_clips_of_one_speaker_tell_no_more_than_one_clip() -> None:
    once = np.random.default_rng(2).normal(size=10)
    alone = stats.mean_interval(once)
    copied = stats.mean_interval(np.repeat(once, 5), np.repeat(np.arange(10), 5).tolist())
    np.testing.assert_allclose([copied.low, copied.high], [alone.low, alone.high], atol=1e-12)
    np.testing.assert_allclose(
        stats.mean_test(np.repeat(once, 5), np.repeat(np.arange(10), 5).tolist()),
        stats.mean_test(once),
    )


def test_a_clip_without_a_cluster_is_a_unit_of_its_own() -> None:
    assert stats.unit_of(4, ["ann", None, "ann", None]).tolist() == [0, 1, 0, 2]


def test_missing_values_are_left_out_and_nothing_else_changes() -> None:
    values = np.random.default_rng(3).normal(size=12)
    full = stats.mean_interval(values)
    gaps = stats.mean_interval(np.append(values, [np.nan, np.nan]))
    assert (gaps.estimate, gaps.low, gaps.high) == (full.estimate, full.low, full.high)


def test_scaling_and_shifting_the_scores_scales_and_shifts_the_interval() -> None:
    values = skewed(np.random.default_rng(4), 20)
    for method in ("percentile", "bca"):
        plain = stats.mean_interval(values, method=method)
        moved = stats.mean_interval(3 * values - 7, method=method)
        np.testing.assert_allclose(moved.low, 3 * plain.low - 7, atol=1e-10)
        np.testing.assert_allclose(moved.high, 3 * plain.high - 7, atol=1e-10)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    values = skewed(np.random.default_rng(4), 20)
    first, again, other = (stats.mean_interval(values, seed=s).low[0] for s in (1, 1, 2))
    assert first == again != other


def test_scores_that_are_all_equal_have_an_interval_of_no_width() -> None:
    found = stats.mean_interval(np.full(9, 4.5), method="bca")
    assert (found.low[0], found.high[0]) == (4.5, 4.5)


def coverage(sets: int, units: int, items: int, method: str, draws: int) -> float:
    """Share of simulated studies whose interval holds the true mean, 0."""
    rng = np.random.default_rng(11)
    values = skewed(rng, units, 1, sets) + rng.normal(scale=0.5, size=(units, items, sets))
    clusters = np.repeat(np.arange(units), items).tolist()
    found = stats.mean_interval(
        values.reshape(-1, sets), clusters, method=method, draws=draws, seed=3
    )
    return float(((found.low <= 0) & (found.high >= 0)).mean())


@pytest.mark.parametrize("method", ["percentile", "bca"])
@pytest.mark.parametrize(("units", "items"), [(16, 3), (24, 1), (48, 1)])
def test_intervals_hold_the_truth_in_95_percent_of_studies(
    units: int, items: int, method: str
) -> None:
    assert coverage(2000, units, items, method, draws=5000) == pytest.approx(0.95, abs=0.015)


def test_without_clusters_the_same_studies_would_be_covered_far_too_rarely() -> None:
    rng = np.random.default_rng(11)
    values = (skewed(rng, 8, 1, 400) + rng.normal(scale=0.5, size=(8, 6, 400))).reshape(48, 400)
    found = stats.mean_interval(values, draws=1000)
    assert ((found.low <= 0) & (found.high >= 0)).mean() < 0.75


@pytest.mark.parametrize(("units", "items"), [(8, 3), (24, 1)])
def test_equal_codecs_are_told_apart_in_at_most_five_percent_of_studies(
    units: int, items: int
) -> None:
    rng = np.random.default_rng(8)
    values = rng.normal(size=(units, 1, 1000)) + rng.normal(scale=0.5, size=(units, items, 1000))
    clusters = np.repeat(np.arange(units), items).tolist()
    p = stats.mean_test(values.reshape(-1, 1000), clusters, draws=1000)
    assert (p < 0.05).mean() <= 0.05 + 0.021  # three standard errors of 1,000 studies


def test_the_bootstrap_test_agrees_with_students_on_normal_data() -> None:
    rng = np.random.default_rng(9)
    values = rng.normal(loc=0.3, size=(40, 50))
    ours = stats.mean_test(values, draws=20000)
    theirs = scipy_stats.ttest_1samp(values, 0).pvalue
    assert np.corrcoef(np.log(ours), np.log(theirs))[0, 1] > 0.98
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=0.06)


def test_codecs_worlds_apart_survive_a_correction_for_twenty_comparisons() -> None:
    difference = 1.0 + 0.1 * np.random.default_rng(1).normal(size=8)
    assert stats.mean_test(difference)[0] * 20 < 0.05


def test_compare_counts_wins_ties_and_losses_on_common_clips_only() -> None:
    a = [4.0, 3.0, 3.0, np.nan, 2.0, 3.1, 4.0, 4.0]
    b = [3.0, 3.0, 4.0, 1.0, np.nan, 3.0, 3.0, 3.0]
    found = stats.compare(a, b, margin=0.2)
    assert (found.wins, found.ties, found.losses, found.items) == (3, 2, 1, 6)
    assert found.difference == pytest.approx((1 + 0 - 1 + 0.1 + 1 + 1) / 6)


def test_compare_is_antisymmetric() -> None:
    rng = np.random.default_rng(6)
    a, b = rng.normal(size=20), rng.normal(size=20)
    there, back = stats.compare(a, b), stats.compare(b, a)
    assert (there.difference, there.p_value) == (-back.difference, back.p_value)
    assert there.low == pytest.approx(-back.high, abs=1e-9)


def test_wilcoxon_is_scipys_and_has_no_value_without_a_difference() -> None:
    rng = np.random.default_rng(7)
    a, b = rng.normal(size=20), rng.normal(size=20)
    assert stats.wilcoxon(a, b) == scipy_stats.wilcoxon(a - b, zero_method="pratt").pvalue
    assert np.isnan(stats.wilcoxon(a, a))


def test_holm_equals_a_worked_example() -> None:
    adjusted = stats.holm([0.01, 0.04, 0.03, np.nan, 0.005])
    np.testing.assert_allclose(adjusted, [0.03, 0.06, 0.06, np.nan, 0.02])


def test_holm_never_leaves_the_unit_interval_and_keeps_order() -> None:
    p = np.random.default_rng(0).uniform(size=50)
    adjusted = stats.holm(p)
    assert (adjusted >= p).all() and (adjusted <= 1).all()
    assert (np.diff(adjusted[np.argsort(p)]) >= 0).all()


@given(st.integers(1, 7), st.lists(st.booleans(), min_size=21, max_size=21))
@settings(max_examples=100, deadline=None)
def test_two_systems_share_a_letter_exactly_when_they_cannot_be_separated(
    count: int, flags: list[bool]
) -> None:
    apart = np.zeros((count, count), dtype=bool)
    apart[np.triu_indices(count, 1)] = flags[: count * (count - 1) // 2]
    apart |= apart.T
    shown = stats.letters(apart)
    for i in range(count):
        for j in range(i):
            assert bool(set(shown[i]) & set(shown[j])) == (not apart[i, j])


def test_the_best_system_is_in_group_a() -> None:
    apart = np.array([[0, 0, 1], [0, 0, 1], [1, 1, 0]], dtype=bool)
    assert stats.letters(apart) == ["a", "a", "b"]


def test_a_leaderboards_worth_of_intervals_takes_under_two_seconds() -> None:
    values = np.random.default_rng(0).normal(size=(27, 45 * 9))
    start = time.perf_counter()
    stats.mean_interval(values, (np.arange(27) // 3).tolist())
    assert time.perf_counter() - start < 2.0
