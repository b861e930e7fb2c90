"""Clipping: an overdriven microphone or converter."""

from __future__ import annotations

import numpy as np

from nacbench.core import Clip


class Clipping:
    """Hard-clip all channels at one level, found for each clip. Give one of the two.

    Args:
        share: of samples that are clipped, digital silence not counted, 0.0001…0.5.
        threshold_db: the level relative to the clip's peak, -60…0 dB.
    """

    def __init__(self, share: float | None = None, threshold_db: float | None = None) -> None:
        if (share is None) == (threshold_db is None):
            raise ValueError("give either share or threshold_db")
        if share is not None and not 0.0001 <= share <= 0.5:
            raise ValueError(f"share must lie in 0.0001…0.5, got {share!r}")
        if threshold_db is not None and not -60 <= threshold_db <= 0:
            raise ValueError(f"threshold_db must lie in -60…0 dB, got {threshold_db!r}")
        self._share, self._threshold_db = share, threshold_db
        self.label = f"{100 * share:g} %" if share is not None else f"{threshold_db:g} dB"

    def apply(self, clip: Clip, rng: np.random.Generator) -> Clip:
        magnitude = np.abs(clip.samples[clip.samples != 0])
        if magnitude.size == 0:
            return clip
        if self._share is not None:
            level = np.quantile(magnitude, 1 - self._share)
        else:
            assert self._threshold_db is not None
            level = magnitude.max() * 10 ** (self._threshold_db / 20)
        samples = np.clip(clip.samples, -level, level)
        return Clip(samples, clip.sample_rate_hz, clip.id, clip.tags)
