"""Rate-distortion curves: one panel per metric, payload kbit/s on a logarithmic axis."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nacbench.leaderboard import Board, MetricInfo, Row, Section, leaderboard
from nacbench.report.palette import Look, is_anchor, looks
from nacbench.results import ResultTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL_INCHES = (4.0, 2.75)
TITLE_INCHES = 0.45
MAX_COLUMNS = 3
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
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    metrics = [m for m in board.headline if _drawable(board, m)]
    metrics = metrics or [m for m in board.metrics if _drawable(board, m)]
    style = looks(row.series for s in board.sections for row in s.rows)
    columns = min(MAX_COLUMNS, len(metrics) + 1)
    lines = -(-(len(metrics) + 1) // columns)  # one place more than panels: the legend's
    height = TITLE_INCHES + PANEL_INCHES[1] * lines
    figure = Figure(
        figsize=(PANEL_INCHES[0] * columns, height * len(board.sections)),
        layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.06),
    )
    parts: Any = figure.subfigures(len(board.sections), 1, squeeze=False)[:, 0]
    for part, section in zip(parts, board.sections, strict=True):
        part.suptitle(_title(board, section), fontsize=13, fontweight="bold", x=0.01, ha="left")
        grid = part.subplots(lines, columns, squeeze=False, sharex=True).ravel()
        for axes, metric in zip(grid, metrics, strict=False):
            _panel(axes, section.rows, metric, style)
        for axes in grid[len(metrics) :]:
            axes.set_axis_off()
        for axes in grid[: len(metrics)][-columns:]:
            axes.set_xlabel("payload, kbps", fontsize=8.5)
            axes.tick_params(labelbottom=True)
        _legend(grid[len(metrics)], section.rows, style)
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
    competing: list[float] = []
    anchors: dict[str, list[float]] = {}
    for name, look in style.items():
        points = sorted(
            (row.payload_kbps, cell.mean, cell.mean if cell.low is None else cell.low,
             cell.mean if cell.high is None else cell.high)
            for row in rows
            if row.series == name and row.payload_kbps
            for cell in [row.cells[metric.name]]
            if cell.mean is not None
        )  # fmt: skip
        if points:
            _series(axes, points, look)
            heights = [height for _, *bounds in points for height in bounds]
            if is_anchor(name):
                anchors[name] = heights
            else:
                competing += heights
    axes.set_xscale("log", base=2)
    axes.set_title(f"{metric.name}{f' ({metric.unit})' if metric.unit else ''} {metric.arrow}")
    axes.grid(color=FAINT, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.minorticks_off()
    axes.tick_params(length=2.5, labelsize=8.5)
    axes.margins(x=0.03, y=0.05)
    if competing:
        _frame(axes, competing, anchors, metric)


def _frame(
    axes: Axes, competing: Sequence[float], anchors: dict[str, list[float]], metric: MetricInfo
) -> None:
    """Scale to the codecs that compete, and name the anchors that this leaves outside."""
    low, high = min(competing), max(competing)
    margin = 0.06 * (high - low) or 0.5
    axes_low, axes_high = low - margin, high + margin
    axes.set_ylim(axes_low, axes_high)
    outside = [n for n, at in anchors.items() if max(at) < axes_low or min(at) > axes_high]
    if outside:
        better = metric.higher_is_better is not False
        axes.text(
            0.985, 0.04 if better else 0.96, f"off the scale: {', '.join(outside)}",
            transform=axes.transAxes, ha="right", va="bottom" if better else "top",
            fontsize=7.5, color="#777777",
        )  # fmt: skip


def _series(axes: Axes, points: Sequence[tuple[Any, ...]], look: Look) -> None:
    kbps, mean, low, high = (list(column) for column in zip(*points, strict=True))
    axes.plot(kbps, mean, zorder=3, **_stroke(look))
    if len(points) > 1:
        axes.fill_between(kbps, low, high, color=look.colour, alpha=0.13, linewidth=0, zorder=1)
    else:
        axes.vlines(kbps, low, high, color=look.colour, linewidth=1.1, alpha=0.6, zorder=2)


def _stroke(look: Look) -> dict[str, Any]:
    face, edge, width = ("white", look.colour, 1.2) if look.open else (look.colour, "white", 0.5)
    return {
        "color": look.colour,
        "linestyle": look.line,
        "linewidth": 1.6,
        "marker": look.marker,
        "markersize": 5.0 - look.open,
        "markerfacecolor": face,
        "markeredgecolor": edge,
        "markeredgewidth": width,
    }


def _legend(axes: Axes, rows: Sequence[Row], style: dict[str, Look]) -> None:
    from matplotlib.lines import Line2D

    shown = {row.series: _legend_text(row) for row in rows}
    handles = [
        Line2D([], [], label=shown[name], **_stroke(look))
        for name, look in style.items()
        if name in shown
    ]
    columns = 1 if len(handles) <= 8 else 2 if len(handles) <= 24 else 3
    axes.legend(
        handles=handles, loc="upper left", ncols=columns, frameon=False, borderpad=0,
        bbox_to_anchor=(-0.02, 1.04), handlelength=2.6, columnspacing=1.4, labelspacing=0.55,
        fontsize=9 if len(handles) <= 24 else 7.5,
        title="Bands and bars: 95 % intervals", title_fontsize=8, alignment="left",
    )  # fmt: skip


def _legend_text(row: Row) -> str:
    notes = [*["untrained"] * row.untrained, *["rate declared"] * row.rate_declared]
    return row.series + (f" ({', '.join(notes)})" if notes else "")
