"""Train one member of nacmos on the pairs that `pairs.py` made and `features.py` looked at.

    python -m benchmarks.nacmos.train --pairs build/nacmos --seed 0 --out build/0.safetensors

One thread, bfloat16. What is kept is a running mean of the weights, at the epoch that was best on
the dev speakers.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import smooth_l1_loss

from benchmarks.nacmos.features import STEP, frames_of, read_pairs, shapes
from benchmarks.nacmos.network import Nacmos
from benchmarks.nacmos.pairs import METRICS

CROP = 24 * STEP  # frames, 3.07 s
BATCH = 32
RATE = 2e-3
WEIGHTS = torch.tensor([1.0, 0.5, 0.5])  # of ViSQOL, PESQ and STOI in the loss
DAMAGE_WEIGHT, CONCORDANCE_WEIGHT = 0.5, 0.3
AVERAGED_STEPS = 1000


@dataclass(frozen=True)
class Examples:
    """Spectra `[n, frames, bands]`, levels, maps of the damage, scores `[n, 3]`, frames filled."""

    spectra: NDArray[np.float16]
    maps: NDArray[np.float16]
    levels: NDArray[np.float16]
    scores: Tensor
    frames: NDArray[np.int64]

    def batch(self, indices: Any, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Random stretches of whole steps; a clip shorter than a stretch begins again."""
        rows, maps = [], []
        for index in indices:
            steps = self.frames[index] // STEP
            first = int(rng.integers(max(steps - CROP // STEP, 0) + 1))
            at = (first + np.arange(CROP // STEP)) % steps
            maps.append(self.maps[index, at])
            spectrum = self.spectra[index].reshape(-1, STEP, self.spectra.shape[2])
            rows.append(spectrum[at].reshape(CROP, -1))
        x, y = (torch.from_numpy(np.stack(each)).float() for each in (rows, maps))
        return x, torch.from_numpy(self.levels[indices]).float(), y


def read(folders: list[Path], split: str) -> Examples:
    """The pairs of a split that have all scores."""
    parts: dict[str, list[NDArray[Any]]] = {name: [] for name in shapes(1)}
    chosen = []
    for folder in folders:
        pairs = read_pairs(folder)
        made = (folder / "levels.f16").stat().st_size // 2
        wanted = [
            index
            for index, pair in enumerate(pairs[:made])
            if pair["split"] == split and None not in pair["scores"].values()
        ]
        for name, shape in shapes(made).items():
            file = np.memmap(folder / name, np.float16, "r", shape=shape)
            parts[name].append(np.asarray(file[wanted]))
        chosen += [pairs[index] for index in wanted]
    spectra, maps, levels = (np.concatenate(each) for each in parts.values())
    scores = torch.tensor([[pair["scores"][name] for name in METRICS] for pair in chosen])
    return Examples(spectra, maps, levels, scores, np.array([frames_of(pair) for pair in chosen]))


@torch.no_grad()
def estimates(network: Nacmos, examples: Examples) -> Tensor:
    network.eval()
    found = torch.empty(len(examples.scores), len(METRICS))
    for frames in np.unique(examples.frames):
        alike = np.flatnonzero(examples.frames == frames)
        for indices in np.array_split(alike, -(-len(alike) // BATCH)):
            x = torch.from_numpy(examples.spectra[indices, :frames]).float()
            found[indices] = network(x, torch.from_numpy(examples.levels[indices]).float())[0]
    return found


def correlation(a: Tensor, b: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([a, b]))[0, 1])


def concordance(found: Tensor, wanted: Tensor) -> Tensor:
    """Lin's coefficient of each column: 1 where two agree, 0 where they are strange."""
    a, b = found - found.mean(0), wanted - wanted.mean(0)
    apart = (found.mean(0) - wanted.mean(0)).square()
    return 2 * (a * b).mean(0) / (a.square().mean(0) + b.square().mean(0) + apart + 1e-6)


def train(known: Examples, dev: Examples, epochs: int, seed: int) -> Iterator[dict[str, Tensor]]:
    """Weights to run with, each time that an epoch was better on the dev speakers."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = Nacmos(normalised=True).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    averaged = copy.deepcopy(network)
    mean, deviation = known.scores.mean(0), known.scores.std(0)
    wanted = (known.scores - mean) / deviation
    filled = known.maps[::7].reshape(-1, known.maps.shape[2])
    filled = filled[np.any(filled != 0, axis=1)].astype(np.float32)
    centre, spread = torch.from_numpy(filled.mean(0)), torch.from_numpy(filled.std(0) + 1e-3)
    print(f"{len(wanted)} pairs, {len(dev.scores)} to choose by", flush=True)
    size = min(BATCH, len(wanted))
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=2e-2)
    steps = epochs * (len(wanted) // size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, steps, pct_start=0.1)
    best, begin, step = -1.0, time.monotonic(), 0
    for epoch in range(epochs):
        network.train()
        losses = []
        order = rng.permutation(len(wanted))[: len(wanted) // size * size]
        for indices in order.reshape(-1, size):
            x, level, maps = known.batch(indices, rng)
            with torch.autocast("cpu", torch.bfloat16):
                found, found_maps = network(x, level)
            found, right = found.float(), wanted[indices]
            error = (smooth_l1_loss(found, right, reduction="none", beta=0.5) * WEIGHTS).mean()
            strange = ((1 - concordance(found, right)) * WEIGHTS).mean()
            damage = smooth_l1_loss(found_maps.float(), (maps - centre) / spread, beta=0.5)
            optimiser.zero_grad()
            (error + CONCORDANCE_WEIGHT * strange + DAMAGE_WEIGHT * damage).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 2.0)
            optimiser.step()
            schedule.step()
            step += 1
            average(averaged, network, max(1 / step, 1 / AVERAGED_STEPS))
            losses.append((error.item(), strange.item(), damage.item()))
        estimate = estimates(averaged, dev) * deviation + mean
        scores = [correlation(estimate[:, k], dev.scores[:, k]) for k in range(len(METRICS))]
        wrong = float((estimate[:, 0] - dev.scores[:, 0]).square().mean().sqrt())
        shown = " ".join(f"{score:.4f}" for score in scores)
        mean_losses = " ".join(f"{value:.4f}" for value in np.mean(losses, axis=0))
        passed = time.monotonic() - begin
        print(f"{epoch} loss {mean_losses} dev {shown} {wrong:.3f} {passed:.0f} s", flush=True)
        if scores[0] > best:
            best = scores[0]
            yield {**averaged.shipped(), "mean": mean, "deviation": deviation}


@torch.no_grad()
def average(mean: Nacmos, network: Nacmos, share: float) -> None:
    """Move the running mean by `share` towards the network, batch statistics with it."""
    states = zip(mean.state_dict().values(), network.state_dict().values(), strict=True)
    pairs = [(kept, new) for kept, new in states if kept.is_floating_point()]
    torch._foreach_lerp_([kept for kept, _ in pairs], [new for _, new in pairs], share)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=Path, nargs="+", required=True, help="folders of pairs")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=14)
    given = parser.parse_args()
    torch.set_num_threads(1)
    known, dev = read(given.pairs, "train"), read(given.pairs, "dev")
    for weights in train(known, dev, given.epochs, given.seed):
        save_file(weights, given.out)


if __name__ == "__main__":
    main()
