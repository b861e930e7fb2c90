"""Babble: several people talking at once, from recordings or without any."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nacbench.conditions.recorded import Recorded
from nacbench.conditions.synthetic import Signal, shaped, speech_spectrum_db
from nacbench.core import Clip

SYLLABIC_HZ = (1.0, 8.0)  # where speech's modulation spectrum lies (Houtgast & Steeneken 1985)
SWING_DB = 9.0  # standard deviation of a talker's short-time level


class Babble:
    """The sum of independent talkers at equal level, independent in each channel.

    Args:
        talkers: 1…64. Fewer are more intelligible or more modulated.
        clips: a source of speech recordings to add up. Without it each talker is speech-shaped
            noise whose level moves at the rate of syllables, which needs no data.
    """

    def __init__(self, talkers: int = 8, clips: str | Mapping[str, Any] | None = None) -> None:
        if not isinstance(talkers, int) or not 1 <= talkers <= 64:
            raise ValueError(f"talkers must be a whole number in 1…64, got {talkers!r}")
        self._talkers = talkers
        self._recorded = None if clips is None else Recorded(clips)
        shown = [] if talkers == 8 else [str(talkers)]
        if self._recorded is not None:
            shown.append(self._recorded.label)
        self.label = " ".join(["babble", *shown])

    def draw(self, clip: Clip, rng: np.random.Generator) -> tuple[Signal, str]:
        if self._recorded is None:
            talkers = [_invented_talker(clip, rng) for _ in range(self._talkers)]
        else:
            drawn = self._recorded.draws(clip, rng)
            talkers = [next(drawn)[0].astype(np.float64) for _ in range(self._talkers)]
        return sum((_at_unit_power(talker) for talker in talkers), np.zeros(1)), self.label


def _invented_talker(clip: Clip, rng: np.random.Generator) -> Signal:
    slow = shaped(clip, rng, _syllabic_db)
    swing_db = SWING_DB / max(float(np.std(slow)), 1e-12) * slow
    return np.asarray(shaped(clip, rng, speech_spectrum_db) * 10 ** (swing_db / 20))


def _syllabic_db(hertz: Signal) -> Signal:
    return np.where((hertz >= SYLLABIC_HZ[0]) & (hertz <= SYLLABIC_HZ[1]), 0.0, -300.0)


def _at_unit_power(samples: Signal) -> Signal:
    return np.asarray(samples / max(float(np.sqrt(np.mean(samples**2))), 1e-12))
