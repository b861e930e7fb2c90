"""nacmos: what ViSQOL, PESQ and STOI would say, estimated from the decoded audio alone.

It predicts **objective scores, not listeners**. A small network was trained on speech degraded by
codecs, noise, rooms, clipping, band limits and lost packets, with the three metrics' values against
the clean original as targets. nacmos.md beside this file is its card; benchmarks/nacmos makes it.

The network: log spectra in 96 bands, four convolutions over time and frequency, three over time,
mean, deviation and four weighted means over the clip, two dense layers. Two of it, trained from
different beginnings, are averaged. It runs in numpy.
"""

from __future__ import annotations

import functools
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from nacbench.core import Clip
from nacbench.errors import UnscorableError
from nacbench.metrics.spectrum import hann
from nacbench.metrics.weights import Weights, build_id

Array = NDArray[np.float32]

SAMPLE_RATE_HZ = 16000
SHORTEST_S = 0.5
WINDOW, FRAME_HOP = 512, 256
LINEAR_BINS, BANDS = 40, 96  # bands of one bin up to 1.25 kHz, then ever wider ones
FLOOR = 1e-9  # 90 dB below the clip's loudest frames

# Channels, kernel, (stride over time, over frequency)
LAYERS = (
    (32, 5, (2, 2)),
    (64, 3, (2, 2)),
    (96, 3, (1, 2)),
    (128, 3, (2, 2)),
)
WIDTH, TIME_LAYERS, HEADS, HIDDEN = 240, 3, 4, 128
TARGETS = ("visqol", "pesq", "stoi")

FILE = Path(__file__).parent / "nacmos.safetensors"


class _Nacmos:
    version = "2"
    higher_is_better = True
    sample_rate_hz = SAMPLE_RATE_HZ
    mono = True
    domain = "speech"
    reference_free = True
    source = "nacbench, benchmarks/nacmos"
    name: str
    bounds: tuple[float, float]

    def weights(self) -> tuple[Weights, ...]:
        return (Weights(FILE, "nacbench, benchmarks/nacmos; card nacmos.md", "MIT"),)

    def build_id(self) -> str:
        return build_id(self.weights())

    def prepare(self, reference: Clip) -> None:
        return None

    def score(self, prepared: None, decoded: Clip) -> float:
        estimate = _estimates(decoded)[TARGETS.index(self.name.partition(":")[2])]
        return float(np.clip(estimate, *self.bounds))


class NacmosVisqol(_Nacmos):
    """What `visqol:speech-lattice` would say of the decoded speech against a clean original.

    Source: nacbench; see nacmos.md.
    Differs: an estimate of an objective score; no listener was asked.
    """

    name = "nacmos:visqol"
    unit = "MOS-LQO"
    bounds = (1.0, 5.0)


class NacmosPesq(_Nacmos):
    """What `pesq:wb` would say of the decoded speech against a clean original.

    Source: nacbench; see nacmos.md.
    Differs: an estimate of an objective score; no listener was asked.
    """

    name = "nacmos:pesq"
    unit = "MOS-LQO"
    bounds = (0.999, 4.65)


class NacmosStoi(_Nacmos):
    """What `stoi` would say of the decoded speech against a clean original.

    Source: nacbench; see nacmos.md.
    Differs: an estimate of an objective score; no listener was asked.
    """

    name = "nacmos:stoi"
    unit = ""
    bounds = (-1.0, 1.0)


def spectra(clip: Clip) -> tuple[Array, float]:
    """Log power per band relative to the clip's loudest frames, `[frames, bands]`, and their level.

    Raises:
        UnscorableError: too short, or silent.
    """
    from scipy.fft import rfft

    samples = clip.samples[0]
    if clip.duration_s < SHORTEST_S:
        raise UnscorableError(f"too short: nacmos needs {SHORTEST_S} s")
    if not samples.any():
        raise UnscorableError("the decoded audio is silent")
    frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::FRAME_HOP]
    power = np.abs(rfft(frames * hann(WINDOW, True))) ** 2 @ _bands().T
    loud = float(np.quantile(power.sum(axis=1), 0.95)) / BANDS
    loud = max(loud, 1e-20)
    relative: Array = (np.log10(power / loud + FLOOR) / 2 + 1).astype(np.float32)
    return relative, float(np.log10(loud))


@functools.cache
def _bands() -> Array:
    """`[bands, bins]`: mean power of single bins, then of triangles whose width grows."""
    top = WINDOW // 2
    ratio = np.geomspace(LINEAR_BINS, top, BANDS - LINEAR_BINS + 1)
    centres = np.concatenate([np.arange(1, LINEAR_BINS), ratio, [top * ratio[-1] / ratio[-2]]])
    edges = np.concatenate([[0.0], centres])[: BANDS + 2]
    bins = np.arange(top + 1)
    rising = (bins - edges[:-2, np.newaxis]) / np.diff(edges)[:-1, np.newaxis]
    falling = (edges[2:, np.newaxis] - bins) / np.diff(edges)[1:, np.newaxis]
    filters = np.maximum(0.0, np.minimum(rising, falling))
    bands: Array = (filters / filters.sum(axis=1, keepdims=True)).astype(np.float32)
    return bands


# Three recipes read one network's output, so the second and third find it here.
_found: WeakKeyDictionary[Clip, Array] = WeakKeyDictionary()


def _estimates(clip: Clip) -> Array:
    if clip not in _found:
        relative, level = spectra(clip)
        found = [run(relative, level, member) for member in _members()]
        _found[clip] = np.mean(found, axis=0, dtype=np.float32)
    return _found[clip]


def run(relative: Array, level: float, parameters: dict[str, Array]) -> Array:
    """One member's three estimates for what `spectra` gives."""
    x = relative[:, np.newaxis]  # [frames, channels, bands]
    for index, (_, kernel, stride) in enumerate(LAYERS):
        weight, bias = (parameters[f"layers.{index}.{part}"] for part in ("weight", "bias"))
        x = np.maximum(_convolution(x, weight, kernel, stride) + bias[:, np.newaxis], 0)
    x = np.maximum(x.reshape(len(x), -1) @ parameters["flat.weight"].T + parameters["flat.bias"], 0)
    for index in range(TIME_LAYERS):
        weight, bias = (parameters[f"time.{index}.{part}"] for part in ("weight", "bias"))
        padded = np.pad(x, ((1, 1), (0, 0)))
        turned = sum(padded[k : k + len(x)] @ weight[:, :, k].T for k in range(3))
        x = x + np.maximum(turned + bias, 0)
    score = x @ parameters["attention.weight"].T + parameters["attention.bias"]
    share = np.exp(score - score.max(axis=0))
    share /= share.sum(axis=0)
    attended = np.einsum("th,thc->hc", share, x.reshape(len(x), HEADS, -1)).reshape(-1)
    deviation = np.sqrt(x.var(axis=0) + 1e-5)
    pooled = np.concatenate([x.mean(axis=0), deviation, attended, [np.float32(level)]])
    hidden = np.maximum(parameters["hidden.weight"] @ pooled + parameters["hidden.bias"], 0)
    relative_estimates: Array = parameters["heads.weight"] @ hidden + parameters["heads.bias"]
    estimates: Array = relative_estimates * parameters["deviation"] + parameters["mean"]
    return estimates


def _convolution(x: Array, weight: Array, kernel: int, stride: tuple[int, int]) -> Array:
    """`[frames, channels, bands]` to `[frames / stride, out, bands / stride]`, zeros beyond."""
    pad = kernel // 2
    padded = np.pad(x, ((pad, pad), (0, 0), (pad, pad)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), axis=(0, 2))
    windows = windows[:: stride[0], :, :: stride[1]]  # [frames, channels, bands, kernel, kernel]
    frames, channels, bands = windows.shape[:3]
    columns = windows.transpose(0, 2, 1, 3, 4).reshape(frames * bands, channels * kernel * kernel)
    product = columns @ weight.reshape(len(weight), -1).T
    result: Array = product.reshape(frames, bands, -1).transpose(0, 2, 1)
    return result


@functools.cache
def _members() -> tuple[dict[str, Array], ...]:
    """The weights of each network, which the file names `0.flat.bias`, `1.flat.bias` and so on."""
    from safetensors.numpy import load_file

    members: dict[str, dict[str, Array]] = {}
    for name, array in load_file(FILE).items():
        member, _, inner = name.partition(".")
        members.setdefault(member, {})[inner] = array.astype(np.float32)
    return tuple(members.values())
