"""Noises that need no recordings: white, pink, mains hum, speech-shaped noise and babble."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from nacbench.core import Clip
from nacbench.registry import Registry

SYNTHETIC = Registry(
    "noise",
    "nacbench.noises",
    {
        "white": "nacbench.conditions.synthetic:White",
        "pink": "nacbench.conditions.synthetic:Pink",
        "speech_shaped": "nacbench.conditions.synthetic:SpeechShaped",
        "babble": "nacbench.conditions.babble:Babble",
        "hum": "nacbench.conditions.synthetic:Hum",
    },
)

Signal = NDArray[np.float64]
LOWEST_HZ = 20.0  # below, spectra stay flat: a 1/f spectrum has no finite power at 0 Hz


class White:
    """Gaussian, flat spectrum, independent in each channel."""

    label = "white"

    def draw(self, clip: Clip, rng: np.random.Generator) -> tuple[Signal, str]:
        return rng.standard_normal(clip.samples.shape), self.label


class Pink:
    """Gaussian, power falling 3.01 dB per octave above 20 Hz, independent in each channel."""

    label = "pink"

    def draw(self, clip: Clip, rng: np.random.Generator) -> tuple[Signal, str]:
        return shaped(clip, rng, _pink_db), self.label


class SpeechShaped:
    """Gaussian with the long-term spectrum of speech, steady, independent in each channel."""

    label = "speech_shaped"

    def draw(self, clip: Clip, rng: np.random.Generator) -> tuple[Signal, str]:
        return shaped(clip, rng, speech_spectrum_db), self.label


class Hum:
    """Mains hum: the fundamental and its harmonics to 1 kHz, falling 6 dB per octave, in phase
    in all channels. Its own phases are drawn.

    Args:
        mains_hz: 50 (most of the world) or 60.
    """

    def __init__(self, mains_hz: float = 50.0) -> None:
        if not 40 <= mains_hz <= 70:
            raise ValueError(f"mains_hz must lie in 40…70 Hz, got {mains_hz!r}")
        self._mains_hz = mains_hz
        self.label = f"hum {mains_hz:g} Hz"

    def draw(self, clip: Clip, rng: np.random.Generator) -> tuple[Signal, str]:
        time_s = np.arange(clip.length) / clip.sample_rate_hz
        hum = np.zeros(clip.length)
        highest_hz = min(1000.0, 0.45 * clip.sample_rate_hz)
        for harmonic in range(1, int(highest_hz // self._mains_hz) + 1):
            phase = rng.uniform(0, 2 * np.pi)
            hum += np.sin(2 * np.pi * harmonic * self._mains_hz * time_s + phase) / harmonic
        return np.broadcast_to(hum, clip.samples.shape), self.label


def shaped(clip: Clip, rng: np.random.Generator, density_db: Callable[[Signal], Signal]) -> Signal:
    """Gaussian noise in the shape of `clip` with the power density `density_db(hertz)`.

    One FFT over the whole length, padded to a fast size and cut, so the spectrum is exact and
    the noise does not repeat.
    """
    from scipy.fft import irfft, next_fast_len, rfft, rfftfreq

    size = next_fast_len(max(clip.length, 2), real=True)
    gain = 10 ** (density_db(rfftfreq(size, 1 / clip.sample_rate_hz)) / 20)
    spectrum = rfft(rng.standard_normal((clip.channels, size)), axis=1)
    return np.asarray(irfft(spectrum * gain, n=size, axis=1)[:, : clip.length])


def _pink_db(hertz: Signal) -> Signal:
    return np.asarray(-10 * np.log10(np.maximum(hertz, LOWEST_HZ)))


def speech_spectrum_db(hertz: Signal) -> Signal:
    """Long-term average power density of speech, in dB up to a constant.

    Source: ITU-T P.50 (09/1999), formula for 100 Hz to 8 kHz. Differs: beyond, 12 dB per octave
    down below 100 Hz and 6 dB per octave down above 8 kHz, where the formula turns up again.
    """
    hertz = np.maximum(hertz, LOWEST_HZ)
    log = np.log10(np.clip(hertz, 100.0, 8000.0))
    density_db = -376.44 + 465.439 * log - 157.745 * log**2 + 16.7124 * log**3
    below = 12 * np.log2(np.minimum(hertz, 100.0) / 100.0)
    above = -6 * np.log2(np.maximum(hertz, 8000.0) / 8000.0)
    return np.asarray(density_db + below + above)
