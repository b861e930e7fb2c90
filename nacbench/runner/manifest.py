"""`manifest.json`: what a run says of itself, so that it can be understood and repeated."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import nacbench
from nacbench import audio
from nacbench.identity import digest
from nacbench.results import SCHEMA_VERSION, dumps
from nacbench.runner.planning import Plan

# Libraries that can move a result. Codecs and metrics also state theirs in `versions`.
LIBRARIES = (
    "av", "lc3py", "numba", "numpy", "onnxruntime", "pesq", "pycodec2", "pyloudnorm", "pystoi",
    "scipy", "soundfile", "soxr", "torch", "torchaudio", "transformers", "visqol-python",
)  # fmt: skip


# What a session adds to the description of its run.
SESSION = ("begun", "ended", "command", "workers", "nacbench", "git", "libraries", "machine")


def describe(plan: Plan) -> dict[str, Any]:
    """What is the same for every session of a run, as far as the same things are installed."""
    suite = plan.suite
    return {
        "schema": SCHEMA_VERSION,
        "run": plan.run,
        "identity": plan.identity,
        "suite": suite.name,
        "suite_version": suite.version,
        "suite_sha256": suite.sha256,
        "title": suite.title,
        "synthetic": suite.synthetic,
        "seed": suite.seed,
        "resolved_suite": suite.describe(),
        "order": {
            "points": [point.key for point in suite.points],
            "conditions": plan.conditions,
            "clips": [ref.id for ref in plan.clips],
        },
        "metrics": {**plan.metrics, **plan.set_metrics},
        "codecs": {key: about["version"] for key, about in plan.surveyed.items()},
        "skipped": [
            {"series": point.series, "setting": point.setting, "reason": reason}
            for point, reason in suite.skipped
        ],
        "skipped_metrics": dict(suite.skipped_metrics),
        "untrained": sorted(
            {p.series for p in suite.points if plan.surveyed.get(p.key, {}).get("untrained")}
        ),
        "resampler": audio.RESAMPLER,
    }


def begin(plan: Plan) -> dict[str, Any]:
    """Write the manifest of a session that begins; `sessions` holds the earlier ones."""
    content = {
        **describe(plan),
        "nacbench": nacbench.__version__,
        "git": git_state(),
        "libraries": libraries(),
        "machine": machine(),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "workers": plan.workers,
        "begun": _now(),
        "ended": None,
        "sessions": _earlier_sessions(plan),
    }
    _write(plan.directory, content)
    return content


def end(plan: Plan, content: dict[str, Any]) -> None:
    _write(plan.directory, {**content, "ended": _now()})


def update(plan: Plan) -> None:
    """Nothing was done; but titles or what is skipped may have changed."""
    written = dict(plan.earlier.manifests.get(plan.run, {})) if plan.earlier else {}
    current = {**written, **json.loads(json.dumps(describe(plan)))}
    if current != written:
        _write(plan.directory, current)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _earlier_sessions(plan: Plan) -> list[dict[str, Any]]:
    if plan.earlier is None:
        return []
    earlier = plan.earlier.manifests.get(plan.run, {})
    own = {key: earlier[key] for key in SESSION if key in earlier}
    return [*earlier.get("sessions", ()), own] if own else []


def _write(directory: Path, manifest: dict[str, Any]) -> None:
    aside = directory / ".manifest.json"
    aside.write_text(dumps(manifest, indent=1) + "\n", encoding="utf-8")
    aside.replace(directory / "manifest.json")


def libraries() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


@cache
def machine() -> dict[str, Any]:
    """Processor, cores, memory (in steps, so that a reboot does not change it), system, Python."""
    memory_gib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    about = {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory_gib": 2 ** round(memory_gib).bit_length() // 2
        if memory_gib < 4
        else round(memory_gib / 4) * 4,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }
    return {**about, "fingerprint": digest(about)[:12]}


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def git_state() -> dict[str, Any] | None:
    """Commit of the code that ran, and whether the tree had changes; None outside a checkout."""
    root = Path(nacbench.__file__).parents[1]
    if not (root / ".git").exists():
        return None
    try:
        commit = _git(root, "rev-parse", "HEAD")
        changed = bool(_git(root, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "changed": changed}


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=10
    ).stdout.strip()
