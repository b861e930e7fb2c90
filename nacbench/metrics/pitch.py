"""Fundamental frequency: how far it moved, and where voicing changed.

F0 by YIN: a frame is voiced where its difference function, divided by its running mean, has a dip
below a threshold; the first such dip, refined by a parabola, is the period. Both signals are
tracked alike, so what YIN itself gets wrong in the original counts only where the codec changed it.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from nacbench.core import Clip
from nacbench.errors import UnscorableError

Array = NDArray[np.float64]

SAMPLE_RATE_HZ = 16000
LOWEST_HZ, HIGHEST_HZ = 60.0, 500.0
WINDOW = 512  # samples, 32 ms; two periods of 62 Hz
FRAME_HOP = 160
THRESHOLD = 0.15  # of the normalised difference; 0.1 to 0.15 in the paper
QUIET_DB = 45.0  # below the loudest frame: unvoiced, whatever its period

LONGEST_LAG = int(SAMPLE_RATE_HZ / LOWEST_HZ)
SHORTEST_LAG = int(SAMPLE_RATE_HZ / HIGHEST_HZ)


class _Pitch:
    version = "1"
    higher_is_better = False
    sample_rate_hz = SAMPLE_RATE_HZ
    mono = True
    domain = "speech"

    def prepare(self, reference: Clip) -> Array:
        own = pitch_hz(reference)
        if not (own > 0).any():
            raise UnscorableError("the reference has no voiced frames")
        return own


class F0Error(_Pitch):
    """Root mean square error of F0 in cents over frames that are voiced in both signals.

    Source: de Cheveigné and Kawahara, JASA 111(4), 2002 (YIN). Differs: no search around the
        best local estimate; frames 45 dB below the loudest are unvoiced.
    """

    name = "f0_error"
    unit = "cent"
    bounds = (0.0, 1200 * float(np.log2(HIGHEST_HZ / LOWEST_HZ)) + 50)
    source = "de Cheveigné and Kawahara, JASA 111(4), 2002"

    def score(self, prepared: Array, decoded: Clip) -> float:
        found = pitch_hz(decoded)
        both = (prepared > 0) & (found > 0)
        if not both.any():
            raise UnscorableError("no frame is voiced in both signals")
        return float(np.sqrt(np.mean((1200 * np.log2(found[both] / prepared[both])) ** 2)))


class VoicingError(_Pitch):
    """Share of frames that are voiced in one signal and unvoiced in the other.

    Source: Nakatani et al., Speech Communication 50(3), 2008 (voicing decision error); F0 as
        `f0_error`. Differs: against the tracker's own decisions on the original.
    """

    name = "voicing_error"
    unit = ""
    bounds = (0.0, 1.0)
    source = "Nakatani et al., Speech Communication 50(3), 2008"

    def score(self, prepared: Array, decoded: Clip) -> float:
        return float(np.mean((prepared > 0) != (pitch_hz(decoded) > 0)))


_tracks: WeakKeyDictionary[Clip, Array] = WeakKeyDictionary()


def pitch_hz(clip: Clip) -> Array:
    """F0 of every 10 ms, `[frames]`; 0 where unvoiced.

    Raises:
        UnscorableError: shorter than one window and its longest lag, 49 ms.
    """
    if clip not in _tracks:
        _tracks[clip] = _track(clip.samples[0].astype(np.float64))
    return _tracks[clip]


def _track(samples: Array) -> Array:
    from scipy.fft import irfft, rfft

    span = WINDOW + LONGEST_LAG
    if samples.size < span:
        raise UnscorableError(f"too short: F0 needs {1000 * span / SAMPLE_RATE_HZ:.0f} ms")
    frames = np.lib.stride_tricks.sliding_window_view(samples, span)[::FRAME_HOP]
    # sum (x[j] - x[j + lag])^2 = energy at 0 + energy at lag - 2 · correlation
    squares = np.concatenate([np.zeros((len(frames), 1)), np.cumsum(frames**2, axis=1)], axis=1)
    energy = squares[:, WINDOW:] - squares[:, : span - WINDOW + 1]  # [frames, lags 0…longest]
    size = 1 << (span + WINDOW).bit_length()
    spectrum = rfft(frames, size) * rfft(frames[:, :WINDOW], size).conj()
    correlation = irfft(spectrum, size)[:, : LONGEST_LAG + 1]
    difference = np.maximum(energy[:, :1] + energy - 2 * correlation, 0.0)
    normalised = np.ones_like(difference)
    running = np.cumsum(difference[:, 1:], axis=1) / np.arange(1, LONGEST_LAG + 1)
    np.divide(difference[:, 1:], running, out=normalised[:, 1:], where=running > 0)
    level_db = 10 * np.log10(energy[:, 0] + 1e-12)
    loud = level_db > max(float(level_db.max()) - QUIET_DB, -100.0)
    return np.where(loud, SAMPLE_RATE_HZ / _period(normalised), 0.0)


def _period(normalised: Array) -> Array:
    """First dip below the threshold in samples, refined; infinity where there is none."""
    inner = normalised[:, 1:-1]
    dip = (inner < THRESHOLD) & (inner <= normalised[:, :-2]) & (inner < normalised[:, 2:])
    dip[:, : SHORTEST_LAG - 1] = False
    first = dip.argmax(axis=1)
    rows = np.arange(len(normalised))
    before, here, after = (normalised[rows, first + k] for k in range(3))
    bend = before - 2 * here + after
    shift = np.divide(before - after, 2 * bend, out=np.zeros_like(bend), where=bend > 0)
    return np.where(dip.any(axis=1), first + 1 + shift, np.inf)
