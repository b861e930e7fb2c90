"""Degrade speech and score it: the examples that nacmos is trained and tested on.

    python -m benchmarks.nacmos.pairs --data ../shared/data --out build/nacmos

Writes `audio.i16` (16 kHz, 16-bit, degraded clips one after the other) and `pairs.jsonl` (one line
each: where it lies, what it is, its true scores). Stop it at any moment and start it again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import zlib
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.nacmos import distortions
from benchmarks.nacmos.corpus import Recording, excerpt, recordings
from nacbench.core import Clip
from nacbench.scoring import Scorer

METRICS = ("visqol:speech-lattice", "pesq:wb", "stoi")
PER_EXCERPT = 8  # distortions of one excerpt, which share what is prepared of the reference


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


def excerpts(data: Path) -> Iterator[tuple[str, Recording]]:
    """All recordings in a fixed mixed order, again and again; each with the id of its excerpt."""
    chosen = [r for r in recordings(data) if r.split in ("train", "dev", "test")]
    chosen.sort(key=lambda recording: zlib.crc32(recording.id.encode()))
    for round_ in count():
        for recording in chosen:
            yield f"{recording.id}#{round_}", recording


def make(data: Path, folder: Path, first: int, step: int, stop: int) -> None:
    """The pairs of every `step`-th excerpt from the `first` on."""
    pairs, scorer = Pairs(folder), Scorer(METRICS)
    for excerpt_id, recording in islice(excerpts(data), first, stop, step):
        if f"{excerpt_id}.{PER_EXCERPT - 1}" in pairs.done:
            continue
        reference = excerpt(recording, generator("excerpt", excerpt_id))
        for index in range(PER_EXCERPT):
            name = f"{excerpt_id}.{index}"
            if name in pairs.done:
                continue
            rng = generator("distortion", name)
            try:
                family, label, degraded = distortions.draw(reference, rng, sources(data))
            except Exception as error:  # a codec may refuse what a transport left of a clip
                print(f"{name}: {type(error).__name__}: {error}", flush=True)
                continue
            scores = scorer.score(reference, degraded)
            about = {"id": name, "split": recording.split, "clip": recording.id,
                     "speaker": recording.speaker, "family": family, "label": label,
                     "scores": {m: s.value for m, s in scores.items()}}  # fmt: skip
            pairs.add(degraded, about)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with MANIFEST.csv")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--excerpts", type=int, required=True, help="8 pairs each")
    parser.add_argument("--part", default="1/1", help="1/2 and 2/2 share the work of two processes")
    given = parser.parse_args()
    os.environ.setdefault("NACBENCH_DATA", str(given.data))  # where Lyra's weights are looked for
    part, parts = map(int, given.part.split("/"))
    make(given.data, given.out, part - 1, parts, given.excerpts)


if __name__ == "__main__":
    main()
