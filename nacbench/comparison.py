"""Two systems on the same clips: paired differences per metric, with intervals and words.

Systems are two runs (same operating points, another version of the code), or two codecs within one
run, whose points are paired by payload rate.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nacbench import stats
from nacbench.bd_rate import Curve, Delta, delta
from nacbench.board import ANCHORS, MetricInfo
from nacbench.errors import UserError
from nacbench.leaderboard import cluster, latest, latest_sets, metrics_of
from nacbench.records import Record, SetScore
from nacbench.results import ResultTable

NEAR_OCTAVES = math.log2(1.15)  # two points within 15 % of each other's rate are compared
SAME = 1e-9  # differences of a score below this are the same score
Sets = Mapping[tuple[str, str, str, str], SetScore]  # by suite and the score's key


@dataclass(frozen=True)
class Pair:
    """One metric of two operating points on the clips that both have a value for.

    Attributes:
        a, b: names of the points.    kbps_a, kbps_b: payload rates over the shared clips.
        comparison: of b - a in the metric's own unit; `items` of `clips` clips have both values.
            Of a metric over a set, clips neither win nor lose, and there is no p-value.
    """

    suite: str
    condition: str
    metric: MetricInfo
    a: str
    b: str
    kbps_a: float | None
    kbps_b: float | None
    mean_a: float
    mean_b: float
    comparison: stats.Comparison
    clips: int

    @property
    def better(self) -> int:
        """+1 when b is better beyond doubt, -1 when it is worse, 0 when the data cannot say."""
        result = self.comparison
        if self.metric.higher_is_better is None or math.isnan(result.low):
            return 0
        sign = 1 if self.metric.higher_is_better else -1
        return sign * ((result.low > 0) - (result.high < 0))

    @property
    def verdict(self) -> str:
        """A sentence: which is better, by how much at least, or that it cannot be told."""
        result, metric = self.comparison, self.metric
        if abs(result.difference) < SAME and result.low == result.high:
            return "the same scores"
        if math.isnan(result.low):
            return f"{result.units} independent clip(s): too few to tell"
        if metric.higher_is_better is None:
            return "a diagnostic, neither is better"
        if self.better:
            least = min(abs(result.low), abs(result.high))
            word = "better" if self.better > 0 else "worse"
            return f"{self.b} is {word}, by at least {least:.3g}{_unit(metric)}"
        most = max(abs(result.low), abs(result.high))
        return f"not separable; any difference is below {most:.3g}{_unit(metric)}"


def compare_runs(before: ResultTable, after: ResultTable) -> list[Pair]:
    """Every operating point that both runs have, `a` = before, `b` = after.

    Raises:
        UserError: the runs have no point on a shared clip.
    """
    metrics = _metrics(before, after)
    new = by_point(latest(after.records))
    old_sets, new_sets = _sets(before), _sets(after)
    pairs = [
        pair
        for key, old in by_point(latest(before.records)).items()
        if key in new
        for pair in _paired(old, new[key], metrics, old_sets, new_sets)
    ]
    if not pairs:
        raise UserError("compare: these runs share no operating point on a shared clip.")
    return pairs


def compare_codecs(table: ResultTable, a: str, b: str) -> list[Pair]:
    """Two series of one run at neighbouring rates (within 15 %).

    Raises:
        UserError: a series is unknown, or no two points are near enough.
    """
    points = by_point(latest(table.records))
    known = sorted({records[0].series for records in points.values()})
    for name in (a, b):
        if name not in known:
            there = ", ".join(known)
            raise UserError(f"compare: no codec '{name}' in this run. There are: {there}.")
    metrics, sets = _metrics(table), _sets(table)
    pairs = [
        pair
        for key, left in points.items()
        if left[0].series == a
        for right in _nearest(left, [r for k, r in points.items() if k[:2] == key[:2]], b)
        for pair in _paired(left, right, metrics, sets, sets)
    ]
    if not pairs:
        raise UserError(f"compare: no point of '{a}' lies within 15 % of the rate of one of '{b}'.")
    return pairs


@dataclass(frozen=True)
class CurveGap:
    """The average gap between a series and the anchor's curve; `Delta.reason` says why not.

    `rate` is in per cent of bits at equal quality (negative: the series needs fewer), `gain` in
    the metric's unit at equal rate (positive: the series is better).
    """

    suite: str
    condition: str
    metric: MetricInfo
    anchor: str
    series: str
    rate: Delta
    gain: Delta


def curve_gaps(table: ResultTable, anchor: str) -> list[CurveGap]:
    """BD-rate and BD-metric of every series against `anchor`, per condition and metric."""
    metrics = [
        metric
        for metric in _metrics(table)
        if metric.higher_is_better is not None and metric.name in table.metrics
    ]
    sections: dict[tuple[str, str], dict[str, list[list[Record]]]] = {}
    for (suite, condition, _), records in by_point(latest(table.records)).items():
        if records[0].codec not in ANCHORS and records[0].payload_kbps is not None:
            section = sections.setdefault((suite, condition), {})
            section.setdefault(records[0].series, []).append(records)
    return [
        _gap(suite, condition, metric, anchor, series, section)
        for (suite, condition), section in sections.items()
        if anchor in section
        for series in section
        if series != anchor
        for metric in metrics
    ]


def _gap(
    suite: str,
    condition: str,
    metric: MetricInfo,
    anchor: str,
    series: str,
    section: Mapping[str, list[list[Record]]],
) -> CurveGap:
    units = {
        r.clip: cluster(r) for name in (anchor, series) for point in section[name] for r in point
    }
    clips = sorted(units)
    first, second = (_curve(section[name], clips, metric) for name in (anchor, series))
    clusters = [units[clip] for clip in clips]
    rate, gain = (delta(first, second, clusters, of=of) for of in ("rate", "metric"))
    return CurveGap(suite, condition, metric, anchor, series, rate, gain)


def _curve(points: Sequence[Sequence[Record]], clips: Sequence[str], metric: MetricInfo) -> Curve:
    """Every clip at every point, by ascending rate; NaN where a clip has no value."""
    sign = 1 if metric.higher_is_better else -1
    ordered = sorted(points, key=lambda point: _mean_kbps(point) or 0.0)
    kbit, quality = np.full((2, len(clips), len(ordered)), np.nan)
    duration_s = np.zeros(len(clips))
    for column, point in enumerate(ordered):
        for record in point:
            row = clips.index(record.clip)
            duration_s[row] = record.duration_s
            if record.payload_bytes is not None:
                kbit[row, column] = record.payload_bytes * 8 / 1000
            quality[row, column] = sign * value(record, metric.name)
    return Curve(kbit, quality, duration_s)


def value(record: Record, metric: str) -> float:
    """A score, NaN where there is none."""
    score = record.scores.get(metric)
    return math.nan if score is None or score.value is None else score.value


def by_point(records: Iterable[Record]) -> dict[tuple[str, str, str], list[Record]]:
    """Records of each (suite, condition, operating point), in order of first appearance."""
    points: dict[tuple[str, str, str], list[Record]] = {}
    for record in records:
        key = (record.suite, record.condition, record.point_key)
        points.setdefault(key, []).append(record)
    return points


def _paired(
    left: Sequence[Record],
    right: Sequence[Record],
    metrics: Sequence[MetricInfo],
    old: Sets,
    new: Sets,
) -> Iterator[Pair]:
    """Metrics of clips, then those over sets of them."""
    yield from _paired_clips(left, right, metrics)
    yield from _paired_sets(left, right, metrics, old, new)


def _paired_clips(
    left: Sequence[Record], right: Sequence[Record], metrics: Sequence[MetricInfo]
) -> Iterator[Pair]:
    by_clip = {record.clip: record for record in right}
    shared = [(record, by_clip[record.clip]) for record in left if record.clip in by_clip]
    if not shared:
        return
    clusters = [cluster(record) for record, _ in shared]
    for metric in metrics:
        old, new = (
            np.array([value(pair[side], metric.name) for pair in shared]) for side in (0, 1)
        )
        both = np.isfinite(old) & np.isfinite(new)
        if both.any():
            yield Pair(
                suite=left[0].suite,
                condition=left[0].condition,
                metric=metric,
                a=left[0].point_name,
                b=right[0].point_name,
                kbps_a=_mean_kbps([pair[0] for pair in shared]),
                kbps_b=_mean_kbps([pair[1] for pair in shared]),
                mean_a=float(old[both].mean()),
                mean_b=float(new[both].mean()),
                comparison=stats.compare(new, old, clusters, margin=SAME),
                clips=len(shared),
            )


def _sets(table: ResultTable) -> Sets:
    return {
        (entry.suite, *entry.key): entry
        for entries in latest_sets(table.set_scores).values()
        for entry in entries
    }


def _paired_sets(
    left: Sequence[Record],
    right: Sequence[Record],
    metrics: Sequence[MetricInfo],
    old: Sets,
    new: Sets,
) -> Iterator[Pair]:
    """Metrics over the set of the clips, where both points have the same clips in it."""
    suite, condition = left[0].suite, left[0].condition
    for metric in metrics:
        before = old.get((suite, condition, left[0].point_key, metric.name))
        after = new.get((suite, condition, right[0].point_key, metric.name))
        if before is None or after is None or not same_clips(before, after):
            continue
        if before.score.value is None or after.score.value is None:
            continue
        difference, low, high = set_difference(before, after)
        yield Pair(
            suite=suite,
            condition=condition,
            metric=metric,
            a=left[0].point_name,
            b=right[0].point_name,
            kbps_a=_mean_kbps(left),
            kbps_b=_mean_kbps(right),
            mean_a=before.score.value,
            mean_b=after.score.value,
            comparison=stats.Comparison(
                difference, low, high, math.nan, before.clips, len(before.replicates), 0, 0, 0
            ),
            clips=before.total,
        )


def same_clips(before: SetScore, after: SetScore) -> bool:
    """Whether the values of two sets can be compared: both are of the same originals."""
    return before.originals == after.originals and before.clips == after.clips


def set_difference(before: SetScore, after: SetScore) -> tuple[float, float, float]:
    """after - before and its 95 % interval, by the jackknife over the same groups of clips.

    Raises:
        ValueError: one has no value.
    """
    if before.score.value is None or after.score.value is None:
        raise ValueError("a set without a value has no difference to another")
    difference = after.score.value - before.score.value
    replicates = zip(after.replicates, before.replicates, strict=True)
    low, high = stats.jackknife_interval(difference, [new - old for new, old in replicates])
    return difference, low, high


def _nearest(
    left: Sequence[Record], candidates: Iterable[Sequence[Record]], series: str
) -> Iterator[Sequence[Record]]:
    """The point of `series` nearest in rate, if it is near at all."""
    rate = _mean_kbps(left)
    distances = [
        (abs(math.log2(other / rate)), index, point)
        for index, point in enumerate(candidates)
        if point[0].series == series and rate and (other := _mean_kbps(point))
    ]
    if distances and (nearest := min(distances))[0] <= NEAR_OCTAVES:
        yield nearest[2]


def _mean_kbps(records: Sequence[Record]) -> float | None:
    coded = [r for r in records if r.payload_bytes is not None and r.duration_s > 0]
    bits = sum((r.payload_bytes or 0) * 8 for r in coded)
    return bits / sum(r.duration_s for r in coded) / 1000 if coded and bits else None


def _metrics(*tables: ResultTable) -> list[MetricInfo]:
    known = {m.name: m for table in tables for m in metrics_of(table)}
    return list(known.values())


def _unit(metric: MetricInfo) -> str:
    return f" {metric.unit}" if metric.unit else ""
