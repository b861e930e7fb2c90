"""The recipe of nacmos from an empty folder, on a handful of recordings: every stage runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"
EXCERPTS = 24  # the fewest among which are speakers of train, dev and test


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "MANIFEST.csv").is_file(), reason="no recordings in ../shared/data")
def test_pairs_training_exam_and_report_run_from_nothing(tmp_path: Path) -> None:
    def run(stage: str, *options: object) -> str:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", f"benchmarks.nacmos.{stage}", *map(str, options)]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    data, folders = ("--data", DATA), [tmp_path / "1", tmp_path / "2"]
    for _ in range(2):  # the second time nothing is left to do
        for part, folder in enumerate(folders, start=1):
            run("pairs", *data, "--out", folder, "--excerpts", EXCERPTS, "--part", f"{part}/2")
            run("features", *data, "--pairs", folder)
    lines = [(folder / "pairs.jsonl").read_text().splitlines() for folder in folders]
    assert sum(map(len, lines)) > 7 * EXCERPTS  # a codec may refuse a clip
    members = [tmp_path / f"{seed}.safetensors" for seed in (0, 1)]
    for seed, member in enumerate(members):
        options = ("--pairs", *folders, "--seed", seed, "--epochs", 1, "--out", member)
        assert "dev" in run("train", *options)
    run("join", *members, "--out", tmp_path / "nacmos.safetensors")
    exam = tmp_path / "exam"
    run("exam", *data, "--out", exam, "--clips", 2, "--systems", 3)
    reported = run("report", "--exam", exam, "--pairs", *folders)
    assert "| `stoi` | clip: all systems | 6 |" in reported
