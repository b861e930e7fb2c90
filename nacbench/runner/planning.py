"""What a run has to do, before any of it is done: directory, versions, tasks, what is finished."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nacbench.cache import Cache
from nacbench.core import ClipRef, OperatingPoint
from nacbench.identity import Sources, digest
from nacbench.records import Record
from nacbench.results import ResultTable
from nacbench.runner.work import BENCH_VERSIONS, Task
from nacbench.suite import Suite


@dataclass(frozen=True)
class Plan:
    """Everything that is settled before the first clip is coded.

    Attributes:
        run: name of the run.            directory: where it is written.
        identity: hash of suite, selection and clips; a directory is resumed when it matches.
        clips: with `sources`, clip id -> what its file holds.
        points: operating points; `surveyed` their codecs' versions and abilities by key.
        unbuildable: point key -> why its codec cannot even be made.
        metrics: recipe -> version, unit, direction, rate, source; set_metrics: those over sets.
        tasks: what is still to be done, in the suite's order.
        done: records that count already.         total: done and to do.
        earlier: what earlier sessions of the run have left; None for a new run.
        workers: clips worked on at the same time; 0: all in this process.
        machine: fingerprint of this machine.
        retry_failed: do again what an earlier session could not code, score or compare.
        untimed: points whose speed is still to be measured here.
        untallied: points whose tokens are still to be counted.
        uncompared: sets of clips that a metric over sets is still to be asked about.
        estimate_s: wall time of the tasks, from the pace of earlier runs; None without any.
    """

    suite: Suite
    run: str
    directory: Path
    identity: str
    clips: Sequence[ClipRef]
    sources: Mapping[str, str]
    surveyed: Mapping[str, Mapping[str, Any]]
    unbuildable: Mapping[str, str]
    metrics: Mapping[str, Mapping[str, Any]]
    set_metrics: Mapping[str, Mapping[str, Any]]
    tasks: Sequence[Task]
    done: int
    earlier: ResultTable | None
    cache: Cache
    workers: int
    machine: str
    retry_failed: bool = False
    untimed: Sequence[OperatingPoint] = ()
    untallied: Sequence[OperatingPoint] = ()
    uncompared: int = 0
    estimate_s: float | None = None

    @property
    def total(self) -> int:
        return self.done + len(self.tasks)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do at all."""
        left = self.tasks or self.untimed or self.untallied or self.uncompared
        return not left and self.earlier is not None

    def all_tasks(self, point: OperatingPoint) -> list[Task]:
        """Every clip under every condition through one point, done or not."""
        codec = self.versions(point)["codec"]
        return [
            Task(ref, condition.name, condition.spec, self.suite.seed, point, codec)
            for ref in self.clips
            for condition in self.suite.conditions
        ]

    @property
    def conditions(self) -> list[str]:
        return [condition.name for condition in self.suite.conditions]

    def versions(self, point: OperatingPoint) -> dict[str, str]:
        """`Record.versions` of a record made now."""
        codec = self.surveyed.get(point.key, {}).get("version", "")
        metrics = {name: str(about["version"]) for name, about in self.metrics.items()}
        return {"codec": codec, "bench": " ".join(BENCH_VERSIONS), **metrics}


def locate(suite: Suite, identity: str, results: Path, fresh: bool) -> tuple[Path, bool]:
    """The run directory below `results`, and whether it holds a run to go on with.

    The newest one of the same identity, or a new one named by the time at which it was begun and
    the identity, so that names sort by age.
    """
    parent = results / suite.name
    if not fresh:
        for directory in sorted(parent.glob(f"*-{identity[:8]}"), reverse=True):
            held = _identity_in(directory)
            if held == identity or (held is None and not (directory / "records.jsonl").exists()):
                return directory, True  # the latter was killed before it had begun
    begun = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d-%H%M%S")
    return parent / f"{begun}-{identity[:8]}", False


def _identity_in(directory: Path) -> str | None:
    try:
        content = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
        return str(content["identity"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def identify(suite: Suite, clips: Sequence[ClipRef], cache: Cache) -> tuple[str, dict[str, str]]:
    """Identity of a run, and clip id -> what its file holds.

    In it: the suite, the clips' content and that of the recordings which its conditions add. Not in
    it: what is installed, and in which version; when that changes, the run goes on in the same
    directory, and only what is new or outdated is done.
    """
    key = digest("files", str(Path.cwd()))
    known = Sources(cache.get_json("files", key))
    contents = {ref.id: known.of(ref) for ref in clips}
    added = [
        [known.of(ref) for ref in getattr(condition, "recordings", list)()]
        for condition in suite.conditions
    ]
    if known.changed:
        cache.put_json("files", key, known.seen)
    return digest("run", suite.sha256, contents, added), contents


def remaining(plan: Plan, retry_failed: bool) -> tuple[list[Task], int]:
    """Tasks without those that a record of today's versions covers; the number of the others.

    Clip by clip, as the suite lists them, so that what is prepared for a clip is used again.
    """
    records = plan.earlier.records if plan.earlier else ()
    finished = {record.key: record for record in records}
    place = {ref.id: number for number, ref in enumerate(plan.clips)}
    tasks, done = [], 0
    for point in plan.suite.points:
        wanted = plan.versions(point)
        for task in plan.all_tasks(point):
            record = finished.get((task.ref.id, task.condition, point.key))
            if record and _counts(record, wanted, plan.sources[task.ref.id], retry_failed):
                done += 1
            else:
                tasks.append(task)
    return sorted(tasks, key=lambda task: place[task.ref.id]), done


def _counts(record: Record, versions: Mapping[str, str], source: str, retry_failed: bool) -> bool:
    """Whether a record is what a run of today would write."""
    if retry_failed and not (record.failure is None and all(s.ok for s in record.scores.values())):
        return False
    same = all(record.versions.get(name) == version for name, version in versions.items())
    return same and record.hashes.get("source") == source
