"""Bjøntegaard deltas against an anchor codec, as CSV and as Markdown."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nacbench.board import Board, MetricInfo
from nacbench.comparison import CurveGap, curve_gaps
from nacbench.report.tables import markdown_table
from nacbench.results import ResultTable

if TYPE_CHECKING:
    from rich.console import Console

ANCHOR = "Opus"
FILES = ("bd_rate.csv", "bd_rate.md")
METRICS_SHOWN = 5
PARTS = ("low", "middle", "high")
_COLUMNS = (
    "suite", "condition", "metric", "unit", "anchor", "series", "bd_rate_percent", "low", "high",
    *(f"{part}_{what}" for part in PARTS for what in ("range", "low", "high")),
    "clips", "reason", "bd_metric", "bd_metric_low", "bd_metric_high", "bd_metric_reason",
)  # fmt: skip
LEGEND = (
    "Per cent of bits that a codec needs more (+) or less (−) than {anchor} at equal quality, "
    "averaged over the range of quality that both reach: BD-rate, piecewise cubic (PCHIP) on the "
    "logarithm of the measured payload rate, with 95 % intervals by bootstrap over clips. "
    "**Bold**: the interval excludes 0. A dash has its reason below."
)


def write(
    table: ResultTable, board: Board, directory: Path, anchor: str = ANCHOR
) -> tuple[list[CurveGap], list[Path]]:
    """Write `bd_rate.csv` and `bd_rate.md`; nothing where the anchor has no curve to hold against.

    Returns:
        the gaps, and the files.
    """
    gaps = curve_gaps(table, anchor)
    if not gaps:
        return [], []
    files = [directory / name for name in FILES]
    write_csv(gaps, files[0])
    files[1].write_text(to_markdown(gaps, board), encoding="utf-8")
    return gaps, files


def write_csv(gaps: Iterable[CurveGap], path: Path) -> None:
    """One line per suite, condition, metric and series; the thirds of the range of quality too."""
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(_COLUMNS)
        for gap in gaps:
            rate, gain = gap.rate, gap.gain
            parts = [number for part in PARTS for number in rate.parts.get(part, ("", "", ""))]
            rows.writerow([
                gap.suite, gap.condition, gap.metric.name, gap.metric.unit, gap.anchor, gap.series,
                rate.value, rate.low, rate.high, *parts, rate.clips, rate.reason,
                gain.value, gain.low, gain.high, gain.reason,
            ])  # fmt: skip


def to_markdown(gaps: Sequence[CurveGap], board: Board) -> str:
    """A table per suite and condition: a row per codec, a column per headline metric."""
    blocks = [f"# BD-rate against {gaps[0].anchor}", LEGEND.format(anchor=gaps[0].anchor)]
    for section in board.sections:
        here = [g for g in gaps if (g.suite, g.condition) == (section.suite, section.condition)]
        if here:
            blocks.append(f"## {section.title}: {section.condition} ({section.clips} clips)")
            metrics = shown_metrics(here, board)
            head = ["codec", *(f"{metric.name} {metric.arrow}" for metric in metrics)]
            blocks.append(markdown_table(head, rows(here, metrics), left=1))
            if reasons := _reasons(here, metrics):
                blocks.append("\n".join(f"- {line}" for line in reasons))
    return "\n\n".join(blocks) + "\n"


def shown_metrics(gaps: Sequence[CurveGap], board: Board) -> list[MetricInfo]:
    """The first headline metrics that any codec has a BD-rate for; the first ones if none has."""
    found = {gap.metric.name for gap in gaps if gap.rate.value is not None}
    metrics = [metric for metric in board.headline if metric.name in found]
    return (metrics or list(board.headline))[:METRICS_SHOWN]


def rows(gaps: Sequence[CurveGap], metrics: Sequence[MetricInfo]) -> list[list[str]]:
    """A row per series with a BD-rate in one of the metrics, the thriftiest first."""
    cells = {(gap.series, gap.metric.name): gap for gap in gaps}
    series = [
        name
        for name in dict.fromkeys(gap.series for gap in gaps)
        if any(_value(cells.get((name, metric.name))) is not None for metric in metrics)
    ]

    def first(name: str) -> tuple[bool, float]:
        values = [_value(cells.get((name, metric.name))) for metric in metrics]
        known = [value for value in values if value is not None]
        return values[0] is None, known[0]

    return [
        [name, *(_cell(cells.get((name, metric.name))) for metric in metrics)]
        for name in sorted(series, key=first)
    ]


def show(gaps: Sequence[CurveGap], board: Board, console: Console) -> None:
    """Print a table per suite and condition."""
    from rich.table import Table

    for section in board.sections:
        here = [g for g in gaps if (g.suite, g.condition) == (section.suite, section.condition)]
        if not here:
            continue
        metrics = shown_metrics(here, board)
        table = Table(box=None, header_style="dim", title_justify="left")
        table.title = f"[bold]BD-rate against {here[0].anchor}[/], {section.condition}"
        table.add_column("codec", overflow="fold")
        for metric in metrics:
            table.add_column(f"{metric.name} {metric.arrow}", justify="right")
        for row in rows(here, metrics):
            table.add_row(*(cell.replace("**", "") for cell in row))
        if table.row_count:
            console.print(table)
        for line in _reasons(here, metrics):
            console.print(f"  {line}", markup=False, highlight=False)


def _value(gap: CurveGap | None) -> float | None:
    return None if gap is None else gap.rate.value


def _cell(gap: CurveGap | None) -> str:
    if gap is None or gap.rate.value is None:
        return "–"
    value, low, high = gap.rate.value, gap.rate.low, gap.rate.high
    if low is None or high is None or low != low or high != high:
        return _percent(value)
    text = f"{_percent(value)} [{_percent(low)}, {_percent(high)}]"
    return f"**{text}**" if low > 0 or high < 0 else text


def _percent(value: float) -> str:
    """`+12 %`, `−3.4 %`; beyond a thousand, where digits mean nothing, `> +999 %`."""
    if value > 999:
        return "> +999 %"
    digits = 0 if abs(value) >= 10 else 1
    return f"{value:+.{digits}f} %".replace("-", "−")


def _reasons(gaps: Sequence[CurveGap], metrics: Sequence[MetricInfo]) -> list[str]:
    """Why dashes are dashes: each reason once, with the metrics it holds for."""
    names = [metric.name for metric in metrics]
    found: dict[tuple[str, str], list[str]] = {}
    for gap in gaps:
        if gap.rate.value is None and gap.rate.reason and gap.metric.name in names:
            found.setdefault((gap.series, gap.rate.reason), []).append(gap.metric.name)
    return [
        f"{series}: {reason}"
        if len(where) == len(names)
        else f"{series}: {reason} ({', '.join(where)})"
        for (series, reason), where in found.items()
    ]
