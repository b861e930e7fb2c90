"""Distances between short-time spectra: multi-scale mel and STFT distances, and LSD.

"Mel distance" names at least four different numbers in the literature, up to ten times apart.
Each recipe here is one of them, with its own rate, windows, padding, compression and reduction.
Lower is better, 0 is a copy; scales differ, so recipes are not comparable with each other.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nacbench.core import Clip, Samples
from nacbench.errors import UnscorableError

Spectrum = NDArray[np.float32]


@dataclass(frozen=True)
class Stft:
    """A centred short-time Fourier transform, hop a quarter of the window.

    Attributes:
        periodic: the Hann window's period is its length; else the length less one.
        padding: what stands before the first and after the last sample.
    """

    window_length: int
    periodic: bool = True
    padding: Literal["reflect", "constant"] = "reflect"

    def magnitude(self, samples: Samples) -> Spectrum:
        """`[channels, time]` -> `[channels, frames, bins]`, unscaled.

        Raises:
            UnscorableError: the clip is shorter than half a window, which reflection needs.
        """
        from scipy.fft import rfft

        half = self.window_length // 2
        if samples.shape[-1] <= half:
            raise UnscorableError(
                f"the clip has {samples.shape[-1]} samples at the metric's rate and "
                f"a window of {self.window_length} needs at least {half + 1}"
            )
        padded = np.pad(samples, ((0, 0), (half, half)), self.padding)
        windows = np.lib.stride_tricks.sliding_window_view(padded, self.window_length, axis=-1)
        frames = windows[:, :: self.window_length // 4] * _hann(self.window_length, self.periodic)
        magnitude: Spectrum = np.abs(rfft(frames, overwrite_x=True))
        return magnitude


@functools.cache
def _hann(length: int, periodic: bool) -> Spectrum:
    period = length if periodic else length - 1
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / period)).astype(np.float32)


class MelDac:
    """Multi-scale mel distance of the Descript Audio Codec paper.

    Seven scales with windows 32…2048 and 5…320 Slaney mel bands; per scale the mean absolute
    difference of log10(max(mel magnitude, 1e-5)); summed over the scales.
    """

    name = "mel:dac"
    version = "1"
    unit = ""
    bounds = (0.0, np.inf)
    higher_is_better = False
    sample_rate_hz = 44100
    mono = False
    domain = "any"
    source = "Kumar et al., NeurIPS 2023, arXiv:2306.06546; conf/base.yml of its repository"

    _scales = tuple((2**power, 5 * 2 ** (power - 5)) for power in range(5, 12))

    def prepare(self, reference: Clip) -> list[Spectrum]:
        return [self._log_mel(reference, *scale) for scale in self._scales]

    def score(self, prepared: Sequence[Spectrum], decoded: Clip) -> float:
        return sum(
            _mean_difference(own, self._log_mel(decoded, *scale))
            for own, scale in zip(prepared, self._scales, strict=True)
        )

    def _log_mel(self, clip: Clip, window_length: int, bands: int) -> Spectrum:
        magnitude = Stft(window_length).magnitude(clip.samples)
        mel = magnitude @ mel_filters(clip.sample_rate_hz, window_length, bands, "slaney").T
        log_mel: Spectrum = np.log10(np.maximum(mel, np.float32(1e-5)))
        return log_mel


def _mean_difference(reference: Spectrum, decoded: Spectrum) -> float:
    """Mean absolute difference over channels, frames and bands."""
    return float(np.mean(np.abs(reference - decoded), dtype=np.float64))


@functools.cache
def mel_filters(
    sample_rate_hz: int, window_length: int, bands: int, norm: Literal["slaney"] | None
) -> Spectrum:
    """Triangular mel filters from 0 Hz to Nyquist, `[bands, bins]`.

    Args:
        norm: "slaney" gives each triangle the area 1 (in Hz); None the height 1.

    Source: Slaney, Auditory Toolbox, 1998: linear below 1 kHz (200/3 Hz per mel), logarithmic
        above (27 mels for a factor of 6.4).
    """
    edges = _mel_to_hz(np.linspace(0.0, _hz_to_mel(sample_rate_hz / 2), bands + 2))
    bins = np.linspace(0.0, sample_rate_hz / 2, window_length // 2 + 1)
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    filters = np.maximum(0.0, np.minimum(rising, falling))
    if norm == "slaney":
        filters *= (2.0 / (edges[2:] - edges[:-2]))[:, None]
    return filters.astype(np.float32)


_LINEAR_HZ_PER_MEL = 200 / 3
_LOG_FROM_HZ = 1000.0
_LOG_STEP = np.log(6.4) / 27


def _hz_to_mel(frequency_hz: float) -> float:
    if frequency_hz < _LOG_FROM_HZ:
        return frequency_hz / _LINEAR_HZ_PER_MEL
    return _LOG_FROM_HZ / _LINEAR_HZ_PER_MEL + float(
        np.log(frequency_hz / _LOG_FROM_HZ) / _LOG_STEP
    )


def _mel_to_hz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    above = _LOG_FROM_HZ * np.exp(_LOG_STEP * (mels - _LOG_FROM_HZ / _LINEAR_HZ_PER_MEL))
    return np.where(mels * _LINEAR_HZ_PER_MEL < _LOG_FROM_HZ, mels * _LINEAR_HZ_PER_MEL, above)
