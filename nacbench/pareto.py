"""The Pareto front: operating points that no other one beats in quality, rate and speed at once."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nacbench.board import Board, MetricInfo, Row, Section

# What the row is on the front of. Every point of the first front is on the second one too.
BY_RATE = "quality, rate"
BY_SPEED = "quality, rate, speed"


@dataclass(frozen=True)
class Point:
    """A row on the front of a metric.

    Attributes:
        front: `BY_RATE`: no other point has this quality at this rate; `BY_SPEED`: some have, and
            they are slower.
        rtf: of encoder and decoder together, processing time ÷ audio duration; None: not timed.
    """

    section: Section
    metric: MetricInfo
    row: Row
    front: str
    rtf: float | None

    @property
    def place(self) -> tuple[str, str, str, str]:
        """Suite, condition, metric, point key."""
        return self.section.suite, self.section.condition, self.metric.name, self.row.point_key


def fronts(board: Board) -> list[Point]:
    """The points on the front of every section and metric that has a better, by rising rate.

    Point estimates are compared: intervals stand beside them in the tables. Anchors, untrained
    codecs and rows that were not scored on every clip do not compete. Speed counts where every
    competing row was timed on the same machine, and not otherwise.
    """
    return [
        point
        for section in board.sections
        for metric in board.headline
        for point in _front(section, metric)
    ]


def dominated(costs: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which rows of `[points, costs]` another row beats: nowhere worse and somewhere better."""
    no_worse = (costs[:, None] <= costs[None]).all(axis=2)
    better = (costs[:, None] < costs[None]).any(axis=2)
    return np.asarray((no_worse & better).any(axis=0))


def write_csv(points: Iterable[Point], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(
            ["suite", "condition", "metric", "unit", "front", "series", "setting",
             "payload_kbps", "mean", "low", "high", "encode_decode_rtf"]
        )  # fmt: skip
        for point in points:
            section, row, cell = point.section, point.row, point.row.cells[point.metric.name]
            rows.writerow([
                section.suite, section.condition, point.metric.name, point.metric.unit, point.front,
                row.series, row.setting, row.payload_kbps, cell.mean, cell.low, cell.high,
                point.rtf,
            ])  # fmt: skip


def _front(section: Section, metric: MetricInfo) -> list[Point]:
    rows = [row for row in section.rows if _competes(row, metric, section)]
    if not rows:
        return []
    sign = -1.0 if metric.higher_is_better else 1.0
    costs = np.array([[sign * (r.cells[metric.name].mean or 0), r.payload_kbps or 0] for r in rows])
    by_rate = ~dominated(costs)
    by_speed = np.zeros_like(by_rate)
    times = [rtf(row) for row in rows]
    if _comparable(rows, times):
        by_speed = ~dominated(np.column_stack([costs, [time or 0.0 for time in times]]))
    return sorted(
        (
            Point(section, metric, row, BY_RATE if by_rate[i] else BY_SPEED, times[i])
            for i, row in enumerate(rows)
            if by_rate[i] or by_speed[i]
        ),
        key=lambda point: point.row.payload_kbps or 0.0,
    )


def rtf(row: Row) -> float | None:
    """Of encoder and decoder together."""
    if row.encode_rtf is None or row.decode_rtf is None:
        return None
    return row.encode_rtf + row.decode_rtf


def _competes(row: Row, metric: MetricInfo, section: Section) -> bool:
    cell = row.cells[metric.name]
    most = max(other.cells[metric.name].n_ok for other in section.rows)
    return (
        not row.anchor
        and not row.untrained
        and bool(row.payload_kbps)
        and cell.mean is not None
        and math.isfinite(cell.mean)
        and cell.n_ok == most
    )


def _comparable(rows: Sequence[Row], times: Sequence[float | None]) -> bool:
    return None not in times and len({row.machine for row in rows}) == 1
