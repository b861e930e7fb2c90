"""Reverberation by an impulse response, measured or synthetic; the direct path stays in time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nacbench import audio
from nacbench.conditions.recorded import Recorded
from nacbench.core import Clip
from nacbench.errors import UserError
from nacbench.sources.loading import load

Response = NDArray[np.float64]
LONGEST_S = 30.0  # of a response; a longer file is some other recording


class Reverb:
    """Convolve with a room's impulse response; length, mean power and direct path stay in place.

    The direct path is the response's largest peak (of several channels the earliest), and comes
    out where the dry sound was, so a metric needs no alignment. What rings beyond the clip's end
    is cut. The result has the mean power of the dry clip.

    Args:
        rt60_s: a synthetic room: Gaussian noise decaying by 60 dB in this time, 0.05…10.
        drr_db: direct-to-reverberant energy ratio of the synthetic room; 0 by default.
        source: measured responses instead: `{real: {set: rir}}`, `{folder: {path: rooms}}`. One
            is drawn for each clip. A stereo response on a mono clip lends its louder ear.
        label: what the condition's name shows for the source.
    """

    def __init__(
        self,
        rt60_s: float | None = None,
        drr_db: float | None = None,
        source: str | Mapping[str, Any] | None = None,
        label: str | None = None,
    ) -> None:
        if (rt60_s is None) == (source is None):
            raise ValueError("give either rt60_s or source")
        self._recorded = None if source is None else Recorded(source)
        self._rt60_s, self._drr_db = rt60_s, 0.0 if drr_db is None else drr_db
        if self._recorded is not None:
            if drr_db is not None:
                raise ValueError("drr_db belongs to rt60_s; a measured response has its own")
            self.label = label or self._recorded.label
            return
        assert rt60_s is not None
        if not 0.05 <= rt60_s <= 10:
            raise ValueError(f"rt60_s must lie in 0.05…10 s, got {rt60_s!r}")
        if not -40 <= self._drr_db <= 60:
            raise ValueError(f"drr_db must lie in -40…60 dB, got {drr_db!r}")
        self.label = label or f"{rt60_s:g} s" + (f", drr {drr_db:g} dB" if drr_db else "")

    def apply(self, clip: Clip, rng: np.random.Generator) -> Clip:
        from scipy.signal import oaconvolve

        response, tag = self._response(clip, rng)
        direct = int(np.abs(response).argmax(axis=1).min())
        dry = clip.samples.astype(np.float64)
        wet = oaconvolve(dry, response, axes=1)[:, direct : direct + clip.length]
        power = float(np.mean(wet**2))
        if power > 0.0:
            wet = wet * np.sqrt(float(np.mean(dry**2)) / power)
        return Clip(wet, clip.sample_rate_hz, clip.id, {**clip.tags, "reverb": tag})

    def _response(self, clip: Clip, rng: np.random.Generator) -> tuple[Response, str]:
        """`[1 or channels, time]` at the clip's rate, and the name of what it is."""
        if self._recorded is None:
            assert self._rt60_s is not None
            return synthetic_response(
                self._rt60_s, self._drr_db, clip.sample_rate_hz, clip.channels, rng
            ), self.label
        refs = self._recorded.refs
        ref = refs[int(rng.integers(len(refs)))]
        if audio.duration_s(ref.path) > LONGEST_S:
            raise UserError(
                f"{ref.path}: longer than {LONGEST_S:g} s, so no impulse response. Leave it out."
            )
        measured = audio.at_rate(load(ref), clip.sample_rate_hz).samples.astype(np.float64)
        if not measured.any():
            raise UserError(f"{ref.path}: silent, so no impulse response. Leave it out.")
        if measured.shape[0] not in (1, clip.channels):
            measured = measured[[np.abs(measured).max(axis=1).argmax()]]
        return measured, ref.id


def synthetic_response(
    rt60_s: float, drr_db: float, sample_rate_hz: int, channels: int, rng: np.random.Generator
) -> Response:
    """A unit impulse, then noise whose power falls by 60 dB per `rt60_s`, `[channels, time]`.

    The tail is independent in each channel (a diffuse field) and has `drr_db` less energy than
    the impulse. It ends after `rt60_s`, where it is 60 dB down.
    """
    length = max(2, round(rt60_s * sample_rate_hz))
    decay = 10 ** (-3.0 * np.arange(length) / (rt60_s * sample_rate_hz))
    tail = rng.standard_normal((channels, length)) * decay
    tail[:, 0] = 0.0
    tail *= 10 ** (-drr_db / 20) / np.sqrt(np.sum(tail**2, axis=1, keepdims=True))
    tail[:, 0] = 1.0
    return tail
