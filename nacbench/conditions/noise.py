"""Noise at a signal-to-noise ratio measured on the active speech level."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nacbench.conditions.active_level import active_level
from nacbench.conditions.recorded import Recorded
from nacbench.conditions.synthetic import SYNTHETIC
from nacbench.core import Clip
from nacbench.errors import UserError
from nacbench.registry import did_you_mean
from nacbench.sources import SOURCES


class Noise:
    """Add noise so that active speech level - noise level = `snr_db`.

    The speech level is ITU-T P.56's, over active speech only; the noise level is the mean power
    of the very stretch that is added. Both are over all channels.

    Args:
        source: `white`, `pink`, `hum`, `speech_shaped`, `babble`, one of them with options
            (`{hum: {mains_hz: 60}}`), or any source of clips (`{folder: {path: noises}}`).
        snr_db: may be negative.
        label: what the condition's name shows for the source.
    """

    def __init__(
        self, source: str | Mapping[str, Any], snr_db: float, label: str | None = None
    ) -> None:
        if isinstance(snr_db, bool) or not isinstance(snr_db, (int, float)):
            raise ValueError(f"snr_db must be a number of dB, got {snr_db!r}")
        if not -60 <= snr_db <= 100:
            raise ValueError(f"snr_db must lie in -60…100 dB, got {snr_db:g}")
        name, options = (source, {}) if isinstance(source, str) else _only_item(source)
        known = [*SYNTHETIC.names(), *SOURCES.names()]
        if name not in known and ":" not in name:
            raise UserError(
                f"condition 'noise': unknown source '{name}'.{did_you_mean(name, known)} "
                f"Known are: {', '.join(known)}."
            )
        self._noise: Any
        if name in SYNTHETIC.names():
            self._noise = SYNTHETIC.create(name, options)
        else:
            self._noise = Recorded(source)
        self._snr_db = float(snr_db)
        self.label = f"{label or self._noise.label}, {snr_db:g} dB"

    def apply(self, clip: Clip, rng: np.random.Generator) -> Clip:
        speech_dbov = active_level(clip).level_dbov
        if not np.isfinite(speech_dbov):
            raise UserError(f"{clip.id}: silent, so it has no SNR. Leave it out of this condition.")
        noise, tag = self._noise.draw(clip, rng)
        power = float(np.mean(noise.astype(np.float64) ** 2))
        if power == 0.0:
            raise UserError(f"{clip.id}: the noise drawn for it ({tag}) is silent. Remove it.")
        gain = 10 ** ((speech_dbov - self._snr_db) / 20) / np.sqrt(power)
        samples = clip.samples + (gain * noise).astype(np.float32)
        return Clip(samples, clip.sample_rate_hz, clip.id, {**clip.tags, "noise": tag})


def _only_item(source: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    if not isinstance(source, Mapping) or len(source) != 1:
        raise ValueError(f"source must be a name or one 'name: {{options}}', got {source!r}")
    ((name, options),) = source.items()
    if not isinstance(options, Mapping):
        raise ValueError(f"options of source '{name}' must be a mapping, got {options!r}")
    return str(name), options
