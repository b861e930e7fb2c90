"""How soon the command line answers: the best of several starts, in fresh processes.

    python benchmarks/startup.py

Help has 0.3 s, a run with nothing to do 2 s. The first calls of a fresh checkout are slower: Python
compiles what it imports.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
STARTS = 5
LIMITS_S = {"--help": 0.3, "run --help": 0.3, "run ci": 2.0}


def main() -> int:
    late = 0
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "NACBENCH_CACHE": f"{folder}/cache"}

        def start(arguments: list[str]) -> float:
            began = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "nacbench", *arguments],
                cwd=folder, env=environment, check=True, capture_output=True,
            )  # fmt: skip
            return time.perf_counter() - began

        start(["run", "ci"])  # so that the next one has nothing to do
        for call, limit_s in LIMITS_S.items():
            best_s = min(start(call.split()) for _ in range(STARTS))
            late += best_s > limit_s
            print(f"nacbench {call:<12} {best_s:.2f} s (at most {limit_s} s)")
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
