"""How jobs are spread over processes, and what comes back when one of them dies.

A job is a generator: it yields `Call`s, gets what the called role answered, and returns its
result. It reads like a straight program although each call may run in another process, and a crash
arrives as a `Failure` value at the very place where the job can decide what it costs:

    def job(task):
        streams = yield Call("encoder", task)
        if isinstance(streams, Failure):
            return failed(task, str(streams))
        return (yield Call("judge", (task, streams)))
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Handler(Protocol):
    """What a role runs. One instance lives as long as its process and may keep caches."""

    def __call__(self, task: Any, stage: Stage) -> Any:
        """Do one task. An exception becomes a Failure in the stage that was entered last."""
        ...


class Stage(Protocol):
    """Announces what a handler does next: failures, time limits and timings are per stage."""

    def __call__(self, name: str, **facts: Any) -> None: ...


@dataclass(frozen=True)
class Role:
    """How to build a handler in a fresh process: `package.module:Class` and its arguments.

    `per_group`: a process serves one group of tasks only.
    """

    target: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    per_group: bool = False


@dataclass(frozen=True)
class Limits:
    """What a process may take before it is killed.

    Attributes:
        seconds: wall time of one stage of one task.
        memory_mb: resident memory of the process and what it started, 10^6 bytes.
    """

    seconds: float = 120.0
    memory_mb: float = 4000.0


@dataclass(frozen=True)
class Call:
    role: str
    task: Any


@dataclass(frozen=True)
class Answer:
    """What a handler returned, and the seconds it spent in each stage."""

    value: Any
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """Why a call has no answer.

    Attributes:
        stage: what the handler was doing.       what: how that ended, "crashed (SIGSEGV)".
        how: "raised" by the handler, or the process "crashed", was "hung" or out of "memory".
        facts: what the handler had announced until then.
    """

    stage: str
    what: str
    how: Literal["raised", "crashed", "hung", "memory"] = "raised"
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.stage}: {self.what}"


Job = Callable[[T], Generator[Call, Any, R]]


class Executor(Protocol):
    def map(self, job: Job[T, R], tasks: Iterable[tuple[Hashable, T]]) -> Iterator[tuple[T, R]]:
        """Run a job for every (group, task); results come as they are finished.

        Tasks of one group stay on one worker as long as the others have work of their own, so that
        what a handler caches for a group is used again.
        """
        ...

    def close(self) -> None: ...
