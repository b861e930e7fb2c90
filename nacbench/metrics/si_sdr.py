"""Waveform distortion: SI-SDR and SNR, in dB, over all channels of a clip.

Both compare sample by sample, so they see every delay and phase change and reward neither a
parametric codec nor a vocoder. The bench compensates the delay first and keeps the SI-SDR before
compensation in the record.

Conventions: power ratios are summed over channels and time. Samples are float32, whose rounding
lies 150 dB below the signal, so ratios are given within ±150 dB: an exact copy has 150, not
infinity.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from nacbench.core import Clip, Samples
from nacbench.errors import UnscorableError

LIMIT_DB = 150.0


def si_sdr(reference: Samples, decoded: Samples) -> float:
    """Scale-invariant signal-to-distortion ratio.

    The mean of each channel is removed; one scale is fitted for all channels.

    Args:
        reference: `[channels, time]`, full scale ±1, not silent.
        decoded: same shape and rate.
    Returns:
        dB within ±150; higher is better.
    Raises:
        UnscorableError: either signal is silent, or the lengths differ.
    Source: Le Roux et al., ICASSP 2019, arXiv:1811.02508, eq. 3-5. Differs: several channels
        share one scale; no epsilon is added, the limits take its place.
    """
    return _si_sdr(_centred(reference), decoded)


class SiSdr:
    """Scale-invariant signal-to-distortion ratio of the aligned pair; see `si_sdr`."""

    name = "si_sdr"
    version = "1"
    unit = "dB"
    bounds = (-LIMIT_DB, LIMIT_DB)
    higher_is_better = True
    sample_rate_hz = None
    mono = False
    domain = "any"
    source = "Le Roux et al., ICASSP 2019, arXiv:1811.02508"

    def prepare(self, reference: Clip) -> NDArray[np.float64]:
        return _centred(reference.samples)

    def score(self, prepared: NDArray[np.float64], decoded: Clip) -> float:
        return _si_sdr(prepared, decoded.samples)


class Snr:
    """Signal-to-noise ratio: power of the reference over power of the difference.

    Unlike SI-SDR it charges a wrong level, polarity or offset.
    """

    name = "snr"
    version = "1"
    unit = "dB"
    bounds = (-LIMIT_DB, LIMIT_DB)
    higher_is_better = True
    sample_rate_hz = None
    mono = False
    domain = "any"
    source = "10·log10(Σ reference² / Σ (decoded - reference)²)"

    def prepare(self, reference: Clip) -> NDArray[np.float64]:
        return reference.samples.astype(np.float64)

    def score(self, prepared: NDArray[np.float64], decoded: Clip) -> float:
        _check_lengths(prepared, decoded.samples)
        power = float(np.vdot(prepared, prepared))
        if power == 0:
            raise UnscorableError("the reference is silent")
        noise = prepared - decoded.samples
        return _ratio_db(power, float(np.vdot(noise, noise)))


def _si_sdr(reference: NDArray[np.float64], decoded: Samples) -> float:
    """`reference` is centred already."""
    _check_lengths(reference, decoded)
    power = float(np.vdot(reference, reference))
    if power == 0:
        raise UnscorableError("the reference is silent")
    estimate = _centred(decoded)
    if not estimate.any():
        raise UnscorableError("the decoded audio is silent")
    scale = float(np.vdot(reference, estimate)) / power
    noise = estimate - scale * reference
    return _ratio_db(scale * scale * power, float(np.vdot(noise, noise)))


def _centred(samples: Samples) -> NDArray[np.float64]:
    exact = samples.astype(np.float64)
    if exact.size:
        exact -= exact.mean(axis=-1, keepdims=True)
    return exact


def _check_lengths(reference: NDArray[np.float64], decoded: Samples) -> None:
    if reference.shape != decoded.shape:
        raise UnscorableError(
            f"decoded audio is {decoded.shape}, the reference {reference.shape} [channels, time]"
        )


def _ratio_db(signal: float, noise: float) -> float:
    if noise == 0:
        return LIMIT_DB
    if signal == 0:
        return -LIMIT_DB
    return min(max(10 * math.log10(signal / noise), -LIMIT_DB), LIMIT_DB)
