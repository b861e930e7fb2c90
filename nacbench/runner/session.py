"""One session of a run: plan, work off what is left, append every record as it comes."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nacbench import suite as suites
from nacbench.cache import Cache, default_root
from nacbench.core import Record, Score
from nacbench.errors import UserError
from nacbench.executors import Answer, Call, Executor, Failure, Role
from nacbench.executors.inline import InlineExecutor
from nacbench.results import RecordWriter, ResultTable
from nacbench.runner import manifest as manifests
from nacbench.runner.plan import Plan, identify, locate, remaining
from nacbench.runner.work import Hearing, Task, Verdict
from nacbench.suite import Suite


class Progress:
    """What a caller is told while a run goes on. Override what you want to show."""

    def planned(self, plan: Plan) -> None:
        """The plan is made; nothing has run yet."""

    def began(self, phase: str, total: int) -> None:
        """A phase begins: "score", "time", "tokens" or "tables", of so many steps."""

    def advanced(self, what: str, failure: str | None = None) -> None:
        """One step of the phase is done; `failure` says why it has no result."""


def run(
    suite: Suite | str | Path,
    *,
    codecs: Sequence[str] = (),
    kbps: Sequence[float] = (),
    metrics: Sequence[str] = (),
    audio: str | Path | None = None,
    limit: int | None = None,
    workers: int | None = None,
    out: str | Path | None = None,
    fresh: bool = False,
    retry_failed: bool = False,
    timing: bool = True,
    cache: str | Path | None = None,
    progress: Progress | None = None,
    command: Sequence[str] | None = None,
) -> ResultTable:
    """Run a suite, or go on with a run of it that was interrupted, and return its results.

    Args:
        suite: as loaded, or a file or name for `nacbench.suite.load`, which also takes `codecs`,
            `kbps`, `metrics` and `audio`.
        limit: at most so many clips.
        workers: clips that are worked on at the same time; the machine's cores by default. 0 runs
            everything in this process, where nothing survives a crash (for debuggers).
        out: the run directory; `results/SUITE/RUN` by default.
        fresh: begin a new run and take nothing from the cache.
        retry_failed: try again what an earlier session could not code or score.
        timing: measure speed and memory afterwards.
        cache: folder of the cache; `nacbench.cache.default_root()` by default.
        command: how this was called, for the manifest.
    Raises:
        UserError: the suite has mistakes, or `out` holds another run.
    """
    if not isinstance(suite, Suite):
        suite = suites.load(suite, codecs=codecs, kbps=kbps, metrics=metrics, audio=audio)
    elif codecs or kbps or metrics or audio:
        raise UserError(
            "run: codecs, kbps, metrics and audio act while a suite is read. "
            "Give them to nacbench.suite.load, or give run the suite's name."
        )
    progress = progress or Progress()
    store = Cache(cache or default_root(), reads=not fresh)
    roles = _roles(suite, store)
    executor: Executor = InlineExecutor(roles)
    try:
        plan, table = _plan(suite, executor, limit, Path(out) if out else None, fresh, retry_failed)
        progress.planned(plan)
        if not plan.tasks and table is not None:
            return table
        manifest = manifests.describe(plan, command or manifests.python_command(), manifests.now())
        plan.directory.mkdir(parents=True, exist_ok=True)
        if table is None:
            (plan.directory / "records.jsonl").unlink(missing_ok=True)
        manifests.write(plan.directory, manifest)
        with RecordWriter(plan.directory) as writer:
            _score(plan, executor, writer, progress)
        manifests.write(plan.directory, {**manifest, "ended": manifests.now()})
    finally:
        executor.close()
    return ResultTable.load(plan.directory)


def _roles(suite: Suite, store: Cache) -> dict[str, Role]:
    """Who works: each role runs in processes of its own."""
    here = "nacbench.runner.work"
    cache = {"cache": str(store.root), "reads": store.reads}
    return {
        "survey": Role(f"{here}:Survey"),
        "encoder": Role(f"{here}:Encoder", cache),
        "judge": Role(f"{here}:Judge", {**cache, "metrics": suite.metrics}),
    }


def _plan(
    suite: Suite,
    executor: Executor,
    limit: int | None,
    out: Path | None,
    fresh: bool,
    retry_failed: bool,
) -> tuple[Plan, ResultTable | None]:
    """The plan, and what earlier sessions of the same run have left."""
    clips = suite.clips(limit)
    identity, sources = identify(suite, clips)
    directory, resumed = locate(suite, identity, out, fresh)
    surveyed, unbuildable = _survey_codecs(suite, executor)
    described = _survey_metrics(suite, executor)
    table = None
    if resumed and (directory / "records.jsonl").exists():
        table = ResultTable.load(directory)
    plan = Plan(
        suite=suite,
        run=directory.name,
        directory=directory,
        identity=identity,
        clips=clips,
        sources=sources,
        surveyed=surveyed,
        unbuildable=unbuildable,
        metrics=described,
        tasks=(),
        done=0,
    )
    versions = {point.key: plan.versions(point) for point in suite.points}
    tasks, done = remaining(suite, clips, sources, versions, table, retry_failed)
    return replace(plan, tasks=tasks, done=done), table


def _survey_codecs(
    suite: Suite, executor: Executor
) -> tuple[dict[str, Mapping[str, Any]], dict[str, str]]:
    """Point key -> what its codec says of itself, or why it cannot be made."""
    surveyed, unbuildable = {}, {}
    for point, answer in executor.map(_ask_survey, [("survey", point) for point in suite.points]):
        if isinstance(answer, Failure):
            unbuildable[point.key] = str(answer)
        else:
            surveyed[point.key] = answer.value
    return surveyed, unbuildable


def _survey_metrics(suite: Suite, executor: Executor) -> dict[str, Any]:
    ((_, answer),) = executor.map(_ask_survey, [("survey", suite.metrics)])
    if isinstance(answer, Failure):
        raise UserError(f"The metrics cannot be loaded ({answer}). Leave one out with --metric.")
    described: dict[str, Any] = answer.value
    return described


def _ask_survey(subject: Any) -> Generator[Call, Any, Answer | Failure]:
    answer: Answer | Failure = yield Call("survey", subject)
    return answer


def _score(plan: Plan, executor: Executor, writer: RecordWriter, progress: Progress) -> None:
    """Work off the plan's tasks; each record is on disk before the next is asked for."""
    progress.began("score", len(plan.tasks))
    for task in plan.tasks:
        if reason := plan.unbuildable.get(task.point.key):
            record = _failed(plan, task, reason, {})
            writer.write(record)
            progress.advanced(_label(record), record.failure)
    runnable = [
        ((task.ref.id, task.condition), task)
        for task in plan.tasks
        if task.point.key not in plan.unbuildable
    ]

    def job(task: Task) -> Generator[Call, Any, Record]:
        return code_and_score(plan, task)

    for _, record in executor.map(job, runnable):
        writer.write(record)
        progress.advanced(_label(record), record.failure)


def code_and_score(plan: Plan, task: Task) -> Generator[Call, Any, Record]:
    """One record: bytes from the cache or the encoder, then the judge's verdict on them.

    A metric that takes its process down is given up for this record only: the judge is asked
    again without it.
    """
    answer = yield Call("judge", Hearing(task))
    streams = None
    excluded: dict[str, str] = {}
    while True:
        if isinstance(answer, Failure):
            metric = answer.stage.removeprefix("score ")
            if metric == answer.stage:
                return _failed(plan, task, str(answer), answer.facts)
            excluded[metric] = str(answer)
        elif answer.value is not None:
            return _record(plan, task, answer.value)
        elif streams is None:
            encoded = yield Call("encoder", task)
            if isinstance(encoded, Failure):
                return _failed(plan, task, str(encoded), encoded.facts)
            streams = encoded.value
        answer = yield Call("judge", Hearing(task, streams, excluded))


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


def _label(record: Record) -> str:
    return f"{record.series} {record.setting}: {record.clip}"
