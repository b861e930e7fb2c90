"""The outside of a worker process: start it, hand it a task, watch it, end it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Hashable, Mapping
from multiprocessing.connection import Connection
from typing import Any, Literal

import psutil

from nacbench.executors import Answer, Failure, Limits, Role

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
TREE_PERIOD_S = 1.0  # a look at child processes reads all of /proc
MAX_NOISE_BYTES = 1 << 20
START_S = 60.0  # imports on a busy machine; no codec of the user has run yet
DEATH_S = 2.0  # from the end of a pipe to the end of its process, a core dump between them
PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[3]);"
    "from nacbench.executors.worker import main; main(int(sys.argv[1]), int(sys.argv[2]))"
)


class WorkerProcess:
    """One process that serves one role.

    Args:
        group: what it works on, for roles that want a fresh process per group.
        environment: set on top of this process's own; one thread each is always set.
        threads: that a library may use.
    """

    def __init__(
        self, role: Role, group: Hashable, environment: Mapping[str, str], threads: int = 1
    ) -> None:
        self.group = group
        self.answered = 0
        self.stage = "start"
        self.facts: dict[str, Any] = {}
        self._noise = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed by `end`
        ours, theirs = socket.socketpair()
        with theirs:
            descriptor = theirs.fileno()
            arguments = [str(descriptor), str(os.getpid()), json.dumps(sys.path)]
            self._process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # a chatty codec must not talk into our tables
                stderr=self._noise,
                pass_fds=[descriptor],
                env={**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads)), **environment},
                start_new_session=True,  # so that ending it ends what it started, too
            )
        self.pipe = Connection(ours.detach())
        self._ready = False
        self._waiting: list[Any] = []  # at most one task, until the process takes tasks
        self._watched = psutil.Process(self._process.pid)
        self._since = self._tree_looked = time.monotonic()
        self._send(role)

    def begin(self, task: Any) -> None:
        """Hand over a task; its stages, then its answer, come through `pipe`."""
        self.stage, self.facts, self._since = "start", {}, time.monotonic()
        # Not before it reads: a large task would fill the pipe, and we would wait for a process
        # that may hang.
        if self._ready:
            self._send(task)
        else:
            self._waiting.append(task)

    def receive(self) -> Answer | Failure | None:
        """What the readable pipe holds: None on the way, the answer, or how the process died."""
        try:
            kind, *content = self.pipe.recv()
        except (EOFError, OSError):
            return self._death()
        except Exception as error:  # an answer that does not unpickle here
            self.end()
            return self._failure("crashed", f"sent an unreadable answer ({type(error).__name__})")
        self._since = time.monotonic()
        if kind == "ready":
            self._ready = True
            while self._waiting:
                self._send(self._waiting.pop())
            return None
        if kind == "stage":
            self.stage, facts = content
            self.facts.update(facts)
            return None
        self.answered += 1
        answer: Answer | Failure = content[0]
        return answer

    def overdrawn(self, limits: Limits) -> Failure | None:
        """Ends the process when it is over a limit, or notices that it is gone."""
        if self._process.poll() is not None and not self.pipe.poll():
            return self._death()
        patience_s = max(limits.seconds, START_S) if self.stage == "start" else limits.seconds
        if time.monotonic() - self._since > patience_s:
            self.end()
            return self._failure("hung", f"still running after {patience_s:g} s")
        if self._memory_mb() > limits.memory_mb:
            self.end()
            return self._failure("memory", f"used more than {limits.memory_mb:g} MB")
        self._drop_noise()
        return None

    def end(self) -> None:
        """Kill it, with everything it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self.pipe.close()
        self._noise.close()

    def _send(self, message: Any) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # `receive` tells why
            self.pipe.send(message)

    def _death(self) -> Failure:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=DEATH_S)
        code = self._process.returncode
        last_words = self._last_words()
        self.end()
        if code is None:
            return self._failure("crashed", "closed its pipe")
        how = f"crashed ({_signal_name(-code)})" if code < 0 else f"ended itself (status {code})"
        return self._failure("crashed", f"{how}{last_words}")

    def _failure(self, how: Literal["crashed", "hung", "memory"], what: str) -> Failure:
        return Failure(self.stage, what, how, self.facts)

    def _memory_mb(self) -> float:
        try:
            resident = self._watched.memory_info().rss
            if time.monotonic() - self._tree_looked > TREE_PERIOD_S:
                for child in self._watched.children(recursive=True):
                    with contextlib.suppress(psutil.Error):
                        resident += child.memory_info().rss
                self._tree_looked = time.monotonic()
        except psutil.Error:
            return 0.0
        return float(resident / 1e6)

    def _drop_noise(self) -> None:
        if os.fstat(self._noise.fileno()).st_size > MAX_NOISE_BYTES:
            self._noise.truncate(0)
            self._noise.seek(0)

    def _last_words(self) -> str:
        """The last line it wrote to stderr, where C libraries say why they abort."""
        size = os.fstat(self._noise.fileno()).st_size
        tail = os.pread(self._noise.fileno(), 1000, max(0, size - 1000))
        lines = tail.decode(errors="replace").strip("\0\n ").splitlines()
        text = "".join(c if c.isprintable() else " " for c in lines[-1]) if lines else ""
        return f": {' '.join(text.split())[:200]}" if text.strip() else ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
