"""What looks wrong in results: rates that are not what they say, curves that dip, moving delays.

Each finding is a sentence with its numbers for a person to judge; nothing is excluded for it.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from nacbench import stats
from nacbench.board import Board, MetricInfo, Remark, Row, Section
from nacbench.core import Alignment
from nacbench.leaderboard import cluster, latest
from nacbench.records import Record
from nacbench.results import ResultTable

RATE_TOLERANCE = 0.15  # a variable-rate encoder misses its target by up to about a tenth
DELAY_TOLERANCE_MS = 1.0
LEVEL_TOLERANCE_DB = 1.0
# Below this correlation the delay may have been read off the wrong peak.
TRUSTED_CORRELATION = 0.5
# Two settings closer than this in rate have no order that a curve should keep.
SAME_RATE = 0.01
DAMAGED = re.compile(r"of \d+ packets (lost|damaged)")  # a note of the runner


@dataclass(frozen=True)
class Finding:
    """One thing that looks wrong.

    Attributes:
        kind: "rate", "delay", "level", "polarity", "curve" or "output"; `nacbench.diagnosis`
            knows more, and what to do about each.
        subject: the operating point, series, clip or metric.
        sentence: what was found, with its numbers.
    """

    kind: str
    suite: str
    condition: str
    subject: str
    sentence: str


def suspicions(table: ResultTable, board: Board) -> tuple[Remark, ...]:
    """Everything in the results that calls for a second look, by suite, condition and codec."""
    several = len(board.sections) > 1
    return tuple(
        Remark(f"{f.condition}: {f.subject}" if several and f.condition else f.subject, f.sentence)
        for f in findings(table, board)
    )


def findings(table: ResultTable, board: Board) -> list[Finding]:
    """As `suspicions`, apart by kind."""
    points: dict[tuple[str, str, str], list[Record]] = {}
    for record in latest(table.records):
        points.setdefault((record.suite, record.condition, record.point_key), []).append(record)
    found = [
        Finding("output", "", "", name, sentence)
        for name, sentence in _changing_output(table.records)
    ]
    for section in board.sections:
        place = section.suite, section.condition
        records = {row.point_key: points[*place, row.point_key] for row in section.rows}
        for row in section.rows:
            trusted = _trusted(records[row.point_key])
            alignments = [alignment for _, alignment in trusted]
            for kind, sentences in (
                ("rate", _mislabelled(row)),
                ("delay", _moving_delay(trusted)),
                ("level", _changed_level(alignments)),
                ("polarity", _inverted(alignments)),
            ):
                found += [Finding(kind, *place, row.name, sentence) for sentence in sentences]
        for metric in board.headline:
            found += [
                Finding("curve", *place, series, sentence)
                for series, sentence in _dips(section, metric, records)
            ]
    return found


def _mislabelled(row: Row) -> Iterator[str]:
    if row.nominal_kbps and row.payload_kbps and not row.rate_declared:
        excess = row.payload_kbps / row.nominal_kbps - 1
        if abs(excess) > RATE_TOLERANCE:
            yield (
                f"asked for {row.nominal_kbps:.4g} kbps, wrote {row.payload_kbps:.4g} kbps "
                f"({excess:+.0%})"
            )


def _trusted(records: Sequence[Record]) -> list[tuple[Record, Alignment]]:
    """Records whose alignment can be trusted; none where those are the lesser part.

    Nor any that lost packets: what conceals them fades out, which is no fault of the codec.
    """
    whole = [r for r in records if not any(DAMAGED.search(note) for note in r.notes)]
    known = [(r, r.alignment) for r in whole if r.alignment is not None]
    trusted = [(r, a) for r, a in known if a.correlation >= TRUSTED_CORRELATION]
    return trusted if 2 * len(trusted) >= len(known) else []


def _moving_delay(trusted: Sequence[tuple[Record, Alignment]]) -> Iterator[str]:
    """By sample rate: a delay of so many samples is another time at another rate."""
    for rate in sorted({record.sample_rate_hz for record, _ in trusted}):
        delays = [a.delay_ms for record, a in trusted if record.sample_rate_hz == rate]
        middle = statistics.median(delays)
        off = sum(abs(delay - middle) > DELAY_TOLERANCE_MS for delay in delays)
        if off:
            yield (
                f"the delay varies between clips: {off} of {len(delays)} are more than "
                f"{DELAY_TOLERANCE_MS:g} ms from the median of {middle:.2f} ms "
                f"(from {min(delays):.2f} to {max(delays):.2f} ms)"
            )


def _changed_level(trusted: Sequence[Alignment]) -> Iterator[str]:
    levels = [alignment.gain_db for alignment in trusted]
    if levels and abs(statistics.median(levels)) > LEVEL_TOLERANCE_DB:
        yield f"the level changes by {statistics.median(levels):+.1f} dB (median)"


def _inverted(trusted: Sequence[Alignment]) -> Iterator[str]:
    inverted = sum(alignment.polarity < 0 for alignment in trusted)
    if inverted:
        yield f"the polarity is inverted in {inverted} of {len(trusted)} clips"


def _dips(
    section: Section, metric: MetricInfo, records: dict[str, list[Record]]
) -> Iterator[tuple[str, str]]:
    """Series whose score falls with the rate by more than the clips' scatter explains.

    All pairs of neighbouring settings of the section are one family under Holm's correction.
    """
    sign = 1 if metric.higher_is_better else -1
    pairs = list(_neighbours(section.rows))
    p_values = np.full(len(pairs), np.nan)
    for i, (low, high) in enumerate(pairs):
        before = _values(records[low.point_key], metric)
        after = _values(records[high.point_key], metric)
        units = {r.clip: cluster(r) for r in records[low.point_key]}
        common = [clip for clip in before if clip in after]
        change = np.array([sign * (after[clip] - before[clip]) for clip in common])
        if common:
            p_value = stats.mean_test(change, [units[clip] for clip in common])[0]
            p_values[i] = p_value if change.mean() < 0 else 1.0
    for (low, high), p_value in zip(pairs, stats.holm(p_values), strict=True):
        if p_value < 1 - stats.LEVEL:
            means = [row.cells[metric.name].mean for row in (low, high)]
            yield (
                low.series,
                f"{metric.name} gets worse with more bits: {means[0]:.4g} at {low.setting}, "
                f"{means[1]:.4g} at {high.setting}",
            )


def _neighbours(rows: Sequence[Row]) -> Iterator[tuple[Row, Row]]:
    """Settings of one series that follow each other in rate."""
    for series in dict.fromkeys(row.series for row in rows):
        rated = [(r.payload_kbps, r) for r in rows if r.series == series and r.payload_kbps]
        for low, high in pairwise(sorted(rated, key=lambda pair: pair[0])):
            if high[0] > low[0] * (1 + SAME_RATE):
                yield low[1], high[1]


def _values(records: Sequence[Record], metric: MetricInfo) -> dict[str, float]:
    scores = {r.clip: r.scores[metric.name].value for r in records if metric.name in r.scores}
    return {clip: value for clip, value in scores.items() if value is not None}


def _changing_output(records: Iterable[Record]) -> Iterator[tuple[str, str]]:
    """The same codec, version and input, but other bytes or other audio in another run."""
    seen: dict[tuple[str, ...], set[tuple[str, str]]] = {}
    names: dict[tuple[str, ...], str] = {}
    for r in records:
        if "reference" in r.hashes and "decoded" in r.hashes:
            key = (
                r.hashes["reference"],
                r.condition,  # damage to the payload is part of it, drawn by the seed
                str(r.seed),
                r.point_key,
                r.versions.get("codec", ""),
            )
            seen.setdefault(key, set()).add((r.hashes.get("payload", ""), r.hashes["decoded"]))
            names[key] = r.point_name
    changing = [names[key] for key, outputs in seen.items() if len(outputs) > 1]
    for name in dict.fromkeys(changing):
        yield (
            name,
            f"not deterministic: {changing.count(name)} clips came out differently in two runs",
        )
