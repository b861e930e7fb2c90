"""The pictures of a listening test: box plots with means and intervals, items, metrics."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mushra_app.analysis import Agreement, Analysis, Summary
from nacbench.report.curves import INK, STYLE
from nacbench.report.palette import COLOURS, MARKERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LABELS = ("Bad", "Poor", "Fair", "Good", "Excellent")
ROLE_COLOURS = {"reference": "#555555", "low_anchor": "#999999", "mid_anchor": "#999999"}
COLUMNS = 3


def draw(analysis: Analysis, folder: Path) -> list[Path]:
    """Write every figure as PNG and SVG; their paths, PNG first of each pair."""
    pictures: list[tuple[str, Callable[[Analysis], Figure]]] = [
        ("scores", scores),
        ("items", items),
    ]
    if analysis.agreements:
        pictures.append(("metrics", metrics))
    import matplotlib as mpl

    written = []
    style: Any = {**STYLE, "figure.constrained_layout.use": True}
    with mpl.rc_context(style):
        for name, picture in pictures:
            figure = picture(analysis)
            for path in (folder / f"{name}.png", folder / f"{name}.svg"):
                figure.savefig(path, dpi=130, facecolor="white", metadata=_without_date(path))
                written.append(path)
    return written


def _without_date(path: Path) -> dict[str, None] | None:
    return {"Date": None} if path.suffix == ".svg" else None


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height))


def colour(summary: Summary, systems: Sequence[str]) -> str:
    condition = summary.condition
    if condition.role in ROLE_COLOURS:
        return ROLE_COLOURS[condition.role]
    return COLOURS[systems.index(condition.id) % len(COLOURS)]


def _systems(analysis: Analysis) -> list[str]:
    return [c.id for c in analysis.study.conditions if c.role == "system"]


def scores(analysis: Analysis) -> Figure:
    """One box per condition, best first; the mean with its 95 % interval beside it."""
    summaries = analysis.summaries
    figure = _figure(max(5.0, 1.0 * len(summaries) + 1.2), 4.6)
    axes = figure.subplots()
    _scale(axes)
    for place, summary in enumerate(summaries):
        shade = colour(summary, _systems(analysis))
        _box(axes, summary, place - 0.12, 0.42, shade)
        if math.isfinite(summary.low):
            below, above = summary.mean - summary.low, summary.high - summary.mean
            axes.errorbar(
                place + 0.26, summary.mean, [[below], [above]], fmt="D", color=INK, markersize=4.5,
                capsize=3, linewidth=1.3,
            )  # fmt: skip
        else:
            axes.plot(place + 0.26, summary.mean, "D", color=INK, markersize=4.5)
    _names(axes, [summary.condition.title for summary in summaries])
    listeners = len(analysis.screening.valid)
    axes.set_title(f"{listeners} listeners, {len(analysis.study.items)} items")
    axes.set_xlabel("Boxes: quartiles, whiskers to 1.5 IQR. Diamonds: mean, 95 % interval.")
    return figure


def items(analysis: Analysis) -> Figure:
    """The same per item, in small."""
    study = analysis.study
    order = [summary.condition.id for summary in analysis.summaries]
    columns = min(COLUMNS, len(study.items))
    rows = math.ceil(len(study.items) / columns)
    figure = _figure(0.8 + columns * max(2.4, 0.4 * len(order)), 0.9 + 2.1 * rows)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axes in grid.ravel():
        axes.set_visible(False)
    for number, item in enumerate(study.items):
        axes = grid.flat[number]
        axes.set_visible(True)
        _scale(axes, words=False)
        axes.set_title(item.title or item.id)
        for summary in analysis.cells:
            if summary.item == item.id:
                place = order.index(summary.condition.id)
                _box(axes, summary, place, 0.6, colour(summary, _systems(analysis)))
        _names(axes, [summary.condition.title for summary in analysis.summaries])
        axes.tick_params(labelbottom=number + columns >= len(study.items))
    return figure


def metrics(analysis: Analysis) -> Figure:
    """Each metric against the mean scores; one mark per system and item."""
    shown = analysis.agreements
    columns = min(COLUMNS, len(shown))
    rows = math.ceil(len(shown) / columns)
    figure = _figure(0.6 + 3.1 * columns, 0.8 + 2.7 * rows)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(shown) :]:
        axes.set_visible(False)
    titles = {condition.id: condition.title for condition in analysis.study.conditions}
    for axes, agreement in zip(grid.flat, shown, strict=False):
        _scatter(axes, agreement, _systems(analysis), titles)
    handles, labels = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    return figure


def _scatter(
    axes: Axes, agreement: Agreement, systems: Sequence[str], titles: dict[str, str]
) -> None:
    axes.grid(True, color="#E4E4E4", linewidth=0.7)
    axes.set_axisbelow(True)
    for n, system in enumerate(systems):
        points = np.array([p[2:] for p in agreement.points if p[1] == system]).reshape(-1, 2)
        axes.plot(
            points[:, 0], points[:, 1], MARKERS[n % len(MARKERS)], markersize=4.5, alpha=0.75,
            color=COLOURS[n % len(COLOURS)], label=titles[system], markeredgewidth=0,
        )  # fmt: skip
    arrow = {True: " ↑", False: " ↓", None: ""}[agreement.higher_is_better]
    unit = f" ({agreement.unit})" if agreement.unit else ""
    axes.set_xlabel(f"{agreement.metric}{unit}{arrow}")
    axes.set_ylim(0, 100)
    axes.set_ylabel("mean score")
    value, low, high = agreement.spearman
    axes.set_title(f"ρ = {value:.2f}  [{low:.2f}, {high:.2f}]")


def _scale(axes: Axes, words: bool = True) -> None:
    axes.set_ylim(-3, 103)
    axes.set_yticks(range(0, 101, 20))
    axes.grid(True, axis="y", color="#E4E4E4", linewidth=0.7)
    axes.set_axisbelow(True)
    if words:
        axes.set_ylabel("score")
        for number, word in enumerate(LABELS):
            axes.text(
                1.01, (20 * number + 13) / 106, word, transform=axes.transAxes, va="center",
                color="#777777", fontsize=8,
            )  # fmt: skip


def _box(axes: Axes, summary: Summary, place: float, width: float, shade: str) -> None:
    box = summary.box
    stats = {
        "med": box.median, "q1": box.lower, "q3": box.upper,
        "whislo": box.low, "whishi": box.high, "fliers": box.beyond,
    }  # fmt: skip
    axes.bxp(
        [stats], positions=[place], widths=width, patch_artist=True, manage_ticks=False,
        boxprops={"facecolor": shade + "55", "edgecolor": shade},
        medianprops={"color": shade, "linewidth": 2.2},
        whiskerprops={"color": shade}, capprops={"color": shade},
        flierprops={"marker": "o", "markersize": 2.5, "markerfacecolor": shade,
                    "markeredgewidth": 0, "alpha": 0.6},
    )  # fmt: skip


def _names(axes: Axes, names: Sequence[str]) -> None:
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.set_xticks(range(len(names)))
    axes.set_xticklabels(names, rotation=35, ha="right", rotation_mode="anchor")
