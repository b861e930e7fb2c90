"""How well nacmos agrees with the metrics it estimates, on what training never saw.

    python -m benchmarks.nacmos.report --exam build/exam --pairs build/pairs/1 build/pairs/2

Runs the shipped metric on every degraded clip and writes hash, cost and table into the card.
Intervals are 95 % bootstrap intervals over recordings (`nacbench.stats`), whose systems stay
together.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.nacmos.distortions import UNSEEN
from benchmarks.nacmos.features import clip_of, read_pairs
from nacbench import stats
from nacbench.metrics.nacmos import NacmosPesq, NacmosStoi, NacmosVisqol

OF = {"visqol:speech-lattice": NacmosVisqol, "pesq:wb": NacmosPesq, "stoi": NacmosStoi}
DRAWS = 500
HEAD = "| estimate of | by | pairs or systems | Pearson | Spearman | RMSE |"
Floats = NDArray[np.float64]


def estimated(folders: list[Path], split: str) -> tuple[list[dict[str, Any]], float]:
    """The pairs of some folders with what nacmos says of each, under `estimates`, and ms per s."""
    pairs, spent, heard_s = [], 0.0, 0.0
    for folder in folders:
        audio = np.memmap(folder / "audio.i16", "<i2", "r")
        for pair in read_pairs(folder):
            if pair["split"] != split or None in pair["scores"].values():
                continue
            clip = clip_of(pair, audio)
            start = time.process_time()
            pair["estimates"] = {name: cls().score(None, clip) for name, cls in OF.items()}
            spent += time.process_time() - start
            heard_s += clip.duration_s
            pairs.append(pair)
    return pairs, 1000 * spent / max(heard_s, 1e-9)


def weighted_ranks(values: Floats, weights: Floats) -> Floats:
    """Middle ranks `[draws, items]` in a sample that holds each item as often as its weight."""
    distinct, group = np.unique(values, return_inverse=True)
    of_group = np.zeros((len(weights), len(distinct)))
    for item, index in enumerate(group):
        of_group[:, index] += weights[:, item]
    middle = np.cumsum(of_group, axis=1) - of_group / 2
    ranks: Floats = middle[:, group]
    return ranks


def pearson(x: Floats, y: Floats, weights: Floats) -> Floats:
    """Of `[items]` or `[draws, items]` under weights, `[draws]`."""
    total = weights.sum(axis=1, keepdims=True)
    x = x - (weights * x).sum(axis=1, keepdims=True) / total
    y = y - (weights * y).sum(axis=1, keepdims=True) / total
    power = (weights * x * x).sum(axis=1) * (weights * y * y).sum(axis=1)
    found: Floats = (weights * x * y).sum(axis=1) / np.sqrt(power)
    return found


def by_clip(x: Floats, y: Floats) -> Callable[[Floats], Floats]:
    def statistic(weights: Floats) -> Floats:
        ranks = weighted_ranks(x, weights), weighted_ranks(y, weights)
        return np.stack([pearson(x, y, weights), pearson(*ranks, weights)], axis=1)

    return statistic


def by_system(x: Floats, y: Floats, system: NDArray[np.int64]) -> Callable[[Floats], Floats]:
    member = np.equal(system[:, np.newaxis], np.arange(system.max() + 1)).astype(float)

    def statistic(weights: Floats) -> Floats:
        counts = weights @ member
        counts = np.maximum(counts, 1e-9)  # a system may have no clip in a draw
        x_mean, y_mean = (weights * x) @ member / counts, (weights * y) @ member / counts
        ones = np.ones_like(x_mean)
        ranks = [np.argsort(np.argsort(means, axis=1), axis=1) * 1.0 for means in (x_mean, y_mean)]
        return np.stack([pearson(x_mean, y_mean, ones), pearson(*ranks, ones)], axis=1)

    return statistic


def row(title: str, pairs: list[dict[str, Any]], name: str, systems: bool) -> str:
    truth = np.array([pair["scores"][name] for pair in pairs])
    estimate = np.array([pair["estimates"][name] for pair in pairs])
    unit = stats.unit_of(len(pairs), [pair["clip"] for pair in pairs])
    labels = np.unique([pair["label"] for pair in pairs], return_inverse=True)[1]
    statistic = by_system(truth, estimate, labels) if systems else by_clip(truth, estimate)
    found = stats.interval(statistic, unit, draws=DRAWS)
    items = len(set(labels)) if systems else len(pairs)
    shown = [
        f"{e:.3f} ({low:.3f}–{high:.3f})"
        for e, low, high in zip(found.estimate, found.low, found.high, strict=True)
    ]
    error = float(np.sqrt(np.mean((truth - estimate) ** 2)))
    return f"| {title} | {items} | {shown[0]} | {shown[1]} | {error:.3f} |"


def table(exam: list[dict[str, Any]], unseen_speakers: list[dict[str, Any]]) -> list[str]:
    groups = {
        "all systems": exam,
        "codecs seen in training": [p for p in exam if p["family"] not in (*UNSEEN, "condition")],
        **{f"{family} (unseen)": [p for p in exam if p["family"] == family] for family in UNSEEN},
        "Lyra": [p for p in exam if p["family"] == "lyra"],
        "speech-16k": [p for p in exam if p["family"] == "reference"],
        "conditions": [p for p in exam if p["family"] == "condition"],
        "random distortions, unseen speakers": unseen_speakers,
    }
    lines = [HEAD, "|---|---|--:|---|---|--:|"]
    for name in OF:
        for title, pairs in groups.items():
            if len(pairs) > 1:
                lines.append(row(f"`{name}` | clip: {title}", pairs, name, systems=False))
        lines.append(row(f"`{name}` | system: all", exam, name, systems=True))
        lines += [
            row(f"`{name}` | system: {family} (unseen)", members, name, systems=True)
            for family in UNSEEN
            if (members := groups[f"{family} (unseen)"])
        ]
    return lines


def renewed(card: str, sha256: str, cost_ms: float, lines: list[str]) -> str:
    """The card with another hash, cost and table."""
    card = re.sub(r"sha256 `[0-9a-f]{64}`", f"sha256 `{sha256}`", card, count=1)
    card = re.sub(r"\| cost \| [\d.]+ ms", f"| cost | {cost_ms:.1f} ms", card, count=1)
    before, _, after = card.partition(HEAD)
    rest = after.partition("\n\n")[2]
    return before + "\n".join(lines) + "\n\n" + rest


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--exam", type=Path, required=True, help="folder that exam.py wrote")
    parser.add_argument("--pairs", type=Path, nargs="+", required=True, help="that pairs.py wrote")
    parser.add_argument("--card", type=Path, help="the card to renew")
    given = parser.parse_args()
    exam, cost_ms = estimated([given.exam], "eval")
    lines = table(exam, estimated(given.pairs, "test")[0])
    print("\n".join([f"{len(exam)} pairs, {cost_ms:.1f} ms per s", "", *lines]))
    if given.card is not None:
        sha256 = NacmosVisqol().weights()[0].sha256
        card = given.card.read_text(encoding="utf-8")
        given.card.write_text(renewed(card, sha256, cost_ms, lines), encoding="utf-8")


if __name__ == "__main__":
    main()
