"""Degrade speech and score it: the examples that nacmos is trained and tested on.

    python -m benchmarks.nacmos.pairs --data ../shared/data --out build/nacmos

Writes `audio.i16` (16 kHz, 16-bit, degraded clips one after the other) and `pairs.jsonl` (one line
each: where it lies, what it is, its true scores). Stop it at any moment and start it again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.nacmos import distortions
from benchmarks.nacmos.corpus import Recording, excerpt, recordings
from nacbench.core import Clip
from nacbench.scoring import Scorer

METRICS = ("visqol:speech-lattice", "pesq:wb", "stoi")
LOUD = "loud"  # the round of louder excerpts, one distortion of each by Lyra
PER_EXCERPT = 3  # distortions of one excerpt, which share what is prepared of the reference


class Pairs:
    """The two files, open for appending; what a killed run left half written is cut off."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._lines = folder / "pairs.jsonl"
        self._audio = folder / "audio.i16"
        self.done: set[str] = set()
        self._end = 0
        whole = []
        for line in self._lines.read_bytes().splitlines(True) if self._lines.exists() else []:
            if not line.endswith(b"\n"):
                break
            pair = json.loads(line)
            self.done.add(pair["id"])
            self._end = pair["start"] + pair["length"]
            whole.append(line)
        self._lines.write_bytes(b"".join(whole))
        self._audio.touch()
        with self._audio.open("rb+") as file:
            file.truncate(2 * self._end)

    def add(self, degraded: Clip, about: dict[str, Any]) -> None:
        samples = np.clip(np.rint(degraded.samples[0] * 32767), -32768, 32767).astype("<i2")
        with self._audio.open("ab") as file:
            file.write(samples.tobytes())
        line = {**about, "start": self._end, "length": samples.size}
        with self._lines.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self._end += samples.size
        self.done.add(about["id"])


def generator(*key: str | int) -> np.random.Generator:
    digest = hashlib.sha256("\n".join(map(str, key)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest))


def sources(data: Path) -> dict[str, Any]:
    return {
        "noise": {"folder": {"path": str(data / "noise" / "train")}},
        "rir": {"folder": {"path": str(data / "rir")}},
    }


def drawn(recording: Recording, round_: int | str, data: Path) -> Iterator[tuple[str, Clip, Any]]:
    """The distortions of one excerpt: id, reference, and a function that makes the draw."""
    mean_dbov = -18.0 if round_ == LOUD else -26.0
    reference = excerpt(recording, generator("excerpt", recording.id, round_), mean_dbov)
    for index in range(PER_EXCERPT):
        name = f"{recording.id}#{round_}.{index}"
        rng = generator("distortion", name)
        if round_ == LOUD and index == 0:
            yield name, reference, lambda r=reference, g=rng: distortions.lyra(r, g)
            continue
        yield name, reference, lambda r=reference, g=rng: distortions.draw(r, g, sources(data))


def make(data: Path, folder: Path, rounds: int, loud: int, limit: int) -> None:
    pairs, scorer = Pairs(folder), Scorer(METRICS)
    chosen = [r for r in recordings(data) if r.split in ("train", "dev", "test")]
    chosen.sort(key=lambda recording: zlib.crc32(recording.id.encode()))
    order: list[tuple[int | str, Recording]] = [
        *((LOUD, recording) for recording in chosen[:loud]),
        *((round_, recording) for round_ in range(rounds) for recording in chosen),
    ]
    for round_, recording in order:
        if f"{recording.id}#{round_}.{PER_EXCERPT - 1}" in pairs.done:
            continue
        for name, reference, make_draw in drawn(recording, round_, data):
            if name in pairs.done:
                continue
            try:
                family, label, degraded = make_draw()
            except Exception as error:  # a codec may refuse what a transport left of a clip
                print(f"{name}: {type(error).__name__}: {error}", flush=True)
                continue
            scores = scorer.score(reference, degraded)
            about = {"id": name, "split": recording.split, "clip": recording.id,
                     "speaker": recording.speaker, "family": family, "label": label,
                     "scores": {m: s.value for m, s in scores.items()}}  # fmt: skip
            pairs.add(degraded, about)
        if len(pairs.done) >= limit:
            return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with MANIFEST.csv")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--loud", type=int, default=0, help="recordings of the louder round")
    parser.add_argument("--limit", type=int, default=10**9, help="stop at so many pairs")
    given = parser.parse_args()
    make(given.data, given.out, given.rounds, given.loud, given.limit)


if __name__ == "__main__":
    main()
