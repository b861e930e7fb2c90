"""One session of a run: plan, work off what is left, append every record as it comes."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from nacbench import suite as suites
from nacbench.cache import Cache, default_root, limit_bytes
from nacbench.core import OperatingPoint
from nacbench.errors import UserError
from nacbench.executors import Answer, Call, Executor, Failure, Limits, Role
from nacbench.executors.inline import InlineExecutor
from nacbench.executors.local import LocalExecutor
from nacbench.records import Record, Timing
from nacbench.report import build
from nacbench.results import RecordWriter, ResultTable
from nacbench.runner import manifest as manifests
from nacbench.runner import sets, tokens
from nacbench.runner import timing as timing_pass
from nacbench.runner.course import code_and_score
from nacbench.runner.pace import Pace
from nacbench.runner.planning import Plan, identify, locate, remaining
from nacbench.runner.work import Task
from nacbench.suite import Suite


class Progress:
    """What a caller is told while a run goes on. Override what you want to show."""

    def planned(self, plan: Plan) -> None:
        """The plan is made; nothing has run yet."""

    def began(self, phase: str, total: int) -> None:
        """A phase begins: "score", "tokens", "sets", "time" or "tables", of so many steps."""

    def advanced(self, what: str, failure: str | None = None) -> None:
        """One step of the phase is done; `failure` says why it has no result."""


def run(
    suite: Suite | str | Path,
    *,
    codecs: Sequence[str] = (),
    kbps: Sequence[float] = (),
    metrics: Sequence[str] = (),
    audio: str | Path | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> ResultTable:
    """Run a suite, or go on with a run of it that was interrupted, and return its results.

    Args:
        suite: as loaded, or a file or name for `nacbench.suite.load`, which also takes `codecs`,
            `kbps`, `metrics` and `audio`.
        progress: is told of the plan and of every step.
        options: of `plan`: limit, workers, out, fresh, retry_failed, timing, cache.
    Raises:
        UserError: the suite has mistakes, or its clips or metrics are not there.
    """
    if not isinstance(suite, Suite):
        suite = suites.load(suite, codecs=codecs, kbps=kbps, metrics=metrics, audio=audio)
    elif codecs or kbps or metrics or audio:
        raise UserError(
            "run: codecs, kbps, metrics and audio act while a suite is read. "
            "Give them to nacbench.suite.load, or give run the suite's name."
        )
    progress = progress or Progress()
    settled = plan(suite, **options)
    progress.planned(settled)
    return execute(settled, progress)


def plan(
    suite: Suite,
    *,
    limit: int | None = None,
    workers: int | None = None,
    out: str | Path | None = None,
    fresh: bool = False,
    retry_failed: bool = False,
    timing: bool = True,
    cache: str | Path | None = None,
) -> Plan:
    """Find out what a run has to do: nothing is coded and nothing is written yet.

    Args:
        limit: at most so many clips.
        workers: clips that are worked on at the same time; the machine's cores by default. 0 runs
            everything in this process, where nothing survives a crash (for debuggers).
        out: where runs are kept, `results` by default; this one goes to `OUT/SUITE/RUN`.
        fresh: begin a new run and take nothing from the cache.
        retry_failed: do again what an earlier session could not code or score.
        timing: measure speed and memory afterwards.
        cache: folder of the cache; `nacbench.cache.default_root()` by default.
    """
    clips = suite.clips(limit)
    store = Cache(cache or default_root(), reads=not fresh)
    identity, sources = identify(suite, clips, store)
    directory, resumed = locate(suite, identity, Path(out or "results"), fresh)
    earlier = None
    if resumed and (directory / "records.jsonl").exists():
        earlier = ResultTable.load(directory)
    draft = Plan(
        suite=suite,
        run=directory.name,
        directory=directory,
        identity=identity,
        clips=clips,
        sources=sources,
        surveyed={},
        unbuildable={},
        metrics={},
        set_metrics={},
        retry_failed=retry_failed,
        tasks=(),
        done=0,
        earlier=earlier,
        cache=store,
        workers=_cores() if workers is None else workers,
        machine=manifests.machine()["fingerprint"],
    )
    executor = _executor(draft, lanes=1)
    try:
        surveyed, unbuildable = _survey_codecs(suite, executor)
        draft = replace(draft, surveyed=surveyed, unbuildable=unbuildable)
        draft = replace(draft, metrics=_survey_metrics(suite.metrics, executor))
        draft = replace(draft, set_metrics=_survey_metrics(suite.set_metrics, executor))
    finally:
        executor.close()
    tasks, done = remaining(draft, retry_failed)
    draft = replace(draft, tasks=tasks, done=done)
    draft = replace(draft, untimed=timing_pass.untimed(draft, retry_failed) if timing else ())
    draft = replace(draft, untallied=tokens.untallied(draft))
    draft = replace(draft, uncompared=sets.uncompared(draft))
    pace = Pace(draft.cache, draft.machine)
    return replace(
        draft, estimate_s=pace.estimate_s(tasks, draft.metrics, draft.workers) if tasks else None
    )


def execute(plan: Plan, progress: Progress | None = None) -> ResultTable:
    """Do what a plan says, and return all results of the run.

    May be interrupted at any moment: what is finished is on the disk, and the next plan of the
    same suite goes on from there.
    """
    progress = progress or Progress()
    if plan.idle:
        manifests.update(plan)
    else:
        plan.directory.mkdir(parents=True, exist_ok=True)
        with RecordWriter(plan.directory) as writer:
            manifest = manifests.begin(plan)
            _score(plan, writer, progress)
            _count_tokens(plan, writer, progress)
            _compare_sets(plan, writer, progress)
            _time(plan, writer, progress)
        manifests.end(plan, manifest)
        plan.cache.prune(limit_bytes=limit_bytes())
    table = ResultTable.load(plan.directory)
    build.refresh(table, plan.directory)
    return table


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _executor(plan: Plan, lanes: int, threads: int = 1) -> Executor:
    """Who works: each role runs in processes of its own."""
    here = "nacbench.runner.work"
    cache = {"cache": str(plan.cache.root), "reads": plan.cache.reads}
    roles = {
        "survey": Role(f"{here}:Survey"),
        "encoder": Role(f"{here}:Encoder", cache),
        "judge": Role(f"{here}:Judge", {**cache, "metrics": plan.suite.metrics}),
        "tokens": Role("nacbench.runner.tokens:TokenCounter", cache),
        "sets": Role("nacbench.runner.sets:SetJudge", {**cache, "metrics": plan.suite.set_metrics}),
        "timer": Role("nacbench.runner.timing:Timer", per_group=True),
    }
    if plan.workers == 0:
        return InlineExecutor(roles)
    limits = Limits(plan.suite.limits.seconds, plan.suite.limits.memory_mb)
    numba = os.environ.get("NUMBA_CACHE_DIR") or str(plan.cache.root.absolute() / "numba")
    return LocalExecutor(roles, lanes, limits, {"NUMBA_CACHE_DIR": numba}, threads)


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


def _survey_metrics(names: Sequence[str], executor: Executor) -> dict[str, Any]:
    if not names:
        return {}
    ((_, answer),) = executor.map(_ask_survey, [("survey", tuple(names))])
    if isinstance(answer, Failure):
        raise UserError(f"The metrics cannot be loaded ({answer}). Leave one out with --metric.")
    described: dict[str, Any] = answer.value
    return described


def _ask_survey(subject: Any) -> Generator[Call, Any, Answer | Failure]:
    answer: Answer | Failure = yield Call("survey", subject)
    return answer


def _score(plan: Plan, writer: RecordWriter, progress: Progress) -> None:
    """Work off the plan's tasks; each record is on the disk before the next is waited for."""
    if not plan.tasks:
        return
    progress.began("score", len(plan.tasks))
    pace = Pace(plan.cache, plan.machine)
    tasks = [((task.ref.id, task.condition), task) for task in plan.tasks]

    def job(task: Task) -> Generator[Call, Any, Record]:
        return code_and_score(plan, task, pace)

    with closing(_executor(plan, plan.workers)) as executor:
        try:
            for _, record in executor.map(job, tasks):
                writer.write(record)
                what = f"{record.point_name}: {record.clip}"
                progress.advanced(what, record.failure)
        finally:
            pace.save()


def _count_tokens(plan: Plan, writer: RecordWriter, progress: Progress) -> None:
    if not plan.untallied:
        return
    progress.began("tokens", len(plan.untallied))
    with closing(_executor(plan, plan.workers)) as executor:
        for point in plan.untallied:
            tasks = [(task.ref.id, task) for task in plan.all_tasks(point)]
            # In one order: sums of durations differ in their last bits in another.
            answers = sorted(
                executor.map(tokens.tally, tasks), key=lambda a: (a[0].ref.id, a[0].condition)
            )
            tallies = [tally for _, tally in answers]
            use, failure = tokens.summarise(plan, point, tallies)
            if use is not None:
                writer.write(use)
            progress.advanced(point.name, failure)


def _compare_sets(plan: Plan, writer: RecordWriter, progress: Progress) -> None:
    """Metrics over the clips of a condition and point, from what is on the disk of each clip."""
    if not plan.uncompared:
        return
    todo = sets.todo(plan, ResultTable.load(plan.directory))
    progress.began("sets", len(todo))
    with closing(_executor(plan, plan.workers)) as executor:
        for clips in todo:
            reason = None
            for entry in sets.compared(plan, clips, executor):
                writer.write(entry)
                reason = reason or entry.score.reason
            progress.advanced(clips.name, reason)


def _time(plan: Plan, writer: RecordWriter, progress: Progress) -> None:
    """One operating point after the other, while nothing else of ours runs."""
    if not plan.untimed:
        return
    progress.began("time", len(plan.untimed))

    def job(point: OperatingPoint) -> Generator[Call, Any, Timing]:
        return timing_pass.measure(plan, point)

    points = [(point.codec, point) for point in plan.untimed]
    with closing(_executor(plan, 1, plan.suite.timing.threads)) as executor:
        for _, timing in executor.map(job, points):
            writer.write(timing)
            progress.advanced(timing.point_name, timing.failure)
