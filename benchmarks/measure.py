"""Wall and processor time of a command, its children included."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Spent:
    wall_s: float
    cpu_s: float
    output: str = ""  # what it printed

    def __str__(self) -> str:
        return f"{self.wall_s:7.1f} s wall {self.cpu_s:7.1f} s processor"


def spent(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> Spent:
    """Run a command to its end; what it prints is shown only when it fails.

    Raises:
        SystemExit: it failed.
    """
    began, before = time.monotonic(), os.times()
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True)
    wall_s, after = time.monotonic() - began, os.times()
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    cpu_s = sum(after[2:4]) - sum(before[2:4])  # user and system time of finished children
    return Spent(wall_s, cpu_s, done.stdout)
