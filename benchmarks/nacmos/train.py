"""Train nacmos on the pairs that `pairs.py` made.

    python -m benchmarks.nacmos.train --pairs build/nacmos --out nacbench/metrics/nacmos.safetensors

One thread, bfloat16, minutes. The best epoch on the dev speakers is kept.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.nacmos.network import Nacmos
from benchmarks.nacmos.pairs import METRICS
from nacbench.core import Clip
from nacbench.metrics.nacmos import BANDS, FRAME_HOP, spectra

CROP = 256  # frames, 2.56 s
BATCH = 32
WEIGHTS = torch.tensor([1.0, 0.5, 0.5])  # of ViSQOL, PESQ and STOI in the loss


def read(folder: Path, splits: tuple[str, ...]) -> tuple[list[dict[str, Any]], NDArray[np.float16]]:
    """The pairs of some splits that have all scores, and their spectra, kept for the next time."""
    lines = (folder / "pairs.jsonl").read_text(encoding="utf-8").splitlines()
    pairs = [json.loads(line) for line in lines]
    pairs = [p for p in pairs if None not in p["scores"].values() and p["split"] in splits]
    audio = np.memmap(folder / "audio.i16", "<i2", "r")
    longest = max(pair["length"] for pair in pairs) // FRAME_HOP
    made = np.zeros((len(pairs), longest, BANDS), np.float16)
    for index, pair in enumerate(pairs):
        samples = audio[pair["start"] : pair["start"] + pair["length"]].astype(np.float32) / 32768
        found, pair["level"] = spectra(Clip(samples, 16000))
        pair["frames"] = min(len(found), longest)
        made[index, : pair["frames"]] = found[: pair["frames"]]
    return pairs, made


def batch(
    pairs: list[dict[str, Any]], made: NDArray[np.float16], indices: Any, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Random stretches, `[batch, CROP, bands]`, and levels; a short clip begins again."""
    rows, levels = [], []
    for index in indices:
        frames = pairs[index]["frames"]
        first = int(rng.integers(max(frames - CROP, 0) + 1))
        rows.append(made[index][(first + np.arange(CROP)) % frames])
        levels.append(pairs[index]["level"])
    return torch.from_numpy(np.stack(rows)).float(), torch.tensor(levels)


def targets(pairs: list[dict[str, Any]]) -> Tensor:
    return torch.tensor([[pair["scores"][name] for name in METRICS] for pair in pairs])


@torch.no_grad()
def estimates(network: Nacmos, pairs: list[dict[str, Any]], made: NDArray[np.float16]) -> Tensor:
    network.eval()
    found = torch.cat([
        network(torch.from_numpy(x[: p["frames"]]).float()[None], torch.tensor([p["level"]]))
        for p, x in zip(pairs, made, strict=True)
    ])  # fmt: skip
    network.train()
    return found


def correlation(a: Tensor, b: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([a, b]))[0, 1])


def train(folder: Path, start: Path | None, minutes: float, epochs: int) -> dict[str, Tensor]:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    pairs, made = read(folder, ("train",))
    dev, dev_made = read(folder, ("dev",))
    wanted, dev_wanted = targets(pairs), targets(dev)
    network, rate = Nacmos(normalised=start is None), 2e-3
    mean, deviation = wanted.mean(0), wanted.std(0)
    if start is not None:
        begun, rate = load_file(start), 5e-4
        mean, deviation = begun.pop("mean"), begun.pop("deviation")
        network.load_state_dict(begun)
    wanted = (wanted - mean) / deviation
    print(f"{len(pairs)} pairs, {len(dev)} to choose by", flush=True)
    print(f"{sum(p.numel() for p in network.parameters())} parameters", flush=True)
    optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=1e-2)
    steps = epochs * (len(pairs) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, steps, pct_start=0.15)
    best, kept, begin = -1.0, {}, time.monotonic()
    for epoch in range(epochs):
        losses = []
        order = rng.permutation(len(pairs))[: len(pairs) // BATCH * BATCH]
        for indices in order.reshape(-1, BATCH):
            with torch.autocast("cpu", torch.bfloat16):
                found = network(*batch(pairs, made, indices, rng)).float()
            loss = (torch.nn.functional.smooth_l1_loss(
                found, wanted[indices], reduction="none", beta=0.5
            ) * WEIGHTS).mean()  # fmt: skip
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(float(loss.detach()))
        found = estimates(network, dev, dev_made)
        scores = [correlation(found[:, k], dev_wanted[:, k]) for k in range(3)]
        passed = time.monotonic() - begin
        shown = " ".join(f"{score:.4f}" for score in scores)
        print(f"{epoch} loss {np.mean(losses):.4f} dev {shown} {passed:.0f} s", flush=True)
        if scores[0] > best:
            best, kept = scores[0], network.shipped()
        if passed > 60 * minutes:
            print("out of time", flush=True)
            break
    return {**kept, "mean": mean, "deviation": deviation}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=Path, required=True, help="folder that pairs.py wrote")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--start", type=Path, help="weights of the first stage, for the second")
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--minutes", type=float, default=1e9, help="end after this long")
    given = parser.parse_args()
    torch.set_num_threads(1)
    save_file(train(given.pairs, given.start, given.minutes, given.epochs), given.out)


if __name__ == "__main__":
    main()
