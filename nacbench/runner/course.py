"""How one record comes about: bytes, then a verdict on them, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

from nacbench.core import Score
from nacbench.executors import Call, Failure
from nacbench.records import Record
from nacbench.runner.pace import Pace, duration_s
from nacbench.runner.planning import Plan
from nacbench.runner.work import Hearing, Task, Verdict


def code_and_score(plan: Plan, task: Task, pace: Pace) -> Generator[Call, Any, Record]:
    """One record: bytes from the cache or the encoder, then the judge's verdict on them.

    A metric that takes its process down is given up for this record only: the judge is asked
    again without it.
    """
    if reason := plan.unbuildable.get(task.point.key):
        return _failed(plan, task, reason, {})
    answer = yield Call("judge", Hearing(task))
    streams = None
    notes: tuple[str, ...] = ()
    excluded: dict[str, str] = {}
    while True:
        if isinstance(answer, Failure):
            metric = answer.stage.removeprefix("score ")
            if metric == answer.stage:
                return _failed(plan, task, str(answer), answer.facts)
            excluded[metric] = str(answer)
        elif answer.value is not None:
            pace.learn(task, answer.seconds, answer.value.facts["duration_s"])
            return _record(plan, task, answer.value)
        elif streams is None:
            encoded = yield Call("encoder", task)
            if isinstance(encoded, Failure):
                return _failed(plan, task, str(encoded), encoded.facts)
            streams, notes = encoded.value.streams, encoded.value.notes
            pace.learn(task, encoded.seconds, duration_s(task.ref))
        answer = yield Call("judge", Hearing(task, streams, notes, excluded))


def _record(plan: Plan, task: Task, verdict: Verdict) -> Record:
    return Record(
        **_shared(plan, task, verdict.facts),
        scores=verdict.scores,
        nominal_kbps=verdict.nominal_kbps,
        payload_bytes=verdict.payload_bytes,
        container_bytes=verdict.container_bytes,
        alignment=verdict.alignment,
        si_sdr_raw_db=verdict.si_sdr_raw_db,
        hashes={
            "source": plan.sources[task.ref.id],
            "reference": verdict.facts["reference"],
            "payload": verdict.payload_sha256,
            "decoded": verdict.decoded_sha256,
        },
        notes=verdict.notes,
    )


def _failed(plan: Plan, task: Task, reason: str, facts: Mapping[str, Any]) -> Record:
    return Record(
        **_shared(plan, task, facts),
        scores={name: Score(reason=reason) for name in plan.metrics},
        failure=reason,
        hashes={"source": plan.sources[task.ref.id]},
    )


def _shared(plan: Plan, task: Task, facts: Mapping[str, Any]) -> dict[str, Any]:
    """What a record says whether or not the clip could be coded. Zeros: it could not be read."""
    point = task.point
    return {
        "run": plan.run,
        "suite": plan.suite.name,
        "clip": task.ref.id,
        "condition": task.condition,
        "tags": facts.get("tags", task.ref.tags),
        "seed": task.seed,
        "duration_s": facts.get("duration_s", 0.0),
        "sample_rate_hz": facts.get("sample_rate_hz", 0),
        "channels": facts.get("channels", 0),
        "codec": point.codec,
        "options": point.options,
        "series": point.series,
        "setting": point.setting,
        "versions": plan.versions(point),
    }
