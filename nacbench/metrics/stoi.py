"""Short-time objective intelligibility, STOI, and its extended form, ESTOI.

Both correlate third-octave envelopes of the two signals over 384 ms, in those frames in which the
reference is at most 40 dB below its loudest. They were made for speech in noise; near
transparency they saturate, and of music they tell nothing.

Conventions: speech arrives at 16 kHz and goes on at 10 kHz in frames of 256, every 128 samples.
Envelopes are `[15 bands, frames]`, segments `[15 bands, segments, 30 frames]`, all float64.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from nacbench.core import Clip
from nacbench.errors import UnscorableError

Array = NDArray[np.float64]

FRAME_LENGTH = 256
HOP_LENGTH = FRAME_LENGTH // 2
FFT_LENGTH = 512
BANDS = 15
LOWEST_BAND_HZ = 150.0
SEGMENT_FRAMES = 30
DYNAMIC_RANGE_DB = 40.0
LOWEST_SDR_DB = -15.0  # a decoded envelope is cut where it exceeds the reference by more

REACH = 58  # samples at 16 kHz on either side that an output sample at 10 kHz depends on

EPSILON = float(np.finfo(np.float64).eps)
FLAT = 1e-10  # norm of an envelope without variation; 24-bit audio stays far above


class _Intelligibility:
    """What both forms share: silent frames of the reference are taken out of both signals."""

    version = "1"
    unit = ""
    bounds = (-1.0, 1.0)
    higher_is_better = True
    sample_rate_hz = 16000
    mono = True
    domain = "speech"

    def prepare(self, reference: Clip) -> tuple[NDArray[np.bool_], Any]:
        frames = _frames(_at_10_khz(reference))
        if not frames.any():
            raise UnscorableError("the reference is silent or shorter than a frame of 25.6 ms")
        energies_db = 20 * np.log10(np.linalg.norm(frames, axis=1) + EPSILON)
        active = energies_db > energies_db.max() - DYNAMIC_RANGE_DB
        return active, self._reference_part(_segments(frames[active]))

    def score(self, prepared: tuple[NDArray[np.bool_], Any], decoded: Clip) -> float:
        active, own = prepared
        segments = _segments(_frames(_at_10_khz(decoded))[active])
        return self._sum_of_correlations(own, segments) / segments[..., 0].size

    def _reference_part(self, segments: Array) -> Any:
        raise NotImplementedError

    def _sum_of_correlations(self, reference: Any, decoded: Array) -> float:
        raise NotImplementedError


class _Envelopes(NamedTuple):
    norms: Array  # [bands, segments], of each segment's envelope in each band
    ceiling: Array  # the decoded envelope is cut to this
    normalised: Array  # mean 0, norm 1


class Stoi(_Intelligibility):
    """Short-time objective intelligibility.

    Source: Taal et al., IEEE Trans. ASLP 19(7), 2011. Differs: none. A clip of 16 kHz has the
        value of `pystoi.stoi`; other rates come to 16 kHz by the bench's resampler first.
    """

    name = "stoi"
    source = "Taal et al., IEEE Trans. ASLP 19(7), 2011; values of pystoi 0.4"

    def _reference_part(self, segments: Array) -> _Envelopes:
        centred = segments - segments.mean(axis=-1, keepdims=True)
        return _Envelopes(
            norms=np.sqrt(_dot(segments, segments)),
            ceiling=segments * (1 + 10 ** (-LOWEST_SDR_DB / 20)),
            normalised=centred / (np.sqrt(_dot(centred, centred)) + EPSILON)[..., np.newaxis],
        )

    def _sum_of_correlations(self, reference: _Envelopes, decoded: Array) -> float:
        scale = reference.norms / (np.sqrt(_dot(decoded, decoded)) + EPSILON)
        cut = decoded * scale[..., np.newaxis]
        np.minimum(cut, reference.ceiling, out=cut)
        cut -= cut.mean(axis=-1, keepdims=True)
        norms = np.sqrt(_dot(cut, cut)) + EPSILON
        return float(np.sum(_dot(cut, reference.normalised) / norms))


class Estoi(_Intelligibility):
    """Extended STOI: envelopes are compared across bands too, for modulated maskers.

    Source: Jensen and Taal, IEEE/ACM Trans. ASLP 24(11), 2016. Differs: an envelope without
        variation counts 0; pystoi correlates tiny random numbers there.
    """

    name = "estoi"
    source = "Jensen and Taal, IEEE/ACM Trans. ASLP 24(11), 2016; values of pystoi 0.4"

    def _reference_part(self, segments: Array) -> Array:
        rows = segments - segments.mean(axis=-1, keepdims=True)
        rows /= _norm_or_infinity(rows, axis=-1)
        columns: Array = rows - rows.mean(axis=0)
        columns /= _norm_or_infinity(columns, axis=0)
        return columns

    def _sum_of_correlations(self, reference: Array, decoded: Array) -> float:
        correlation = float(np.vdot(reference, self._reference_part(decoded)))
        return correlation * BANDS / SEGMENT_FRAMES  # a mean over columns, not bands


def _at_10_khz(clip: Clip) -> Array:
    """Resampled from 16 kHz, 5 samples for 8: blocks of 128 times a matrix that yields 80."""
    samples: Array = clip.samples[0].astype(np.float64)
    if not samples.size:
        return samples
    length = -(-samples.size * 5 // 8)
    blocks = -(-length // 80)
    padded = np.pad(samples, (REACH, 128 * blocks - samples.size + REACH))
    windows = sliding_window_view(padded, 128 + 2 * REACH)[::128]
    resampled: Array = (windows @ _resampling_matrix()).ravel()
    return resampled[:length]


@functools.cache
def _resampling_matrix() -> Array:
    """`[128 + 2·reach, 80]`: sample n enters output k through tap 8k - 5n of a low-pass.

    The low-pass is a sinc under a Kaiser window with 60 dB of rejection, as Octave's `resample`
    designs it. It belongs to the published values: another one moves STOI by up to 0.002, where
    it decides whether a frame counts as silent.
    """
    cutoff, rejection_db = 1 / 16, 60.0  # cycles per sample at 80 kHz
    half = int(np.ceil((rejection_db - 8) / (28.714 * cutoff / 10)))
    taps = np.sinc(2 * cutoff * np.arange(-half, half + 1))
    taps *= np.kaiser(taps.size, 0.1102 * (rejection_db - 8.7))
    taps *= 5 / taps.sum()
    tap = 8 * np.arange(80) - 5 * np.arange(-REACH, 128 + REACH)[:, np.newaxis] + half
    return np.where((tap >= 0) & (tap < taps.size), taps[tap.clip(0, taps.size - 1)], 0.0)


def _frames(samples: Array) -> Array:
    """Windowed frames, `[frames, 256]`; one that ends with the signal is left out, as in pystoi."""
    if samples.size <= FRAME_LENGTH:
        return np.zeros((0, FRAME_LENGTH))
    windows = sliding_window_view(samples, FRAME_LENGTH)
    frames: Array = windows[:-1:HOP_LENGTH] * _window()
    return frames


@functools.cache
def _window() -> Array:
    return np.hanning(FRAME_LENGTH + 2)[1:-1]


def _segments(frames: Array) -> Array:
    """Segments of the third-octave envelopes of frames that are put together again.

    Raises:
        UnscorableError: they are too few for a segment.
    """
    first, second = frames[:, :HOP_LENGTH], frames[:, HOP_LENGTH:]
    halves = np.concatenate([first[:1], first[1:] + second[:-1]])  # overlapped and added
    again = np.concatenate([halves[:-1], halves[1:]], axis=1) * _window()
    if len(again) < SEGMENT_FRAMES:
        raise UnscorableError(
            f"too little speech: {len(again)} frames of 12.8 ms are left without silence, and a "
            f"segment needs {SEGMENT_FRAMES}"
        )
    power = np.square(np.abs(np.fft.rfft(again, FFT_LENGTH)))
    envelopes = np.sqrt(_third_octaves() @ power.T)
    return sliding_window_view(envelopes, SEGMENT_FRAMES, axis=1)


@functools.cache
def _third_octaves() -> Array:
    """`[15, bins]`, 1 where a bin lies in a band; edges at the nearest bins."""
    bins_hz = np.linspace(0, 10000, FFT_LENGTH + 1)[: FFT_LENGTH // 2 + 1]
    edges_hz = LOWEST_BAND_HZ * 2.0 ** ((2 * np.arange(BANDS + 1) - 1) / 6)
    edges = np.abs(bins_hz - edges_hz[:, np.newaxis]).argmin(axis=1)
    number = np.arange(bins_hz.size)
    inside: NDArray[np.bool_] = (number >= edges[:-1, None]) & (number < edges[1:, None])
    return inside.astype(np.float64)


def _dot(left: Array, right: Array) -> Array:
    """Inner products over the last axis."""
    products: Array = np.einsum("bsf,bsf->bs", left, right)
    return products


def _norm_or_infinity(array: Array, axis: int) -> Array:
    """Norms along an axis; infinity for those that are 0 but for rounding."""
    norms = np.linalg.norm(array, axis=axis, keepdims=True)
    return np.where(norms > FLAT, norms, np.inf)
