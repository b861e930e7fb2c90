"""The speech that nacmos learns from and is tested on: excerpts of 3.5 s, split by speaker."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nacbench import audio
from nacbench.conditions.active_level import active_level
from nacbench.core import Clip

RATE_HZ = 16000
EXCERPT_S = 3.5
Samples = NDArray[np.float32]
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


def excerpt(recording: Recording, rng: np.random.Generator) -> Clip:
    """A stretch of speech, mono at 16 kHz, varied so that few recordings stand for many.

    Half of them are a little faster or slower, half have other highs and lows, and half get quieter
    pauses: the recordings come from few microphones and rooms, and what noise does to a score
    depends on how quiet the original's own pauses are. The level is drawn, around -24 dBov.
    """
    clip = audio.at_rate(audio.to_mono(audio.read(recording.path)), RATE_HZ)
    speed = float(rng.uniform(0.85, 1.18)) if rng.random() < 0.5 else 1.0
    samples = clip.samples[0]
    length = min(round(EXCERPT_S * RATE_HZ * speed), samples.size)
    starts = rng.integers(0, samples.size - length + 1, size=2)
    stretches = [samples[start : start + length] for start in starts]
    loudest = max(stretches, key=lambda stretch: float(np.mean(stretch**2)))
    if speed != 1.0:
        fast = Clip(loudest, round(RATE_HZ * speed), recording.id)
        loudest = audio.at_rate(fast, RATE_HZ).samples[0]
    if rng.random() < 0.5:
        loudest = _coloured(loudest, rng)
    if rng.random() < 0.5:
        loudest = _quieter_pauses(loudest, float(rng.uniform(6, 40)))
    clip = Clip(loudest, RATE_HZ, recording.id)
    target_dbov = float(np.clip(rng.normal(-24, 5), -38, -12))
    gain = 10 ** ((target_dbov - active_level(clip).level_dbov) / 20)
    gain = min(gain, 0.99 / float(np.abs(loudest).max()))
    return Clip(loudest * np.float32(gain), RATE_HZ, recording.id)


def _coloured(samples: Samples, rng: np.random.Generator) -> Samples:
    """A smooth random response, as of another microphone: up to about 10 dB at either end."""
    spectrum = np.fft.rfft(samples)
    octave = np.log2(np.linspace(0, RATE_HZ / 2, spectrum.size) / 1000 + 0.05)
    gain_db = np.interp(octave, (-4, -2, 0, 1.5, 3), rng.normal(0, (5, 3, 0, 3, 6)))
    coloured: Samples = np.fft.irfft(spectrum * 10 ** (gain_db / 20), samples.size)
    return coloured.astype(np.float32)


def _quieter_pauses(samples: Samples, depth_db: float) -> Samples:
    """Frames more than 25 dB below the loud ones turned down, the further below the more."""
    from scipy.ndimage import gaussian_filter1d, maximum_filter1d

    power = gaussian_filter1d(samples.astype(np.float64) ** 2, 80) + 1e-12
    level_db = 10 * np.log10(maximum_filter1d(power, 640))
    below_db = np.quantile(level_db, 0.95) - 25 - level_db
    gain_db = -np.clip(2 * below_db, 0, depth_db)
    quieter: Samples = samples * 10 ** (gaussian_filter1d(gain_db, 160) / 20)
    return quieter.astype(np.float32)
