"""Level: a gain, or the gain that brings a clip to a target level."""

from __future__ import annotations

import numpy as np

from nacbench import audio
from nacbench.conditions.active_level import active_level
from nacbench.core import Clip
from nacbench.errors import UserError


class Level:
    """Change the level by `db`, or to an active speech level or a loudness. Give one of them.

    Args:
        db: gain; -60…60 dB.
        active_dbov: target active speech level, ITU-T P.56, dB relative to a full-scale square
            wave. -26 is the usual level of speech tests.
        lufs: target integrated loudness, ITU-R BS.1770-4 / EBU R 128.
    """

    def __init__(
        self,
        db: float | None = None,
        active_dbov: float | None = None,
        lufs: float | None = None,
    ) -> None:
        targets = {"db": db, "active_dbov": active_dbov, "lufs": lufs}
        given = {name: value for name, value in targets.items() if value is not None}
        if len(given) != 1:
            raise ValueError("give one of db, active_dbov and lufs")
        ((self._kind, self._target),) = given.items()
        low, high = (-60, 60) if self._kind == "db" else (-80, 0)
        if not low <= self._target <= high:
            raise ValueError(f"{self._kind} must lie in {low}…{high} dB, got {self._target!r}")
        unit = {"db": "dB", "active_dbov": "dBov", "lufs": "LUFS"}[self._kind]
        self.label = f"{self._target:+g} {unit}" if unit == "dB" else f"{self._target:g} {unit}"

    def apply(self, clip: Clip, rng: np.random.Generator) -> Clip:
        gain_db = self._target if self._kind == "db" else self._target - self._measured_db(clip)
        samples = clip.samples * np.float32(10 ** (gain_db / 20))
        return Clip(samples, clip.sample_rate_hz, clip.id, clip.tags)

    def _measured_db(self, clip: Clip) -> float:
        if self._kind == "active_dbov":
            measured = active_level(clip).level_dbov
        else:
            measured = audio.loudness_lufs(clip)
        if not np.isfinite(measured):
            raise UserError(f"{clip.id}: silent, so no gain brings it to {self.label}.")
        return measured
