"""The speech that nacmos learns from and is tested on: excerpts of 3.5 s, split by speaker."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nacbench import audio
from nacbench.conditions.active_level import active_level
from nacbench.core import Clip

RATE_HZ = 16000
EXCERPT_S = 3.5
TEST_SHARE, DEV_SHARE = 0.08, 0.05  # of the speakers of speech_train


@dataclass(frozen=True)
class Recording:
    """A file of the corpus. `split` is train, dev, test (speakers unseen) or eval (other sets)."""

    path: Path
    speaker: str
    split: str

    @property
    def id(self) -> str:
        return self.path.stem


def recordings(data: Path) -> list[Recording]:
    """Files of speech_train, split by speaker, and of speech_eval, whose speakers are others."""
    found = []
    with (data / "MANIFEST.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            path, speaker = data / row["path"], row["speaker_or_content"]
            if row["set"] == "speech_train":
                found.append(Recording(path, speaker, _split(speaker)))
            elif row["set"] == "speech_eval":
                found.append(Recording(path, speaker, "eval"))
    return found


def _split(speaker: str) -> str:
    draw = int.from_bytes(hashlib.sha256(speaker.encode()).digest()[:4]) / 2**32
    return "test" if draw < TEST_SHARE else "dev" if draw < TEST_SHARE + DEV_SHARE else "train"


def excerpt(recording: Recording, rng: np.random.Generator, mean_dbov: float = -26.0) -> Clip:
    """A stretch of speech, mono at 16 kHz, at a level drawn around `mean_dbov`.

    The loudest of three random stretches: pauses teach nothing.
    """
    clip = audio.at_rate(audio.to_mono(audio.read(recording.path)), RATE_HZ)
    samples = clip.samples[0]
    length = min(round(EXCERPT_S * RATE_HZ), samples.size)
    starts = rng.integers(0, samples.size - length + 1, size=3)
    stretches = [samples[start : start + length] for start in starts]
    loudest = max(stretches, key=lambda stretch: float(np.mean(stretch**2)))
    clip = Clip(loudest, RATE_HZ, recording.id)
    target_dbov = float(np.clip(rng.normal(mean_dbov, 4), -36, -12))
    gain = 10 ** ((target_dbov - active_level(clip).level_dbov) / 20)
    gain = min(gain, 0.99 / float(np.abs(loudest).max()))
    return Clip(loudest * np.float32(gain), RATE_HZ, recording.id)
