"""The inside of a worker process: take a task, say what stage it is in, answer, repeat.

It ends when the other end of its pipe closes, and on Linux also when the parent dies while a codec
keeps it busy, so no worker outlives its run.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from multiprocessing.connection import Connection
from typing import Any

from nacbench.executors import Failure
from nacbench.executors.handling import build, describe, handle

PR_SET_PDEATHSIG = 1  # prctl(2)


def main(descriptor: int, parent: int) -> None:
    """Serve tasks from a duplex pipe until it closes.

    Args:
        descriptor: file descriptor of the pipe.       parent: process to die with.
    """
    os.set_inheritable(descriptor, False)  # a codec's own child must not hold the pipe open
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    _die_with(parent)
    pipe = Connection(descriptor)
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        _serve(pipe)


def _serve(pipe: Connection) -> None:
    role = pipe.recv()
    try:
        handler = build(role)
    except Exception as error:
        handler = _Broken(describe(error))

    def announce(stage: str, facts: dict[str, Any]) -> None:
        pipe.send(("stage", stage, facts))

    pipe.send(("ready",))
    while True:
        task = pipe.recv()
        answer = handle(handler, task, announce)
        try:
            pipe.send(("answer", answer))
        except (TypeError, ValueError, AttributeError) as error:  # a result that does not pickle
            pipe.send(("answer", Failure("answer", describe(error))))


class _Broken:
    """Stands in for a handler that could not be built; every task gets the reason."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def __call__(self, task: Any, stage: Any) -> Any:
        raise RuntimeError(self._reason)


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the line above
        os._exit(1)
