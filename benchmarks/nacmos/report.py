"""How well nacmos agrees with the metrics it estimates, on what training never saw.

    python -m benchmarks.nacmos.report --exam build/exam --pairs build/nacmos

Runs the shipped metric on every degraded clip. Intervals are 95 % bootstrap intervals over
recordings (`nacbench.stats`), whose systems stay together.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.nacmos.distortions import UNSEEN
from nacbench import stats
from nacbench.core import Clip
from nacbench.metrics.nacmos import NacmosPesq, NacmosStoi, NacmosVisqol

OF = {"visqol:speech-lattice": NacmosVisqol, "pesq:wb": NacmosPesq, "stoi": NacmosStoi}
DRAWS = 500
Floats = NDArray[np.float64]


def estimated(folder: Path, splits: tuple[str, ...]) -> list[dict[str, Any]]:
    """The pairs of a folder with what nacmos says of each, under `estimates`."""
    lines = (folder / "pairs.jsonl").read_text(encoding="utf-8").splitlines()
    audio = np.memmap(folder / "audio.i16", "<i2", "r")
    pairs, spent, heard_s = [], 0.0, 0.0
    for pair in map(json.loads, lines):
        if pair["split"] not in splits or None in pair["scores"].values():
            continue
        samples = audio[pair["start"] : pair["start"] + pair["length"]].astype(np.float32) / 32768
        clip = Clip(samples, 16000)
        start = time.process_time()
        pair["estimates"] = {name: cls().score(None, clip) for name, cls in OF.items()}
        spent += time.process_time() - start
        heard_s += clip.duration_s
        pairs.append(pair)
    print(f"{folder.name} {splits}: {len(pairs)} pairs, {1000 * spent / heard_s:.1f} ms per s\n")
    return pairs


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--exam", type=Path, required=True, help="folder that exam.py wrote")
    parser.add_argument("--pairs", type=Path, required=True, help="folder that pairs.py wrote")
    given = parser.parse_args()
    exam = estimated(given.exam, ("eval",))
    unseen_speakers = estimated(given.pairs, ("test",))
    groups = {
        "all systems": exam,
        "codecs seen in training": [p for p in exam if p["family"] not in (*UNSEEN, "condition")],
        **{f"{family} (unseen)": [p for p in exam if p["family"] == family] for family in UNSEEN},
        "Lyra": [p for p in exam if p["family"] == "lyra"],
        "conditions": [p for p in exam if p["family"] == "condition"],
        "random distortions, unseen speakers": unseen_speakers,
    }
    print("| estimate of | by | pairs or systems | Pearson | Spearman | RMSE |")
    print("|---|---|--:|---|---|--:|")
    for name in OF:
        for title, pairs in groups.items():
            print(row(f"`{name}` | clip: {title}", pairs, name, systems=False), flush=True)
        print(row(f"`{name}` | system: all", exam, name, systems=True), flush=True)
        for family in UNSEEN:
            members = groups[f"{family} (unseen)"]
            print(row(f"`{name}` | system: {family} (unseen)", members, name, True), flush=True)


if __name__ == "__main__":
    main()
