"""PLCMOS v2: a mean opinion score of speech after packet loss, from the decoded audio alone.

The network takes the audio and a random vector that stands for a listener, and the score is the
mean over 15 listeners. Here they are the same 15 for every clip, and what the network makes of the
audio, on which they do not act, is computed once. The model comes with the package `speechmos`.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from nacbench.core import Clip
from nacbench.errors import UnscorableError
from nacbench.metrics.onnx_session import Array, Model, speechmos_file
from nacbench.metrics.weights import Weights, build_id, missing_packages

SAMPLE_RATE_HZ = 16000
SHORTEST_S = 0.25
WINDOW, HOP = 512, 256
LISTENERS, LISTENER_SIZE = 15, 64
FLOOR_NEPER = -12.0 * np.log(10)  # -120 dB: how far zeros lie below the lowest power that is none

FILE_NAME = "plcmos_models/plcmos_v2.onnx"
AUDIO = ("onnx::Concat_335", "onnx::Concat_337")  # all that the network keeps of the audio


class Plcmos:
    """Quality of speech whose packets were lost and concealed, as listeners would rate it.

    Source: Diener et al., Interspeech 2023, arXiv:2305.15127; speechmos. Differs: its listeners are
        those that numpy's legacy generator draws with seed 0, for every clip.
    """

    name = "plcmos"
    version = "1"
    unit = "MOS"
    bounds = (1.0, 5.0)
    higher_is_better = True
    sample_rate_hz = SAMPLE_RATE_HZ
    mono = True
    domain = "speech"
    reference_free = True
    source = "Diener et al., Interspeech 2023, arXiv:2305.15127; speechmos"

    @classmethod
    def missing(cls) -> str | None:
        return missing_packages("speechmos", "onnxruntime", "onnx")

    def weights(self) -> tuple[Weights, ...]:
        origin = f"the package speechmos, {FILE_NAME}; github.com/microsoft/PLC-Challenge"
        return (Weights(speechmos_file(FILE_NAME), origin, "MIT"),)

    def build_id(self) -> str:
        return build_id(self.weights())

    def prepare(self, reference: Clip) -> None:
        return None

    def score(self, prepared: None, decoded: Clip) -> float:
        samples = decoded.samples[0]
        if decoded.duration_s < SHORTEST_S:
            raise UnscorableError(f"too short: PLCMOS needs {SHORTEST_S} s")
        if not samples.any():
            raise UnscorableError("the decoded audio is silent")
        spectrum = _log_spectrum(np.clip(samples, -1.0, 1.0).astype(np.float64))
        heard = _hearing()({"degraded_audio": spectrum[np.newaxis, np.newaxis]})
        inputs = {
            name: np.repeat(part, LISTENERS, axis=0)
            for name, part in zip(AUDIO, heard, strict=True)
        }
        (ratings,) = _rating()({**inputs, "rater_embed": _listeners()})
        return float(ratings.mean(dtype=np.float64))


def _log_spectrum(samples: NDArray[np.float64]) -> Array:
    """Natural logarithm of the power spectrum over 20, `[frames, 257]`."""
    frames_count = -(-(samples.size + HOP) // HOP)
    padded = np.zeros((frames_count - 1) * HOP + WINDOW)
    padded[HOP : HOP + samples.size] = samples
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    power = np.abs(np.fft.rfft(frames * np.hamming(WINDOW + 1)[:-1])) ** 2
    sounding = power > 0
    floor = np.log(power[sounding].min()) + FLOOR_NEPER
    with np.errstate(divide="ignore"):
        level = np.where(sounding, np.log(power), floor)
    spectrum: Array = (level / 20.0).astype(np.float32)
    return spectrum


@functools.cache
def _listeners() -> Array:
    """`[15, 64]`; what speechmos draws after `numpy.random.seed(0)`."""
    # NumPy promises this generator's stream for good, and no other's.
    normal = np.random.RandomState(0).normal(size=(LISTENERS, LISTENER_SIZE))
    listeners: Array = normal.astype(np.float32)
    return listeners


@functools.cache
def _hearing() -> Model:
    inputs = {"degraded_audio": (None, 1, None, WINDOW // 2 + 1)}
    return Model(speechmos_file(FILE_NAME), inputs, AUDIO)


@functools.cache
def _rating() -> Model:
    inputs = dict.fromkeys(AUDIO, (None, None))
    return Model(
        speechmos_file(FILE_NAME), {**inputs, "rater_embed": (None, LISTENER_SIZE)}, ("plcmos",)
    )
