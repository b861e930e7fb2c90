"""Bjøntegaard deltas: how much rate a codec saves at equal quality, or gains at equal rate.

Both curves are interpolated by a piecewise cubic over the logarithm of the measured payload rate,
and their distance is averaged where they overlap. A curve that cannot carry such a number is
refused with the reason. Formulas and sources: docs/statistics.md.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nacbench import stats

Floats = NDArray[np.float64]

MIN_POINTS = 4  # a piecewise cubic through fewer is mostly the interpolator's opinion
MIN_OVERLAP = 0.5  # share of the shorter curve that must lie within the other's range
PARTS = ("whole", "low", "middle", "high")


class NoDeltaError(ValueError):
    """Two curves that no Bjøntegaard delta can be formed of; the message says why."""


@dataclass(frozen=True)
class Curve:
    """What a bootstrap over clips needs of one codec: every clip at every point.

    Attributes:
        kbit: `[clips, points]`, size of each payload in 1000 bits.
        quality: `[clips, points]`, higher is better (negate a metric for which lower is).
        duration_s: `[clips]`.
    """

    kbit: Floats
    quality: Floats
    duration_s: Floats

    def at(self, weights: Floats) -> tuple[Floats, Floats]:
        """Rates in kbit/s and mean qualities, `[draws, points]`, under item weights."""
        rate = weights @ self.kbit / (weights @ self.duration_s)[:, np.newaxis]
        return rate, weights @ self.quality / weights.sum(axis=1, keepdims=True)

    def only(self, clips: NDArray[np.int64]) -> Curve:
        return Curve(self.kbit[clips], self.quality[clips], self.duration_s[clips])


@dataclass(frozen=True)
class Delta:
    """A Bjøntegaard delta with its interval, or the reason why there is none.

    Attributes:
        value, low, high: percent of rate (negative: the test codec needs less), or units of the
            metric (positive: the test codec is better).
        parts: the same three for the low, middle and high third of the common range.
        clips: complete in both curves; the others are left out of both.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str | None = None
    clips: int = 0
    parts: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)


def bd_rate(
    anchor_kbps: ArrayLike,
    anchor_quality: ArrayLike,
    test_kbps: ArrayLike,
    test_quality: ArrayLike,
    *,
    interpolation: str = "pchip",
    part: str = "whole",
) -> float:
    """Mean difference of rate at equal quality, in percent of the anchor's.

    Args:
        anchor_kbps, test_kbps: `[points]`, payload rates.
        anchor_quality, test_quality: `[points]`, higher is better.
        interpolation: "pchip" or "akima".
        part: "whole", or the "low", "middle" or "high" third of the common quality range.
    Raises:
        NoDeltaError: fewer than 4 points, a curve that is not monotone, or too little overlap.
    Source: Bjøntegaard, VCEG-M33, 2001; piecewise interpolation: Strom et al., ISO/IEC TR
        23002-8. Differs: none.
    """
    anchor = _checked("anchor", anchor_kbps, anchor_quality)
    test = _checked("test", test_kbps, test_quality)
    log_ratio = _mean_gaps(
        (anchor[1], np.log(anchor[0])), (test[1], np.log(test[0])), interpolation, "quality"
    )
    return float(100 * np.expm1(log_ratio[0, PARTS.index(part)]))


def bd_metric(
    anchor_kbps: ArrayLike,
    anchor_quality: ArrayLike,
    test_kbps: ArrayLike,
    test_quality: ArrayLike,
    *,
    interpolation: str = "pchip",
    part: str = "whole",
) -> float:
    """Mean difference of quality at equal rate, in units of the metric; arguments as `bd_rate`."""
    anchor = _checked("anchor", anchor_kbps, anchor_quality)
    test = _checked("test", test_kbps, test_quality)
    gaps = _mean_gaps(
        (np.log(anchor[0]), anchor[1]), (np.log(test[0]), test[1]), interpolation, "rate"
    )
    return float(gaps[0, PARTS.index(part)])


def delta(
    anchor: Curve,
    test: Curve,
    clusters: Sequence[Hashable] | None = None,
    *,
    of: str = "rate",
    interpolation: str = "pchip",
    level: float = stats.LEVEL,
    draws: int = 2000,
    seed: int = 0,
) -> Delta:
    """BD-rate (`of="rate"`) or BD-metric (`of="metric"`) with a bootstrap interval over clips.

    Every resample redraws the clips of both curves together, rates included. A resample whose
    curve dips is made monotone first: refusing it would keep only the smooth resamples and make
    the interval too narrow. The curves themselves are refused when they dip.
    """
    known = np.isfinite(np.hstack([anchor.quality, test.quality, anchor.kbit, test.kbit]))
    complete = np.flatnonzero(known.all(axis=1))
    clips = complete.size
    if not clips:
        return Delta(reason="no clip has a score at every point of both curves")
    anchor, test = anchor.only(complete), test.only(complete)
    ones = np.ones((1, clips))
    direct = bd_rate if of == "rate" else bd_metric
    try:
        direct(
            *(column[0] for curve in (anchor, test) for column in curve.at(ones)),
            interpolation=interpolation,
        )
    except NoDeltaError as error:
        return Delta(reason=str(error), clips=clips)

    def statistic(weights: Floats) -> Floats:
        curves = []
        for curve in (anchor, test):
            rate, quality = curve.at(weights)
            log_rate, quality = _monotone(np.log(rate)), _monotone(quality)
            curves.append((quality, log_rate) if of == "rate" else (log_rate, quality))
        return _mean_gaps(curves[0], curves[1], interpolation, None)

    names = None if clusters is None else [clusters[i] for i in complete.tolist()]
    found = stats.interval(
        statistic, stats.unit_of(clips, names), method="bca", level=level, draws=draws, seed=seed
    )
    scale: Callable[[Floats], Floats] = (
        (lambda gap: 100 * np.expm1(gap)) if of == "rate" else (lambda gap: gap)
    )
    value, low, high = (scale(x).tolist() for x in (found.estimate, found.low, found.high))
    parts = {name: (value[i], low[i], high[i]) for i, name in enumerate(PARTS) if i}
    return Delta(value[0], low[0], high[0], None, clips, parts)


def _checked(name: str, kbps: ArrayLike, quality: ArrayLike) -> tuple[Floats, Floats]:
    """`[1, points]` both, in order of rate."""
    rate = np.asarray(kbps, dtype=np.float64)
    score = np.asarray(quality, dtype=np.float64)
    if rate.shape != score.shape or rate.ndim != 1:
        raise ValueError(f"{name}: rates {rate.shape} and qualities {score.shape} do not match")
    if rate.size < MIN_POINTS:
        raise NoDeltaError(f"the {name} has {rate.size} points; {MIN_POINTS} are needed")
    if not (np.isfinite(rate).all() and np.isfinite(score).all() and (rate > 0).all()):
        raise NoDeltaError(f"the {name} has a point without a rate or a score")
    order = np.argsort(rate, kind="stable")
    rate, score = rate[order], score[order]
    dips = np.flatnonzero((np.diff(score) <= 0) | (np.diff(rate) <= 0))
    if dips.size:
        i = int(dips[0])
        raise NoDeltaError(
            f"the {name} is not monotone: {score[i]:.4g} at {rate[i]:.4g} kbps, then "
            f"{score[i + 1]:.4g} at {rate[i + 1]:.4g} kbps"
        )
    return rate[np.newaxis], score[np.newaxis]


def _mean_gaps(
    anchor: tuple[Floats, Floats],
    test: tuple[Floats, Floats],
    interpolation: str,
    refuse: str | None,
) -> Floats:
    """Mean of test minus anchor over the common range of x: `[draws, PARTS]`.

    Args:
        anchor, test: x and y, `[draws, points]` both, x rising.
        refuse: what x is called when too little overlap must raise; None never raises.
    """
    low = np.maximum(anchor[0][:, 0], test[0][:, 0])
    high = np.minimum(anchor[0][:, -1], test[0][:, -1])
    if refuse is not None:
        shorter = min(float(np.ptp(anchor[0])), float(np.ptp(test[0])))
        overlap = max(0.0, float(high[0] - low[0]) / shorter)
        if overlap < MIN_OVERLAP:
            raise NoDeltaError(
                f"the curves share {overlap:.0%} of the shorter one's range of {refuse}; "
                f"{MIN_OVERLAP:.0%} are needed"
            )
    edges = low[:, np.newaxis] + (high - low)[:, np.newaxis] * np.linspace(0, 1, 4)
    thirds = _integrals(*test, edges, interpolation) - _integrals(*anchor, edges, interpolation)
    with np.errstate(divide="ignore", invalid="ignore"):
        means = thirds / np.diff(edges)
    return np.column_stack([means.mean(axis=1), means])


def _monotone(values: Floats) -> Floats:
    """Each row made strictly rising: halfway between its running maximum and minimum."""
    up = np.maximum.accumulate(values, axis=1)
    down = np.minimum.accumulate(values[:, ::-1], axis=1)[:, ::-1]
    steps = np.arange(values.shape[1]) * np.ptp(values, axis=1, keepdims=True) * 1e-6
    return np.asarray((up + down) / 2 + steps)


def _integrals(x: Floats, y: Floats, edges: Floats, interpolation: str) -> Floats:
    """Exact integral of each row's interpolant between its edges: `[draws, edges - 1]`."""
    if interpolation not in ("pchip", "akima"):
        raise ValueError(f"interpolation must be 'pchip' or 'akima', got {interpolation!r}")
    slope = (_pchip_slopes if interpolation == "pchip" else _akima_slopes)(x, y)
    h = np.diff(x)[:, np.newaxis]
    y0, y1 = y[:, np.newaxis, :-1], y[:, np.newaxis, 1:]
    d0, d1 = slope[:, np.newaxis, :-1], slope[:, np.newaxis, 1:]
    s = np.clip((edges[:, :, np.newaxis] - x[:, np.newaxis, :-1]) / h, 0, 1)
    s2, s3, s4 = s**2, s**3, s**4  # integrals of the cubic Hermite basis from 0 to s follow
    area = y0 * (s - s3 + s4 / 2) + y1 * (s3 - s4 / 2)
    area += h * (d0 * (s2 / 2 - 2 * s3 / 3 + s4 / 4) + d1 * (s4 / 4 - s3 / 3))
    return np.diff((h * area).sum(axis=-1))


def _pchip_slopes(x: Floats, y: Floats) -> Floats:
    """Slopes that keep monotone data monotone. Source: Fritsch & Butland, SIAM JSSC 5, 1984."""
    h, secant = np.diff(x), np.diff(y) / np.diff(x)
    slope = np.zeros_like(y)
    left, right = secant[:, :-1], secant[:, 1:]
    w_left, w_right = 2 * h[:, 1:] + h[:, :-1], h[:, 1:] + 2 * h[:, :-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = (w_left + w_right) / (w_left / left + w_right / right)
    slope[:, 1:-1] = np.where(left * right > 0, mean, 0)
    slope[:, 0] = _end_slope(h[:, 0], h[:, 1], secant[:, 0], secant[:, 1])
    slope[:, -1] = _end_slope(h[:, -1], h[:, -2], secant[:, -1], secant[:, -2])
    return slope


def _end_slope(h0: Floats, h1: Floats, secant0: Floats, secant1: Floats) -> Floats:
    """Three-point slope at an end, held to the sign and three times the secant beside it."""
    slope = ((2 * h0 + h1) * secant0 - h0 * secant1) / (h0 + h1)
    slope = np.where(slope * secant0 <= 0, 0, slope)
    steep = (secant0 * secant1 <= 0) & (np.abs(slope) > 3 * np.abs(secant0))
    return np.where(steep, 3 * secant0, slope)


def _akima_slopes(x: Floats, y: Floats) -> Floats:
    """Slopes weighted against the side that bends more. Source: Akima, JACM 17, 1970."""
    secant = np.diff(y) / np.diff(x)
    before = [3 * secant[:, 0] - 2 * secant[:, 1], 2 * secant[:, 0] - secant[:, 1]]
    after = [2 * secant[:, -1] - secant[:, -2], 3 * secant[:, -1] - 2 * secant[:, -2]]
    m = np.column_stack([*before, secant, *after])
    bend = np.abs(np.diff(m))
    w_left, w_right = bend[:, 2:], bend[:, :-2]
    total = w_left + w_right
    straight = total <= 1e-9 * total.max(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        weighted = (w_left * m[:, 1:-2] + w_right * m[:, 2:-1]) / total
    return np.where(straight, (m[:, 3:] + m[:, :-3]) / 2, weighted)
