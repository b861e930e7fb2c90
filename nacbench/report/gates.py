"""A verdict for every reader: terminal, pull request, JUnit, JSON, GitHub's annotations."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from xml.etree import ElementTree

from rich.console import Console
from rich.table import Table

from nacbench.regression import STATUSES, Gate, Verdict

SIGNS = {"fail": "❌", "warn": "⚠️", "skip": "⏭️", "pass": "✅"}
COLOURS = {"fail": "red", "warn": "yellow", "skip": "magenta", "pass": "green"}
_SHOWN = 60  # rows of a status in a comment; the files hold them all


def show(verdict: Verdict, console: Console, everything: bool = False) -> None:
    """Print what is not a pass, and the sum; every gate with `everything`."""
    table = Table(box=None, header_style="dim")
    for name in ("gate", "codec", "condition", "metric", "what was found"):
        table.add_column(name, overflow="fold")
    for gate in verdict.gates:
        if everything or gate.status != "pass":
            word = f"[{COLOURS[gate.status]}]{gate.status}[/] {gate.kind}"
            table.add_row(word, gate.subject, gate.condition, gate.metric, gate.reason)
    if table.row_count:
        console.print(table)
    colour = {0: "green", 1: "red", 3: "yellow"}[verdict.exit_code]
    console.print(f"[bold {colour}]{verdict.sentence}[/]")


def to_markdown(verdict: Verdict) -> str:
    """Ready to be a pull-request comment: the sum, then a folded table per status."""
    lines = [f"### nacbench: {verdict.sentence}", ""]
    if verdict.failed_records:
        lines += [f"{verdict.failed_records} records of this run failed.", ""]
    for status in STATUSES:
        gates = [gate for gate in verdict.gates if gate.status == status]
        if not gates:
            continue
        opened = " open" if status == "fail" else ""
        lines += [
            f"<details{opened}><summary>{SIGNS[status]} {len(gates)} {status}</summary>",
            "",
            "| gate | codec | condition | metric | what was found |",
            "| :-- | :-- | :-- | :-- | :-- |",
            *(_markdown_row(gate) for gate in gates[:_SHOWN]),
        ]
        if len(gates) > _SHOWN:
            lines.append(f"| … | {len(gates) - _SHOWN} more | | | |")
        lines += ["", "</details>", ""]
    return "\n".join(lines)


def to_junit(verdict: Verdict) -> str:
    """JUnit XML: a test case per gate; a warning passes with its reason as output."""
    suite = ElementTree.Element(
        "testsuite", name="nacbench", tests=str(len(verdict.gates)),
        failures=str(verdict.count("fail")), skipped=str(verdict.count("skip")), errors="0",
    )  # fmt: skip
    for gate in verdict.gates:
        place = ".".join(part for part in (gate.suite, gate.condition, gate.kind) if part)
        name = " ".join(part for part in (gate.subject, gate.metric) if part)
        case = ElementTree.SubElement(suite, "testcase", classname=place, name=name)
        if gate.status == "fail":
            ElementTree.SubElement(case, "failure", message=gate.reason)
        elif gate.status == "skip":
            ElementTree.SubElement(case, "skipped", message=gate.reason)
        else:
            ElementTree.SubElement(case, "system-out").text = f"{gate.status}: {gate.reason}"
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def to_json(verdict: Verdict) -> str:
    content = {
        "verdict": verdict.sentence,
        "exit_code": verdict.exit_code,
        "counts": {status: verdict.count(status) for status in STATUSES},
        "failed_records": verdict.failed_records,
        "policy": verdict.policy.model_dump(mode="json"),
        "gates": [asdict(gate) for gate in verdict.gates],
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def to_annotations(verdict: Verdict) -> Iterable[str]:
    """GitHub's workflow commands: an error per failure, a warning per warning and per skip."""
    words = {"fail": "error", "warn": "warning", "skip": "warning"}
    for gate in verdict.gates:
        if gate.status in words:
            title = _escaped(f"nacbench {gate.status}: {gate.subject} {gate.metric}".strip())
            title = title.replace(",", "%2C").replace(":", "%3A")
            yield f"::{words[gate.status]} title={title}::{_escaped(gate.reason)}"


def write_step_summary(verdict: Verdict) -> None:
    """Append the Markdown to GitHub's step summary, where there is one."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(to_markdown(verdict) + "\n")


def _markdown_row(gate: Gate) -> str:
    cells = (
        f"{SIGNS[gate.status]} {gate.kind}",
        gate.subject,
        gate.condition,
        gate.metric,
        gate.reason,
    )
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
