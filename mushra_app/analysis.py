"""Ratings -> everything the report says. Raw ratings in, nothing kept between calls.

Only first ratings of graded items by valid listeners count; replicates serve reliability alone.
"""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mushra_app import statistics
from mushra_app.prepare import METRICS_FILE
from mushra_app.ratings import lines
from mushra_app.screening import Screening, screen
from mushra_app.statistics import Floats
from mushra_app.study import Condition, Study
from nacbench.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

CORRELATION_DRAWS = 1000
CROWDED = 80  # scores above it; if most are, the test tells little (BS.1534-3, p. 20)


@dataclass(frozen=True)
class Summary:
    """Scores of one condition, over all items or on one.

    Attributes:
        low, high: 95 % interval of the mean; NaN on a single item.
        bimodal: the bimodality coefficient; NaN over all items.
    """

    condition: Condition
    item: str | None
    n: int
    box: statistics.Box
    mean: float
    low: float
    high: float
    bimodal: float


@dataclass(frozen=True)
class Contrast:
    """Two conditions, the better one first, over listeners' means.

    Attributes:
        difference: of the means.
        wilcoxon, hochberg: two-sided p, alone and among all contrasts.
        medians, permutation: difference of the medians of all scores, and attachment 3's p.
    """

    better: str
    worse: str
    difference: float
    wilcoxon: float
    hochberg: float
    medians: float
    permutation: float


@dataclass(frozen=True)
class Reliability:
    """How well a listener repeats themselves: `pairs` of scores, their mean distance, ICC(1)."""

    participant: str
    pairs: int
    distance: float
    icc: float


@dataclass(frozen=True)
class Agreement:
    """A metric of the run beside the ratings.

    Attributes:
        spearman, pearson: (value, low, high) over systems on items.
        by_system: the same of Spearman's over the systems' means.
        cells: system-and-item pairs that have a value.
    """

    metric: str
    unit: str
    higher_is_better: bool | None
    cells: int
    systems: int
    spearman: tuple[float, float, float]
    pearson: tuple[float, float, float]
    by_system: tuple[float, float, float]
    points: tuple[tuple[str, str, float, float], ...]  # item, condition, metric's value, mean score


@dataclass(frozen=True)
class Analysis:
    study: Study
    screening: Screening
    summaries: tuple[Summary, ...]
    cells: tuple[Summary, ...]
    contrasts: tuple[Contrast, ...]
    friedman: tuple[float, float, float]
    reliability: tuple[Reliability, ...]
    icc: float
    typical_error: float
    agreements: tuple[Agreement, ...]
    warnings: tuple[str, ...]
    ratings: int

    @property
    def bimodal(self) -> tuple[Summary, ...]:
        """Cells whose listeners may be of two minds."""
        return tuple(c for c in self.cells if c.bimodal > statistics.BIMODAL)


def analyse(study: Study, ratings: pd.DataFrame, seed: int = 0) -> Analysis:
    """Screen, summarise, test, and hold against the run's metrics.

    Args:
        ratings: `ratings.frame`, of this study.
    Raises:
        UserError: no listener is left, or ratings name what the study does not hold.
    """
    _refuse_foreign(study, ratings)
    screening = screen(ratings, len(study.items))
    if not screening.valid:
        why = " ".join(e.sentence for e in screening.excluded[:3])
        raise UserError(
            f"{study.folder or study.slug}: no listener's ratings count yet. {why}".strip()
        )
    kept = ratings[ratings["participant"].isin(screening.valid)]
    conditions = _complete(study)
    scores = _array(study, kept[kept["phase"] == "test"], screening.valid, conditions)
    low, high = statistics.mean_intervals(scores, seed=seed)
    summaries = [
        _summary(condition, None, scores[:, :, c].ravel(), float(low[c]), float(high[c]))
        for c, condition in enumerate(conditions)
    ]
    cells = [
        _summary(condition, item.id, scores[:, i, c], math.nan, math.nan)
        for i, item in enumerate(study.items)
        for c, condition in enumerate(conditions)
    ]
    reliability, icc, error = _reliability(kept, screening.valid)
    return Analysis(
        study=study,
        screening=screening,
        summaries=tuple(sorted(summaries, key=lambda s: -s.box.median * 1000 - s.mean)),
        cells=tuple(cells),
        contrasts=_contrasts(conditions, scores, seed),
        friedman=statistics.friedman(scores.mean(axis=1)),
        reliability=reliability,
        icc=icc,
        typical_error=error,
        agreements=_agreements(study, scores, conditions, seed),
        warnings=tuple(_warnings(study, conditions, scores, screening)),
        ratings=int(scores.size),
    )


def _refuse_foreign(study: Study, ratings: pd.DataFrame) -> None:
    for column, known in (
        ("item", {item.id for item in study.all_items}),
        ("condition", {condition.id for condition in study.conditions}),
    ):
        foreign = sorted(set(ratings[column]) - known)
        if foreign:
            raise UserError(f"ratings of {column} '{foreign[0]}', which {study.slug} has not.")


def _complete(study: Study) -> list[Condition]:
    """Conditions that every item has; only these can be compared."""
    shared = set.intersection(*({s.condition for s in item.conditions} for item in study.items))
    return [condition for condition in study.conditions if condition.id in shared]


def _array(
    study: Study, test: pd.DataFrame, listeners: Sequence[str], conditions: Sequence[Condition]
) -> Floats:
    """`[listeners, items, conditions]`; every valid listener rated everything."""
    rows = {name: n for n, name in enumerate(listeners)}
    items = {item.id: n for n, item in enumerate(study.items)}
    columns = {condition.id: n for n, condition in enumerate(conditions)}
    scores = np.full((len(rows), len(items), len(columns)), math.nan)
    for line in lines(test):
        if line.condition in columns:
            place = rows[line.participant], items[line.item], columns[line.condition]
            scores[place] = line.score
    if not np.isfinite(scores).all():
        raise UserError("a listener who rated all items lacks a score: the ratings are damaged.")
    return scores


def _summary(
    condition: Condition, item: str | None, scores: Floats, low: float, high: float
) -> Summary:
    return Summary(
        condition, item, scores.size, statistics.box(scores), float(scores.mean()), low, high,
        math.nan if item is None else statistics.bimodality(scores),
    )  # fmt: skip


def _contrasts(conditions: Sequence[Condition], scores: Floats, seed: int) -> tuple[Contrast, ...]:
    """Every pair; listeners' means over items are what is independent."""
    means = scores.mean(axis=1)
    order = np.argsort(-means.mean(axis=0), kind="stable")
    pairs = list(itertools.combinations(order.tolist(), 2))
    p = [statistics.wilcoxon(means[:, a], means[:, b]) for a, b in pairs]
    adjusted = statistics.hochberg(p)
    found = []
    for (a, b), alone, corrected in zip(pairs, p, adjusted.tolist(), strict=True):
        first, second = scores[:, :, a].ravel(), scores[:, :, b].ravel()
        if np.median(first) >= np.median(second):
            medians, dealt = statistics.permutation_p(first, second, seed=seed)
        else:  # the means and the medians disagree on which is better
            medians, dealt = statistics.permutation_p(second, first, seed=seed)
            medians = -medians
        difference = float(means[:, a].mean() - means[:, b].mean())
        names = conditions[a].id, conditions[b].id
        found.append(Contrast(*names, difference, alone, corrected, medians, dealt))
    return tuple(found)


def _reliability(
    kept: pd.DataFrame, listeners: Sequence[str]
) -> tuple[tuple[Reliability, ...], float, float]:
    """Per listener; ICC(1) and the typical error (RMS of differences ÷ √2) over all."""
    keys = ["participant", "item", "condition"]
    first = kept[kept["phase"] == "test"].set_index(keys)["score"]
    second = kept[kept["phase"] == "replicate"].set_index(keys)["score"]
    both = first.to_frame("first").join(second.to_frame("second"), how="inner").reset_index()
    found = []
    for listener in listeners:
        own = both[both["participant"] == listener]
        pairs = own[["first", "second"]].to_numpy(dtype=np.float64)
        if len(pairs):
            distance = float(np.abs(pairs[:, 0] - pairs[:, 1]).mean())
            icc = statistics.intraclass(pairs)
            found.append(Reliability(listener, len(pairs), distance, icc))
    every = both[["first", "second"]].to_numpy(dtype=np.float64)
    if not len(every):
        return (), math.nan, math.nan
    error = math.sqrt(float(np.mean((every[:, 0] - every[:, 1]) ** 2)) / 2)
    return tuple(found), statistics.intraclass(every), error


def _agreements(
    study: Study, scores: Floats, conditions: Sequence[Condition], seed: int
) -> tuple[Agreement, ...]:
    path = study.folder / METRICS_FILE
    if not path.is_file():
        return ()
    systems = [c for c, condition in enumerate(conditions) if condition.role == "system"]
    names = [conditions[c].id for c in systems]
    items = [item.id for item in study.items]
    ratings = scores[:, :, systems]
    found = []
    for metric, (unit, better, values) in read_metrics(path, items, names).items():
        found.append(_agreement(metric, unit, better, values, ratings, items, names, seed))
    return tuple(sorted(found, key=lambda a: -abs(np.nan_to_num(a.spearman[0]))))


def read_metrics(
    path: Path, items: Sequence[str], systems: Sequence[str]
) -> dict[str, tuple[str, bool | None, Floats]]:
    """Metric -> unit, whether higher is better, and `[items, systems]`, NaN where unscored."""
    found: dict[str, tuple[str, bool | None, Floats]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            try:
                place = items.index(row["item"]), systems.index(row["condition"])
            except ValueError:
                continue  # of an item or a system that is not graded any more
            try:
                better = {"yes": True, "no": False, "": None}[row["higher_is_better"]]
                values = found.setdefault(
                    row["metric"],
                    (row["unit"], better, np.full((len(items), len(systems)), math.nan)),
                )[2]
                values[place] = float(row["value"])
            except (KeyError, ValueError) as error:
                raise UserError(f"{path}:{number}: not a score ({error}).") from error
    return found


def _agreement(
    metric: str, unit: str, better: bool | None, values: Floats, ratings: Floats,
    items: Sequence[str], systems: Sequence[str], seed: int,
) -> Agreement:  # fmt: skip
    """Intervals are over listeners and items, drawn with replacement; systems are as they are."""
    heard = ratings.mean(axis=0)
    of_listeners, of_items = statistics.resamples(
        ratings.shape[0], len(items), CORRELATION_DRAWS, seed
    )
    drawn = []
    for listeners, counts in zip(of_listeners, of_items, strict=True):
        again = np.repeat(np.arange(len(items)), counts.astype(int))
        means = np.tensordot(listeners, ratings, axes=1)[again] / ratings.shape[0]
        drawn.append(
            (
                *statistics.correlations(values[again].ravel(), means.ravel()),
                statistics.correlations(_column_means(values[again]), means.mean(axis=0))[0],
            )
        )
    table = np.array(drawn)
    spearman, pearson = statistics.correlations(values.ravel(), heard.ravel())
    by_system = statistics.correlations(_column_means(values), heard.mean(axis=0))[0]
    bounds = [_bounds(table[:, column]) for column in range(3)]
    points = tuple(
        (items[i], systems[s], float(values[i, s]), float(heard[i, s]))
        for i in range(len(items))
        for s in range(len(systems))
        if math.isfinite(values[i, s])
    )
    return Agreement(
        metric, unit, better, len(points), len({point[1] for point in points}),
        (spearman, *bounds[0]), (pearson, *bounds[1]), (by_system, *bounds[2]), points,
    )  # fmt: skip


def _column_means(values: Floats) -> Floats:
    known = np.isfinite(values)
    count = known.sum(axis=0)
    sums = np.where(known, values, 0.0).sum(axis=0)
    return np.where(count > 0, sums / np.maximum(count, 1), math.nan)


def _bounds(draws: Floats) -> tuple[float, float]:
    known = draws[np.isfinite(draws)]
    if known.size < draws.size / 2:
        return math.nan, math.nan
    low, high = np.quantile(known, [0.025, 0.975])
    return float(low), float(high)


def _warnings(
    study: Study, conditions: Sequence[Condition], scores: Floats, screening: Screening
) -> list[str]:
    found = []
    share = float((scores > CROWDED).mean())
    if share > 0.5:
        found.append(
            f"{share:.0%} of all scores are above {CROWDED}: the systems are too good for this "
            "method to tell apart (BS.1534-3, p. 20). Consider BS.1116."
        )
    if scores.shape[0] < 6:
        found.append(
            f"{scores.shape[0]} valid listeners: no paired test can reach significance below 6."
        )
    dropped = len(study.conditions) - len(conditions)
    if dropped:
        found.append(f"{dropped} conditions are not in every item and were left out.")
    if screening.guarded:
        found.append(
            "The 7 kHz anchor is hard to hear on "
            f"{', '.join(screening.guarded)}: over a quarter of the listeners rated it above 90. "
            "These items exclude nobody."
        )
    medians = {c.role: float(np.median(scores[:, :, n])) for n, c in enumerate(conditions)}
    if {"low_anchor", "mid_anchor"} <= set(medians):
        apart = medians["mid_anchor"] - medians["low_anchor"]
        if apart < 10:
            found.append(
                f"The anchors' medians are {apart:.0f} points apart; about 20 to 30 are usual "
                "(BS.1534-3, p. 34)."
            )
    return found
