"""A codec in a process of its own that stays: frames over pipes, for packages that clash with ours.

The other side may be any language, virtual environment or container. Each message is a frame:

    header length, body length      two unsigned 32-bit numbers, big endian
    header                          a JSON object in UTF-8
    body                            bytes: a payload, or float32 samples, little endian, channel
                                    after channel

The bench asks on the worker's standard input, one question at a time, and the worker answers on its
standard output:

    {"ask": "hello", "protocol": 1}                         -> {"protocol": 1, "version": "2.0"}
    {"ask": "encode", "kbps": 6, "settings": {},
     "sample_rate_hz": 16000, "channels": 1} + samples      -> {"packets": [3, 20, 20]} + payload
    {"ask": "decode", "kbps": 6, "settings": {},
     "packets": [3, 20, 20]} + payload                      -> {"sample_rate_hz": 16000,
                                                                "channels": 1} + samples
    anything that cannot be done                            -> {"error": "why, in a sentence"}

`packets` may be empty or left out. The worker ends when its standard input does.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nacbench.codecs.limits import MAX_FILE_BYTES, limit_files

PROTOCOL = 1
LENGTHS = struct.Struct(">II")
MAX_HEADER_BYTES = 1 << 20
MAX_BODY_BYTES = MAX_FILE_BYTES
CHUNK_BYTES = 1 << 16
KEPT = 4  # workers of a process: an encoder and a decoder of two codecs


class WorkerError(Exception):
    """The worker refused, broke the protocol, hung or died; the message says which."""


class Worker:
    """One process, started at the first question and again after it had to be ended.

    Args:
        arguments: program and arguments.
        timeout_s: for each answer.
    """

    def __init__(self, arguments: Sequence[str], timeout_s: float) -> None:
        self._arguments = list(arguments)
        self._name = Path(arguments[0]).name
        self._timeout_s = timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._chatter: Any = None
        self._lock = threading.Lock()
        self.version = ""

    def ask(self, header: Mapping[str, Any], body: bytes = b"") -> tuple[dict[str, Any], bytes]:
        """The answer's header and body.

        Raises:
            WorkerError: an error frame, or no proper answer; after the latter the process is ended,
                and the next question starts another.
        """
        with self._lock:
            try:
                if self._process is None or self._process.poll() is not None:
                    self._start()
                answer, content = self._exchange(header, body)
            except (OSError, ValueError) as error:
                reason = f"{self._name} {error}{self._last_words()}"
                self._end()
                raise WorkerError(reason) from error
            except BaseException:  # Ctrl-C in the middle: what comes next would be out of step
                self._end()
                raise
        if "error" in answer:
            raise WorkerError(f"{self._name}: {str(answer['error'])[:300]}")
        return answer, content

    def hello(self) -> str:
        """The version that the worker gives itself."""
        with self._lock:
            running = self._process is not None and self._process.poll() is None
        if not running or not self.version:
            self.ask({"ask": "hello", "protocol": PROTOCOL})
        return self.version

    def close(self) -> None:
        with self._lock:
            self._end()

    def _start(self) -> None:
        self._end()
        self._chatter = tempfile.TemporaryFile()  # noqa: SIM115 - closed in _end
        self._process = subprocess.Popen(
            self._arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._chatter,
            bufsize=0,
            start_new_session=True,
        )
        limit_files(self._process.pid)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
        answer, _ = self._exchange({"ask": "hello", "protocol": PROTOCOL}, b"")
        if answer.get("protocol") != PROTOCOL or "error" in answer:
            raise ValueError(f"speaks another protocol: {str(answer)[:200]}")
        self.version = str(answer.get("version", ""))[:100]

    def _exchange(self, header: Mapping[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        deadline = time.monotonic() + self._timeout_s
        text = json.dumps(header).encode()
        self._write(LENGTHS.pack(len(text), len(body)) + text + body, deadline)
        lengths = LENGTHS.unpack(self._read(LENGTHS.size, deadline))
        if lengths[0] > MAX_HEADER_BYTES or lengths[1] > MAX_BODY_BYTES:
            raise ValueError(
                f"announced {lengths[0]} and {lengths[1]} bytes, more than any answer has; does "
                "something in it print to the standard output?"
            )
        try:
            answer = json.loads(self._read(lengths[0], deadline))
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ValueError(f"answered with a header that is not JSON ({error})") from error
        if not isinstance(answer, dict):
            raise ValueError("answered with a header that is not a JSON object")
        return answer, self._read(lengths[1], deadline)

    def _write(self, data: bytes, deadline: float) -> None:
        assert self._process is not None and self._process.stdin is not None
        pipe, rest = self._process.stdin.fileno(), memoryview(data)
        while rest:
            self._wait([], [pipe], deadline)
            try:
                rest = rest[os.write(pipe, rest[:CHUNK_BYTES]) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise ValueError("ended before it had heard the question") from None

    def _read(self, size: int, deadline: float) -> bytes:
        """Memory grows with what arrives, not with what was announced."""
        assert self._process is not None and self._process.stdout is not None
        pipe, data = self._process.stdout.fileno(), bytearray()
        while len(data) < size:
            self._wait([pipe], [], deadline)
            try:
                piece = os.read(pipe, min(CHUNK_BYTES, size - len(data)))
            except BlockingIOError:
                continue
            if not piece:
                raise ValueError("ended in the middle of an answer")
            data += piece
        return bytes(data)

    def _wait(self, readable: list[int], writable: list[int], deadline: float) -> None:
        left = deadline - time.monotonic()
        ready = select.select(readable, writable, [], left) if left > 0 else ([], [], [])
        if not any(ready):
            raise ValueError(f"took longer than {self._timeout_s:g} s and was stopped")

    def _last_words(self) -> str:
        """What it wrote to its standard error at last."""
        if self._chatter is None:
            return ""
        self._chatter.seek(max(self._chatter.seek(0, os.SEEK_END) - 2000, 0))
        lines = self._chatter.read().decode(errors="replace").strip().split("\n")
        return f": {lines[-1].strip()[:300]}" if lines[-1] else ""

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
        if self._chatter is not None:
            self._chatter.close()
            self._chatter = None


_workers: dict[tuple[Any, ...], Worker] = {}
_guard = threading.Lock()


def worker(role: str, arguments: Sequence[str], timeout_s: float) -> Worker:
    """This process's worker for a role.

    Encoding and decoding are done by two processes, so that a decoder has seen no clip.
    """
    key = (os.getpid(), role, timeout_s, *arguments)  # a fork must not share its parent's pipes
    with _guard:
        found = _workers.pop(key, None) or Worker(arguments, timeout_s)
        _workers[key] = found
        while len(_workers) > KEPT:
            _workers.pop(next(iter(_workers))).close()
    return found


@atexit.register
def _close_all() -> None:
    for key, one in _workers.items():
        if key[0] == os.getpid():
            one.close()
