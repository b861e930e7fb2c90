"""What the network is trained on: spectra of the degraded clips, and maps of the damage.

    python -m benchmarks.nacmos.features --data ../shared/data --pairs build/nacmos

Writes `spectra.f16`, `maps.f16` and `levels.f16` beside the pairs, one entry for each pair, and
goes on where it ended.
"""

from __future__ import annotations

import argparse
import json
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.nacmos.corpus import EXCERPT_S, RATE_HZ, excerpt, recordings
from benchmarks.nacmos.pairs import generator
from nacbench.core import Clip
from nacbench.errors import UnscorableError
from nacbench.metrics.nacmos import BANDS, FRAME_HOP, LAYERS, WINDOW, spectra

STEP = int(np.prod([stride[0] for *_, stride in LAYERS]))  # frames per step of the network
FRAMES = (round(EXCERPT_S * RATE_HZ) - WINDOW) // FRAME_HOP // STEP * STEP
STEPS = FRAMES // STEP
BLOCKS = 8  # of bands, in a map
MAPS = 3 * BLOCKS
RANGE_DB = 45.0  # below the original's loudest frames; what lies lower counts as no louder


def damage(original: NDArray[Any], degraded: NDArray[Any]) -> NDArray[Any]:
    """`[steps, MAPS]` from two spectra: how unlike they are, how far apart, and which is louder.

    Unlikeness is one minus the neurogram similarity of ViSQOL's paper, over 3 x 3 cells of 32 bands
    in decibels. Source: A. Hines and N. Harte, Speech Communication 54 (2012).
    """
    from scipy.ndimage import uniform_filter

    both = []
    for spectrum in (original, degraded):
        power = 10 ** (2 * (spectrum.astype(np.float64) - 1))  # as `spectra` made it
        level_db = 10 * np.log10(power.reshape(len(power), -1, 3).mean(2) + 1e-12)
        both.append(np.clip(level_db / RANGE_DB + 1, 0, 1.3))
    x, y = both

    def mean(z: NDArray[Any]) -> NDArray[Any]:
        smoothed: NDArray[Any] = uniform_filter(z, 3, mode="nearest")
        return smoothed

    x_mean, y_mean = mean(x), mean(y)
    x_power = np.maximum(mean(x * x) - x_mean**2, 0)
    y_power = np.maximum(mean(y * y) - y_mean**2, 0)
    cross = mean(x * y) - x_mean * y_mean
    intensity = (2 * x_mean * y_mean + 1e-4) / (x_mean**2 + y_mean**2 + 1e-4)
    structure = (cross + 4.5e-4) / (np.sqrt(x_power * y_power) + 4.5e-4)
    maps = [1 - intensity * structure, np.abs(x - y), y - x]
    blocks = [m.reshape(-1, STEP, BLOCKS, m.shape[1] // BLOCKS).mean((1, 3)) for m in maps]
    return np.concatenate(blocks, axis=1)


def shapes(count: int) -> dict[str, tuple[int, ...]]:
    """Of the files, for so many pairs."""
    return {
        "spectra.f16": (count, FRAMES, BANDS),
        "maps.f16": (count, STEPS, MAPS),
        "levels.f16": (count,),
    }


def make(data: Path, folder: Path) -> None:
    known = {recording.id: recording for recording in recordings(data)}
    pairs, audio = read_pairs(folder), np.memmap(folder / "audio.i16", "<i2", "r")
    begun, original = "", np.zeros((0, BANDS), np.float32)
    with ExitStack() as stack:
        files = []
        for name in shapes(1):
            (folder / name).touch()
            files.append(stack.enter_context((folder / name).open("rb+")))
        sizes = [2 * int(np.prod(shape)) for shape in shapes(1).values()]
        made = min(file.seek(0, 2) // size for file, size in zip(files, sizes, strict=True))
        for file, size in zip(files, sizes, strict=True):
            file.truncate(made * size)
            file.seek(made * size)
        for pair in pairs[made:]:
            excerpt_id = pair["id"].rpartition(".")[0]
            if excerpt_id != begun:
                begun, rng = excerpt_id, generator("excerpt", excerpt_id)
                original = spectra(excerpt(known[pair["clip"]], rng))[0]
            spectrum, maps = np.zeros((FRAMES, BANDS)), np.zeros((STEPS, MAPS))
            found, level = np.zeros((0, BANDS), np.float32), 0.0
            with suppress(UnscorableError):  # silence; such a pair is not trained on
                found, level = spectra(clip_of(pair, audio))
            frames = frames_of(pair)
            if len(found):
                spectrum[:frames] = found[:frames]
                maps[: frames // STEP] = damage(original[:frames], found[:frames])
            for file, values in zip(files, (spectrum, maps, np.array(level)), strict=True):
                file.write(values.astype(np.float16).tobytes())


def read_pairs(folder: Path) -> list[dict[str, Any]]:
    """The whole lines of what `pairs.py` wrote, or is still writing."""
    lines = (folder / "pairs.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def frames_of(pair: dict[str, Any]) -> int:
    """Frames of a pair's spectrum that are filled, whole steps."""
    frames: int = ((pair["length"] - WINDOW) // FRAME_HOP + 1) // STEP * STEP
    return min(frames, FRAMES)


def clip_of(pair: dict[str, Any], audio: NDArray[np.int16]) -> Clip:
    samples = audio[pair["start"] : pair["start"] + pair["length"]].astype(np.float32) / 32768
    return Clip(samples, RATE_HZ)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with MANIFEST.csv")
    parser.add_argument("--pairs", type=Path, required=True, help="folder that pairs.py wrote")
    given = parser.parse_args()
    make(given.data, given.pairs)


if __name__ == "__main__":
    main()
