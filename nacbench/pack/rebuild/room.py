"""A small synthetic room: what keeps dry engine output from sounding like a laboratory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nacbench.pack.rebuild.track import Audio, amplitude, noise_of_slope


@dataclass(frozen=True)
class Room:
    """Early reflections and an exponentially decaying, darkening tail behind the direct sound.

    Attributes:
        rt60_s: time in which the tail falls by 60 dB at low frequencies; a third of it at high.
        direct_to_reverberant_db: energy of the direct sound over everything that follows.
    """

    rt60_s: float
    direct_to_reverberant_db: float

    def __str__(self) -> str:
        return f"room RT60 {self.rt60_s:g} s, DRR {self.direct_to_reverberant_db:g} dB"

    def impulse_response(self, sample_rate_hz: int, rng: np.random.Generator) -> Audio:
        """`[time]`; the direct sound is the unit impulse at sample 0, so nothing is delayed."""
        length = round(self.rt60_s * sample_rate_hz)
        time_s = np.arange(length) / sample_rate_hz
        bright, dark = rng.standard_normal(length), noise_of_slope(rng, length, 1.0)
        decay = np.log(1000) / self.rt60_s
        tail: Audio = 0.5 * bright * np.exp(-3 * decay * time_s) + dark * np.exp(-decay * time_s)
        tail *= 1 - np.exp(-time_s / 0.006)  # echo density builds up over the first milliseconds
        for arrival_s in np.sort(rng.uniform(0.0015, 0.022, 7)):
            tail[round(arrival_s * sample_rate_hz)] += (
                rng.choice([-1, 1]) * 8 * np.exp(-decay * arrival_s)
            )
        tail[0] = 0
        tail *= amplitude(-self.direct_to_reverberant_db) / np.linalg.norm(tail)
        tail[0] = 1
        return tail

    def apply(self, audio: Audio, sample_rate_hz: int, rng: np.random.Generator) -> Audio:
        """Each channel gets a tail of its own, as two microphones would; the length stays."""
        from scipy.signal import fftconvolve

        return np.stack(
            [
                fftconvolve(channel, self.impulse_response(sample_rate_hz, rng))[: channel.size]
                for channel in audio
            ]
        )
