"""Rows of a leaderboard from a ResultTable: means with intervals, best per rate band, ties.

One section per suite and condition; nothing is averaged over conditions. A row is one operating
point. How each number is formed, with sources: docs/statistics.md.

Of a run's manifest this file reads `title`, `synthetic`, `metrics` (name -> unit,
higher_is_better), `skipped` (list of {series, setting, reason}), `skipped_metrics` (name ->
reason), `untrained` (list of series) and `machine`; each may be absent.
"""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nacbench import stats
from nacbench.board import BAND_EDGES_KBPS, Board, Cell, MetricInfo, Remark, Row, Section
from nacbench.errors import UserError
from nacbench.metrics import class_of
from nacbench.records import Record, SetScore, Timing, TokenUse
from nacbench.results import ResultTable

# Tags that name who was drawn independently, for the cluster bootstrap.
CLUSTER_TAGS = ("speaker", "piece")
# Below this the delay of a decoded clip is a guess, and so are its gain and polarity.
MIN_CORRELATION = 0.3
RATE_DECLARED = "rate declared"  # how the note of a record begins whose rate nobody measured


def leaderboard(table: ResultTable) -> Board:
    """The board of one or several runs; where two did the same work, the one loaded last counts.

    Raises:
        UserError: there are no records.
    """
    metrics = metrics_of(table)
    records = latest(table.records)
    groups: dict[tuple[str, str], dict[str, list[Record]]] = {}
    for record in records:
        section = groups.setdefault((record.suite, record.condition), {})
        section.setdefault(record.point_key, []).append(record)
    timings = {(t.suite, t.point_key): t for t in table.timings}
    tokens = {(t.suite, t.point_key): t for t in table.token_uses}
    set_scores = latest_sets(table.set_scores)
    sections, incomplete = [], []
    for (suite, condition), points in groups.items():
        manifest = _manifest_of(suite, records, table.manifests)
        clips = {r.clip: cluster(r) for rs in points.values() for r in rs}
        untrained = set(manifest.get("untrained", ()))
        rows = []
        for key, point in points.items():
            row = _row(point, metrics, timings.get((suite, key)), tokens.get((suite, key)))
            cells = {**row.cells, **_set_cells(row, set_scores[suite, condition])}
            rows.append(replace(row, untrained=row.series in untrained, cells=cells))
            if len(point) < len(clips):
                subject = f"{suite}, {condition}: {rows[-1].name}"
                incomplete.append(Remark(subject, f"{len(point)} of {len(clips)} clips were run"))
        rows = _with_intervals(rows, list(points.values()), clips, metrics)
        sections.append(
            Section(
                suite=suite,
                condition=condition,
                title=str(manifest.get("title") or suite),
                synthetic=bool(manifest.get("synthetic")),
                clips=len(clips),
                units=len(set(clips.values())),
                rows=tuple(rows),
            )
        )
    for use in tokens.values():
        if use.uncounted:
            what = f"entropy without {use.uncounted} of the clips: {use.reason}"
            incomplete.append(Remark(f"{use.suite}: {use.point_name}", what))
    board = Board(
        sections=tuple(sections),
        metrics=metrics,
        failed=_counted((r.point_name, r.failure) for r in records if r.failure is not None),
        skipped=_counted(
            pair for manifest in table.manifests.values() for pair in _skipped(manifest)
        ),
        unscored=_counted(
            (name, score.reason)
            for r in records
            if r.failure is None
            for name, score in r.scores.items()
            if score.reason is not None
        )
        + _counted(
            (entry.metric, reason)
            for entries in set_scores.values()
            for entry in entries
            for reason in _set_reasons(entry)
        ),
        untimed=_counted((t.point_name, t.failure) for t in table.timings if t.failure is not None),
        incomplete=tuple(incomplete),
        machines=tuple(dict.fromkeys(_machine(t.machine, table.manifests) for t in table.timings)),
        runs=tuple(dict.fromkeys(r.run for r in records)),
    )
    return replace(board, sections=tuple(_ordered(board, s) for s in board.sections))


def _skipped(manifest: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for point in manifest.get("skipped", ()):
        yield f"{point['series']} {point['setting']}".strip(), point["reason"]
    for name, reason in manifest.get("skipped_metrics", {}).items():
        yield f"metric {name}", reason


def _machine(fingerprint: str, manifests: Mapping[str, Mapping[str, Any]]) -> str:
    """`Xeon, 2 cores (3f2a…)` where a manifest describes the machine, else its fingerprint."""
    for manifest in manifests.values():
        about = manifest.get("machine") or {}
        if about.get("fingerprint") == fingerprint:
            return f"{about.get('cpu')}, {about.get('cores')} cores ({fingerprint})"
    return fingerprint


def latest(records: Sequence[Record]) -> list[Record]:
    """Where several runs hold the same work, the run that was given last counts."""
    return list({(r.suite, *r.key): r for r in records}.values())


def latest_sets(entries: Sequence[SetScore]) -> dict[tuple[str, str], list[SetScore]]:
    """By suite and condition; where several runs compared the same, the last counts."""
    kept = {(entry.suite, *entry.key): entry for entry in entries}
    found: dict[tuple[str, str], list[SetScore]] = defaultdict(list)
    for entry in kept.values():
        found[entry.suite, entry.condition].append(entry)
    return found


def _set_cells(row: Row, entries: Sequence[SetScore]) -> dict[str, Cell]:
    """Of metrics over a set; how many of the clips took part stands for how many were scored."""
    return {
        entry.metric: Cell(entry.score.value, entry.low, entry.high, entry.clips, entry.total)
        for entry in entries
        if entry.point_key == row.point_key
    }


def _set_reasons(entry: SetScore) -> Iterator[str]:
    """Why a set has no value, and why clips are not in it; not what failed before it was asked."""
    name = entry.point_name
    if entry.score.reason is not None:
        yield f"{name}: {entry.score.reason}"
    for reason, count in entry.left_out.items():
        if entry.score.reason is None:
            yield f"{name}: without {count} of {entry.total} clips, {reason}"


def _manifest_of(
    suite: str, records: Iterable[Record], manifests: Mapping[str, Mapping[str, Any]]
) -> Mapping[str, Any]:
    """The manifests of all runs of a suite as one; later runs win."""
    merged: dict[str, Any] = {}
    for run in dict.fromkeys(r.run for r in records if r.suite == suite):
        merged.update(manifests.get(run, {}))
    return merged


def metrics_of(table: ResultTable) -> tuple[MetricInfo, ...]:
    """Of clips first, then those over sets of them.

    Raises:
        UserError: there are no records.
    """
    if not table.records:
        raise UserError("these runs hold no records yet. Finish 'nacbench run' first.")
    names = [*table.metrics, *table.set_metrics]
    return tuple(_metric_info(name, table.manifests) for name in names)


def _metric_info(name: str, manifests: Mapping[str, Mapping[str, Any]]) -> MetricInfo:
    """From a manifest, so that a table reads the same where the metric is not installed."""
    for manifest in manifests.values():
        described = manifest.get("metrics")
        if isinstance(described, Mapping) and isinstance(described.get(name), Mapping):
            known = described[name]
            return MetricInfo(name, str(known.get("unit", "")), known.get("higher_is_better"))
    try:
        cls = class_of(name)
    except UserError:
        return MetricInfo(name)
    return MetricInfo(name, getattr(cls, "unit", ""), getattr(cls, "higher_is_better", None))


def cluster(record: Record) -> Hashable:
    """Who or what was drawn independently: the speaker or piece where tagged, else the clip."""
    named = [(tag, record.tags[tag]) for tag in CLUSTER_TAGS if record.tags.get(tag)]
    return named[0] if named else record.clip


def _row(
    point: Sequence[Record],
    metrics: Sequence[MetricInfo],
    timing: Timing | None,
    tokens: TokenUse | None,
) -> Row:
    first = point[0]
    coded = [r for r in point if r.payload_bytes is not None and r.duration_s > 0]
    stored = [r for r in coded if r.container_bytes is not None]
    duration_s = sum(r.duration_s for r in coded)
    bits = sum(8 * (r.payload_bytes or 0) for r in coded)
    pcm_bits = sum(16 * r.duration_s * r.sample_rate_hz * r.channels for r in coded)
    container_bits = sum(8 * (r.container_bytes or 0) for r in stored)
    aligned = [r.alignment for r in point if r.alignment is not None]
    delays = [a.delay_ms for a in aligned if a.correlation >= MIN_CORRELATION]
    nominal = [r.nominal_kbps for r in point if r.nominal_kbps is not None]
    rate_declared = any(note.startswith(RATE_DECLARED) for r in point for note in r.notes)
    declared_kbps = statistics.fmean(nominal) if rate_declared and nominal else None
    cells = {}
    for metric in metrics:
        scores = [r.scores[metric.name] for r in point if metric.name in r.scores]
        values = [s.value for s in scores if s.value is not None]
        mean = statistics.fmean(values) if values else None
        cells[metric.name] = Cell(mean, None, None, len(values), len(scores))
    return Row(
        series=first.series,
        setting=first.setting,
        codec=first.codec,
        options=first.options,
        point_key=first.point_key,
        clips=len(point),
        failed=sum(r.failure is not None for r in point),
        cells=cells,
        payload_kbps=bits / duration_s / 1000 if coded else declared_kbps,
        container_kbps=(
            container_bits / sum(r.duration_s for r in stored) / 1000 if stored else None
        ),
        nominal_kbps=statistics.fmean(nominal) if nominal else None,
        entropy_kbps=tokens.entropy_kbps if tokens else None,
        compression_ratio=pcm_bits / bits if bits else None,
        encode_rtf=timing.encode_rtf if timing else None,
        decode_rtf=timing.decode_rtf if timing else None,
        machine=timing.machine if timing else None,
        delay_ms=statistics.median(delays) if delays else None,
        peak_memory_mb=timing.peak_memory_mb if timing else None,
        rate_declared=rate_declared,
    )


def _with_intervals(
    rows: Sequence[Row],
    points: Sequence[Sequence[Record]],
    clips: Mapping[str, Hashable],
    metrics: Sequence[MetricInfo],
) -> list[Row]:
    """Fill in intervals and marks. One bootstrap serves all rows and metrics of a section."""
    place = {clip: i for i, clip in enumerate(clips)}
    values = np.full((len(clips), len(rows), len(metrics)), np.nan)
    for j, point in enumerate(points):
        for record in point:
            for k, metric in enumerate(metrics):
                score = record.scores.get(metric.name)
                if score is not None and score.value is not None:
                    values[place[record.clip], j, k] = score.value
    clusters = list(clips.values())
    found = stats.mean_interval(values.reshape(len(clips), -1), clusters)
    low = found.low.reshape(len(rows), len(metrics))
    high = found.high.reshape(len(rows), len(metrics))
    cells = [dict(row.cells) for row in rows]
    for k, metric in enumerate(metrics):
        for j in range(len(rows)):
            cell = cells[j][metric.name]
            if np.isfinite(low[j, k]):
                cells[j][metric.name] = replace(cell, low=float(low[j, k]), high=float(high[j, k]))
        if metric.higher_is_better is None:
            continue
        most = int(np.isfinite(values[:, :, k]).sum(axis=0).max())
        for band in {row.band for row in rows} - {None}:
            members = [j for j, row in enumerate(rows) if row.band == band and not row.anchor]
            if not members:
                continue
            marks = _marks(values[:, members, k], most, metric.higher_is_better, clusters)
            for j, mark in zip(members, marks, strict=True):
                cells[j][metric.name] = replace(cells[j][metric.name], mark=mark)
    return [replace(row, cells=cell) for row, cell in zip(rows, cells, strict=True)]


def _marks(
    values: NDArray[np.float64], most: int, higher_is_better: bool, clusters: Sequence[Hashable]
) -> list[str]:
    """Mark per column of `[clips, rows of one band]`.

    Only rows with as many scored clips as any row of the section compete: a codec does not win by
    failing on hard clips.
    """
    n_ok = np.isfinite(values).sum(axis=0)
    entrants = np.flatnonzero((n_ok == most) & (n_ok > 0))
    marks = [""] * values.shape[1]
    if entrants.size:
        scores = values[:, entrants] if higher_is_better else -values[:, entrants]
        best, tied = stats.best_and_ties(scores, clusters)
        for j in entrants[tied].tolist():
            marks[j] = "tie"
        marks[int(entrants[best])] = "tie" if tied.any() else "best"
    return marks


def _ordered(board: Board, section: Section) -> Section:
    def place(row: Row) -> tuple[Any, ...]:
        lead = board.headline[0] if board.headline else None
        cell = row.cells.get(lead.name) if lead else None
        band = len(BAND_EDGES_KBPS) + 1 if row.band is None else row.band
        if lead is None or cell is None or cell.mean is None:
            return band, 1, 0.0, row.payload_kbps or 0.0
        return band, 0, -cell.mean if lead.higher_is_better else cell.mean, row.payload_kbps or 0.0

    return replace(section, rows=tuple(sorted(section.rows, key=place)))


def _counted(pairs: Iterable[tuple[str, str | None]]) -> tuple[Remark, ...]:
    counts = Counter((subject, reason or "") for subject, reason in pairs)
    return tuple(Remark(subject, reason, n) for (subject, reason), n in counts.items())
