"""Short-time magnitude spectra and mel filters: what the spectral distances are made of."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nacbench.core import Samples
from nacbench.errors import UnscorableError

Spectrum = NDArray[np.float32]

SAMPLES_AT_ONCE = 2**16  # of overlapping frames: a quarter of a megabyte stays in the cache


@dataclass(frozen=True)
class Stft:
    """A short-time Fourier transform: Hann window, frames centred on every quarter of it.

    Attributes:
        window_length: samples; the transform's length too.
        periodic: the window's period is its length (as for spectral analysis), else its length
            less one (as for filter design).
        padding: what stands before the first and after the last sample.
        guard: added to each bin's power before the root.
    """

    window_length: int
    periodic: bool = True
    padding: Literal["reflect", "constant"] = "reflect"
    guard: float = 0.0

    def magnitude(self, samples: Samples, filters: Any = None) -> Spectrum:
        """Magnitudes, unscaled: a full-scale sine reaches a quarter of the window's length.

        Args:
            samples: `[channels, time]`.
            filters: `[bands, bins]`, dense or sparse, to sum bins into bands.
        Returns:
            `[channels, 1 + time // hop, bins or bands]`.
        Raises:
            UnscorableError: the clip is shorter than half a window, which reflection needs.
        """
        from scipy.fft import rfft

        half = self.window_length // 2
        if samples.shape[-1] <= half:
            raise UnscorableError(
                f"too short: {samples.shape[-1]} samples at the metric's rate, and the window of "
                f"{self.window_length} needs {half + 1}"
            )
        padded = np.pad(samples, ((0, 0), (half, half)), self.padding)
        windows = np.lib.stride_tricks.sliding_window_view(padded, self.window_length, axis=-1)
        frames = windows[:, :: self.window_length // 4]
        window = hann(self.window_length, self.periodic)
        columns = half + 1 if filters is None else filters.shape[0]
        result = np.empty((*frames.shape[:2], columns), np.float32)
        at_once = max(1, SAMPLES_AT_ONCE // self.window_length)
        for channel in range(frames.shape[0]):
            for start in range(0, frames.shape[1], at_once):
                block = slice(start, start + at_once)
                spectrum = np.abs(rfft(frames[channel, block] * window, overwrite_x=True))
                if self.guard:
                    spectrum = np.sqrt(spectrum * spectrum + np.float32(self.guard))
                if filters is not None:
                    spectrum = (filters @ spectrum.T).T
                result[channel, block] = spectrum
        return result


@functools.cache
def hann(length: int, periodic: bool) -> Spectrum:
    """A Hann window; `periodic` leaves out the closing zero."""
    period = length if periodic else length - 1
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / period)).astype(np.float32)


@functools.cache
def mel_filters(
    sample_rate_hz: int, window_length: int, bands: int, norm: Literal["slaney"] | None
) -> Any:
    """Triangular mel filters from 0 Hz to Nyquist, `[bands, bins]`, a sparse float32 array.

    Args:
        norm: "slaney" gives each triangle the area 1 in Hz; None the height 1.

    Source: Slaney, Auditory Toolbox, 1998: linear below 1 kHz (200/3 Hz per mel), logarithmic
        above (27 mels for a factor of 6.4).
    """
    from scipy.sparse import csr_array

    edges = _mel_to_hz(np.linspace(0.0, _hz_to_mel(sample_rate_hz / 2), bands + 2))[:, np.newaxis]
    width = np.diff(edges, axis=0)
    bins = np.arange(window_length // 2 + 1) * (sample_rate_hz / window_length)
    rising = (bins - edges[:-2]) / width[:-1]
    falling = (edges[2:] - bins) / width[1:]
    filters = np.maximum(0.0, np.minimum(rising, falling))
    if norm == "slaney":
        filters *= 2.0 / (edges[2:] - edges[:-2])
    return csr_array(filters.astype(np.float32))


_LINEAR_HZ_PER_MEL = 200 / 3
_LOG_FROM_HZ = 1000.0
_LOG_FROM_MEL = _LOG_FROM_HZ / _LINEAR_HZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27


def _hz_to_mel(frequency_hz: float) -> float:
    if frequency_hz < _LOG_FROM_HZ:
        return frequency_hz / _LINEAR_HZ_PER_MEL
    return _LOG_FROM_MEL + float(np.log(frequency_hz / _LOG_FROM_HZ) / _LOG_STEP)


def _mel_to_hz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    logarithmic = _LOG_FROM_HZ * np.exp(_LOG_STEP * (mels - _LOG_FROM_MEL))
    return np.where(mels < _LOG_FROM_MEL, mels * _LINEAR_HZ_PER_MEL, logarithmic)
