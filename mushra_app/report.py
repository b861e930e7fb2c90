"""The report of a listening test, as BS.1534-3 wants it: HTML, Markdown, CSV and figures."""

from __future__ import annotations

import base64
import csv
import html
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mushra_app import figures, ratings
from mushra_app.analysis import Agreement, Analysis, Summary
from mushra_app.statistics import BIMODAL, DRAWS, PERMUTATIONS
from nacbench import __version__

if TYPE_CHECKING:
    import pandas as pd

FOLDER = "report"
LEADERBOARD = "mushra.csv"  # what `nacbench report RUN --mushra STUDY` reads
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
    pages[0].write_text(_html(analysis, blocks, folder), encoding="utf-8")
    pages[1].write_text(_markdown(blocks), encoding="utf-8")
    tables = [
        _csv(folder / "conditions.csv", _summary_rows(analysis.summaries)),
        _csv(folder / "items.csv", _summary_rows(analysis.cells)),
        _csv(folder / "contrasts.csv", _contrast_rows(analysis)),
        _csv(folder / "listeners.csv", _listener_rows(analysis)),
        _csv(folder / "metrics.csv", _agreement_rows(analysis.agreements)),
        _csv(folder / LEADERBOARD, _leaderboard_rows(analysis)),
    ]
    raw = folder / "ratings.csv"
    raw.write_text(ratings.to_csv(frame), encoding="utf-8")
    return [*pages, *(t for t in tables if t is not None), raw, *pictures]


# A block is ("h1" | "h2" | "p" | "table" | "picture", content).
Block = tuple[str, Any]


def paragraph(text: str) -> Block:
    return "p", text


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
    yield "picture", "scores"
    yield "table", (
        ["condition", "kbps", "median", "IQR", "mean", "95 % interval", "outliers"],
        [
            [s.condition.title, _kbps(s), _n(s.median, 1), f"{_n(s.lower, 1)} – {_n(s.upper, 1)}",
             _n(s.mean, 1), _interval(s.low, s.high, 1), str(s.outliers)]
            for s in analysis.summaries
        ],
    )  # fmt: skip
    yield paragraph(
        "Quartiles are Tukey's, halves including the median. Intervals are for other listeners and "
        f"other items: both are drawn anew {DRAWS} times. Outliers lie beyond 1.5 interquartile "
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
            f"Friedman over all conditions: χ² = {chi2:.1f}, p {_p(p)}, Kendall's W = {w:.2f}."
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
    yield "picture", "items"
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
        yield "picture", "metrics"
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
    numbers = {p: n for n, p in enumerate(analysis.screening.valid, start=1)}
    pairs = sum(r.pairs for r in analysis.reliability)
    yield paragraph(
        f"{pairs} scores were given twice: ICC(1) = {_n(analysis.icc, 2)}, typical error "
        f"{_n(analysis.typical_error, 1)} points (RMS of the differences ÷ √2)."
    )
    yield "table", (
        ["listener", "scores given twice", "mean distance", "ICC(1)"],
        [
            [f"{numbers[r.participant]} ({r.participant[:8]})", str(r.pairs), _n(r.distance, 1),
             _n(r.icc, 2)]
            for r in analysis.reliability
        ],
    )  # fmt: skip


def _bimodal_sentence(analysis: Analysis) -> str:
    found = [
        f"{_title(analysis, s.condition.id)} on {s.item} ({s.bimodal:.2f})"
        for s in analysis.bimodal
    ]
    rule = f"bimodality coefficient above {BIMODAL:.3f}"
    if not found:
        return f"On no item are listeners of two minds ({rule})."
    return f"Listeners may be of two minds ({rule}): {', '.join(found)}."


def _origin(analysis: Analysis) -> list[list[str]]:
    study = analysis.study
    lengths = [s.frames / study.sample_rate_hz for item in study.items for s in item.conditions]
    return [
        ["study", f"{study.slug}, version {study.version}, {study.created}"],
        ["sha256", study.sha256],
        ["run", study.run or "none"],
        ["signals", f"{study.sample_rate_hz / 1000:g} kHz, {min(lengths):.1f} to "
                    f"{max(lengths):.1f} s, loudness aligned per item (BS.1770)"],
        ["order", "items and signals by Williams squares over listeners"],
        ["replicates", f"{study.replicate_share:.0%} of the items"],
        ["anchors", study.anchors or "as they came"],
        ["analysis", f"nacbench {__version__}"],
    ]  # fmt: skip


def _title(analysis: Analysis, condition: str) -> str:
    return analysis.study.condition(condition).title


def _cell(analysis: Analysis, item: str, condition: str) -> str:
    found = (s for s in analysis.cells if s.item == item and s.condition.id == condition)
    summary = next(found)
    return f"{_n(summary.median, 0)} ({_n(summary.lower, 0)}–{_n(summary.upper, 0)})"


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


def _mark(value: float) -> str:
    return _p(value) + (" *" if value < 0.05 else "")


def _deal(value: float) -> str:
    return f"< {1 / PERMUTATIONS:g}" if value == 0 else _p(value)


def _arrow(agreement: Agreement) -> str:
    return {True: "↑", False: "↓", None: ""}[agreement.higher_is_better]


# Markdown and HTML


def _markdown(blocks: Sequence[Block]) -> str:
    from nacbench.report.tables import markdown_table

    parts = []
    for kind, content in blocks:
        if kind == "table":
            head, body = content
            parts.append(markdown_table(head, body, left=1))
        elif kind == "picture":
            parts.append(f"![{PICTURES[str(content)]}]({content}.png)")
        else:
            parts.append({"h1": "# ", "h2": "## ", "p": ""}[kind] + str(content))
    return "\n\n".join(parts) + "\n"


STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 62rem; margin: 2rem auto;
       padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: .3rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
.wide { overflow-x: auto; }
th, td { padding: .25rem .8rem .25rem 0; border-bottom: 1px solid #e4e4e4; text-align: right; }
th:first-child, td:first-child, .words td { text-align: left; }
th { border-bottom-color: #9a9a9a; font-weight: 600; }
img { max-width: 100%; height: auto; } p { max-width: 46rem; }
"""


def _html(analysis: Analysis, blocks: Sequence[Block], folder: Path) -> str:
    """One file that needs no network."""
    parts = []
    for kind, content in blocks:
        if kind == "table":
            head, body = content
            parts.append(_html_table(head, body))
        elif kind == "picture":
            data = base64.b64encode((folder / f"{content}.png").read_bytes()).decode()
            words = html.escape(PICTURES[str(content)])
            parts.append(f'<p><img alt="{words}" src="data:image/png;base64,{data}"></p>')
        else:
            parts.append(f"<{kind}>{html.escape(str(content))}</{kind}>")
    title = html.escape(analysis.study.title)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _html_table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    def row(tag: str, cells: Sequence[str]) -> str:
        inner = "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells)
        return f"<tr>{inner}</tr>"

    words = "" if any(head) else ' class="words"'
    top = f"<thead>{row('th', head)}</thead>" if any(head) else ""
    rows = "\n".join(row("td", cells) for cells in body)
    return f'<div class="wide"><table{words}>{top}<tbody>\n{rows}\n</tbody></table></div>'


# CSV


def _csv(path: Path, rows: Sequence[dict[str, object]]) -> Path | None:
    if not rows:
        path.unlink(missing_ok=True)
        return None
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def _known(value: float) -> float | str:
    return round(value, 6) if math.isfinite(value) else ""


def _summary_rows(summaries: Sequence[Summary]) -> list[dict[str, object]]:
    return [
        {
            "item": s.item or "", "condition": s.condition.id, "role": s.condition.role,
            "title": s.condition.title, "payload_kbps": s.condition.payload_kbps, "n": s.n,
            "median": s.median, "lower_quartile": s.lower, "upper_quartile": s.upper,
            "mean": _known(s.mean), "mean_low": _known(s.low), "mean_high": _known(s.high),
            "outliers": s.outliers, "bimodality": _known(s.bimodal),
        }
        for s in summaries
    ]  # fmt: skip


def _contrast_rows(analysis: Analysis) -> list[dict[str, object]]:
    return [
        {
            "better": c.better, "worse": c.worse, "difference": _known(c.difference),
            "wilcoxon_p": _known(c.wilcoxon), "hochberg_p": _known(c.hochberg),
            "median_difference": c.medians, "permutation_p": c.permutation,
        }
        for c in analysis.contrasts
    ]  # fmt: skip


def _listener_rows(analysis: Analysis) -> list[dict[str, object]]:
    repeated = {r.participant: r for r in analysis.reliability}
    rows: list[dict[str, object]] = []
    for participant in analysis.screening.valid:
        r = repeated.get(participant)
        rows.append(
            {
                "participant": participant, "valid": True, "rule": "", "sentence": "",
                "repeated": r.pairs if r else 0,
                "mean_distance": _known(r.distance) if r else "",
                "icc": _known(r.icc) if r else "",
            }
        )  # fmt: skip
    rows += [
        {
            "participant": e.participant, "valid": False, "rule": e.rule,
            "sentence": e.sentence, "repeated": "", "mean_distance": "", "icc": "",
        }
        for e in analysis.screening.excluded
    ]  # fmt: skip
    return rows


def _agreement_rows(agreements: Sequence[Agreement]) -> list[dict[str, object]]:
    rows = []
    for a in agreements:
        row: dict[str, object] = {"metric": a.metric, "unit": a.unit, "cells": a.cells}
        for name in ("spearman", "pearson", "by_system"):
            value, low, high = getattr(a, name)
            row |= {name: _known(value), f"{name}_low": _known(low), f"{name}_high": _known(high)}
        rows.append(row)
    return rows


def _leaderboard_rows(analysis: Analysis) -> list[dict[str, object]]:
    """Systems of a run, by the keys under which its leaderboard knows them."""
    study = analysis.study
    noises = sorted({item.noise for item in study.items})
    return [
        {
            "suite": study.suite, "condition": noises[0], "point": s.condition.point,
            "mean": _known(s.mean), "low": _known(s.low), "high": _known(s.high),
            "items": len(study.items), "listeners": len(analysis.screening.valid),
        }
        for s in analysis.summaries
        if s.condition.point and len(noises) == 1
    ]  # fmt: skip
