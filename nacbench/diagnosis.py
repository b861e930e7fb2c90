"""What a results' doctor says: everything suspicious, how grave it is, and what to do about it.

Beside the findings of `nacbench.suspicions` it looks for failures, band limits, metrics that
disagree in rank and clips that stand out.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nacbench.board import Board, MetricInfo, Row, Section
from nacbench.leaderboard import latest
from nacbench.records import Record
from nacbench.results import ResultTable
from nacbench.suspicions import Finding, findings

SEVERITIES = ("error", "warning", "note")


@dataclass(frozen=True)
class Kind:
    severity: str
    advice: str


KINDS = {
    "output": Kind(
        "error",
        "Seed what the codec draws and run it on one thread; results that change by themselves "
        "cannot be compared.",
    ),
    "failure": Kind(
        "error",
        "Mend the cause and run again with --retry-failed; until then the row does not compete.",
    ),
    "rate": Kind(
        "warning",
        "Compare by payload kbps, not by label; check the codec's rate option and what its payload "
        "holds beside audio.",
    ),
    "delay": Kind(
        "warning",
        "The bench takes the delay out clip by clip, a listener hears it: look for padding that "
        "depends on the clip, or a lost frame.",
    ),
    "level": Kind(
        "warning",
        "Gain is reported and not repaired: look for normalisation in the codec or its wrapper. "
        "Low rates lose energy by themselves.",
    ),
    "polarity": Kind(
        "warning",
        "Look for a swapped sign in the codec or its wrapper; SI-SDR and SNR are worthless until "
        "it is mended. A phase that turns at low frequencies looks the same.",
    ),
    "curve": Kind(
        "warning",
        "More bits should not sound worse: check that each setting reaches the codec, and whether "
        "its mode or bandwidth switches there.",
    ),
    "clip": Kind(
        "warning",
        "Listen to this clip through this codec: something happens there that the mean hides.",
    ),
    "band": Kind(
        "note",
        "Say so beside full-band codecs; metrics that work at 8 or 16 kHz cannot see it.",
    ),
    "rank": Kind(
        "note",
        "Judge by ear, or by the metric made for this kind of codec: vocoders and neural codecs do "
        "not keep the waveform.",
    ),
    "hard": Kind(
        "note",
        "All codecs find it hard: check the recording (noise, clipping, silence), then keep it; "
        "such clips tell codecs apart.",
    ),
}

BANDWIDTH = "bandwidth_hz"
BAND_SHARE = 0.75  # of the widest that any codec gives on the same clip
MIN_RANKED = 4  # rows in a rate band, below which ranks say little
RANK_SHARE = 0.7  # of the field that two ranks must lie apart
FAR = 6.0  # robust standard deviations (1.4826 MAD) from the rest
MAD_TO_SIGMA = 1.4826
MIN_CLIPS, MIN_ROWS = 6, 4
MOST_CLIPS = 8  # outliers listed per metric


def diagnose(table: ResultTable, board: Board) -> list[Finding]:
    """Everything that looks wrong, the gravest first; `KINDS` has severity and advice of each."""
    found = findings(table, board)
    points: dict[tuple[str, str, str], list[Record]] = {}
    for record in latest(table.records):
        points.setdefault((record.suite, record.condition, record.point_key), []).append(record)
    for section in board.sections:
        place = section.suite, section.condition
        records = [points[*place, row.point_key] for row in section.rows]
        for row, own in zip(section.rows, records, strict=True):
            found += [Finding("failure", *place, row.name, text) for text in _failures(own)]
        for kind, pairs in (
            ("band", _band_limits(section, records)),
            ("rank", _rank_disagreements(section, board.headline)),
        ):
            found += [Finding(kind, *place, subject, sentence) for subject, sentence in pairs]
        for metric in board.headline:
            found += [
                Finding(kind, *place, subject, sentence)
                for kind, subject, sentence in _outliers(section, records, metric)
            ]
    return sorted(found, key=lambda f: SEVERITIES.index(KINDS[f.kind].severity))


def _failures(records: Sequence[Record]) -> Iterator[str]:
    failed = [record for record in records if record.failure is not None]
    if failed:
        yield f"{len(failed)} of {len(records)} clips failed, {failed[0].clip}: {failed[0].failure}"
    for metric in records[0].scores:
        missing = [
            (r.clip, r.scores[metric].reason)
            for r in records
            if r.failure is None and metric in r.scores and not r.scores[metric].ok
        ]
        if missing:
            clip, reason = missing[0]
            share = f"{len(missing)} of {len(records)} clips"
            yield f"{metric} has no score on {share}, {clip}: {reason}"


def _band_limits(
    section: Section, records: Sequence[Sequence[Record]]
) -> Iterator[tuple[str, str]]:
    """Rows whose bandwidth is well below what another row keeps of the same clips."""
    bandwidth = _scores(section, records, BANDWIDTH)[1]
    known = np.isfinite(bandwidth)
    if not known.any():
        return
    widest = np.max(np.where(known, bandwidth, -np.inf), axis=0)
    for row, values in zip(section.rows, bandwidth, strict=True):
        both = np.isfinite(values) & (widest > 0)
        if row.anchor or not both.any():
            continue
        share = float(np.median(values[both] / widest[both]))
        if share < BAND_SHARE:
            yield (
                row.name,
                f"band limited: {np.median(values[both]) / 1000:.1f} kHz where others keep "
                f"{np.median(widest[both]) / 1000:.1f} kHz (medians of {int(both.sum())} clips)",
            )


def _rank_disagreements(
    section: Section, metrics: Sequence[MetricInfo]
) -> Iterator[tuple[str, str]]:
    """Rows that one metric puts near the top of their rate band and another near the bottom."""
    bands = {row.band for row in section.rows if row.band is not None}
    for band in sorted(bands):
        rows = [row for row in section.rows if row.band == band and not row.anchor]
        ranks = {metric.name: _ranks(rows, metric) for metric in metrics}
        complete = {name: places for name, places in ranks.items() if places}
        if len(rows) < MIN_RANKED or len(complete) < 2:
            continue
        for index, row in enumerate(rows):
            places = {name: rank[index] for name, rank in complete.items()}
            best, worst = min(places, key=places.__getitem__), max(places, key=places.__getitem__)
            if places[worst] - places[best] >= RANK_SHARE * len(rows):
                yield (
                    row.name,
                    f"{best} ranks it {places[best]} of {len(rows)} at its rate, "
                    f"{worst} {places[worst]}",
                )


def _ranks(rows: Sequence[Row], metric: MetricInfo) -> list[int]:
    """Places from 1, empty where a row has no mean."""
    means = [row.cells[metric.name].mean for row in rows]
    known = [mean for mean in means if mean is not None]
    if len(known) < len(means):
        return []
    sign = -1 if metric.higher_is_better else 1
    return [1 + sum(sign * other < sign * mean for other in known) for mean in known]


def _outliers(
    section: Section, records: Sequence[Sequence[Record]], metric: MetricInfo
) -> Iterator[tuple[str, str, str]]:
    """Clips on which all codecs do badly, and codecs that do badly on one clip alone.

    Scores are split into a row's level, a clip's difficulty and a rest, by medians, twice. What
    lies far from the others in the bad direction stands out; how far is judged by the scatter of
    its own row where that is wider than everybody's, because low rates scatter more.
    """
    clips, scores = _scores(section, records, metric.name)
    rows = [
        index
        for index, row in enumerate(section.rows)
        if not row.anchor and bool(np.isfinite(scores[index]).any())
    ]
    sign = 1.0 if metric.higher_is_better else -1.0
    rest = sign * scores[rows]
    if len(clips) < MIN_CLIPS or len(rows) < MIN_ROWS or not np.isfinite(rest).any(axis=0).all():
        return
    difficulty = np.zeros(len(clips))
    for _ in range(2):
        rest = rest - np.nanmedian(rest, axis=1, keepdims=True)
        by_clip = np.nanmedian(rest, axis=0)
        rest, difficulty = rest - by_clip, difficulty + by_clip
    scale = _sigma(difficulty[np.newaxis])
    for place in np.flatnonzero(_far(difficulty, scale)).tolist():
        yield (
            "hard",
            clips[place],
            f"{metric.name} is {abs(difficulty[place]):.3g} worse than on the median clip, over "
            f"{len(rows)} operating points",
        )
    scale = np.maximum(_sigma(rest), _sigma(rest.reshape(1, -1)))
    far = np.argwhere(_far(rest, scale)).tolist()
    for r, place in sorted(far, key=lambda at: float(rest[at[0], at[1]]))[:MOST_CLIPS]:
        score = scores[rows[r], place]
        expected = score - sign * rest[r, place]
        yield (
            "clip",
            section.rows[rows[r]].name,
            f"{clips[place]}: {metric.name} {score:.3g} where {expected:.3g} was to be expected",
        )


def _sigma(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Robust standard deviation of each row, `[rows, 1]`."""
    centred = np.abs(values - np.nanmedian(values, axis=1, keepdims=True))
    return np.asarray(MAD_TO_SIGMA * np.nanmedian(centred, axis=1, keepdims=True))


def _far(values: NDArray[np.float64], sigma: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray((values < -FAR * sigma) & (sigma > 0)).reshape(values.shape)


def _scores(
    section: Section, records: Sequence[Sequence[Record]], metric: str
) -> tuple[list[str], NDArray[np.float64]]:
    """Clips, and `[rows, clips]` with NaN where there is no value."""
    clips = list(dict.fromkeys(r.clip for r in itertools.chain.from_iterable(records)))
    place = {clip: index for index, clip in enumerate(clips)}
    values = np.full((len(section.rows), len(clips)), np.nan)
    for index, own in enumerate(records):
        for record in own:
            score = record.scores.get(metric)
            if score is not None and score.value is not None:
                values[index, place[record.clip]] = score.value
    return clips, values
