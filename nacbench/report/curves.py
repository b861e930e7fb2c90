"""Rate-distortion curves: one panel per metric, payload kbit/s on a logarithmic axis."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nacbench.board import Board, MetricInfo, Row, Section
from nacbench.leaderboard import leaderboard
from nacbench.report.palette import Look, looks
from nacbench.results import ResultTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL_INCHES = (4.0, 2.75)
TITLE_INCHES = 0.45
MAX_COLUMNS = 3
LEGEND_COLUMNS = 2  # below the panels, per column of these
LABEL_HEIGHT = 0.055  # of an anchor's name, as a share of the axis
BANDS = "Bands and bars: 95 % intervals"
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
    table: ResultTable | Board,
    path_png: Path | str | None,
    path_svg: Path | str | None = None,
    ringed: Collection[tuple[str, str, str, str]] = (),
) -> None:
    """Draw every metric that has a better and a worse, one block of panels per condition.

    Lines join the points of a series in order of their measured rate; bands are 95 % intervals.

    Args:
        ringed: (suite, condition, metric, point key) of the points that get a ring.
    """
    import matplotlib as mpl

    board = leaderboard(table) if isinstance(table, ResultTable) else table
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]  # keys are a Literal of 300 names
        figure = _figure(board, ringed)
        if path_png is not None:
            figure.savefig(path_png, dpi=160, metadata={"Software": None})
        if path_svg is not None:
            text = io.StringIO()
            figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
            Path(path_svg).write_text(numbered(text.getvalue()), encoding="utf-8")


def numbered(svg: str) -> str:
    """Clip paths are named after addresses in memory; numbers make the file reproducible."""
    names = dict.fromkeys(re.findall(r'<clipPath id="(\w+)"', svg))
    numbers = {name: f"clip{index}" for index, name in enumerate(names)}
    return re.sub(r"(?<=[\"#])p[0-9a-f]{10}\b", lambda m: numbers.get(m[0], m[0]), svg)


def _figure(board: Board, ringed: Collection[tuple[str, str, str, str]]) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    metrics = [m for m in board.headline if _drawable(board, m)]
    metrics = metrics or [m for m in board.metrics if _drawable(board, m)]
    style = looks(row.series for s in board.sections for row in _competing(s.rows))
    columns = min(MAX_COLUMNS, max(1, len(metrics)))
    heights = [PANEL_INCHES[1]] * -(-len(metrics) // columns)
    beside = len(metrics) % columns > 0  # room for the legend beside the last panel
    if not beside:
        heights.append(0.35 + 0.2 * math.ceil(len(style) / (LEGEND_COLUMNS * columns)))
    height = TITLE_INCHES + sum(heights)
    figure = Figure(
        figsize=(PANEL_INCHES[0] * columns, height * len(board.sections)),
        layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.06),
    )
    parts: Any = figure.subfigures(len(board.sections), 1, squeeze=False)[:, 0]
    for part, section in zip(parts, board.sections, strict=True):
        part.suptitle(_title(board, section), fontsize=13, fontweight="bold", x=0.01, ha="left")
        grid = part.add_gridspec(len(heights), columns, height_ratios=heights)
        first: Axes | None = None
        for index, metric in enumerate(metrics):
            axes = part.add_subplot(grid[index // columns, index % columns], sharex=first)
            first = first or axes
            _panel(axes, section.rows, metric, style)
            place = (section.suite, section.condition, metric.name)
            _rings(axes, [r for r in section.rows if (*place, r.point_key) in ringed], metric)
            lowest = index + columns >= len(metrics)
            axes.tick_params(labelbottom=lowest)
            if lowest:
                axes.set_xlabel("payload, kbps", fontsize=8.5)
        free = part.add_subplot(grid[-1, len(metrics) % columns :])
        note = f"{BANDS}; rings: Pareto front" if ringed else BANDS
        _legend(free, _competing(section.rows), style, 0 if beside else columns, note)
    return figure


def _drawable(board: Board, metric: MetricInfo) -> bool:
    return any(r.cells[metric.name].mean is not None for s in board.sections for r in s.rows)


def _title(board: Board, section: Section) -> str:
    text = section.title
    if len(board.sections) > 1 or section.condition != "clean":
        text += f" · {section.condition}"
    text += f" · {section.clips} clips"
    return text + (" · synthetic pack" if section.synthetic else "")


def _competing(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if not row.anchor] or list(rows)


def _panel(axes: Axes, rows: Sequence[Row], metric: MetricInfo, style: dict[str, Look]) -> None:
    rated = [r for r in rows if r.payload_kbps and r.cells[metric.name].mean is not None]
    competing = _competing(rated)
    for name, look in style.items():
        points = sorted(_point(row, metric) for row in competing if row.series == name)
        if points:
            _series(axes, points, look)
    rates = [row.payload_kbps or 0.0 for row in _competing([r for r in rows if r.payload_kbps])]
    kilobit_axis(axes, rates)  # of every panel alike, also where a metric has no score at some rate
    axes.set_title(f"{metric.name}{f' ({metric.unit})' if metric.unit else ''} {metric.arrow}")
    anchors = [(_point(row, metric)[1], row.name) for row in rated if row not in competing]
    _anchor_lines(axes, sorted(anchors), metric)


def kilobit_axis(axes: Axes, rates: Sequence[float]) -> None:
    """A logarithmic axis of kbit/s around the given rates, and the grid of all panels."""
    axes.set_xscale("log", base=2)
    if rates:
        margin = max((max(rates) / min(rates)) ** 0.03, 1.05)
        axes.set_xlim(min(rates) / margin, max(rates) * margin)
    axes.grid(color=FAINT, linewidth=0.7)
    axes.set_axisbelow(True)
    _octaves(axes)
    axes.tick_params(length=2.5, labelsize=8.5)
    axes.margins(y=0.06)


def _rings(axes: Axes, rows: Sequence[Row], metric: MetricInfo) -> None:
    if rows:
        rates, means, *_ = zip(*(_point(row, metric) for row in rows), strict=True)
        axes.scatter(
            rates, means, s=95, facecolors="none", edgecolors=INK, linewidths=0.9, zorder=4
        )


def _octaves(axes: Axes) -> None:
    from matplotlib.ticker import LogLocator

    low, high = axes.get_xlim()
    steps = (1.0, 1.5) if high < 20 * low else (1.0,)
    axes.xaxis.set_major_locator(LogLocator(base=2, subs=steps, numticks=20))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.minorticks_off()


def _point(row: Row, metric: MetricInfo) -> tuple[float, float, float, float]:
    """Rate, mean, lower and upper bound."""
    cell = row.cells[metric.name]
    mean = cell.mean or 0.0
    low = mean if cell.low is None else cell.low
    return row.payload_kbps or 0.0, mean, low, mean if cell.high is None else cell.high


def _anchor_lines(axes: Axes, anchors: Sequence[tuple[float, str]], metric: MetricInfo) -> None:
    """A line at each anchor's score; the axis stays scaled to the codecs that compete."""
    from matplotlib.patheffects import withStroke

    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    room = LABEL_HEIGHT * (high - low)
    labels: list[tuple[float, str]] = []  # lower edge of the text, names
    for height, name in anchors:
        if not low < height < high:
            continue
        axes.axhline(height, color="#8A8A8A", linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
        edge = min(height, high - room)
        if labels and edge < labels[-1][0] + room:
            edge, name = labels[-1][0], f"{labels.pop()[1]}, {name}"
        labels.append((edge, name))
    for edge, name in labels:
        # Curves run from one low corner to the opposite high one; the label takes the free side.
        upper = edge > (low + high) / 2
        left = upper == (metric.higher_is_better is not False)
        axes.text(
            0.012 if left else 0.988, edge, name, transform=axes.get_yaxis_transform(),
            ha="left" if left else "right", va="bottom",
            fontsize=6.8, color="#777777", zorder=4,
            path_effects=[withStroke(linewidth=2, foreground="white", alpha=0.8)],
        )  # fmt: skip
    outside = [name for height, name in anchors if not low < height < high]
    if outside:
        better = metric.higher_is_better is not False
        axes.text(
            0.988, 0.03 if better else 0.97, f"off the scale: {', '.join(outside)}",
            transform=axes.transAxes, ha="right", va="bottom" if better else "top",
            fontsize=6.8, color="#777777",
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


def _legend(axes: Axes, rows: Sequence[Row], style: dict[str, Look], below: int, note: str) -> None:
    """Below so many columns of panels, or beside the last panel where there is none."""
    from matplotlib.lines import Line2D

    axes.set_axis_off()
    shown = {row.series: _legend_text(row) for row in rows}
    handles = [
        Line2D([], [], label=shown[name], **_stroke(look))
        for name, look in style.items()
        if name in shown
    ]
    many = len(handles) > 24
    columns = LEGEND_COLUMNS * below or (1 if len(handles) <= 8 else 3 if many else 2)
    axes.legend(
        handles=handles, loc="upper left", ncols=columns, frameon=False, borderpad=0,
        bbox_to_anchor=(-0.01, 1.04), handlelength=2.6, columnspacing=1.4, labelspacing=0.55,
        fontsize=7.5 if many and not below else 9,
        title=note, title_fontsize=8, alignment="left",
    )  # fmt: skip


def _legend_text(row: Row) -> str:
    notes = [*["untrained"] * row.untrained, *["rate declared"] * row.rate_declared]
    return row.series + (f" ({', '.join(notes)})" if notes else "")
