"""The report of a listening test, as BS.1534-3 wants it: HTML, Markdown, CSV and figures."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from mushra_app import figures, ratings, rendering, sheets
from mushra_app.analysis import Agreement, Analysis, Summary
from mushra_app.rendering import Block
from mushra_app.statistics import BIMODAL, DRAWS, PERMUTATIONS
from nacbench import __version__

if TYPE_CHECKING:
    import pandas as pd

FOLDER = "report"
PICTURES = {
    "scores": "Scores of each condition over all items and listeners",
    "items": "The same for each item",
    "metrics": "Metrics of the run against mean scores, one mark per system and item",
}


def write(analysis: Analysis, frame: pd.DataFrame, folder: Path) -> list[Path]:
    """Write everything into a folder; the pages first.

    Args:
        frame: the raw ratings, screened out or not, which go along as `ratings.csv`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pictures = figures.draw(analysis, folder)
    blocks = list(_blocks(analysis))
    pages = [folder / "report.html", folder / "report.md"]
    pages[0].write_text(rendering.page(analysis.study.title, blocks, folder), encoding="utf-8")
    pages[1].write_text(rendering.markdown(blocks), encoding="utf-8")
    tables = sheets.write(analysis, folder)
    raw = folder / "ratings.csv"
    raw.write_text(ratings.to_csv(frame), encoding="utf-8")
    return [*pages, *tables, raw, *pictures]


def paragraph(text: str) -> Block:
    return "p", text


def _picture(name: str) -> Block:
    return "picture", (name, PICTURES[name])


def _blocks(analysis: Analysis) -> Iterable[Block]:
    study, screening = analysis.study, analysis.screening
    systems = sum(condition.role == "system" for condition in study.conditions)
    everybody = len(screening.valid) + len(screening.excluded)
    yield "h1", study.title
    yield paragraph(
        f"MUSHRA after ITU-R BS.1534-3: {len(screening.valid)} of {everybody} listeners count, "
        f"{len(study.items)} items, {systems} systems with hidden reference and two anchors, "
        f"{analysis.ratings:,} scores."
    )
    for warning in analysis.warnings:
        yield paragraph(f"Note: {warning}")
    yield _picture("scores")
    yield "table", (
        ["condition", "kbps", "median", "IQR", "mean", "95 % interval", "outliers"],
        [
            [s.condition.title, _kbps(s), _n(s.box.median, 1),
             _interval(s.box.lower, s.box.upper, 1), _n(s.mean, 1),
             _interval(s.low, s.high, 1), str(len(s.box.beyond))]
            for s in analysis.summaries
        ],
    )  # fmt: skip
    yield paragraph(
        "Quartiles are Tukey's, halves including the median. Intervals are for other listeners and "
        f"other items: both are drawn anew {DRAWS:,} times. Outliers lie beyond 1.5 interquartile "
        "ranges and are not dropped."
    )
    yield "h2", "Post-screening"
    if not screening.excluded:
        yield paragraph("Nobody is excluded.")
    for excluded in screening.excluded:
        yield paragraph(excluded.sentence)
    yield paragraph(
        "Excluded is who rates the hidden reference below 90 on more than 15 % of the items, or "
        "the 7 kHz anchor above 90 on more than 15 %, items aside on which more than 25 % of the "
        "listeners do so; and who did not rate every item (BS.1534-3, p. 5)."
    )
    yield "h2", "Which differences are real?"
    chi2, p, w = analysis.friedman
    if math.isfinite(chi2):
        yield paragraph(
            f"Friedman over all conditions: χ² = {chi2:.1f}, {_equals(p)}, Kendall's W = {w:.2f}."
        )
    yield "table", (
        ["better", "worse", "difference", "Wilcoxon p", "Hochberg p", "medians", "permutation p"],
        [
            [_title(analysis, c.better), _title(analysis, c.worse), _n(c.difference, 1),
             _p(c.wilcoxon), _mark(c.hochberg), _n(c.medians, 1), _deal(c.permutation)]
            for c in analysis.contrasts
        ],
    )  # fmt: skip
    yield paragraph(
        "Wilcoxon's signed-rank test takes each listener's mean over the items, for listeners are "
        "what is independent; Hochberg's correction holds over all pairs, * marks p < 0.05. The "
        f"permutation is attachment 3's as it is written: one-sided, unpaired, {PERMUTATIONS:,} "
        "draws on the difference of medians."
    )
    yield "h2", "Items"
    yield _picture("items")
    yield paragraph(_bimodal_sentence(analysis))
    yield "table", (
        ["item", *(s.condition.title for s in analysis.summaries)],
        [
            [item.title or item.id]
            + [_cell(analysis, item.id, s.condition.id) for s in analysis.summaries]
            for item in study.items
        ],
    )  # fmt: skip
    yield paragraph("Median and interquartile range.")
    yield "h2", "Reliability"
    yield from _reliability(analysis)
    if analysis.agreements:
        yield "h2", "Metrics against listeners"
        yield _picture("metrics")
        yield "table", (
            ["metric", "Spearman ρ", "Pearson r", "ρ of systems", "pairs"],
            [
                [f"{a.metric} {_arrow(a)}".strip(), _triple(a.spearman), _triple(a.pearson),
                 _triple(a.by_system), str(a.cells)]
                for a in analysis.agreements
            ],
        )  # fmt: skip
        yield paragraph(
            "Over systems on items, anchors and hidden reference aside; a metric with ↓ should be "
            "negative. ρ of systems is over the systems' means. 95 % intervals are for other "
            "listeners and items; the systems are as they are. Metrics saw the whole clip, "
            "listeners the excerpt."
        )
    yield "h2", "How it was made"
    yield "table", (["", ""], _origin(analysis))
    for note in study.notes:
        yield paragraph(f"Preparation: {note}")


def _reliability(analysis: Analysis) -> Iterable[Block]:
    if not analysis.reliability:
        yield paragraph("No trial was repeated, so it cannot be told.")
        return
    pairs = sum(r.pairs for r in analysis.reliability)
    yield paragraph(
        f"{pairs} scores were given twice: ICC(1) = {_n(analysis.icc, 2)}, typical error "
        f"{_n(analysis.typical_error, 1)} points (RMS of the differences ÷ √2)."
    )
    yield "table", (
        ["listener", "scores given twice", "mean distance", "ICC(1)"],
        [
            [analysis.screening.name(r.participant), str(r.pairs), _n(r.distance, 1),
             _n(r.icc, 2)]
            for r in analysis.reliability
        ],
    )  # fmt: skip


def _bimodal_sentence(analysis: Analysis) -> str:
    found = [
        f"{_title(analysis, s.condition.id)} on {s.item} ({s.bimodal:.2f})"
        for s in analysis.bimodal
    ]
    if not any(math.isfinite(cell.bimodal) for cell in analysis.cells):
        return "Whether listeners are of two minds cannot be told of so few, or such equal, scores."
    rule = f"bimodality coefficient above {BIMODAL:.3f}"
    if not found:
        return f"On no item are listeners of two minds ({rule})."
    return f"Listeners may be of two minds ({rule}): {', '.join(found)}."


def _origin(analysis: Analysis) -> list[list[str]]:
    study = analysis.study
    frames = [s.frames for item in study.items for s in item.conditions]
    bounds = [f"{count / study.sample_rate_hz:.1f}" for count in (min(frames), max(frames))]
    seconds = " to ".join(dict.fromkeys(bounds))
    return [
        ["study", f"{study.slug}, version {study.version}, {study.created}"],
        ["sha256", study.sha256],
        ["run", study.run or "none"],
        ["signals", f"{study.sample_rate_hz / 1000:g} kHz, {seconds} s, loudness aligned per item "
                    "(BS.1770)"],
        ["order", "items and signals by Williams squares over listeners"],
        ["replicates", f"{study.replicate_share:.0%} of the items"],
        ["anchors", study.anchors or "as they came"],
        ["analysis", f"nacbench {__version__}"],
    ]  # fmt: skip


def _title(analysis: Analysis, condition: str) -> str:
    return analysis.study.condition(condition).title


def _cell(analysis: Analysis, item: str, condition: str) -> str:
    found = (s for s in analysis.cells if s.item == item and s.condition.id == condition)
    box = next(found).box
    return f"{_n(box.median, 0)} ({_n(box.lower, 0)}–{_n(box.upper, 0)})"


def _kbps(summary: Summary) -> str:
    rate = summary.condition.payload_kbps
    return "" if rate is None else f"{rate:.1f}"


def _n(value: float, digits: int) -> str:
    return f"{value:z.{digits}f}" if math.isfinite(value) else "–"


def _interval(low: float, high: float, digits: int) -> str:
    return f"{_n(low, digits)} – {_n(high, digits)}" if math.isfinite(low) else "–"


def _triple(values: tuple[float, float, float]) -> str:
    value, low, high = values
    if not math.isfinite(value):
        return "–"
    return f"{value:z.2f} [{_n(low, 2)}, {_n(high, 2)}]"


def _p(value: float) -> str:
    if not math.isfinite(value):
        return "–"
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def _equals(p: float) -> str:
    return f"p {_p(p)}" if p < 0.0001 else f"p = {_p(p)}"


def _mark(value: float) -> str:
    return _p(value) + (" *" if value < 0.05 else "")


def _deal(value: float) -> str:
    return f"< {1 / PERMUTATIONS:g}" if value == 0 else _p(value)


def _arrow(agreement: Agreement) -> str:
    return {True: "↑", False: "↓", None: ""}[agreement.higher_is_better]
