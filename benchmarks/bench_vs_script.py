"""Wall time of `nacbench run` against a plain script that makes the same library calls.

20 clips × 8 operating points × 6 metrics, cold cache, two workers; both start from nothing and both
compile nothing (a first run of each is thrown away). The scores must agree, or the times mean
nothing. Wanted: at most 0.45 of the script's wall time on two free cores.

    python benchmarks/bench_vs_script.py [--clips 20] [--workers 2] [--rounds 1] [--audio DIR]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml
from measure import Spent
from measure import spent as measure

from nacbench.results import ResultTable
from nacbench.sources import build as build_source

HERE = Path(__file__).parent
WANTED = 0.45
METRICS = ["visqol:speech-lattice", "pesq:wb", "stoi", "estoi", "mel:dac", "si_sdr"]
CODECS: dict[str, list[float]] = {"opus": [6, 12, 16, 24], "mp3": [32, 64], "aac": [24, 48]}
POINTS = [(codec, {"kbps": kbps}) for codec, rates in CODECS.items() for kbps in rates]
TOLERANCE = 1e-9  # sums in another order; measured 6e-14 (SI-SDR in dB)


def main() -> None:
    arguments = _arguments()
    source = {"folder": {"path": str(arguments.audio)}} if arguments.audio else "embedded:speech"
    clips = [ref.path for ref in build_source(source).clips()[: arguments.clips]]
    with tempfile.TemporaryDirectory() as folder:
        bench = _Bench(Path(folder), clips, arguments.workers)
        print(
            f"{len(clips)} clips × {len(POINTS)} operating points × {len(METRICS)} metrics, "
            f"{arguments.workers} workers; load average {os.getloadavg()[0]:.1f}"
        )
        bench.script(clips[:1])  # compiles ViSQOL's kernels for both
        bench.ours("warm-up", limit=1)
        rounds = []
        for number in range(arguments.rounds):
            script, theirs = bench.script(clips)
            ours, table = bench.ours(f"round-{number}")
            _compare(table, theirs)
            rounds.append((ours, script))
            print(f"  nacbench     {ours}")
            print(f"  plain script {script}")
        ratio = statistics.median(ours.wall_s / script.wall_s for ours, script in rounds)
        work = statistics.median(ours.cpu_s / script.cpu_s for ours, script in rounds)
        verdict = "within" if ratio <= WANTED else "above"
        print(f"wall ratio {ratio:.3f}, {verdict} the {WANTED} wanted; processor ratio {work:.3f}")


class _Bench:
    def __init__(self, folder: Path, clips: list[str], workers: int) -> None:
        self.folder = folder
        self.workers = workers
        path = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
        numba = os.environ.get("NUMBA_CACHE_DIR") or str(folder / "numba")
        self.environment = {**os.environ, "PYTHONPATH": path, "NUMBA_CACHE_DIR": numba}
        manifest = [{"id": Path(clip).stem, "path": clip} for clip in clips]
        lines = "".join(json.dumps(line) + "\n" for line in manifest)
        (folder / "clips.jsonl").write_text(lines, encoding="utf-8")
        suite = {
            "name": "bench",
            "version": 1,
            "sources": [{"manifest": {"path": str(folder / "clips.jsonl")}}],
            "codecs": [{codec: {"kbps": rates}} for codec, rates in CODECS.items()],
            "metrics": METRICS,
        }
        (folder / "bench.yaml").write_text(yaml.safe_dump(suite), encoding="utf-8")

    def ours(self, name: str, limit: int | None = None) -> tuple[Spent, ResultTable]:
        environment = {**self.environment, "NACBENCH_CACHE": str(self.folder / f"cache-{name}")}
        command = [sys.executable, "-m", "nacbench", "run", "bench.yaml", "--fresh", "--no-timing"]
        command += ["--workers", str(self.workers), "--out", name]
        command += [] if limit is None else ["--limit", str(limit)]
        time = measure(command, environment, self.folder)
        (run,) = (self.folder / name / "bench").iterdir()
        return time, ResultTable.load(run)

    def script(self, clips: list[str]) -> tuple[Spent, dict[str, dict[str, float]]]:
        task, scores = self.folder / "task.json", self.folder / "scores.json"
        task.write_text(json.dumps({"clips": clips, "points": POINTS}), encoding="utf-8")
        command = [sys.executable, str(HERE / "plain_script.py"), str(task), str(scores)]
        time = measure(command, self.environment, self.folder)
        return time, json.loads(scores.read_text(encoding="utf-8"))


def _compare(table: ResultTable, theirs: dict[str, dict[str, float]]) -> None:
    """Raises:
    SystemExit: the two do not compute the same.
    """
    worst: dict[str, float] = dict.fromkeys(METRICS, 0.0)
    for record in table.records:
        options = json.dumps(dict(record.options))
        for metric, value in theirs[f"{record.clip} {record.codec} {options}"].items():
            ours: Any = record.scores[metric].value
            worst[metric] = max(worst[metric], abs(ours - value))
    found = ", ".join(f"{metric} {difference:.1e}" for metric, difference in worst.items())
    print(f"  largest difference between the two: {found}")
    off = [name for name, difference in worst.items() if difference > TOLERANCE]
    if len(theirs) != len(table.records) or off:
        raise SystemExit(f"the two do not compute the same: {', '.join(off) or 'other pairs'}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clips", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--audio", type=Path, help="a folder of clips instead of the pack")
    return parser.parse_args()


if __name__ == "__main__":
    main()
