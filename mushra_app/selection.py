"""Which systems and which items of a run listeners shall hear."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nacbench.board import ANCHORS
from nacbench.errors import UserError
from nacbench.leaderboard import cluster, latest
from nacbench.records import Record
from nacbench.registry import did_you_mean
from nacbench.results import ResultTable

MIN_ITEMS = 5  # BS.1534-3, p. 13, with 1.5 items per system
ENOUGH_ITEMS = 7  # with fewer a single slip is more than 15 %, and excludes a listener
RATE_RATIO = 1.5  # beyond it a rate is no match
CHOICES = ("telling", "random")


@dataclass(frozen=True)
class System:
    """An operating point of a run, as a system under test."""

    point: str
    name: str
    series: str
    codec: str
    payload_kbps: float | None


@dataclass(frozen=True)
class Chosen:
    """What is to be heard.

    Attributes:
        records: clip -> point -> its record.
        items, training: clips, in the order of the study.
    """

    condition: str
    systems: tuple[System, ...]
    items: tuple[str, ...]
    training: tuple[str, ...]
    records: Mapping[str, Mapping[str, Record]]


def choose(
    table: ResultTable,
    *,
    codecs: Sequence[str] = (),
    kbps: float | None = None,
    condition: str | None = None,
    items: int | None = None,
    clips: Sequence[str] = (),
    by: str = "telling",
    training: int = 1,
    seed: int = 0,
) -> Chosen:
    """Systems by hand or at matched rates, items by hand, by chance, or the most telling.

    Args:
        codecs: "opus" (all its points), "opus@12" (the one nearest to 12 kbit/s), or a row's name
            as the leaderboard shows it, "Opus 12 kbps"; () for all but the bench's own
            anchors (PCM, low-pass, FLAC).
        kbps: of each codec only the point whose measured payload rate is nearest.
        condition: of the run; its first where None.
        items: how many; None: 1.5 for each system, at least 7, or 5 where there are no more clips.
        clips: these, in this order, instead of `items`.
        by: "telling" (where metrics spread most across the systems) or "random".
        training: how many further clips are for practice.
    Raises:
        UserError: a name is unknown, no rate is near, or there are too few clips.
    """
    records = latest(table.records)
    if not records:
        raise UserError("the run holds no records yet. Finish 'nacbench run' first.")
    conditions = list(dict.fromkeys(r.condition for r in records))
    condition = condition or conditions[0]
    if condition not in conditions:
        raise UserError(
            f"--condition {condition}: the run has {', '.join(conditions)}."
            f"{did_you_mean(condition, conditions)}"
        )
    records = [r for r in records if r.condition == condition]
    systems = _systems(_points(records), codecs, kbps)
    by_clip: dict[str, dict[str, Record]] = {}
    wanted = {system.point for system in systems}
    for record in records:
        if record.point_key in wanted and record.failure is None:
            by_clip.setdefault(record.clip, {})[record.point_key] = record
    complete = {clip: found for clip, found in by_clip.items() if set(found) == wanted}
    if clips:
        _refuse_unknown(clips, complete)
        order = [*clips, *(c for c in _telling(complete, table) if c not in clips)]
        count = len(clips)
    else:
        order = _telling(complete, table) if by == "telling" else _drawn(complete, seed)
        enough = min(ENOUGH_ITEMS, len(order) - training)
        count = items or max(MIN_ITEMS, enough, math.ceil(1.5 * len(systems)))
    if len(order) < count:
        raise UserError(
            f"{len(order)} clips were coded by all {len(systems)} systems, {count} items are "
            "wanted. Give '--items', fewer codecs, or run more clips."
        )
    picked = [c for c in dict.fromkeys(r.clip for r in records) if c in order[:count]]
    rest = order[count : count + training]
    return Chosen(condition, systems, tuple(clips or picked), tuple(rest), complete)


def _refuse_unknown(clips: Sequence[str], known: Mapping[str, object]) -> None:
    for clip in clips:
        if clip not in known:
            raise UserError(
                f"--item {clip}: not among the {len(known)} clips that every chosen system coded."
                f"{did_you_mean(clip, known)}"
            )


def _points(records: Sequence[Record]) -> list[System]:
    points: dict[str, list[Record]] = {}
    for record in records:
        points.setdefault(record.point_key, []).append(record)
    return [_system(key, found) for key, found in points.items()]


def _system(key: str, records: Sequence[Record]) -> System:
    first = records[0]
    coded = [(r.payload_bytes, r.duration_s) for r in records if r.payload_bytes is not None]
    kbps = None
    if coded:
        kbps = sum(size or 0 for size, _ in coded) * 8 / 1000 / sum(s for _, s in coded)
    return System(key, first.point_name, first.series, first.codec, kbps)


def _systems(
    points: Sequence[System], codecs: Sequence[str], kbps: float | None
) -> tuple[System, ...]:
    found: list[System] = []
    competing = [p for p in points if p.codec.split(":")[0] not in ANCHORS]
    for word in codecs or list(dict.fromkeys(p.series for p in competing)):
        name, _, rate = word.partition("@")
        of = [p for p in points if _squash(p.name) == _squash(word)] or [
            p for p in points if _squash(name) in (_squash(p.series), _squash(p.codec))
        ]
        if not of:
            known = dict.fromkeys(name for p in points for name in (p.series, p.codec, p.name))
            raise UserError(
                f"--codecs {word}: the run has no such codec.{did_you_mean(name, known)} "
                f"It has {', '.join(dict.fromkeys(p.series for p in points))}."
            )
        wanted = _number(word, rate) if rate else kbps
        if wanted is not None and _squash(of[0].name) != _squash(word):
            of = _at_rate(of, wanted, word, bool(codecs))
        found += [p for p in of if p not in found]
    if not found:
        near = "" if kbps is None else f" with a payload rate near {kbps:g} kbit/s"
        raise UserError(f"the run has no codec{near}. Name codecs with '--codecs'.")
    return tuple(found)


def _at_rate(points: Sequence[System], kbps: float, word: str, by_hand: bool) -> list[System]:
    """The point whose measured rate is nearest; codecs that nobody named may have none."""
    best = min(points, key=lambda p: _ratio(p, kbps))
    if _ratio(best, kbps) <= RATE_RATIO:
        return [best]
    if not by_hand:
        return []
    rates = ", ".join(f"{p.payload_kbps:.1f}" for p in points if p.payload_kbps)
    raise UserError(
        f"--codecs {word}: no point within a factor of {RATE_RATIO:g} of {kbps:g} kbit/s; its "
        f"measured payload rates are {rates or 'unknown'} kbit/s."
    )


def _ratio(system: System, kbps: float) -> float:
    rate = system.payload_kbps
    return math.inf if not rate else max(rate / kbps, kbps / rate)


def _number(word: str, rate: str) -> float:
    try:
        number = float(rate)
    except ValueError:
        number = -1.0
    if not 0 < number < math.inf:
        raise UserError(f"--codecs {word}: expected a rate in kbit/s after '@', as in opus@12.")
    return number


def _squash(name: str) -> str:
    return re.sub(r"[^a-z0-9.]", "", name.casefold())


def _drawn(clips: Mapping[str, object], seed: int) -> list[str]:
    order = sorted(clips)
    random.Random(seed).shuffle(order)
    return order


def _telling(clips: Mapping[str, Mapping[str, Record]], table: ResultTable) -> list[str]:
    """Clips by how far metrics spread across the systems on them, widest first.

    Each metric's spread is taken in units of its standard deviation over all clips and systems,
    and averaged over the metrics. A clip of another speaker or piece goes before a second one of
    the same, so that one voice does not fill the test.
    """
    names = sorted(clips)
    metrics = table.metrics
    values = np.full((len(names), len(next(iter(clips.values()), {})), len(metrics)), np.nan)
    for i, name in enumerate(names):
        for j, point in enumerate(sorted(clips[name])):
            for k, metric in enumerate(metrics):
                score = clips[name][point].scores.get(metric)
                if score is not None and score.value is not None:
                    values[i, j, k] = score.value
    spread = _std(values, (1,)) / np.maximum(_std(values, (0, 1)), 1e-12)
    telling = np.nan_to_num(spread).mean(axis=-1) if metrics else np.zeros(len(names))
    by_spread = [names[i] for i in np.argsort(-telling, kind="stable")]
    seen: dict[object, int] = {}
    turn = {}
    for name in by_spread:
        who = cluster(next(iter(clips[name].values())))
        turn[name] = seen[who] = seen.get(who, -1) + 1
    return sorted(by_spread, key=lambda name: turn[name])


def _std(values: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    known = np.isfinite(values)
    count = np.maximum(known.sum(axis=axes, keepdims=True), 1)
    filled = np.where(known, values, 0.0)
    mean = filled.sum(axis=axes, keepdims=True) / count
    squares = np.where(known, values - mean, 0.0) ** 2
    return np.asarray(np.sqrt(squares.sum(axis=axes) / np.squeeze(count, axis=axes)))
