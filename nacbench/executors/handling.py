"""Building a handler and having it do one task, in whichever process."""

from __future__ import annotations

import importlib
import time
from typing import Any

from nacbench.executors import Answer, Failure, Handler, Role


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
