"""What a decoder does to audio beyond quality: bandwidth, loudness, clipping, offset.

They have no better direction: a value that differs from the reference's is a finding, not a score.
Delay, gain and polarity are found when the pair is aligned and stand in the record itself.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np

from nacbench.core import Clip
from nacbench.errors import UnscorableError


class _Diagnostic:
    version = "1"
    higher_is_better = None
    sample_rate_hz = None
    mono = False
    domain = "any"

    def prepare(self, reference: Clip) -> Any:
        return None


class Bandwidth(_Diagnostic):
    """Frequency below which 99 % of the decoded audio's energy lies, the offset left out.

    Of the power spectrum of the whole clip, channels added. Speech has little energy above 4 kHz:
    compare with the value of `identity`, not with the sample rate.
    """

    name = "bandwidth_hz"
    unit = "Hz"
    bounds = (0.0, float("inf"))
    source = "spectral roll-off at 99 %, as in librosa's spectral_rolloff, over the whole clip"

    share = 0.99

    def score(self, prepared: Any, decoded: Clip) -> float:
        from scipy.fft import next_fast_len, rfft

        _refuse_empty(decoded)
        centred = decoded.samples - decoded.samples.mean(axis=-1, keepdims=True, dtype=np.float64)
        points = next_fast_len(decoded.length, real=True)
        power = np.sum(np.abs(rfft(centred, points)) ** 2, axis=0)
        below = np.cumsum(power)
        if below[-1] == 0:
            raise UnscorableError("the decoded audio is silent")
        at = np.searchsorted(below, self.share * below[-1])
        return float(at * decoded.sample_rate_hz / points)


class LoudnessDifference(_Diagnostic):
    """Integrated loudness of the decoded audio less that of the reference.

    Source: ITU-R BS.1770-4, gated, through pyloudnorm. Differs: none.
    """

    name = "loudness_difference"
    unit = "LU"
    bounds = (-float("inf"), float("inf"))
    source = "ITU-R BS.1770-4, through pyloudnorm"

    shortest_s = 0.4  # one block
    most_channels = 5

    @classmethod
    def missing(cls) -> str | None:
        if importlib.util.find_spec("pyloudnorm") is None:
            return "the package 'pyloudnorm' is missing. 'pip install pyloudnorm' installs it."
        return None

    def build_id(self) -> str:
        from importlib.metadata import version

        return f"pyloudnorm {version('pyloudnorm')}"

    def prepare(self, reference: Clip) -> float:
        return self._loudness(reference, "reference")

    def score(self, prepared: float, decoded: Clip) -> float:
        return self._loudness(decoded, "decoded audio") - prepared

    def _loudness(self, clip: Clip, what: str) -> float:
        import pyloudnorm

        if clip.duration_s < self.shortest_s:
            raise UnscorableError(f"too short: loudness needs {self.shortest_s} s")
        if clip.channels > self.most_channels:
            raise UnscorableError(
                f"{clip.channels} channels: BS.1770 weighs {self.most_channels} at most"
            )
        meter = pyloudnorm.Meter(clip.sample_rate_hz)
        loudness = float(meter.integrated_loudness(clip.samples.T.astype(np.float64)))
        if not np.isfinite(loudness):
            raise UnscorableError(f"the {what} is quieter than the gate of -70 LUFS")
        return loudness


class Clipping(_Diagnostic):
    """Share of the decoded samples at or beyond full scale of 16 bits, 32767 / 32768.

    A decoder may put out more than full scale; a player cuts it there.
    """

    name = "clipping"
    unit = ""
    bounds = (0.0, 1.0)
    source = "share of samples with |x| >= 32767/32768"

    def score(self, prepared: Any, decoded: Clip) -> float:
        _refuse_empty(decoded)
        return float(np.mean(np.abs(decoded.samples) >= 32767 / 32768))


class Dc(_Diagnostic):
    """Mean of the decoded samples, of full scale; of several channels, the one furthest from 0."""

    name = "dc"
    unit = "FS"
    bounds = (-float("inf"), float("inf"))
    source = "mean over time"

    def score(self, prepared: Any, decoded: Clip) -> float:
        _refuse_empty(decoded)
        means = decoded.samples.mean(axis=-1, dtype=np.float64)
        return float(means[np.abs(means).argmax()])


def _refuse_empty(decoded: Clip) -> None:
    if not decoded.samples.size:
        raise UnscorableError("the decoded audio has no samples")
