"""Decoding in a process that has not coded anything, and that may crash or hang.

`python -m nacbench.testing.fresh_process` is that process.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from nacbench import audio, coding
from nacbench.core import Bitstream, Codec
from nacbench.testing.report import BrokenError

LIMIT_S = 120.0  # a decoder that needs longer for 14 seconds of audio hangs


def decode_all(
    codec: str, options: Mapping[str, Any], cases: Sequence[tuple[str, Bitstream]]
) -> list[dict[str, Any]]:
    """The outcome of decoding each named bitstream there.

    Raises:
        BrokenError: decoding a case crashed the process or ran into the limit.
    """
    request = {
        "codec": codec,
        "options": dict(options),
        "streams": [
            [base64.b64encode(stream.payload).decode(), stream.packet_sizes] for _, stream in cases
        ],
    }
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "nacbench.testing.fresh_process"],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            env=environment,
        )
        status, lines = done.returncode, done.stdout.splitlines()
        last_words = done.stderr.strip().splitlines()[-1:] or ["no message"]
    except subprocess.TimeoutExpired as expired:
        status, last_words = None, []
        lines = (expired.stdout or b"").decode().splitlines()
    outcomes = [json.loads(line) for line in lines]
    if len(outcomes) < len(cases):
        name = cases[len(outcomes)][0]
        if status is None:
            raise BrokenError(f"'decode' of {name} hangs: stopped after {LIMIT_S:g} s")
        how = f"signal {-status}" if status < 0 else f"exit status {status}: {last_words[0]}"
        raise BrokenError(f"'decode' of {name} crashed its process ({how})")
    return outcomes


def outcome_of(make: Callable[[], Codec], stream: Bitstream) -> dict[str, Any]:
    try:
        decoded = make().decode(stream)
    except Exception as error:
        return {"error": type(error).__name__, "text": str(error)[:300]}
    finite = bool(np.isfinite(decoded.samples).all())
    return {"sha256": audio.sha256(decoded), "finite": finite, "length": decoded.length}


def _serve() -> None:
    """Decode what stands on the standard input, one line of outcome each: the fresh process."""
    request = json.load(sys.stdin)
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)  # a library that prints must not disturb the answers
        for payload, packet_sizes in request["streams"]:
            stream = Bitstream(base64.b64decode(payload), tuple(packet_sizes))
            outcome = outcome_of(lambda: coding.build(request["codec"], request["options"]), stream)
            print(json.dumps(outcome), file=answers, flush=True)


if __name__ == "__main__":
    _serve()
