"""Rate-distortion curves: one panel per metric, payload kbit/s on a logarithmic axis."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nacbench.leaderboard import Board, MetricInfo, Row, Section, leaderboard
from nacbench.report.palette import Look, looks
from nacbench.results import ResultTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL_INCHES = (4.0, 2.9)
INK, FAINT = "#222222", "#E4E4E4"
STYLE: dict[str, Any] = {
    "axes.edgecolor": "#9A9A9A",
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same picture on every machine
    "font.size": 9,
    "svg.hashsalt": "nacbench",  # the same file for the same results
    "text.color": INK,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
}


def draw(
    table: ResultTable | Board, path_png: Path | str | None, path_svg: Path | str | None = None
) -> None:
    """Draw every metric that has a better and a worse, one block of panels per condition.

    Lines join the points of a series in order of their measured rate; bands are 95 % intervals.
    """
    import matplotlib as mpl

    board = leaderboard(table) if isinstance(table, ResultTable) else table
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]  # keys are a Literal of 300 names
        figure = _figure(board)
        if path_png is not None:
            figure.savefig(path_png, dpi=160, metadata={"Software": None})
        if path_svg is not None:
            text = io.StringIO()
            figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
            Path(path_svg).write_text(_numbered(text.getvalue()), encoding="utf-8")


def _numbered(svg: str) -> str:
    """Clip paths are named after addresses in memory; numbers make the file reproducible."""
    names = dict.fromkeys(re.findall(r'<clipPath id="(\w+)"', svg))
    numbers = {name: f"clip{index}" for index, name in enumerate(names)}
    return re.sub(r"(?<=[\"#])p[0-9a-f]{10}\b", lambda m: numbers.get(m[0], m[0]), svg)


def _figure(board: Board) -> Figure:
    from matplotlib.figure import Figure

    metrics = [m for m in board.headline if _drawable(board, m)] or list(board.headline[:1])
    columns = min(3, max(1, len(metrics)))
    lines = math.ceil(len(metrics) / columns)
    style = looks(row.series for s in board.sections for row in s.rows)
    legend_lines = math.ceil(len(style) / (2 * columns))
    width = PANEL_INCHES[0] * columns
    block = PANEL_INCHES[1] * lines + 0.55
    foot = 0.35 + 0.22 * legend_lines
    figure = Figure(figsize=(width, block * len(board.sections) + foot), layout="constrained")
    parts: Any = figure.subfigures(
        len(board.sections) + 1, 1, height_ratios=[*[block] * len(board.sections), foot]
    )
    for part, section in zip(parts, board.sections, strict=False):
        part.suptitle(_title(board, section), fontsize=13, fontweight="bold", x=0.012, ha="left")
        grid = part.subplots(lines, columns, squeeze=False).ravel()
        for axes, metric in zip(grid, metrics, strict=False):
            _panel(axes, section.rows, metric, style)
        for axes in grid[len(metrics) :]:
            axes.set_visible(False)
    _legend(parts[-1], board, style, 2 * columns)
    return figure


def _drawable(board: Board, metric: MetricInfo) -> bool:
    return any(r.cells[metric.name].mean is not None for s in board.sections for r in s.rows)


def _title(board: Board, section: Section) -> str:
    text = section.title
    if len(board.sections) > 1 or section.condition != "clean":
        text += f" · {section.condition}"
    text += f" · {section.clips} clips"
    return text + (" · synthetic pack" if section.synthetic else "")


def _panel(axes: Axes, rows: Sequence[Row], metric: MetricInfo, style: dict[str, Look]) -> None:
    for name, look in style.items():
        points = sorted(
            (row.payload_kbps, cell.mean, cell.low, cell.high)
            for row in rows
            if row.series == name and row.payload_kbps
            for cell in [row.cells[metric.name]]
            if cell.mean is not None
        )
        if points:
            _series(axes, points, look)
    axes.set_xscale("log", base=2)
    axes.set_title(f"{metric.name}{f' ({metric.unit})' if metric.unit else ''} {metric.arrow}")
    axes.grid(color=FAINT, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_locator(_no_ticks())
    axes.set_xlabel("payload, kbps", fontsize=8.5)
    axes.tick_params(length=2.5, labelsize=8.5)
    axes.margins(x=0.03, y=0.06)


def _series(axes: Axes, points: Sequence[tuple[Any, ...]], look: Look) -> None:
    kbps, mean, low, high = (list(column) for column in zip(*points, strict=True))
    low = [m if bound is None else bound for m, bound in zip(mean, low, strict=True)]
    high = [m if bound is None else bound for m, bound in zip(mean, high, strict=True)]
    axes.plot(
        kbps, mean, color=look.colour, linestyle=look.line, linewidth=1.6, zorder=3,
        marker=look.marker, markersize=4.8, markeredgecolor="white", markeredgewidth=0.5,
    )  # fmt: skip
    if len(points) > 1:
        axes.fill_between(kbps, low, high, color=look.colour, alpha=0.13, linewidth=0, zorder=1)
    else:
        axes.vlines(kbps, low, high, color=look.colour, linewidth=1.1, alpha=0.6, zorder=2)


def _no_ticks() -> Any:
    from matplotlib.ticker import NullLocator

    return NullLocator()


def _legend(part: Any, board: Board, style: dict[str, Look], columns: int) -> None:
    from matplotlib.lines import Line2D

    rows = [row for section in board.sections for row in section.rows]
    untrained = {row.series for row in rows if row.untrained}
    declared = {row.series for row in rows if row.rate_declared}
    handles = [
        Line2D(
            [], [], color=look.colour, marker=look.marker, linestyle=look.line, linewidth=1.6,
            markersize=5.5, markeredgecolor="white", markeredgewidth=0.5,
            label=name
            + (" (untrained)" if name in untrained else "")
            + (" (rate declared)" if name in declared else ""),
        )
        for name, look in style.items()
    ]  # fmt: skip
    part.legend(
        handles=handles, loc="upper left", ncols=columns, frameon=False, fontsize=9,
        bbox_to_anchor=(0.005, 1.0), handlelength=2.4, columnspacing=1.6,
    )  # fmt: skip
    part.text(
        0.012, 0.02, "Bands and bars: 95 % intervals, bootstrap over independent units.",
        fontsize=7.5, color="#666666", ha="left", va="bottom",
    )  # fmt: skip
