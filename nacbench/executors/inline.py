"""Jobs one after the other in this process: for debuggers and notebooks. Nothing is survived."""

from __future__ import annotations

import importlib
import time
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any

from nacbench.executors import Answer, Call, Failure, Handler, Job, R, Role, T


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
        return handle(self._handlers[call.role], call.task)


def build(role: Role) -> Handler:
    module, _, name = role.target.partition(":")
    handler: Handler = getattr(importlib.import_module(module), name)(**role.arguments)
    return handler


def handle(handler: Handler, task: Any, announce: Any = None) -> Answer | Failure:
    """Run one task, timing its stages; `announce(name, facts)` hears of each as it begins."""
    current, since = "start", time.perf_counter()
    seconds: dict[str, float] = {}
    known: dict[str, Any] = {}

    def stage(name: str, **facts: Any) -> None:
        nonlocal current, since
        now = time.perf_counter()
        seconds[current] = seconds.get(current, 0.0) + now - since
        current, since = name, now
        known.update(facts)
        if announce is not None:
            announce(name, facts)

    try:
        value = handler(task, stage)
    except (Exception, SystemExit) as error:
        return Failure(current, describe(error), facts=known)
    seconds[current] = seconds.get(current, 0.0) + time.perf_counter() - since
    return Answer(value, seconds)


def describe(error: BaseException) -> str:
    """One line about an exception, as a record's reason."""
    text = " ".join(str(error).split())
    name = type(error).__name__
    if name in ("DecodeError", "UserError", "CodecUnavailableError", "UnscorableError") and text:
        return text
    return f"{name}: {text}" if text else name
