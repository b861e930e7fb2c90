"""Metrics over a set: all clips of one condition at one operating point, once these are coded.

A clip's embeddings are kept in the cache, a set's value is a line of its own in `records.jsonl`. So
a run that was stopped in the middle goes on with the set at which it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nacbench import alignment, audio, coding
from nacbench.cache import Cache
from nacbench.core import Bitstream, OperatingPoint, Score
from nacbench.executors import Call, Executor, Failure, Stage
from nacbench.identity import digest
from nacbench.leaderboard import cluster
from nacbench.records import Record, SetScore
from nacbench.results import ResultTable
from nacbench.runner.planning import Plan
from nacbench.runner.work import (
    BENCH_VERSIONS,
    Conditioned,
    Task,
    damaged,
    decode,
    streams_key,
)
from nacbench.scoring import Rows, SetResult, SetScorer

Embedded = tuple[Rows, Rows] | str  # of original and decoded audio, or why there is none


@dataclass(frozen=True)
class Set:
    """The clips of one condition at one point that metrics are to be asked about.

    Attributes:
        records: every clip's, failed ones too, by name.
        metrics: recipes of which today's version has not been asked yet.
    """

    point: OperatingPoint
    condition: str
    records: Sequence[Record]
    metrics: Sequence[str]

    @property
    def name(self) -> str:
        return f"{self.point.name}: {self.condition}"

    @property
    def coded(self) -> list[Record]:
        return [record for record in self.records if record.failure is None]

    @property
    def pairs(self) -> str:
        compared = ("reference", "decoded")
        return digest(
            "pairs",
            [[r.clip, cluster(r), *(r.hashes[part] for part in compared)] for r in self.coded],
        )

    @property
    def originals(self) -> str:
        return digest("originals", [[r.clip, r.hashes["reference"]] for r in self.coded])


@dataclass(frozen=True)
class Question:
    """Embed one pair, named by the hashes of what its record compared.

    Attributes:
        streams: from the encoder, once the worker has said that it needs them.
    """

    task: Task
    metrics: Sequence[str]
    reference: str
    decoded: str
    streams: tuple[Bitstream, ...] | None = None


@dataclass(frozen=True)
class Comparison:
    """Compare a set of embedded pairs."""

    metric: str
    pairs: Sequence[tuple[Rows, Rows]]
    clusters: Sequence[Hashable]


class SetJudge:
    """Question -> recipe -> Embedded, None where streams are needed; Comparison -> SetResult."""

    def __init__(self, cache: str, reads: bool, metrics: tuple[str, ...]) -> None:
        self._kept = Cache(cache, reads)
        self._coded = Cache(cache)  # of a fresh run too: it has just written them itself
        self._references = Conditioned()
        self._scorer = SetScorer(metrics)

    def __call__(
        self, question: Question | Comparison, stage: Stage
    ) -> dict[str, Embedded] | SetResult | None:
        if isinstance(question, Comparison):
            stage(f"compare {question.metric}")
            return self._scorer.compare(question.metric, question.pairs, question.clusters)
        found: dict[str, Embedded] = {}
        for name in question.metrics:
            rows = [self._kept.get_array("embedding", key) for key in self._keys(name, question)]
            if rows[0] is not None and rows[1] is not None:
                found[name] = rows[0], rows[1]
        unknown = [name for name in question.metrics if name not in found]
        new = self._embedded(question, unknown, stage) if unknown else {}
        return None if new is None else found | new

    def _embedded(
        self, question: Question, metrics: Sequence[str], stage: Stage
    ) -> dict[str, Embedded] | None:
        task = question.task
        reference, sha256 = self._references.get(task, stage)
        streams = question.streams or self._coded.get_streams(streams_key(task, sha256))
        if streams is None:
            return None
        stage("decode")
        codec = coding.build(task.point.codec, task.point.options)
        decoded = decode(self._coded, task, codec, damaged(task, streams), reference)
        if (sha256, audio.sha256(decoded)) != (question.reference, question.decoded):
            reason = "the same clip gave other audio than when it was scored"
            return dict.fromkeys(metrics, reason)
        stage("align")
        aligned, _ = alignment.align(reference, decoded)
        found: dict[str, Embedded] = {}
        for name in metrics:
            stage(f"embed {name}")
            found[name] = rows = self._scorer.embed(name, reference, aligned)
            if not isinstance(rows, str):  # reasons may be of this moment: never kept
                for key, side in zip(self._keys(name, question), rows, strict=True):
                    self._kept.put_array("embedding", key, side)
        return found

    def _keys(self, name: str, question: Question) -> tuple[str, str]:
        recipe = f"{name} {self._scorer.versions[name]}"
        pair = (question.reference, question.decoded)
        return (
            digest("embedding", recipe, audio.RESAMPLER, pair[0]),
            digest("embedding", recipe, *BENCH_VERSIONS, *pair),
        )


def uncompared(plan: Plan) -> int:
    """How many sets metrics are still to be asked about; all of them while clips are uncoded."""
    if not plan.set_metrics:
        return 0
    if plan.tasks or plan.earlier is None:
        return len(plan.suite.points) * len(plan.suite.conditions)
    return len(todo(plan, plan.earlier))


def todo(plan: Plan, table: ResultTable) -> list[Set]:
    """Every set with a metric that has not been asked, or was asked about something else."""
    answered = {entry.key: entry for entry in table.set_scores}
    records: dict[tuple[str, str], list[Record]] = {}
    for record in table.records:
        records.setdefault((record.condition, record.point_key), []).append(record)
    sets = []
    for point in plan.suite.points:
        for condition in plan.conditions:
            own = sorted(records.get((condition, point.key), ()), key=lambda record: record.clip)
            whole = Set(point, condition, own, tuple(plan.set_metrics))
            left = [
                name
                for name in plan.set_metrics
                if not _counts(plan, whole, answered.get((condition, point.key, name)), name)
            ]
            if own and left:
                sets.append(replace(whole, metrics=left))
    return sets


def _counts(plan: Plan, clips: Set, entry: SetScore | None, metric: str) -> bool:
    """Whether an entry is what a run of today would write."""
    if entry is None or (plan.retry_failed and not entry.score.ok):
        return False
    same = entry.pairs == clips.pairs and entry.total == len(clips.records)
    return same and entry.versions == _versions(plan, clips.point, metric)


def _versions(plan: Plan, point: OperatingPoint, metric: str) -> dict[str, str]:
    about: Mapping[str, Any] = plan.set_metrics[metric]
    return {
        "codec": plan.versions(point)["codec"],
        "bench": " ".join(BENCH_VERSIONS),
        metric: str(about["version"]),
    }


def compared(plan: Plan, clips: Set, executor: Executor) -> Iterator[SetScore]:
    """One entry per metric that is to be asked about a set."""
    tasks = {
        task.ref.id: task
        for task in plan.all_tasks(clips.point)
        if task.condition == clips.condition
    }
    questions = [
        (r.clip, Question(tasks[r.clip], clips.metrics, r.hashes["reference"], r.hashes["decoded"]))
        for r in clips.coded
    ]
    answers = {question.task.ref.id: answer for question, answer in executor.map(_ask, questions)}
    for metric in clips.metrics:
        pairs, units = [], []
        left_out = Counter(r.failure for r in clips.records if r.failure is not None)
        for record in clips.coded:
            answer = answers[record.clip]
            embedded = str(answer) if isinstance(answer, Failure) else answer[metric]
            if isinstance(embedded, str):
                left_out[embedded] += 1
            else:
                pairs.append(embedded)
                units.append(cluster(record))
        comparison = Comparison(metric, pairs, units)
        ((_, result),) = executor.map(_compare, [(metric, comparison)])
        if isinstance(result, Failure):
            result = SetResult(Score(reason=str(result)))
        yield SetScore(
            run=plan.run,
            suite=plan.suite.name,
            condition=clips.condition,
            codec=clips.point.codec,
            options=clips.point.options,
            series=clips.point.series,
            setting=clips.point.setting,
            metric=metric,
            score=result.score,
            clips=len(pairs),
            total=len(clips.records),
            pairs=clips.pairs,
            originals=clips.originals,
            versions=_versions(plan, clips.point, metric),
            low=result.low,
            high=result.high,
            replicates=result.replicates,
            left_out=dict(left_out),
        )


def _ask(question: Question) -> Generator[Call, Any, Mapping[str, Embedded] | Failure]:
    """A pair's embeddings; coded again where the cache was pruned."""
    answer = yield Call("sets", question)
    if not isinstance(answer, Failure) and answer.value is None:
        encoded = yield Call("encoder", question.task)
        if isinstance(encoded, Failure):
            return encoded
        answer = yield Call("sets", replace(question, streams=encoded.value.streams))
    if isinstance(answer, Failure):
        return answer
    found: Mapping[str, Embedded] = answer.value
    return found


def _compare(comparison: Comparison) -> Generator[Call, Any, SetResult | Failure]:
    answer = yield Call("sets", comparison)
    if isinstance(answer, Failure):
        return answer
    result: SetResult = answer.value
    return result
