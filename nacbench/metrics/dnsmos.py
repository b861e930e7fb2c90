"""DNSMOS: mean opinion scores estimated from the decoded audio alone, by Microsoft's networks.

P.835 has three scales: the speech signal, the background, and both together. P.808 has one. They
were trained on speech in noise before and after noise suppression; coding artefacts are not what
they know best. The models come with the package `speechmos`, whose values these are.

A clip is repeated until it lasts 9.01 s, and windows of that length are scored every second and
averaged. The P.835 network keeps no state and normalises nothing within a window, so what its
convolutions make of the sound is computed once for all windows that overlap, except for the frames
at their ends, which see the zeros beyond.
"""

from __future__ import annotations

import functools
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from nacbench.core import Clip
from nacbench.errors import UnscorableError
from nacbench.metrics.onnx_session import Array, Model, speechmos_file
from nacbench.metrics.spectrum import hann, mel_filters
from nacbench.metrics.weights import Weights, build_id, missing_packages

SAMPLE_RATE_HZ = 16000
SHORTEST_S = 0.25

WINDOW_S, WINDOW = 9.01, 144160  # the latter in samples
HOP = SAMPLE_RATE_HZ  # one second between windows
FRAME, FRAME_HOP = 320, 160
FRAMES = 900  # of a window
FRAMES_PER_HOP = HOP // FRAME_HOP

# The convolutions up to the second pooling: 3 × 3, padded with zeros. Zeros beyond an end change
# 4 frames before the first pooling by 2, then one more of its outputs: 2 of the second pooling's.
POOLED = 4  # frames that one output of the second pooling covers
EDGE = 2  # outputs of the second pooling that the zeros beyond an end change
BORDER = 4 * EDGE * POOLED // 2  # frames from which the EDGE outputs at one end can be computed
FRAMES_AT_ONCE = 1024  # 128 channels of a minute would take half a gigabyte

POLYNOMIALS = {  # from the network's output to the scale; speechmos 0.0.1.1, dnsmos.py
    "sig": (-0.08397278, 1.22083953, 0.0052439),
    "bak": (-0.13166888, 1.60915514, -0.39604546),
    "ovrl": (-0.06766283, 1.11546468, 0.04602535),
}
SCALES = tuple(POLYNOMIALS)

MELS = 120
MEL_WINDOW = 321
DYNAMIC_RANGE_DB = 80.0

ORIGIN = "the package speechmos, dnsmos_models/{}; github.com/microsoft/DNS-Challenge"


class _Dnsmos:
    version = "1"
    unit = "MOS"
    higher_is_better = True
    sample_rate_hz = SAMPLE_RATE_HZ
    mono = True
    domain = "speech"
    reference_free = True
    file_name: str

    @classmethod
    def missing(cls) -> str | None:
        return missing_packages("speechmos", "onnxruntime", "onnx")

    def weights(self) -> tuple[Weights, ...]:
        path = speechmos_file(f"dnsmos_models/{self.file_name}")
        return (Weights(path, ORIGIN.format(self.file_name), "MIT"),)

    def build_id(self) -> str:
        return build_id(self.weights())

    def prepare(self, reference: Clip) -> None:
        return None


class _P835(_Dnsmos):
    """DNSMOS P.835; see the module."""

    bounds = (-20.0, 6.0)  # a polynomial of a number without bounds; 1 to 5 is meant
    source = "Reddy et al., ICASSP 2022, arXiv:2110.01763; speechmos"
    file_name = "sig_bak_ovr.onnx"

    def score(self, prepared: None, decoded: Clip) -> float:
        return _p835(decoded)[SCALES.index(self.name.partition(":")[2])]

    name: str


class DnsmosSignal(_P835):
    """Quality of the speech itself (SIG), as listeners would rate it by ITU-T P.835.

    Source: Reddy et al., ICASSP 2022, arXiv:2110.01763. Differs: none.
    """

    name = "dnsmos:sig"


class DnsmosBackground(_P835):
    """How little the background intrudes (BAK), as listeners would rate it by ITU-T P.835.

    Source: Reddy et al., ICASSP 2022, arXiv:2110.01763. Differs: none.
    """

    name = "dnsmos:bak"


class DnsmosOverall(_P835):
    """Overall quality (OVRL), as listeners would rate it by ITU-T P.835.

    Source: Reddy et al., ICASSP 2022, arXiv:2110.01763. Differs: none.
    """

    name = "dnsmos:ovrl"


class DnsmosP808(_Dnsmos):
    """Overall quality, as listeners would rate it by ITU-T P.808 (crowdsourced ACR).

    Source: Reddy et al., ICASSP 2021, arXiv:2010.15258. Differs: none.
    """

    name = "dnsmos:p808"
    bounds = (-20.0, 20.0)
    source = "Reddy et al., ICASSP 2021, arXiv:2010.15258; speechmos"
    file_name = "model_v8.onnx"

    def score(self, prepared: None, decoded: Clip) -> float:
        features = np.stack([_mel_features(window) for window in _windows(_long_enough(decoded))])
        return float(_p808_model()({"input_1": features})[0].mean(dtype=np.float64))


def _long_enough(clip: Clip) -> NDArray[np.float32]:
    """The samples, doubled until there are enough for a window, and what a player would clip."""
    samples: Array = clip.samples[0]
    if clip.duration_s < SHORTEST_S:
        raise UnscorableError(f"too short: DNSMOS needs {SHORTEST_S} s")
    if not samples.any():
        raise UnscorableError("the decoded audio is silent")
    samples = samples.clip(-1.0, 1.0)
    while samples.size < WINDOW:
        samples = np.concatenate([samples, samples])
    return samples


def _starts(length: int) -> list[int]:
    """Where windows begin. speechmos takes their ends from 9.01 + index in floating point, and
    leaves out a window that loses its last sample to rounding; so does this."""
    count = int(length // SAMPLE_RATE_HZ - WINDOW_S) + 1
    starts = [HOP * index for index in range(count) if int((index + WINDOW_S) * HOP) <= length]
    return [s for s in starts if int((s / HOP + WINDOW_S) * HOP) - s >= WINDOW]


def _windows(samples: Array) -> list[Array]:
    return [samples[start : start + WINDOW] for start in _starts(samples.size)]


# Three recipes read one network's output, so the second and third find it here.
_scores: WeakKeyDictionary[Clip, tuple[float, ...]] = WeakKeyDictionary()


def _p835(clip: Clip) -> tuple[float, ...]:
    if clip not in _scores:
        samples = _long_enough(clip)
        raw = _p835_head()({_POOLED_TENSOR: _convolved(samples)})[0].astype(np.float64)
        _scores[clip] = tuple(
            float(np.polyval(POLYNOMIALS[scale], column).mean())
            for scale, column in zip(SCALES, raw.T, strict=True)
        )
    return _scores[clip]


def _convolved(samples: Array) -> Array:
    """The second pooling's output for every window, `[windows, 32, 225, 40]`."""
    firsts = [start // FRAME_HOP for start in _starts(samples.size)]
    count = firsts[-1] + FRAMES
    hops = samples[: (count + 1) * FRAME_HOP].reshape(-1, FRAME_HOP)
    frames = np.concatenate([hops[:-1], hops[1:]], axis=1)  # of 20 ms, every 10 ms
    shared = np.concatenate(
        [_piece(frames, start) for start in range(0, count, FRAMES_AT_ONCE)], axis=1
    )
    windows = np.stack(
        [shared[:, first // POOLED : (first + FRAMES) // POOLED] for first in firsts]
    )
    heads = np.stack([frames[first : first + BORDER] for first in firsts])
    tails = np.stack([frames[first + FRAMES - BORDER : first + FRAMES] for first in firsts])
    windows[:, :, :EDGE] = _convolve(heads)[:, :, :EDGE]
    windows[:, :, -EDGE:] = _convolve(tails)[:, :, -EDGE:]
    return windows


def _piece(frames: Array, start: int) -> Array:
    """What `FRAMES_AT_ONCE` frames become where there are no ends, `[32, frames / 4, 40]`."""
    margin = EDGE * POOLED
    before = min(start, margin)
    stop = min(start + FRAMES_AT_ONCE, len(frames))
    after = min(len(frames) - stop, margin)
    piece = _convolve(frames[np.newaxis, start - before : stop + after])[0]
    first = before // POOLED
    inner: Array = piece[:, first : first + (stop - start) // POOLED]
    return inner


def _convolve(frames: Array) -> Array:
    """`[pieces, frames, 320]` to `[pieces, 32, frames / 4, 40]`, with zeros beyond the ends."""
    return _p835_body()({_FRAMES_TENSOR: frames})[0]


def _mel_features(window: Array) -> Array:
    """`[900, 120]`: power of mel bands in dB below the window's largest, scaled to -1…1."""
    from scipy.fft import rfft

    half = MEL_WINDOW // 2
    padded = np.pad(window[:-FRAME_HOP], half)
    frames = np.lib.stride_tricks.sliding_window_view(padded, MEL_WINDOW)[::FRAME_HOP]
    power = np.abs(rfft(frames * hann(MEL_WINDOW, True))) ** 2
    mel = (mel_filters(SAMPLE_RATE_HZ, MEL_WINDOW, MELS, "slaney") @ power.T).T
    level_db = 10 * np.log10(np.maximum(mel, 1e-10) / max(float(mel.max()), 1e-10))
    features: Array = ((np.maximum(level_db, -DYNAMIC_RANGE_DB) + 40) / 40).astype(np.float32)
    return features


_NETWORK = "mos_estimator_logpow/"
_FRAMES_TENSOR = f"{_NETWORK}concat:0"
_POOLED_TENSOR = f"{_NETWORK}max_pooling2d/MaxPool_1_conv0"


def _p835_path() -> Path:
    return speechmos_file(f"dnsmos_models/{_P835.file_name}")


@functools.cache
def _p835_body() -> Model:
    return Model(_p835_path(), {_FRAMES_TENSOR: (None, None, FRAME)}, (_POOLED_TENSOR,))


@functools.cache
def _p835_head() -> Model:
    return Model(_p835_path(), {_POOLED_TENSOR: (None, 32, FRAMES // POOLED, 40)}, ("Identity:0",))


@functools.cache
def _p808_model() -> Model:
    path = speechmos_file(f"dnsmos_models/{DnsmosP808.file_name}")
    return Model(path, {"input_1": (None, FRAMES, MELS)}, ("Identity:0",))
