"""Worker processes on this machine that may crash, hang or eat memory, one task at a time.

`ProcessPoolExecutor` is no base for this: one crash breaks the whole pool, and with
`max_tasks_per_child` it was seen to deadlock (Python 3.11.7). Here each process has a pipe of its
own, so what dies takes only its own task along.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any, Generic

from nacbench.executors import Answer, Call, Failure, Job, Limits, R, Role, T
from nacbench.executors.process import WorkerProcess

NO_CALL = Call("", None)
POLL_S = 0.05  # how often limits are checked; an eater of memory overshoots by what it gets then


class LocalExecutor:
    """Lanes of processes: each lane works on one job at a time and has one process per role.

    Args:
        roles: how the processes are made.        lanes: jobs at the same time.
        limits: per stage of a task, and per process.
        environment: variables for the processes, on top of one thread each.
        threads: that a library in a process may use.
    """

    def __init__(
        self,
        roles: Mapping[str, Role],
        lanes: int,
        limits: Limits,
        environment: Mapping[str, str] | None = None,
        threads: int = 1,
    ) -> None:
        if lanes < 1:
            raise ValueError(f"lanes must be at least 1, got {lanes}")
        self._roles = roles
        self._limits = limits
        self._environment = dict(environment or {})
        self._threads = threads
        self._lanes: list[_Lane[Any]] = [_Lane() for _ in range(lanes)]

    def map(self, job: Job[T, R], tasks: Iterable[tuple[Hashable, T]]) -> Iterator[tuple[T, R]]:
        queue = _Queue(tasks)
        busy: dict[Connection, _Lane[T]] = {}
        try:
            for lane in self._lanes:
                yield from self._work(lane, job, queue, busy)
            while busy:
                for ready in wait(list(busy), timeout=POLL_S):
                    lane = busy[ready]  # type: ignore[index]
                    answer = lane.worker.receive()
                    if answer is not None:
                        yield from self._answered(lane, answer, job, queue, busy)
                for lane in list(busy.values()):
                    failure = lane.worker.overdrawn(self._limits)
                    if failure is not None:
                        yield from self._answered(lane, failure, job, queue, busy)
        finally:
            for lane in busy.values():  # interrupted: what they do is of no use to anybody
                lane.discard()
                lane.steps = None

    def close(self) -> None:
        for lane in self._lanes:
            for worker in lane.workers.values():
                worker.end()
            lane.workers.clear()

    def _answered(
        self,
        lane: _Lane[T],
        answer: Answer | Failure,
        job: Job[T, R],
        queue: _Queue[T],
        busy: dict[Connection, _Lane[T]],
    ) -> Iterator[tuple[T, R]]:
        worker = lane.worker
        busy.pop(worker.pipe)
        if isinstance(answer, Failure) and answer.how != "raised":
            lane.discard()
            # It may have died of what an earlier task left behind. A fresh process decides.
            if worker.answered and answer.how != "hung":
                self._begin(lane, busy)
                return
        yield from self._work(lane, job, queue, busy, answer)

    def _work(
        self,
        lane: _Lane[T],
        job: Job[T, R],
        queue: _Queue[T],
        busy: dict[Connection, _Lane[T]],
        answer: Answer | Failure | None = None,
    ) -> Iterator[tuple[T, R]]:
        """Drive a lane's jobs until one has to wait for a process, or there are none left."""
        while True:
            if lane.steps is None:
                found = queue.next(lane)
                if found is None:
                    return
                lane.group, lane.task = found
                lane.steps, answer = job(lane.task), None
            try:
                lane.call = lane.steps.send(answer)
            except StopIteration as stop:
                lane.steps = None
                yield lane.task, stop.value
                continue
            self._begin(lane, busy)
            return

    def _begin(self, lane: _Lane[T], busy: dict[Connection, _Lane[T]]) -> None:
        """Hand the lane's call to the process of its role, a new one if need be."""
        role = self._roles[lane.call.role]
        worker = lane.workers.get(lane.call.role)
        if worker is not None and role.per_group and worker.group != lane.group:
            worker.end()
            worker = None
        if worker is None:
            worker = WorkerProcess(role, lane.group, self._environment, self._threads)
            lane.workers[lane.call.role] = worker
        worker.begin(lane.call.task)
        busy[worker.pipe] = lane


@dataclass(eq=False)
class _Lane(Generic[T]):
    """One job in progress, and the processes that serve this lane."""

    workers: dict[str, WorkerProcess] = field(default_factory=dict)
    steps: Generator[Call, Any, Any] | None = None
    group: Hashable = None
    task: T = None  # type: ignore[assignment]
    call: Call = NO_CALL

    @property
    def worker(self) -> WorkerProcess:
        return self.workers[self.call.role]

    def discard(self) -> None:
        self.workers.pop(self.call.role).end()


class _Queue(Generic[T]):
    """Tasks by group: a lane keeps to its group, takes a new one, then half of the fullest."""

    def __init__(self, tasks: Iterable[tuple[Hashable, T]]) -> None:
        groups: dict[Hashable, deque[tuple[Hashable, T]]] = {}
        for group, task in tasks:
            groups.setdefault(group, deque()).append((group, task))
        self._untouched = deque(groups.values())
        self._taken: dict[_Lane[T], deque[tuple[Hashable, T]]] = {}

    def next(self, lane: _Lane[T]) -> tuple[Hashable, T] | None:
        own = self._taken.get(lane)
        if not own:
            own = self._taken[lane] = self._untouched.popleft() if self._untouched else self._half()
        return own.popleft() if own else None

    def _half(self) -> deque[tuple[Hashable, T]]:
        fullest = max(self._taken.values(), key=len, default=deque())
        return deque([fullest.pop() for _ in range((len(fullest) + 1) // 2)][::-1])
