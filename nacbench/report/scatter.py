"""Every clip as a dot: its own rate against its own score, one panel per metric."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nacbench.board import ANCHORS, Board, MetricInfo
from nacbench.leaderboard import latest
from nacbench.records import Record
from nacbench.report.curves import PANEL_INCHES, STYLE, kilobit_axis, numbered
from nacbench.report.palette import Look, looks
from nacbench.results import ResultTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_PANELS = 6
COLUMNS = 3
LEGEND_COLUMNS = 6


def draw(
    table: ResultTable, board: Board, path_png: Path | None, path_svg: Path | None = None
) -> None:
    """Draw the first headline metrics, one block of panels per condition."""
    import matplotlib as mpl

    with mpl.rc_context(STYLE):  # type: ignore[arg-type]  # keys are a Literal of 300 names
        figure = _figure(latest(table.records), board)
        if path_png is not None:
            figure.savefig(path_png, dpi=160, metadata={"Software": None})
        if path_svg is not None:
            text = io.StringIO()
            figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
            path_svg.write_text(numbered(text.getvalue()), encoding="utf-8")


def _figure(records: Sequence[Record], board: Board) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    metrics = board.headline[:MAX_PANELS]
    drawn = [r for r in records if r.codec not in ANCHORS and r.payload_kbps]
    drawn = drawn or [r for r in records if r.payload_kbps]
    style = looks(r.series for r in drawn)
    columns = max(1, min(COLUMNS, len(metrics)))
    lines = -(-len(metrics) // columns)
    legend_inches = 0.3 + 0.2 * math.ceil(len(style) / LEGEND_COLUMNS)
    height = PANEL_INCHES[1] * lines + 0.45 + legend_inches
    figure = Figure(
        figsize=(PANEL_INCHES[0] * columns, height * len(board.sections)),
        layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.06),
    )
    parts: Any = figure.subfigures(len(board.sections), 1, squeeze=False)[:, 0]
    for part, section in zip(parts, board.sections, strict=True):
        title = f"{section.title} · {section.condition} · every clip"
        part.suptitle(title, fontsize=13, fontweight="bold", x=0.01, ha="left")
        here = [r for r in drawn if (r.suite, r.condition) == (section.suite, section.condition)]
        for index, metric in enumerate(metrics):
            _panel(part.add_subplot(lines, columns, index + 1), here, metric, style)
        _legend(part, style)
    return figure


def _panel(
    axes: Axes, records: Sequence[Record], metric: MetricInfo, style: dict[str, Look]
) -> None:
    for name, look in style.items():
        points = [
            (r.payload_kbps, r.scores[metric.name].value)
            for r in records
            if r.series == name and metric.name in r.scores and r.scores[metric.name].ok
        ]
        if points:
            axes.scatter(*zip(*points, strict=True), **_dot(look), zorder=3)
    axes.set_title(f"{metric.name}{f' ({metric.unit})' if metric.unit else ''} {metric.arrow}")
    kilobit_axis(axes, [r.payload_kbps or 0.0 for r in records])
    axes.set_xlabel("payload of the clip, kbps", fontsize=8.5)


def _dot(look: Look) -> dict[str, Any]:
    face = "none" if look.open else look.colour
    return {
        "marker": look.marker, "s": 11, "facecolors": face, "edgecolors": look.colour,
        "linewidths": 0.7, "alpha": 0.55,
    }  # fmt: skip


def _legend(part: Any, style: dict[str, Look]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D(
            [], [], label=name, linestyle="", marker=look.marker, markersize=5,
            markerfacecolor="none" if look.open else look.colour, markeredgecolor=look.colour,
        )
        for name, look in style.items()
    ]  # fmt: skip
    part.legend(
        handles=handles, loc="outside lower left", ncols=LEGEND_COLUMNS, frameon=False, fontsize=8
    )
