"""Paired differences as a terminal table and as CSV."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from nacbench.comparison import Pair
from nacbench.stats import Comparison

_COLUMNS = (
    "suite", "condition", "metric", "unit", "a", "b", "kbps_a", "kbps_b", "mean_a", "mean_b",
    "difference", "low", "high", "p_value", "wins", "ties", "losses", "items", "clips", "verdict",
)  # fmt: skip


def show(pairs: Sequence[Pair], console: Console) -> None:
    """One block per condition and pair of points, a line per metric."""
    for place, group in _grouped(pairs).items():
        first = group[0]
        title = first.a if first.a == first.b else f"{first.a} → {first.b}"
        rates = " → ".join("–" if k is None else f"{k:.3g}" for k in (first.kbps_a, first.kbps_b))
        table = Table(box=None, header_style="dim", title_justify="left")
        table.title = f"[bold]{title}[/]  {rates} kbps  {place[1]}, {first.clips} clips"
        table.add_column("metric")
        for name in ("first", "second", "difference [95 %]", "w/t/l"):
            table.add_column(name, justify="right")
        table.add_column("verdict", overflow="fold")
        for pair in group:
            result = pair.comparison
            colour = {1: "green", -1: "red", 0: "default"}[pair.better]
            table.add_row(
                f"{pair.metric.name} {pair.metric.arrow}",
                f"{pair.mean_a:.4g}",
                f"{pair.mean_b:.4g}",
                f"{result.difference:+.3g} [{result.low:+.3g}, {result.high:+.3g}]",
                _counts(result),
                f"[{colour}]{pair.verdict}[/]",
            )
        console.print(table)


def _counts(result: Comparison) -> str:
    """Of clips won, tied, lost; a metric over a set has none."""
    counts = result.wins, result.ties, result.losses
    return "/".join(map(str, counts)) if any(counts) else "–"


def write_csv(pairs: Sequence[Pair], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(_COLUMNS)
        for pair in pairs:
            result = pair.comparison
            rows.writerow([
                pair.suite, pair.condition, pair.metric.name, pair.metric.unit, pair.a, pair.b,
                pair.kbps_a, pair.kbps_b, pair.mean_a, pair.mean_b,
                result.difference, result.low, result.high, result.p_value,
                result.wins, result.ties, result.losses, result.items, pair.clips, pair.verdict,
            ])  # fmt: skip


def _grouped(pairs: Sequence[Pair]) -> dict[tuple[str, str, str, str], list[Pair]]:
    groups: dict[tuple[str, str, str, str], list[Pair]] = {}
    for pair in pairs:
        groups.setdefault((pair.suite, pair.condition, pair.a, pair.b), []).append(pair)
    return groups
