"""Codecs with known answers, liars among them. Each does one thing wrong, or nothing.

All carry the clip as 32-bit float PCM, so whatever else a record says is the probe's doing.
"""

from __future__ import annotations

import os
import time
from typing import ClassVar

import numpy as np

from nacbench.codecs.pcm import Identity
from nacbench.core import Bitstream, Clip
from nacbench.errors import DecodeError


class Shift(Identity):
    """Comes back `samples` late."""

    def __init__(self, samples: int = 37) -> None:
        self.samples = samples

    def decode(self, bitstream: Bitstream) -> Clip:
        clip = super().decode(bitstream)
        late = np.pad(clip.samples, [(0, 0), (self.samples, 0)])
        return Clip(late, clip.sample_rate_hz)


class MovingDelay(Identity):
    """Late by 0 or 5 ms, depending on the clip."""

    def decode(self, bitstream: Bitstream) -> Clip:
        clip = super().decode(bitstream)
        late = clip.sample_rate_hz // 200 if is_long(clip) else 0
        return Clip(np.pad(clip.samples, [(0, 0), (late, 0)]), clip.sample_rate_hz)


class Gain(Identity):
    """Louder by a factor; -1 turns the polarity round."""

    def __init__(self, factor: float = 0.5) -> None:
        self.factor = factor

    def decode(self, bitstream: Bitstream) -> Clip:
        clip = super().decode(bitstream)
        return Clip(clip.samples * np.float32(self.factor), clip.sample_rate_hz)


class Silence(Identity):
    """Decodes to digital silence."""

    def decode(self, bitstream: Bitstream) -> Clip:
        clip = super().decode(bitstream)
        return Clip(np.zeros_like(clip.samples), clip.sample_rate_hz)


class Stranger(Identity):
    """Decodes to audio that has nothing to do with the clip."""

    def decode(self, bitstream: Bitstream) -> Clip:
        clip = super().decode(bitstream)
        noise = np.random.default_rng(1).standard_normal(clip.samples.shape)
        return Clip(0.1 * noise.astype(np.float32), clip.sample_rate_hz)


class OtherRate(Identity):
    """Works at 24 kHz only: a bench that relabels instead of resampling ruins it."""

    sample_rates_hz = (24000,)


class Stash(Identity):
    """Sends one byte and keeps the audio where only the same instance, or process, finds it."""

    kept: ClassVar[list[Clip]] = []

    def __init__(self, where: str = "class") -> None:
        self.kept_here = Stash.kept if where == "class" else []

    def encode(self, clip: Clip) -> Bitstream:
        self.kept_here[:] = [clip]
        return Bitstream(b"\0")

    def decode(self, bitstream: Bitstream) -> Clip:
        if not self.kept_here:
            raise DecodeError("one byte holds no audio")
        return self.kept_here[0]


class WrongRate(Identity):
    """Says 6 kbps and writes 512."""

    nominal_kbps = 6.0


class Fickle(Identity):
    """Decodes a little differently every time."""

    def decode(self, bitstream: Bitstream) -> Clip:
        clip = super().decode(bitstream)
        dither = np.random.default_rng().standard_normal(clip.samples.shape)
        return Clip(clip.samples + 1e-4 * dither.astype(np.float32), clip.sample_rate_hz)


class Crash(Identity):
    """Takes its process down on long clips."""

    def decode(self, bitstream: Bitstream) -> Clip:
        clip = super().decode(bitstream)
        if is_long(clip):
            os.abort()
        return clip


class Hang(Identity):
    """Takes its time over long clips."""

    def __init__(self, seconds: float = 60) -> None:
        self.seconds = seconds

    def decode(self, bitstream: Bitstream) -> Clip:
        clip = super().decode(bitstream)
        if is_long(clip):
            time.sleep(self.seconds)
        return clip


class NotANumber(Identity):
    """One sample of a long clip is NaN."""

    def decode(self, bitstream: Bitstream) -> Clip:
        clip = super().decode(bitstream)
        samples = clip.samples.copy()
        if is_long(clip):
            samples[0, 100] = np.nan
        return Clip(samples, clip.sample_rate_hz)


class WrongLength(Identity):
    """Long clips come back with a part missing, or with a part too many."""

    def __init__(self, factor: float = 0.5) -> None:
        self.factor = factor

    def decode(self, bitstream: Bitstream) -> Clip:
        clip = super().decode(bitstream)
        if not is_long(clip):
            return clip
        length = round(self.factor * clip.length)
        samples = np.tile(clip.samples, 3)[:, :length]
        return Clip(samples, clip.sample_rate_hz)


LONG_S = 2.6


def is_long(clip: Clip) -> bool:
    """True for one of the self-test's clips: a liar's trouble must cost that record only."""
    return clip.duration_s > LONG_S
