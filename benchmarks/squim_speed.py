"""Squim here against torchaudio's pipelines called as in their tutorials: same values, less time.

    OMP_NUM_THREADS=1 python benchmarks/squim_speed.py

Random weights of the published size: neither speed nor equality depends on training. Processor time
per second of audio on one thread, the least of several repeats.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any

import torch

from nacbench.metrics.squim import quicken
from nacbench.torchaudio_cpu import import_torchaudio

LENGTHS_S = (3, 6, 10)
REPEATS = 3
OPERATING_POINTS = 8  # of one clip, which share its clean reference


def least_s(call: Callable[[], Any]) -> float:
    call()
    spent = []
    for _ in range(REPEATS):
        start = time.process_time()
        call()
        spent.append(time.process_time() - start)
    return min(spent)


def objective(models: Any) -> None:
    network = models.squim_objective_base().eval()
    ours = quicken(copy.deepcopy(network))
    for seconds in LENGTHS_S:
        clip = 0.1 * torch.randn(1, 16000 * seconds)
        theirs_s = least_s(lambda clip=clip: network(clip)) / seconds
        with torch.inference_mode():
            ours_s = least_s(lambda clip=clip: ours(clip)) / seconds
            pairs = zip(network(clip), ours(clip), strict=True)
            apart = max(float((a - b).abs().max()) for a, b in pairs)
        show("objective", seconds, theirs_s, ours_s, apart)


def subjective(models: Any) -> None:
    network = models.squim_subjective_base().eval()
    ours = quicken(copy.deepcopy(network))

    def heard(clip: Any) -> Any:
        return ours.projector(ours.ssl_model.extract_features(clip)[0][-1])

    for seconds in LENGTHS_S:
        clip, clean = (0.1 * torch.randn(1, 16000 * seconds) for _ in range(2))
        theirs_s = least_s(lambda x=clip, y=clean: network(x, y)) / seconds
        with torch.inference_mode():
            once_s = least_s(lambda y=clean: heard(y)) / seconds / OPERATING_POINTS
            kept = heard(clean)
            score = lambda x=clip, y=kept: 5 - ours.predictor(torch.cat((y, heard(x)), 2))  # noqa: E731
            ours_s = least_s(score) / seconds + once_s
            apart = float((network(clip, clean) - score()).abs().max())
        show("subjective", seconds, theirs_s, ours_s, apart)


def show(name: str, seconds: int, theirs_s: float, ours_s: float, apart: float) -> None:
    print(
        f"| {name} | {seconds} s | {1000 * theirs_s:.0f} | {1000 * ours_s:.0f} | "
        f"{theirs_s / ours_s:.1f} | {apart:.1e} |",
        flush=True,
    )


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    models = import_torchaudio().models
    print("| network | clip | pipeline, ms per s | here, ms per s | ratio | largest difference |")
    print("|---|--:|--:|--:|--:|--:|")
    objective(models)
    subjective(models)


if __name__ == "__main__":
    main()
