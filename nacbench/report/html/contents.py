"""Everything the page shows, as JSON: numbers by column, names once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import nacbench
from nacbench.board import Board, Cell, MetricInfo, Row, Section, band_name
from nacbench.comparison import CurveGap
from nacbench.leaderboard import latest
from nacbench.records import Record
from nacbench.report import tables
from nacbench.report.palette import looks
from nacbench.results import ResultTable

DIGITS = 6  # significant ones of every number; the records have all
SERIES_FIELDS = ("payload_kbps", "container_kbps", "nominal_kbps", "entropy_kbps")
PARTS = ("low", "middle", "high")
COSTS = ("compression_ratio", "encode_rtf", "decode_rtf", "delay_ms", "peak_memory_mb")


def of(table: ResultTable, board: Board, gaps: Sequence[CurveGap] = ()) -> dict[str, Any]:
    """The content without audio: `items` is empty.

    Args:
        gaps: BD-rates against one anchor.
    """
    records: dict[tuple[str, str], list[Record]] = {}
    for record in latest(table.records):
        records.setdefault((record.suite, record.condition), []).append(record)
    names = dict.fromkeys(row.series for s in board.sections for row in s.rows)
    return {
        "title": " · ".join(dict.fromkeys(s.title for s in board.sections)),
        "version": nacbench.__version__,
        "legend": tables.LEGEND,
        "synthetic": tables.SYNTHETIC.replace("**", "").replace("`", "")
        if any(s.synthetic for s in board.sections)
        else None,
        "metrics": [_metric(m, table.manifests) for m in board.metrics],
        "headline": [m.name for m in board.headline] or [m.name for m in board.metrics],
        "looks": {name: look._asdict() for name, look in looks(names).items()},
        "sections": [
            _section(s, board.metrics, records[s.suite, s.condition]) for s in board.sections
        ],
        "remarks": [
            {"title": title, "lines": [asdict(remark) for remark in remarks]}
            for title, remarks in tables.foot(board)
        ],
        "machines": list(board.machines),
        "listening": board.listening,
        "gaps": _gaps(gaps),
        "runs": [_run(name, table.manifests.get(name, {})) for name in board.runs],
        "items": [],
        "audio": {},
    }


def _metric(metric: MetricInfo, manifests: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    described: Mapping[str, Any] = {}
    for manifest in manifests.values():
        described = manifest.get("metrics", {}).get(metric.name, described)
    return {
        "name": metric.name,
        "unit": metric.unit,
        "better": metric.higher_is_better,
        "decimals": tables.DECIMALS.get(metric.unit, 3),
        "version": described.get("version"),
        "source": described.get("source"),
    }


def _section(
    section: Section, metrics: Sequence[MetricInfo], records: Sequence[Record]
) -> dict[str, Any]:
    places = {row.point_key: place for place, row in enumerate(section.rows)}
    clips = {r.clip: r for r in records}
    clip_places = {clip: place for place, clip in enumerate(clips)}
    return {
        "suite": section.suite,
        "condition": section.condition,
        "title": section.title,
        "synthetic": section.synthetic,
        "units": section.units,
        "rows": [_row(row, metrics) for row in section.rows],
        "clips": [
            {"id": r.clip, "duration_s": short(r.duration_s), "tags": dict(r.tags)}
            for r in clips.values()
        ],
        "records": _columns(records, metrics, places, clip_places),
    }


def _row(row: Row, metrics: Sequence[MetricInfo]) -> dict[str, Any]:
    return {
        "name": row.name,
        "series": row.series,
        "setting": row.setting,
        "point": row.point_key,
        "band": row.band,
        "band_name": band_name(row.band),
        "anchor": row.anchor,
        "failed": row.failed,
        "declared": row.rate_declared,
        "untrained": row.untrained,
        **{name: short(getattr(row, name)) for name in (*SERIES_FIELDS, *COSTS)},
        "cells": [_cell(row.cells[m.name]) for m in metrics],
    }


def _cell(cell: Cell) -> list[Any]:
    return [short(cell.mean), short(cell.low), short(cell.high), cell.n_ok, cell.n, cell.mark]


def _columns(
    records: Sequence[Record],
    metrics: Sequence[MetricInfo],
    rows: Mapping[str, int],
    clips: Mapping[str, int],
) -> dict[str, Any]:
    """Records by column. A score without a value is null, its reason under its place in `why`."""
    reasons: dict[str, int] = {}
    scores: list[list[float | None]] = [[] for _ in metrics]
    why: list[dict[str, int]] = [{} for _ in metrics]
    for place, record in enumerate(records):
        for k, metric in enumerate(metrics):
            score = record.scores.get(metric.name)
            scores[k].append(short(score.value) if score else None)
            if score is not None and score.reason is not None:
                why[k][str(place)] = reasons.setdefault(score.reason, len(reasons))
    return {
        "row": [rows[r.point_key] for r in records],
        "clip": [clips[r.clip] for r in records],
        "kbps": [short(r.payload_kbps) for r in records],
        "delay_ms": [short(r.alignment.delay_ms) if r.alignment else None for r in records],
        "gain_db": [short(r.alignment.gain_db) if r.alignment else None for r in records],
        "failed": [int(r.failure is not None) for r in records],
        "notes": {str(i): list(r.notes) for i, r in enumerate(records) if r.notes},
        "scores": scores,
        "why": why,
        "reasons": list(reasons),
    }


def short(value: float | None) -> float | None:
    """A number with as many digits as anybody reads."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.{DIGITS}g}")


def _gaps(gaps: Sequence[CurveGap]) -> dict[str, Any] | None:
    rows = [
        {
            "suite": gap.suite,
            "condition": gap.condition,
            "metric": gap.metric.name,
            "series": gap.series,
            "rate": [short(gap.rate.value), short(gap.rate.low), short(gap.rate.high)],
            "gain": [short(gap.gain.value), short(gap.gain.low), short(gap.gain.high)],
            "parts": [short(gap.rate.parts.get(part, (None,))[0]) for part in PARTS],
            "reason": "; ".join(dict.fromkeys(filter(None, (gap.rate.reason, gap.gain.reason)))),
        }
        for gap in gaps
    ]
    return {"anchor": gaps[0].anchor, "rows": rows} if rows else None


def _run(name: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What the run says of itself, whole, and how to cite it."""
    return {"name": name, "manifest": dict(manifest), "cite": cite(name, manifest)}


def cite(name: str, manifest: Mapping[str, Any]) -> dict[str, str]:
    """A sentence and a BibTeX entry that name the run so that somebody can repeat it."""
    suite = f"{manifest.get('suite', '?')} (version {manifest.get('suite_version', '?')})"
    version = f"nacbench {manifest.get('nacbench', nacbench.__version__)}"
    git = manifest.get("git") or {}
    if git.get("commit"):
        version += f", commit {git['commit'][:12]}{' with changes' if git.get('changed') else ''}"
    begun = str(manifest.get("begun", ""))[:10]
    hashed = str(manifest.get("suite_sha256", ""))[:16]
    facts = [
        f"run {name}",
        f"suite {suite}" + (f", sha256 {hashed}" if hashed else ""),
        version,
        f"seed {manifest['seed']}" if "seed" in manifest else "",
    ]
    note = "; ".join(fact for fact in facts if fact)
    title = str(manifest.get("title") or manifest.get("suite") or "Codec benchmark")
    fields = {
        "title": f"{_plain(title)}: a codec benchmark",
        "author": "{nacbench}",
        "year": begun[:4],
        "note": _plain(note),
    }
    lines = [f"  {key} = {{{value}}}" for key, value in fields.items() if value]
    key = "".join(c if c.isalnum() else "-" for c in f"nacbench-{name}")
    return {
        "text": f"{title}. {note}" + (f"; {begun}." if begun else "."),
        "bibtex": f"@misc{{{key},\n" + ",\n".join(lines) + "\n}",
    }


def _plain(text: str) -> str:
    """Text that cannot leave its BibTeX field."""
    return "".join(c for c in text if c not in "{}\\")
