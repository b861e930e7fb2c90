"""What the numbers can and cannot tell apart: intervals, paired comparisons, groups.

Arrays in, arrays out. Values are `[items]` or `[items, columns]`, one item per clip, NaN where
an item has no value. `clusters` names for every item the unit that was drawn independently (its
speaker, its piece); without it every item is a unit of its own. Formulas and sources:
docs/statistics.md.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], Floats]  # item weights [draws, items] -> [draws, columns]

DRAWS = 5000
LEVEL = 0.95
# Resampling cannot reach 95 % with fewer units: even if all five lie on one side of the truth,
# which happens by chance in 2 · 0.5**5 = 6 % of studies, every resample lies there too.
MIN_UNITS = 6
MAX_GROUPS = 20  # of the jackknife; with 19 degrees of freedom t is 7 % above the normal


@dataclass(frozen=True)
class Interval:
    """An estimate per column and what the sample says about it.

    Attributes:
        estimate, low, high: `[columns]`; the bounds are NaN where there is one unit or none.
        units: `[columns]`, how many independent units the estimate rests on.
    """

    estimate: Floats
    low: Floats
    high: Floats
    units: NDArray[np.int64]


def mean_interval(
    values: ArrayLike,
    clusters: Sequence[Hashable] | None = None,
    *,
    method: str = "percentile",
    level: float = LEVEL,
    draws: int = DRAWS,
    seed: int = 0,
) -> Interval:
    """Mean of each column over the items that have a value, with its bootstrap interval.

    Args:
        values: `[items]` or `[items, columns]`.
        method: "percentile" or "bca".
    Source: Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapters 13 and 14.
        Differs: see `interval`.
    """
    table = _table(values)
    estimate, low, high = (np.full(table.shape[1], np.nan) for _ in range(3))
    units = np.zeros(table.shape[1], dtype=np.int64)
    for columns, part, unit in _by_presence(table, clusters):
        result = interval(_mean_of(part), unit, method=method, level=level, draws=draws, seed=seed)
        estimate[columns], units[columns] = result.estimate, result.units
        low[columns], high[columns] = result.low, result.high
    return Interval(estimate, low, high, units)


def mean_test(
    values: ArrayLike,
    clusters: Sequence[Hashable] | None = None,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Floats:
    """Two-sided p per column of "the true mean is 0", by the studentised bootstrap.

    Unlike a count of resamples beyond 0, it can tell "just separable" from "worlds apart" with
    few units, which a correction for many comparisons needs. Below `MIN_UNITS` units it is
    Student's t test on the jackknife's standard error; NaN with one unit or none.

    Source: Hall & Wilson, Biometrics 47, 1991; Cameron, Gelbach & Miller, Review of Economics and
        Statistics 90, 2008 (clusters). Differs: whole clusters are resampled.
    """
    table = _table(values)
    p_value = np.full(table.shape[1], np.nan)
    for columns, part, unit in _by_presence(table, clusters):
        count = int(unit.max()) + 1
        if count == 1:
            continue
        indicator = np.equal(unit, np.arange(count)[:, np.newaxis]).astype(np.float64)
        mean = part.mean(axis=0)
        sums, sizes = indicator @ (part - mean), indicator.sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            error = _studentised(sums, sizes, np.ones((1, count)))[1][0]
            t = np.where(mean == 0, 0.0, np.abs(mean) / error)
            if count < MIN_UNITS:
                p_value[columns] = 2 * special.stdtr(count - 1, -t)
                continue
            drawn = bootstrap_weights(np.arange(count), draws, seed)
            drawn_shift, drawn_error = _studentised(sums, sizes, drawn)
            drawn_t = np.abs(drawn_shift) / drawn_error
        # A draw of one unit alone has no error and no t (0 / 0); it counts against us.
        p_value[columns] = (1 + draws - (drawn_t < t).sum(axis=0)) / (1 + draws)
    return p_value


def interval(
    statistic: Statistic,
    unit: NDArray[np.int64],
    *,
    method: str = "percentile",
    level: float = LEVEL,
    draws: int = DRAWS,
    seed: int = 0,
) -> Interval:
    """Bootstrap interval of any statistic that can be computed from item weights.

    Units are drawn with replacement and every item counts as often as its unit was drawn. The
    quantiles are widened from the normal to Student's t with `units - 1` degrees of freedom,
    without which an interval over 8 speakers covers 89 % instead of 95 %. Below `MIN_UNITS`
    units the interval is Student's t on the jackknife's standard error.

    Args:
        statistic: maps weights `[draws, items]` to `[draws, columns]`.
        unit: `[items]`, index of each item's unit; see `unit_of`.
        method: "percentile", or "bca" (bias-corrected and accelerated) for skewed statistics.
    Source: Hesterberg, arXiv:1411.5279, section 4.4 (widening); Efron, JASA 1987 (BCa).
    """
    if method not in ("percentile", "bca"):
        raise ValueError(f"method must be 'percentile' or 'bca', got {method!r}")
    count = int(unit.max()) + 1
    estimate = statistic(np.ones((1, unit.size)))[0]
    columns = estimate.size
    units = np.full(columns, count, dtype=np.int64)
    if count == 1:
        unknown = np.full(columns, np.nan)
        return Interval(estimate, unknown, unknown, units)
    if count < MIN_UNITS:
        error = _jackknife_error(statistic, unit)
        spread = special.stdtrit(count - 1, (1 + level) / 2) * error
        return Interval(estimate, estimate - spread, estimate + spread, units)

    drawn = np.sort(statistic(bootstrap_weights(unit, draws, seed)), axis=0)
    z = np.sqrt(count / (count - 1)) * special.stdtrit(count - 1, (1 + level) / 2)
    bias, acceleration = np.zeros(columns), np.zeros(columns)
    if method == "bca":
        bias, acceleration = _bca_constants(statistic, unit, drawn, estimate)
    low, high = (
        _quantiles(drawn, special.ndtr(bias + (bias + s) / (1 - acceleration * (bias + s))))
        for s in (-z, z)
    )
    return Interval(estimate, low, high, units)


def groups_of(unit: NDArray[np.int64]) -> NDArray[np.int64]:
    """`[items]`, index of each item's group: its unit, or several units that go together."""
    return unit % MAX_GROUPS


def jackknife_interval(
    estimate: float, without: Sequence[float], level: float = LEVEL
) -> tuple[float, float]:
    """Interval of a statistic that cannot be computed from item weights.

    Args:
        without: the statistic without each group in turn. It may differ from `estimate` by a
            constant, as before and after a correction of bias.
    Returns:
        low and high, by Student's t with one degree of freedom less than groups; NaN for less
        than two groups.
    Source: Kott, Journal of Official Statistics 17, 2001 (delete-a-group jackknife).
    """
    count = len(without)
    if count < 2:
        return float("nan"), float("nan")
    squares = (np.asarray(without) - np.mean(without)) ** 2
    spread = special.stdtrit(count - 1, (1 + level) / 2) * np.sqrt(
        (count - 1) / count * squares.sum()
    )
    return float(estimate - spread), float(estimate + spread)


def unit_of(items: int, clusters: Sequence[Hashable] | None = None) -> NDArray[np.int64]:
    """Index of each item's unit, in order of first appearance; `None` in `clusters`: its own."""
    if clusters is None:
        return np.arange(items)
    if len(clusters) != items:
        raise ValueError(f"{items} items but {len(clusters)} cluster names")
    index: dict[Hashable, int] = {}
    named = ((i,) if c is None else c for i, c in enumerate(clusters))
    return np.array([index.setdefault(name, len(index)) for name in named], dtype=np.int64)


def bootstrap_weights(unit: NDArray[np.int64], draws: int, seed: int) -> Floats:
    """`[draws, items]`: how often each item counts when its units are drawn with replacement."""
    count = int(unit.max()) + 1
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=draws)
    return drawn[:, unit].astype(np.float64)


def _table(values: ArrayLike) -> Floats:
    table = np.asarray(values, dtype=np.float64)
    return table[:, np.newaxis] if table.ndim == 1 else table


def _by_presence(
    table: Floats, clusters: Sequence[Hashable] | None
) -> Iterator[tuple[NDArray[np.int64], Floats, NDArray[np.int64]]]:
    """Columns that miss the same items: their indices, values without gaps, and units."""
    patterns, which = np.unique(np.isfinite(table), axis=1, return_inverse=True)
    for index, present in enumerate(patterns.T):
        if present.any():
            columns = np.flatnonzero(which == index)
            named = (
                None
                if clusters is None
                else [clusters[i] for i in np.flatnonzero(present).tolist()]
            )
            yield columns, table[np.ix_(present, columns)], unit_of(int(present.sum()), named)


def _mean_of(values: Floats) -> Statistic:
    return lambda weights: np.asarray(weights @ values / weights.sum(axis=1, keepdims=True))


def _studentised(sums: Floats, sizes: Floats, drawn: Floats) -> tuple[Floats, Floats]:
    """Mean and its standard error, clusters taken as drawn; `[draws, columns]` both.

    Args:
        sums: `[units, columns]`, sum of each unit's centred values.    sizes: `[units]`, items.
        drawn: `[draws, units]`, how often each unit was drawn.
    """
    items = (drawn @ sizes)[:, np.newaxis]
    mean = drawn @ sums / items
    squares = (
        drawn @ sums**2
        - 2 * mean * (drawn @ (sums * sizes[:, np.newaxis]))
        + mean**2 * (drawn @ sizes**2)[:, np.newaxis]
    )
    count = sizes.size
    return mean, np.sqrt(np.maximum(squares, 0) * count / (count - 1)) / items


def _leave_one_out(statistic: Statistic, unit: NDArray[np.int64]) -> Floats:
    """`[units, columns]`: the statistic without each unit in turn."""
    return statistic((np.arange(int(unit.max()) + 1)[:, np.newaxis] != unit).astype(np.float64))


def _jackknife_error(statistic: Statistic, unit: NDArray[np.int64]) -> Floats:
    without = _leave_one_out(statistic, unit)
    count = without.shape[0]
    squares = (without - without.mean(axis=0)) ** 2
    return np.asarray(np.sqrt((count - 1) / count * squares.sum(axis=0)))


def _bca_constants(
    statistic: Statistic, unit: NDArray[np.int64], drawn: Floats, estimate: Floats
) -> tuple[Floats, Floats]:
    """Bias correction and acceleration per column."""
    draws = drawn.shape[0]
    below = ((drawn < estimate).sum(axis=0) + 0.5 * (drawn == estimate).sum(axis=0)) / draws
    bias = special.ndtri(np.clip(below, 0.5 / draws, 1 - 0.5 / draws))
    without = _leave_one_out(statistic, unit)
    centred = without.mean(axis=0) - without
    cubes, squares = (centred**3).sum(axis=0), (centred**2).sum(axis=0)
    acceleration = np.divide(
        cubes, 6 * squares**1.5, out=np.zeros_like(cubes), where=squares > np.finfo(float).tiny
    )
    return bias, acceleration


def _quantiles(ordered: Floats, levels: Floats) -> Floats:
    """Quantile `levels[c]` of each sorted column, linear between order statistics."""
    position = levels * (ordered.shape[0] - 1)
    lower = np.floor(position).astype(np.int64)
    upper = np.minimum(lower + 1, ordered.shape[0] - 1)
    column = np.arange(ordered.shape[1])
    below, above = ordered[lower, column], ordered[upper, column]
    return np.asarray(below + (position - lower) * (above - below))


@dataclass(frozen=True)
class Comparison:
    """Two systems on the same items: the mean of `a - b` and how the items fall.

    `wins`, `ties`, `losses` count items where `a - b` is above, within and below ± margin.
    """

    difference: float
    low: float
    high: float
    p_value: float
    items: int
    units: int
    wins: int
    ties: int
    losses: int


def compare(
    a: ArrayLike,
    b: ArrayLike,
    clusters: Sequence[Hashable] | None = None,
    *,
    margin: float = 0.0,
    method: str = "percentile",
    level: float = LEVEL,
    draws: int = DRAWS,
    seed: int = 0,
) -> Comparison:
    """Paired comparison over the items that both systems have a value for.

    Args:
        a, b: `[items]`, the same items in the same order.
        margin: |a - b| up to this is a tie in the counts; it does not touch the interval.
    """
    difference = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    result = mean_interval(difference, clusters, method=method, level=level, draws=draws, seed=seed)
    known = difference[np.isfinite(difference)]
    return Comparison(
        difference=float(result.estimate[0]),
        low=float(result.low[0]),
        high=float(result.high[0]),
        p_value=float(mean_test(difference, clusters, draws=draws, seed=seed)[0]),
        items=known.size,
        units=int(result.units[0]),
        wins=int((known > margin).sum()),
        ties=int((np.abs(known) <= margin).sum()),
        losses=int((known < -margin).sum()),
    )


def wilcoxon(a: ArrayLike, b: ArrayLike) -> float:
    """Two-sided p of the signed-rank test over the items both have; NaN without a difference.

    Pairs that tie exactly are ranked and then dropped from the sum (Pratt), so a codec that
    changes few clips does not look significant for the clips it changed. It takes items as
    independent: with clusters, test the means per cluster.

    Source: Wilcoxon 1945, Pratt 1959; computed by `scipy.stats.wilcoxon`.
    """
    from scipy import stats

    difference = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    difference = difference[np.isfinite(difference)]
    if not difference.any():
        return float("nan")
    return float(stats.wilcoxon(difference, zero_method="pratt").pvalue)


def holm(p_values: ArrayLike) -> Floats:
    """Adjusted p-values that keep the chance of any false finding in the family at the level.

    NaN (a test that could not be made) stays NaN and does not count as a member.

    Source: Holm, Scandinavian Journal of Statistics 6, 1979.
    """
    p = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(p.shape, np.nan)
    order = np.argsort(p)[: int(np.isfinite(p).sum())]
    steps = p[order] * np.arange(order.size, 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps)) if order.size else []
    return adjusted


def best_and_ties(
    values: ArrayLike, clusters: Sequence[Hashable] | None = None, *, level: float = LEVEL
) -> tuple[int, NDArray[np.bool_]]:
    """The system with the highest mean, and which others the data cannot separate from it.

    Every other system is tested against the best on the items both have, and Holm's correction
    holds over all of them.

    Args:
        values: `[items, systems]`, higher is better, a value in every column.
    """
    table = _table(values)
    best = int(np.argmax(np.nanmean(table, axis=0)))
    others = np.arange(table.shape[1]) != best
    tied = np.zeros(table.shape[1], dtype=bool)
    if others.any():
        p_value = holm(mean_test(table[:, others] - table[:, [best]], clusters))
        tied[others] = ~(p_value < 1 - level)  # NaN, a test that could not be made, is a tie
    return best, tied


def letters(separable: ArrayLike) -> list[str]:
    """Compact letter display: two systems share a letter when the data cannot separate them.

    Args:
        separable: `[systems, systems]` symmetric booleans, systems in order of their score.
    Returns:
        one string per system: ["a", "ab", "b"].
    Source: Piepho, Journal of Computational and Graphical Statistics 13, 2004 (insert-absorb).
    """
    apart = np.asarray(separable, dtype=bool)
    groups = [frozenset(range(apart.shape[0]))]
    for i, j in np.argwhere(np.triu(apart, 1)).tolist():
        split = [g - {x} for g in groups if i in g and j in g for x in (i, j)]
        groups = [g for g in groups if not (i in g and j in g)]
        for group in split:
            if group and not any(group <= other for other in groups):
                groups = [g for g in groups if not g <= group] + [group]
    names = {group: _letter(n) for n, group in enumerate(sorted(groups, key=sorted))}
    return ["".join(names[g] for g in names if i in g) for i in range(apart.shape[0])]


def _letter(number: int) -> str:
    """a, b, …, z, aa, ab, …"""
    text = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        text = chr(ord("a") + rest) + text
    return text
