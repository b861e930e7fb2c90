"""What the report says in numbers, as CSV."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

from mushra_app.analysis import Agreement, Analysis, Summary

LEADERBOARD = "mushra.csv"  # what `nacbench report RUN --mushra STUDY` reads


def write(analysis: Analysis, folder: Path) -> list[Path]:
    """One file of conditions, items, contrasts, listeners, metrics, and for the leaderboard."""
    found = [
        _csv(folder / "conditions.csv", _summary_rows(analysis.summaries)),
        _csv(folder / "items.csv", _summary_rows(analysis.cells)),
        _csv(folder / "contrasts.csv", _contrast_rows(analysis)),
        _csv(folder / "listeners.csv", _listener_rows(analysis)),
        _csv(folder / "metrics.csv", _agreement_rows(analysis.agreements)),
        _csv(folder / LEADERBOARD, _leaderboard_rows(analysis)),
    ]
    return [path for path in found if path is not None]


def _csv(path: Path, rows: Sequence[dict[str, object]]) -> Path | None:
    """None where there is nothing to say; a file of an earlier analysis goes."""
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
            "median": s.box.median, "lower_quartile": s.box.lower, "upper_quartile": s.box.upper,
            "mean": _known(s.mean), "mean_low": _known(s.low), "mean_high": _known(s.high),
            "outliers": len(s.box.beyond), "bimodality": _known(s.bimodal),
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
