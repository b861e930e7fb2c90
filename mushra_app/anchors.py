"""The two anchors that make a test a MUSHRA test: the reference, low-passed at 3.5 and 7 kHz.

BS.1534-3 gives a mask for the low anchor: ripple of at most ±0.1 dB up to 3.5 kHz, at least 25 dB
down at 4 kHz and 50 dB at 4.5 kHz. It gives none for the mid anchor; ours is as steep.
Both are linear-phase and centred, so that switching to an anchor does not jump in time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nacbench.core import Clip
from nacbench.errors import UserError

LOW_PASS_HZ = {"low_anchor": (3500.0, 4000.0), "mid_anchor": (7000.0, 8000.0)}  # pass, stop
RIPPLE_DB = 60.0  # 0.009 dB in the pass band, 60 dB in the stop band
LOWEST_RATE_HZ = 16_000
GENERATION = (
    "Low and mid anchor: the reference through a linear-phase FIR low-pass (Kaiser window, "
    f"{RIPPLE_DB:.0f} dB), pass band up to 3.5 and 7 kHz, stop band from 4 and 8 kHz, delay "
    "removed, no gain; nacbench mushra_app/anchors.py."
)


def taps(role: str, sample_rate_hz: int) -> NDArray[np.float64]:
    """The filter of an anchor: odd, symmetric, unity at 0 Hz.

    Raises:
        UserError: the rate is too low to hold a mid anchor.
    Source: Kaiser's design, Oppenheim & Schafer, Discrete-Time Signal Processing, section 7.5.
    """
    from scipy import signal

    if sample_rate_hz < LOWEST_RATE_HZ:
        raise UserError(
            f"anchors need at least {LOWEST_RATE_HZ} Hz, not {sample_rate_hz}: the mid anchor "
            "passes 7 kHz. Give '--rate 16000'."
        )
    passes_hz, stops_hz = LOW_PASS_HZ[role]
    # At 16 kHz the mid anchor's stop band begins at the Nyquist frequency itself.
    nyquist_hz = sample_rate_hz / 2
    count, beta = signal.kaiserord(RIPPLE_DB, (stops_hz - passes_hz) / nyquist_hz)
    window = ("kaiser", beta)
    middle_hz = (passes_hz + stops_hz) / 2
    response: NDArray[np.float64] = signal.firwin(
        count | 1, middle_hz, window=window, fs=sample_rate_hz
    )
    return response


def anchor(reference: Clip, role: str) -> Clip:
    """The anchor of a reference, of its length and in time with it."""
    from scipy import signal

    filtered = signal.oaconvolve(
        reference.samples.astype(np.float64),
        taps(role, reference.sample_rate_hz)[np.newaxis],
        mode="full",
        axes=1,
    )
    late = (taps(role, reference.sample_rate_hz).size - 1) // 2
    kept = filtered[:, late : late + reference.length].astype(np.float32)
    return Clip(kept, reference.sample_rate_hz, reference.id, reference.tags)
