"""The statistics that BS.1534-3 asks for, arrays in, arrays out.

An array of scores is `[listeners, items, conditions]`, without gaps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
DRAWS = 5000
PERMUTATIONS = 10_000  # BS.1534-3, attachment 3
LEVEL = 0.95
BIMODAL = 5 / 9  # of a uniform distribution


def quartiles(values: ArrayLike) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile; halves include the median of an odd number.

    Source: BS.1534-3, p. 6 (Tukey's hinges).
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    half = (ordered.size + 1) // 2
    lower, upper = np.median(ordered[:half]), np.median(ordered[-half:])
    return float(lower), float(np.median(ordered)), float(upper)


@dataclass(frozen=True)
class Box:
    """Of a box plot.

    Attributes:
        low, high: the outermost scores that lie within 1.5 interquartile ranges of the quartiles.
        beyond: scores that do not: to be looked at, never dropped unseen.
    """

    low: float
    lower: float
    median: float
    upper: float
    high: float
    beyond: tuple[float, ...]


def box(values: ArrayLike) -> Box:
    """What is drawn of scores, here and on the experimenter's page. Source: BS.1534-3, p. 5-6."""
    scores = np.sort(np.asarray(values, dtype=np.float64))
    lower, median, upper = quartiles(scores)
    reach = 1.5 * (upper - lower)
    within = (scores >= lower - reach) & (scores <= upper + reach)
    low, high = scores[within][[0, -1]]
    return Box(float(low), lower, median, upper, float(high), tuple(scores[~within].tolist()))


def bimodality(values: ArrayLike) -> float:
    """Sarle's coefficient with the correction for few values; above 5/9 is suspicious.

    NaN for fewer than four values or without spread.

    Source: BS.1534-3, p. 20: (g² + 1) / (k + 3 (n - 1)² / ((n - 2) (n - 3))), with the unbiased
        skewness g and excess kurtosis k.
    """
    from scipy import stats

    scores = np.asarray(values, dtype=np.float64)
    n = scores.size
    if n < 4 or np.ptp(scores) == 0:
        return math.nan
    skewness = stats.skew(scores, bias=False)
    kurtosis = stats.kurtosis(scores, bias=False)
    return float((skewness**2 + 1) / (kurtosis + 3 * (n - 1) ** 2 / ((n - 2) * (n - 3))))


def resamples(listeners: int, items: int, draws: int, seed: int) -> tuple[Floats, Floats]:
    """How often each listener and each item is drawn: `[draws, listeners]`, `[draws, items]`."""
    rng = np.random.default_rng(seed)
    return (
        rng.multinomial(listeners, np.full(listeners, 1 / listeners), size=draws).astype(float),
        rng.multinomial(items, np.full(items, 1 / items), size=draws).astype(float),
    )


def mean_intervals(scores: Floats, draws: int = DRAWS, seed: int = 0) -> tuple[Floats, Floats]:
    """Bounds of the mean of each condition, over new listeners and new items: `[conditions]` each.

    Listeners and items are drawn with replacement, independently: the interval is for the
    conditions with other listeners and other items. It errs on the wide side. With one listener
    and one item there is none: NaN.

    Source: Owen, The pigeonhole bootstrap, Annals of Applied Statistics 1, 2007.
    """
    listeners, items, conditions = scores.shape
    if listeners < 2:
        return np.full(conditions, math.nan), np.full(conditions, math.nan)
    of_listeners, of_items = resamples(listeners, items, draws, seed)
    by_item = (of_listeners @ scores.reshape(listeners, -1)).reshape(draws, items, conditions)
    means = np.einsum("dic,di->dc", by_item, of_items) / (listeners * items)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return low, high


def hochberg(p_values: ArrayLike) -> Floats:
    """Adjusted p-values by the step-up procedure; NaN stays NaN and does not count.

    Source: Hochberg, Biometrika 75, 1988; BS.1534-3, attachment 4.
    """
    p = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(p.shape, math.nan)
    known = int(np.isfinite(p).sum())
    order = np.argsort(p)[:known]
    steps = p[order] * np.arange(known, 0, -1)
    adjusted[order] = np.minimum.accumulate(steps[::-1])[::-1]
    return adjusted


def wilcoxon(a: ArrayLike, b: ArrayLike) -> float:
    """Two-sided p of the signed-rank test of paired listeners; NaN where all pairs are equal.

    Source: Wilcoxon 1945, zeros after Pratt 1959; exact for few listeners without ties.
    """
    from scipy import stats

    difference = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    if not difference.any():
        return math.nan
    few = difference.size <= 50 and np.unique(np.abs(difference)).size == difference.size
    method = "exact" if few and difference.all() else "approx"
    return float(stats.wilcoxon(difference, zero_method="pratt", method=method).pvalue)


def permutation_p(
    a: ArrayLike, b: ArrayLike, draws: int = PERMUTATIONS, seed: int = 0
) -> tuple[float, float]:
    """Difference of medians, and how often scores dealt out anew differ by more.

    Returns:
        median(a) - median(b), and the share of draws whose difference exceeds it: one-sided and
        unpaired, as attachment 3 is written. Give the better one first.
    Source: ITU-R BS.1534-3, attachment 3 (normative).
    """
    first, second = (np.asarray(x, dtype=np.float64).ravel() for x in (a, b))
    pool = np.concatenate([first, second])
    rng = np.random.default_rng(seed)
    actual = float(np.median(first) - np.median(second))
    more = 0
    for start in range(0, draws, 1000):
        count = min(1000, draws - start)
        dealt = rng.permuted(np.broadcast_to(pool, (count, pool.size)), axis=1)
        left = np.median(dealt[:, : first.size], axis=1)
        right = np.median(dealt[:, first.size :], axis=1)
        more += int((left - right > actual).sum())
    return actual, more / draws


def friedman(blocks: Floats) -> tuple[float, float, float]:
    """Do the conditions differ at all? `[listeners, conditions]` -> chi², p, Kendall's W.

    Source: Friedman, JASA 32, 1937, ties corrected. NaN for fewer than 3 conditions, or no spread.
    """
    from scipy import stats

    listeners, conditions = blocks.shape
    if conditions < 3 or listeners < 2 or np.ptp(blocks, axis=1).max() == 0:
        return math.nan, math.nan, math.nan
    result = stats.friedmanchisquare(*blocks.T)
    agreement = result.statistic / (listeners * (conditions - 1))
    return float(result.statistic), float(result.pvalue), float(agreement)


def intraclass(pairs: ArrayLike) -> float:
    """ICC(1) of `[pairs, 2]`: agreement of first and second ratings, 1 is perfect.

    Source: Shrout & Fleiss, Psychological Bulletin 86, 1979, ICC(1,1).
    """
    values = np.asarray(pairs, dtype=np.float64)
    if values.shape[0] < 2:
        return math.nan
    between = 2 * values.mean(axis=1).var(ddof=1)
    within = float(np.mean((values[:, 0] - values[:, 1]) ** 2) / 2)
    if between + within == 0:
        return math.nan
    return float((between - within) / (between + within))


def correlations(x: Floats, y: Floats) -> tuple[float, float]:
    """Spearman's and Pearson's, over pairs that both have; NaN for fewer than 3 or no spread."""
    from scipy import stats

    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    if x.size < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan, math.nan
    return _pearson(stats.rankdata(x), stats.rankdata(y)), _pearson(x, y)


def _pearson(x: Floats, y: Floats) -> float:
    dx, dy = x - x.mean(), y - y.mean()
    return float(dx @ dy / math.sqrt((dx @ dx) * (dy @ dy)))
