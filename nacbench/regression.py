"""The gate: is this run worse than a baseline? Every gate passes, warns, fails or is skipped.

A skip is as visible as a failure: a gate that silently did not run reads like one that passed.
Quality is judged on paired differences with their whole interval, never on two means.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nacbench import stats
from nacbench.board import MetricInfo
from nacbench.comparison import by_point, same_clips, set_difference, value
from nacbench.errors import UserError
from nacbench.leaderboard import cluster, latest, metrics_of
from nacbench.records import Record, SetScore, Timing
from nacbench.results import ResultTable

Status = Literal["pass", "warn", "fail", "skip"]
STATUSES: tuple[Status, ...] = ("fail", "skip", "warn", "pass")  # most urgent first


class Margin(BaseModel):
    """How much worse a metric may get: in its own unit, or as a share of the baseline's mean."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    absolute: float | None = Field(default=None, ge=0)
    relative: float | None = Field(default=None, ge=0)

    def at(self, baseline: float) -> float:
        """The margin in the metric's unit."""
        if self.absolute is not None:
            return self.absolute
        return (self.relative or 0.0) * abs(baseline)


# Half of the smallest difference that the metric's own users call a difference, or less.
QUALITY_MARGINS = {
    "visqol": Margin(absolute=0.05),
    "pesq": Margin(absolute=0.05),
    "stoi": Margin(absolute=0.005),
    "estoi": Margin(absolute=0.01),
    "si_sdr": Margin(absolute=0.3),
    "snr": Margin(absolute=0.3),
    "*": Margin(relative=0.02),
}


class Policy(BaseModel):
    """What counts as a regression; every key may be set in a YAML file.

    Attributes:
        quality: metric name, or its start before a colon, or "*" -> margin.
        rate_warn, rate_fail: payload bytes over the baseline's, as a share.
        speed_warn, speed_fail: processing time over the baseline's, as a ratio.
        warnings_fail: exit 1 on warnings too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    quality: Mapping[str, Margin] = QUALITY_MARGINS
    rate_warn: float = Field(default=0.005, ge=0)
    rate_fail: float = Field(default=0.02, ge=0)
    speed_warn: float = Field(default=1.15, ge=1)
    speed_fail: float = Field(default=1.5, ge=1)
    warnings_fail: bool = False

    def margin(self, metric: str, baseline: float) -> float:
        """The margin of a metric: its own, its family's, or the default."""
        for margins in (self.quality, QUALITY_MARGINS):
            for name in (metric, metric.split(":")[0], "*"):
                if name in margins:
                    return margins[name].at(baseline)
        raise AssertionError("QUALITY_MARGINS ends with '*'")


def load_policy(path: Path) -> Policy:
    """Read a policy.

    Raises:
        UserError: not YAML, or keys and values that do not fit, all of them at once.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        return Policy.model_validate(content)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}.") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not YAML ({' '.join(str(error).split())}).") from error
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise UserError(f"{path}: {'; '.join(problems)}. See docs/ci.md.") from error


@dataclass(frozen=True)
class Gate:
    """One question and its answer.

    Attributes:
        kind: "coverage", "failures", "quality", "rate" or "speed".
        subject: the operating point, or what else it is about.
        metric: for quality and failures.
        change: candidate minus baseline in the metric's unit; a ratio minus 1 for rate and speed.
        low, high: 95 % interval of a quality change.
        limit: the margin that was applied.
        reason: one sentence.
    """

    kind: str
    status: Status
    suite: str
    condition: str
    subject: str
    reason: str
    metric: str = ""
    change: float | None = None
    low: float | None = None
    high: float | None = None
    limit: float | None = None


@dataclass(frozen=True)
class Verdict:
    """All gates, and what they come to."""

    gates: tuple[Gate, ...]
    failed_records: int
    policy: Policy

    def count(self, status: Status) -> int:
        return sum(gate.status == status for gate in self.gates)

    @property
    def exit_code(self) -> int:
        """1 for a regression, 3 for failed records without one, else 0."""
        if self.count("fail") or (self.policy.warnings_fail and self.count("warn")):
            return 1
        return 3 if self.failed_records else 0

    @property
    def sentence(self) -> str:
        counts = ", ".join(f"{self.count(s)} {s}" for s in ("fail", "warn", "skip", "pass"))
        word = {0: "No regression", 1: "Regression", 3: "Failed records"}[self.exit_code]
        return f"{word}: {counts}"


def check(candidate: ResultTable, baseline: ResultTable, policy: Policy | None = None) -> Verdict:
    """Hold a run against a baseline.

    Raises:
        UserError: the two have nothing in common.
    """
    policy = policy or Policy()
    known = metrics_of(baseline)
    metrics = [metric for metric in known if metric.name in baseline.metrics]
    old, new = (by_point(latest(table.records)) for table in (baseline, candidate))
    if not old.keys() & new.keys():
        raise UserError(
            "check: the run and the baseline share no operating point of one suite and condition. "
            "Is it the right baseline?"
        )
    gates: list[Gate] = []
    for key, before in old.items():
        gates += _point_gates(before, new.get(key, []), metrics, policy)
    gates += _set_gates(baseline, candidate, {metric.name: metric for metric in known}, policy)
    gates += _new_points(old, new)
    gates += _speed_gates(baseline, candidate, policy)
    gates.sort(key=lambda gate: STATUSES.index(gate.status))
    return Verdict(tuple(gates), len(candidate.failures), policy)


def _point_gates(
    before: Sequence[Record],
    after: Sequence[Record],
    metrics: Sequence[MetricInfo],
    policy: Policy,
) -> Iterator[Gate]:
    place = (before[0].suite, before[0].condition, before[0].point_name)
    by_clip = {record.clip: record for record in after}
    if not after:
        yield Gate("coverage", "skip", *place, "in the baseline, not in this run")
        return
    missing = [record.clip for record in before if record.clip not in by_clip]
    if missing:
        reason = f"{len(missing)} of {len(before)} clips are missing, {missing[0]} first"
        yield Gate("coverage", "fail", *place, reason)
    pairs = [(record, by_clip[record.clip]) for record in before if record.clip in by_clip]
    if not pairs:
        return
    other = sum(_source(a) != _source(b) for a, b in pairs)
    if other:
        reason = f"{other} of {len(pairs)} clips have other audio than in the baseline"
        yield Gate("coverage", "fail", *place, reason)
        return
    yield _rate_gate(pairs, place, policy)
    for metric in metrics:
        yield from _metric_gates(pairs, place, metric, policy)


def _metric_gates(
    pairs: Sequence[tuple[Record, Record]],
    place: tuple[str, str, str],
    metric: MetricInfo,
    policy: Policy,
) -> Iterator[Gate]:
    name = metric.name
    if all(name not in b.scores for _, b in pairs):
        yield Gate("quality", "skip", *place, "not scored in this run", name)
        return
    versions = {(a.versions.get(name), b.versions.get(name)) for a, b in pairs}
    changed = next(((a, b) for a, b in versions if a != b), None)
    if changed:
        reason = f"the recipe changed from {changed[0]} to {changed[1]}: set a new baseline"
        yield Gate("quality", "skip", *place, reason, name)
        return
    old, new = (np.array([value(pair[side], name) for pair in pairs]) for side in (0, 1))
    lost = np.isfinite(old) & ~np.isfinite(new)
    if lost.any():
        record = pairs[int(np.argmax(lost))][1]
        score = record.scores.get(name)
        why = score.reason if score and score.reason else "no score"
        reason = f"{int(lost.sum())} of {len(pairs)} clips lost their score, {record.clip}: {why}"
        yield Gate("failures", "fail", *place, reason, name)
    if metric.higher_is_better is not None and (np.isfinite(old) & np.isfinite(new)).any():
        yield _quality_gate(pairs, place, metric, policy, old, new)


def _quality_gate(
    pairs: Sequence[tuple[Record, Record]],
    place: tuple[str, str, str],
    metric: MetricInfo,
    policy: Policy,
    old: stats.Floats,
    new: stats.Floats,
) -> Gate:
    """Non-inferiority: the whole interval of the change must lie above the margin."""
    clusters = [cluster(a) for a, _ in pairs]
    result = stats.compare(new, old, clusters)
    margin = policy.margin(metric.name, float(np.nanmean(old)))
    both = np.isfinite(new) & np.isfinite(old)
    same = bool((new[both] == old[both]).all())
    status, reason = _judged(result.difference, (result.low, result.high), same, metric, margin)
    if status == "skip":
        reason = f"{result.units} independent clip(s): too few to judge"
    return Gate(
        "quality", status, *place, reason, metric.name,
        result.difference, result.low, result.high, margin,
    )  # fmt: skip


def _judged(
    difference: float, bounds: tuple[float, float], same: bool, metric: MetricInfo, margin: float
) -> tuple[Status, str]:
    """Status and reason of a change and its interval; a skip where there is no interval."""
    sign = 1.0 if metric.higher_is_better else -1.0
    worst, best = sorted(sign * bound for bound in bounds)
    limits = f"margin {margin:.3g}{' ' + metric.unit if metric.unit else ''}"
    spread = f"{difference:+.3g} [{bounds[0]:+.3g}, {bounds[1]:+.3g}]"
    if same:
        return "pass", "the same scores"
    if math.isnan(worst):
        return "skip", "one independent clip: too few to judge"
    if worst >= -margin:
        return "pass", f"{spread}, within the {limits}"
    if best < 0 and sign * difference < -margin:
        return "fail", f"{spread}: worse by more than the {limits}"
    return "warn", f"{spread}: may be worse than the {limits}; more clips would tell"


def _rate_gate(
    pairs: Sequence[tuple[Record, Record]], place: tuple[str, str, str], policy: Policy
) -> Gate:
    counted = [(a, b) for a, b in pairs if a.payload_bytes and b.payload_bytes is not None]
    if not counted:
        return Gate("rate", "skip", *place, "no payload was measured in both")
    old, new = (sum(pair[side].payload_bytes or 0 for pair in counted) for side in (0, 1))
    change = new / old - 1
    reason = f"{new} bytes against {old} over {len(counted)} clips: {change:+.2%}"
    status: Status = "pass"
    if change > policy.rate_fail:
        status = "fail"
    elif change > policy.rate_warn:
        status = "warn"
    return Gate("rate", status, *place, reason, change=change, limit=policy.rate_fail)


def _set_gates(
    baseline: ResultTable,
    candidate: ResultTable,
    metrics: Mapping[str, MetricInfo],
    policy: Policy,
) -> Iterator[Gate]:
    """Metrics over a set, by the jackknife of the difference over the same groups of clips."""
    new = {(entry.suite, *entry.key): entry for entry in candidate.set_scores}
    for before in baseline.set_scores:
        place = (before.suite, before.condition, before.point_name)
        after = new.get((before.suite, *before.key))
        if after is None:
            yield Gate("quality", "skip", *place, "not scored in this run", before.metric)
        elif metrics[before.metric].higher_is_better is not None:
            yield _set_gate(before, after, place, metrics[before.metric], policy)


def _set_gate(
    before: SetScore,
    after: SetScore,
    place: tuple[str, str, str],
    metric: MetricInfo,
    policy: Policy,
) -> Gate:
    name = metric.name
    versions = before.versions.get(name), after.versions.get(name)
    if versions[0] != versions[1]:
        reason = f"the recipe changed from {versions[0]} to {versions[1]}: set a new baseline"
        return Gate("quality", "skip", *place, reason, name)
    if before.score.value is None:
        return Gate("quality", "skip", *place, f"no baseline: {before.score.reason}", name)
    if after.score.value is None:
        return Gate("failures", "fail", *place, f"lost its score: {after.score.reason}", name)
    if not same_clips(before, after):
        reason = f"{after.clips} clips, not the {before.clips} of the baseline: not comparable"
        return Gate("quality", "skip", *place, reason, name)
    margin = policy.margin(name, before.score.value)
    difference, low, high = set_difference(before, after)
    status, reason = _judged(difference, (low, high), before.score == after.score, metric, margin)
    return Gate("quality", status, *place, reason, name, difference, low, high, margin)


def _new_points(
    old: Mapping[tuple[str, str, str], Sequence[Record]],
    new: Mapping[tuple[str, str, str], Sequence[Record]],
) -> Iterator[Gate]:
    for key, records in new.items():
        if key not in old:
            first = records[0]
            reason = "not in the baseline: set a new one to watch it"
            yield Gate("coverage", "skip", first.suite, first.condition, first.point_name, reason)


def _speed_gates(baseline: ResultTable, candidate: ResultTable, policy: Policy) -> Iterator[Gate]:
    new = {(timing.suite, timing.point_key): timing for timing in candidate.timings}
    for before in baseline.timings:
        place = (before.suite, "", before.point_name)
        after = new.get((before.suite, before.point_key))
        if after is None:
            yield Gate("speed", "skip", *place, "not timed in this run")
        elif after.machine != before.machine or after.threads != before.threads:
            yield Gate("speed", "skip", *place, "timed on another machine: never compared")
        else:
            for part in ("encode", "decode"):
                yield _speed_gate(part, before, after, place, policy)


def _speed_gate(
    part: str, before: Timing, after: Timing, place: tuple[str, str, str], policy: Policy
) -> Gate:
    old, new = (getattr(timing, f"{part}_rtf") for timing in (before, after))
    if not old or new is None:
        why = after.failure or before.failure or "no time"
        return Gate("speed", "skip", *place, f"{part}: {why}")
    ratio = new / old
    status: Status = "pass"
    if ratio > policy.speed_fail:
        status = "fail"
    elif ratio > policy.speed_warn:
        status = "warn"
    reason = f"{part} takes {ratio:.2f} × the baseline's time"
    return Gate("speed", status, *place, reason, change=ratio - 1, limit=policy.speed_fail - 1)


def _source(record: Record) -> Any:
    return record.hashes.get("reference")
