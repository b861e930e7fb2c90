"""Does the bench catch codecs that lie? Probes with known answers through the real path.

Suite, sources, worker processes, cache, alignment, metrics, records and leaderboard are those of
every run. A probe passes when it is scored, or reported, as it must be.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nacbench import runner, suite
from nacbench.board import Board, Remark
from nacbench.core import Clip
from nacbench.leaderboard import leaderboard
from nacbench.results import ResultTable
from nacbench.selftest import checks, material
from nacbench.selftest.checks import Evidence, Probe
from nacbench.suspicions import suspicions


@dataclass(frozen=True)
class Outcome:
    """One probe: whether it was scored or reported as it must be, and what was seen."""

    name: str
    passed: bool
    detail: str


def run(probes: Sequence[Probe] = checks.ALL, workers: int | None = None) -> list[Outcome]:
    """Run the probes; takes under a minute on two cores.

    Args:
        workers: as for a run. 0 works in this process, which the crash probe does not survive.
    """
    with tempfile.TemporaryDirectory(prefix="nacbench-selftest-") as name:
        folder = Path(name)
        clips = material.write(folder / "clips")
        runs = [_run("selftest", probes, folder, workers)]
        if again := [probe for probe in probes if probe.twice]:
            runs.append(_run("selftest-again", again, folder, workers))
        first = ResultTable.load(runs[0])
        board = leaderboard(first)
        found = suspicions(ResultTable.load(*runs), board)
        return [_outcome(probe, first, board, found, clips) for probe in probes]


def _run(name: str, probes: Sequence[Probe], folder: Path, workers: int | None) -> Path:
    file = folder / f"{name}.yaml"
    codecs = [(probe.name, probe.codec, dict(probe.options)) for probe in probes]
    file.write_text(material.suite("selftest", folder / "clips", codecs), encoding="utf-8")
    plan = runner.plan(
        suite.load(file),
        workers=workers,
        out=folder / name,
        cache=folder / f"{name}-cache",
        timing=False,
    )
    runner.execute(plan)
    return plan.directory


def _outcome(
    probe: Probe,
    table: ResultTable,
    board: Board,
    found: Sequence[Remark],
    clips: Sequence[Clip],
) -> Outcome:
    rows = [row for section in board.sections for row in section.rows if row.series == probe.name]
    records = [record for record in table.records if record.series == probe.name]
    if len(rows) != 1 or len(records) != len(clips):
        return Outcome(probe.name, False, f"{len(records)} records of {len(clips)} clips")
    evidence = Evidence(
        records=records,
        row=rows[0],
        remarks=[remark.reason for remark in found if remark.subject == rows[0].name],
        clips={record.clip: _clip_of(record.clip, clips) for record in records},
    )
    try:
        probe.check(evidence)
    except Exception as error:  # a check that breaks has not passed
        evidence.problems.append(f"{type(error).__name__}: {error}")
    shown = evidence.problems or evidence.seen
    return Outcome(probe.name, not evidence.problems, "; ".join(shown))


def _clip_of(name: str, clips: Sequence[Clip]) -> Clip:
    return next(clip for clip in clips if Path(name).stem == clip.id)
