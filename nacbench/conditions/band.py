"""Bandwidth limits: what a telephone, a wideband call or a cheap microphone leaves of a clip."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nacbench.core import Clip

Signal = NDArray[np.float64]
STOPBAND_DB = 80.0


class Bandwidth:
    """Keep `low_hz`…`high_hz` by linear-phase filters without delay; -6 dB at each edge.

    The transition is a tenth of `high_hz` and half of `low_hz` wide, around the edge; beyond it
    the rest is 80 dB down. An edge at or above half the clip's rate changes nothing.

    Args:
        high_hz, low_hz: at least one; `{low_hz: 300, high_hz: 3400}` is a telephone.
    """

    def __init__(self, high_hz: float | None = None, low_hz: float | None = None) -> None:
        if high_hz is None and low_hz is None:
            raise ValueError("give high_hz, low_hz or both")
        for name, value in (("high_hz", high_hz), ("low_hz", low_hz)):
            if value is not None and not 20 <= value <= 96000:
                raise ValueError(f"{name} must lie in 20…96000 Hz, got {value!r}")
        if high_hz is not None and low_hz is not None and low_hz >= high_hz:
            raise ValueError(f"low_hz must be below high_hz, got {low_hz:g} and {high_hz:g}")
        self._high_hz, self._low_hz = high_hz, low_hz
        self.label = (
            f"{low_hz:g}-{high_hz:g} Hz"
            if high_hz and low_hz
            else f"<{high_hz:g} Hz"
            if high_hz
            else f">{low_hz:g} Hz"
        )

    def apply(self, clip: Clip, rng: np.random.Generator) -> Clip:
        samples: Signal = clip.samples.astype(np.float64)
        if self._high_hz is not None:
            samples = _filtered(samples, self._high_hz, 0.1, clip.sample_rate_hz, lowpass=True)
        if self._low_hz is not None:
            samples = _filtered(samples, self._low_hz, 0.5, clip.sample_rate_hz, lowpass=False)
        return Clip(samples.astype(np.float32), clip.sample_rate_hz, clip.id, clip.tags)


def _filtered(
    samples: Signal, edge_hz: float, transition: float, sample_rate_hz: int, lowpass: bool
) -> Signal:
    """Kaiser-window FIR of odd length, its delay of half its length taken off."""
    from scipy.signal import firwin, kaiserord, oaconvolve

    nyquist_hz = sample_rate_hz / 2
    if edge_hz >= nyquist_hz:
        return samples if lowpass else np.zeros_like(samples)
    width_hz = min(transition * edge_hz, 2 * (nyquist_hz - edge_hz))
    length, beta = kaiserord(STOPBAND_DB, width_hz / nyquist_hz)
    length |= 1
    taps = firwin(length, edge_hz, window=("kaiser", beta), pass_zero=lowpass, fs=sample_rate_hz)
    filtered = oaconvolve(samples, taps[np.newaxis], axes=1)
    return np.asarray(filtered[:, length // 2 : length // 2 + samples.shape[1]])
