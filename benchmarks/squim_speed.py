"""Squim here against torchaudio's pipelines called as in their tutorials: same values, less time.

    OMP_NUM_THREADS=1 python benchmarks/squim_speed.py

Random weights of the published size: neither speed nor equality depends on training. Processor time
per second of audio on one thread, all in turns, the least of several rounds.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any

import torch

from nacbench.metrics.squim import BATCH_S
from nacbench.metrics.squim_network import quicken
from nacbench.torchaudio_cpu import import_torchaudio

LENGTHS_S = (3, 6, 10)
ROUNDS = 9
OPERATING_POINTS = 8  # of one clip, which share its clean reference


def least_s(*calls: Callable[[], Any]) -> list[float]:
    """Processor time of each; a neighbour's noise meets all of them."""
    spent: list[list[float]] = [[] for _ in calls]
    for _ in range(ROUNDS):
        for call, own in zip(calls, spent, strict=True):
            start = time.process_time()
            call()
            own.append(time.process_time() - start)
    return [min(own) for own in spent]


def objective(models: Any) -> None:
    network = models.squim_objective_base().eval()
    ours = quicken(copy.deepcopy(network))
    for seconds in LENGTHS_S:
        clips = max(1, int(BATCH_S / seconds))
        batch = 0.1 * torch.randn(clips, 16000 * seconds)
        pipeline = lambda x=batch: network(x[:1])  # noqa: E731
        theirs_s, alone_s, batched_s = least_s(
            pipeline, inferred(lambda x=batch: ours(x[:1])), inferred(lambda x=batch: ours(x))
        )
        with torch.inference_mode():
            found = (torch.stack(ours(x)) for x in (batch[:1], batch))
            expected = torch.stack([torch.stack(network(x[None]))[:, 0] for x in batch], dim=1)
            apart = max(float((x - expected[:, : x.shape[1]]).abs().max()) for x in found)
        show("objective", seconds, theirs_s, alone_s, batched_s / clips, clips, apart)


def subjective(models: Any) -> None:
    network = models.squim_subjective_base().eval()
    ours = quicken(copy.deepcopy(network))

    def heard(clips: Any) -> Any:
        return ours.projector(ours.ssl_model.extract_features(clips)[0][-1])

    def scores(clips: Any, clean: Any) -> Any:
        both = torch.cat((clean.expand(len(clips), -1, -1), heard(clips)), dim=2)
        return 5 - ours.predictor(both)

    for seconds in LENGTHS_S:
        clips = max(1, int(BATCH_S / seconds))
        batch = 0.1 * torch.randn(clips, 16000 * seconds)
        clean = 0.1 * torch.randn(1, 16000 * seconds)
        with torch.inference_mode():
            kept = heard(clean)
            expected = torch.cat([network(x[None], clean) for x in batch])
            found = (scores(x, kept) for x in (batch[:1], batch))
            apart = max(float((x - expected[: len(x)]).abs().max()) for x in found)
        pipeline = lambda x=batch, y=clean: network(x[:1], y)  # noqa: E731
        theirs_s, clean_s, alone_s, batched_s = least_s(
            pipeline, inferred(lambda y=clean: heard(y)),
            inferred(lambda x=batch, y=kept: scores(x[:1], y)),
            inferred(lambda x=batch, y=kept: scores(x, y)),
        )  # fmt: skip
        once_s = clean_s / OPERATING_POINTS
        batched_s = batched_s / clips + once_s
        show("subjective", seconds, theirs_s, alone_s + once_s, batched_s, clips, apart)


def inferred(call: Callable[[], Any]) -> Callable[[], Any]:
    def called() -> Any:
        with torch.inference_mode():
            return call()

    return called


def show(
    name: str, seconds: int, theirs: float, alone: float, batched: float, clips: int, apart: float
) -> None:
    per_s = " | ".join(f"{1000 * spent / seconds:.0f}" for spent in (theirs, alone, batched))
    ratios = f"{theirs / alone:.2f} | {theirs / batched:.2f}"
    print(f"| {name} | {seconds} s | {per_s} | {clips} | {ratios} | {apart:.0e} |", flush=True)


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    models = import_torchaudio().models
    print(
        "| network | clip | pipeline, ms per s | here | here, in batches | of | ratio | ratio in "
        "batches | largest difference |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|"
    )
    objective(models)
    subjective(models)


if __name__ == "__main__":
    main()
