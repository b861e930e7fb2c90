"""Jobs one after the other in this process: for debuggers and notebooks. Nothing is survived."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping

from threadpoolctl import threadpool_limits

from nacbench.executors import Answer, Call, Failure, Handler, Job, R, Role, T
from nacbench.executors.handling import build, handle


class InlineExecutor:
    """Runs every role here. A crash or a hang of a codec is a crash or a hang of the run."""

    def __init__(self, roles: Mapping[str, Role]) -> None:
        self._roles = roles
        self._handlers: dict[str, Handler] = {}

    def map(self, job: Job[T, R], tasks: Iterable[tuple[Hashable, T]]) -> Iterator[tuple[T, R]]:
        for _, task in tasks:
            steps = job(task)
            answer: Answer | Failure | None = None
            while True:
                try:
                    call = steps.send(answer)
                except StopIteration as stop:
                    yield task, stop.value
                    break
                answer = self._call(call)

    def close(self) -> None:
        self._handlers.clear()

    def _call(self, call: Call) -> Answer | Failure:
        if call.role not in self._handlers:
            self._handlers[call.role] = build(self._roles[call.role])
        # Sums of many threads differ in the last digits: one here, as in the worker processes.
        with threadpool_limits(limits=1):
            return handle(self._handlers[call.role], call.task)
