"""Active speech level, ITU-T P.56 (12/2011), method B.

Speech has pauses, so its mean power says little about how loud the talker is. The method takes
the power over the time in which a smoothed envelope, held for 200 ms, lies above a threshold that
is itself 15.9 dB below the level found: threshold and level are solved for together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nacbench.core import Clip

TIME_CONSTANT_S = 0.03
HANGOVER_S = 0.2
MARGIN_DB = 15.9
# 6.02 dB apart as in the Recommendation, which needs 15 for its 16-bit samples. Float samples go
# on further down, so that a quiet clip has a level too: -144 dB is the step of 24 bits.
THRESHOLDS = 2.0 ** np.arange(-24, 1)


@dataclass(frozen=True)
class ActiveLevel:
    """Level of the active parts and how much of the time is active.

    Attributes:
        level_dbov: dB relative to the power of a full-scale square wave (a full-scale sine is
            -3.01); -inf for silence.
        activity: share of the time that is active, 0…1.
    """

    level_dbov: float
    activity: float


def active_level(clip: Clip) -> ActiveLevel:
    """Active level of a clip, P.56 method B.

    Of several channels the envelope is the largest and the power the mean, so identical channels
    have the level of one.

    Source: ITU-T P.56 (12/2011), §7. Differs: thresholds reach down to -144 dB; a click so short
    that no threshold meets the margin has the level at the highest one it passes.
    """
    energy = float(np.mean(np.sum(clip.samples.astype(np.float64) ** 2, axis=1)))
    if energy == 0.0:
        return ActiveLevel(float("-inf"), 0.0)
    envelope = _envelope(clip)
    hangover = int(np.ceil(HANGOVER_S * clip.sample_rate_hz))
    previous: tuple[float, float] | None = None  # (level, margin above threshold) one step down
    for threshold in THRESHOLDS:
        active = _active_samples(envelope >= threshold, hangover)
        if active == 0:
            break
        level = 10 * np.log10(energy / active)
        margin = level - 20 * np.log10(threshold)
        if margin <= MARGIN_DB:
            if previous is not None:
                share = (previous[1] - MARGIN_DB) / (previous[1] - margin)
                level = previous[0] + share * (level - previous[0])
            previous = (level, margin)
            break
        previous = (level, margin)
    if previous is None:  # never above -144 dB
        return ActiveLevel(float("-inf"), 0.0)
    activity = energy / clip.length / 10 ** (previous[0] / 10)
    return ActiveLevel(float(previous[0]), float(min(activity, 1.0)))


def _envelope(clip: Clip) -> NDArray[np.float64]:
    """Two equal one-pole smoothers in series over |x|, the largest over channels."""
    from scipy.signal import lfilter

    pole = np.exp(-1 / (clip.sample_rate_hz * TIME_CONSTANT_S))
    rectified = np.abs(clip.samples.astype(np.float64))
    smoothed = lfilter([(1 - pole) ** 2], [1, -2 * pole, pole**2], rectified, axis=1)
    return np.asarray(smoothed.max(axis=0), dtype=np.float64)


def _active_samples(above: NDArray[np.bool_], hangover: int) -> int:
    """Samples above the threshold, plus up to `hangover` after each one of them."""
    at = np.flatnonzero(above)
    if at.size == 0:
        return 0
    gaps = np.diff(at, append=above.size) - 1
    return int(at.size + np.minimum(gaps, hangover).sum())
