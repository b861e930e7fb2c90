"""`nacbench doctor`: what looks wrong in a run, and what to do about it."""

from __future__ import annotations

import itertools
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nacbench.commands.report import latest_run
from nacbench.commands.terminal import console, plural

if TYPE_CHECKING:
    from nacbench.suspicions import Finding

COLOURS = {"error": "red", "warning": "yellow", "note": "cyan"}


@click.command()
@click.argument("run", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object per finding and line.")
def doctor(run: tuple[Path, ...], as_json: bool) -> None:
    """Look for what is wrong in RUN: rates, curves, delays, levels, bands, ranks, clips.

    Exits 0 whatever it finds: it diagnoses; 'nacbench check' is the gate.
    """
    from nacbench.diagnosis import KINDS, diagnose
    from nacbench.leaderboard import leaderboard
    from nacbench.results import ResultTable

    table = ResultTable.load(*(latest_run(path) for path in run))
    found = diagnose(table, leaderboard(table))
    if as_json:
        for finding in found:
            kind = KINDS[finding.kind]
            line = {"severity": kind.severity, **asdict(finding), "advice": kind.advice}
            click.echo(json.dumps(line, ensure_ascii=False))
    else:
        _show(found, len(table.records))


def _show(found: list[Finding], records: int) -> None:
    from nacbench.diagnosis import KINDS, SEVERITIES

    screen = console()
    several = len({(f.suite, f.condition) for f in found}) > 1
    for severity, group in itertools.groupby(found, key=lambda f: KINDS[f.kind].severity):
        of_severity = list(group)
        colour = COLOURS[severity]
        screen.print(f"[bold {colour}]{plural(len(of_severity), severity)}[/]")
        for kind in dict.fromkeys(finding.kind for finding in of_severity):
            for finding in (f for f in of_severity if f.kind == kind):
                place = f"{finding.condition}: " if several and finding.condition else ""
                screen.print(f"  {place}{finding.subject}: {finding.sentence}", markup=False)
            screen.print(f"    → {KINDS[kind].advice}\n", style="dim", markup=False)
    counts = [sum(KINDS[f.kind].severity == severity for f in found) for severity in SEVERITIES]
    told = ", ".join(plural(n, severity) for n, severity in zip(counts, SEVERITIES, strict=True))
    screen.print(f"{plural(records, 'record')}: {told if found else 'nothing looks wrong'}.")
