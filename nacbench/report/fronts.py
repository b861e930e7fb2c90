"""Pareto fronts in the terminal."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nacbench.pareto import BY_RATE, Point
from nacbench.report.tables import score_text

if TYPE_CHECKING:
    from rich.console import Console

METRICS_SHOWN = 3


def show(points: Sequence[Point], console: Console) -> None:
    """A table per section for its first metrics: the front of quality and rate, and how many more
    speed brings. The CSV holds them all.
    """
    from rich.table import Table

    for _, group in itertools.groupby(points, key=lambda p: (p.section.suite, p.section.condition)):
        by_metric = itertools.groupby(group, key=lambda p: p.metric.name)
        for metric, on_front in itertools.islice(by_metric, METRICS_SHOWN):
            listed = list(on_front)
            table = Table(box=None, header_style="dim", title_justify="left")
            table.title = f"[bold]Pareto front[/] {metric}, {listed[0].section.condition}"
            table.add_column("codec", overflow="fold")
            table.add_column("setting")
            for name in ("kbps", "score [95 %]", "×RT"):
                table.add_column(name, justify="right", no_wrap=True)
            for point in listed:
                if point.front != BY_RATE:
                    continue
                row, cell = point.row, point.row.cells[metric]
                low, high = (score_text(value, point.metric) for value in (cell.low, cell.high))
                table.add_row(
                    row.series,
                    row.setting,
                    f"{row.payload_kbps:.3g}",
                    f"{score_text(cell.mean, point.metric)} [{low}, {high}]".replace("[", "\\["),
                    f"{1 / point.rtf:.0f}" if point.rtf else "–",
                )
            console.print(table)
            faster = sum(point.front != BY_RATE for point in listed)
            if faster:
                console.print(f"  with speed {faster} more, in pareto.csv\n", highlight=False)
