"""ViSQOL v3 up to its features: how similar each band of the decoded audio is to the reference's.

Patches of the reference's gammatone spectrogram are found again in the decoded one, aligned
finely in time and compared by NSIM, band by band. Steps and numbers are those of visqol-python,
to the last bit. The order of work differs: what depends on the reference alone is done once
(`Reference`), frames that fine alignment leaves in place are not filtered again, and the hot
loops are in `visqol_kernels`.

Conventions: samples are `[time]` float64, spectrograms `[bands, frames]` with the lowest band
first; a frame is 80 ms long and starts every 20 ms; times are seconds.

Source: Chinen et al., QoMEX 2020, arXiv:2004.09584; google/visqol v3.3.3. Importing this module
imports visqol and numba.
"""

from __future__ import annotations

import functools
import weakref
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft
from visqol import visqol_core
from visqol.analysis_window import AnalysisWindow
from visqol.audio_utils import AudioSignal, scale_to_match_sound_pressure_level
from visqol.gammatone import Spectrogram, make_erb_filters, prepare_spectrograms_for_comparison
from visqol.nsim import measure_patch_similarity
from visqol.signal_utils import find_best_lag, normalize

from nacbench.core import Clip
from nacbench.errors import UnscorableError
from nacbench.metrics.visqol_kernels import gammatone_rms, packed_filters, patch_similarities

Array = NDArray[np.float64]
Positions = NDArray[np.int64]

WINDOW_S = 0.08
HOP = 0.25  # of a window
LOWEST_BAND_HZ = 50.0
SEARCH_RADIUS_PATCHES = 60
ACTIVE_RMS = 5000.0  # of 16-bit samples, the largest at full scale
NOTHING = -1e308


@dataclass(frozen=True)
class Mode:
    """What differs between speech and audio mode, at one sample rate."""

    sample_rate_hz: int
    bands: int
    highest_band_hz: float
    patch_frames: int
    skip_pauses: bool

    @functools.cached_property
    def window(self) -> Any:
        return AnalysisWindow(self.sample_rate_hz, HOP, WINDOW_S)

    @functools.cached_property
    def filters(self) -> Array:
        band_hz = LOWEST_BAND_HZ, self.highest_band_hz
        erb = make_erb_filters(self.sample_rate_hz, self.bands, *band_hz)
        return packed_filters(erb.filter_coeffs[:, ::-1])

    @property
    def hop_length(self) -> int:
        return int(self.window.hop_size)

    @property
    def frame_s(self) -> float:
        return self.hop_length / self.sample_rate_hz

    @property
    def patch_s(self) -> float:
        return self.frame_s * self.patch_frames

    def spectrogram(self, samples: Array) -> Array:
        """RMS per band and frame of samples longer than a frame."""
        hann = self.window.hann_window
        rms: Array = gammatone_rms(samples, hann, self.filters, self.hop_length)
        return rms[: self.bands]


@functools.cache
def speech_mode(sample_rate_hz: int = 16000) -> Mode:
    """Up to 8 kHz at any rate; Google's own test values are from files of 48 kHz."""
    return Mode(sample_rate_hz, 21, 8000.0, patch_frames=20, skip_pauses=True)


@functools.cache
def audio_mode(sample_rate_hz: int = 48000) -> Mode:
    return Mode(sample_rate_hz, 32, sample_rate_hz / 2, patch_frames=30, skip_pauses=False)


class Features(NamedTuple):
    """Per band over all patches, as the quality models take them."""

    similarity: Array  # mean NSIM
    lowest_similarity: Array  # mean of the lowest tenth
    spread: Array  # standard deviation of NSIM
    decoded_level: Array  # dB above the floor


class Section:
    """A stretch of a signal, with its frames where the whole signal has them already."""

    def __init__(self, samples: Array, frames: Array | None, mode: Mode) -> None:
        self.samples = samples
        self.mode = mode
        self._frames = frames

    @property
    def duration_s(self) -> float:
        return self.samples.size / self.mode.sample_rate_hz

    def spectrogram(self) -> Any:
        size = self.samples.size
        if self._frames is None:
            return Spectrogram(self.mode.spectrogram(self.samples))
        frames = 1 + (size - self.mode.window.size) // self.mode.hop_length
        return Spectrogram(self._frames[:, :frames])

    def part(self, start: int, length: int) -> Section:
        samples = self.samples[start : start + length]
        return Section(samples, None if start else self._frames, self.mode)

    def late_by(self, lag: int) -> Section:
        """With `lag` zeros before it, or that many samples fewer."""
        if lag <= 0:
            return self.part(-lag, self.samples.size + lag)
        return Section(np.concatenate([np.zeros(lag), self.samples]), None, self.mode)

    @functools.cached_property
    def envelope(self) -> Array:
        """Magnitude of the analytic signal, the mean put aside."""
        mean = float(np.mean(self.samples))
        centred = self.samples - mean
        power = _hilbert(centred)
        power *= power
        power += centred * centred
        return np.sqrt(power) + mean

    @functools.cached_property
    def _envelope_spectrum(self) -> Any:
        return rfft(self.envelope, _correlation_length(self.samples.size))

    def lag_of(self, decoded: Section) -> int:
        """Samples by which to shift `decoded` so that its envelope lies on this one's.

        0 where that would be more than half of this section.
        """
        size = self.samples.size
        if decoded.samples.size == size:
            points = _correlation_length(size)
            spectrum = self._envelope_spectrum * np.conj(rfft(decoded.envelope, points))
            correlation = irfft(spectrum, points)
            from_behind = np.concatenate([correlation[1 - size :], correlation[:size]])
            lag = int(np.argmax(from_behind)) - (size - 1)
        else:
            lag = int(find_best_lag(self.envelope, decoded.envelope))
        return 0 if abs(lag) > size / 2 else lag


def _correlation_length(size: int) -> int:
    return int(next_fast_len(2 * size - 1, real=True))


def _hilbert(samples: Array) -> Array:
    """Circular Hilbert transform."""
    size = samples.size
    if next_fast_len(size, real=True) == size:
        transformed: Array = irfft(rfft(samples) * _hilbert_response(size), size)
        return transformed
    # A transform of this very length would take four times as long as a convolution.
    points = _correlation_length(size)
    convolved: Array = irfft(rfft(samples, points) * _hilbert_kernel(size), points)
    return convolved[:size]


def _hilbert_response(size: int) -> NDArray[np.complex128]:
    response = np.full(size // 2 + 1, -1j)
    response[0] = 0
    if size % 2 == 0:
        response[-1] = 0
    return response


@functools.lru_cache(maxsize=4)
def _hilbert_kernel(size: int) -> NDArray[np.complex128]:
    """Spectrum of the periodic kernel from -(size - 1) to size - 1."""
    points = _correlation_length(size)
    kernel = irfft(_hilbert_response(size), size)
    periodic = np.zeros(points)
    periodic[:size] = kernel
    periodic[points - size + 1 :] = kernel[1:]
    spectrum: NDArray[np.complex128] = rfft(periodic)
    return spectrum


class Signal:
    """A whole signal and the spectrogram of all its frames."""

    def __init__(self, samples: Array, mode: Mode) -> None:
        if samples.size <= mode.window.size:
            raise UnscorableError("too short: ViSQOL needs frames of 80 ms")
        self.samples = samples
        self.mode = mode
        self.spectrogram = mode.spectrogram(samples)

    def section(self, start_s: float, end_s: float) -> Section:
        """A stretch by its times. Zeros for what lies outside the signal come first, as in C++."""
        rate = self.mode.sample_rate_hz
        start, end = max(0, int(start_s * rate)), min(self.samples.size - 1, int(end_s * rate))
        missing = max(0, int(end_s * rate - self.samples.size)) + max(0, int(-start_s * rate))
        inside = self.samples[start:end]
        if missing or start % self.mode.hop_length:
            return Section(np.concatenate([np.zeros(missing), inside]), None, self.mode)
        return Section(inside, self.spectrogram[:, start // self.mode.hop_length :], self.mode)


class Reference:
    """Everything that depends on the reference alone.

    Args:
        clip: mono, at the mode's rate.

    Raises:
        UnscorableError: it is silent or too short for a patch.
    """

    def __init__(self, clip: Clip, mode: Mode) -> None:
        samples = clip.samples[0].astype(np.float64)
        if not samples.any():
            raise UnscorableError("the reference is silent")
        self.mode = mode
        self.signal = Signal(samples, mode)
        self.whole = Section(samples, self.signal.spectrogram, mode)
        self.patch_frames: Positions = _patch_positions(samples, self.signal.spectrogram, mode)
        if self.patch_frames.size == 0:
            raise UnscorableError(f"too short: ViSQOL needs a patch of {mode.patch_s:g} s inside")
        starts_s = [int(frame) * mode.frame_s for frame in self.patch_frames]
        self.patch_times = [(start, start + mode.patch_s) for start in starts_s]
        self.patch_sections = [self.signal.section(*times) for times in self.patch_times]
        self._latest: tuple[weakref.ref[Clip], Features] | None = None

    def features_of(self, decoded: Clip) -> Features:
        """Compare a decoded clip (mono, at the mode's rate); the latest result is kept.

        Raises:
            UnscorableError: the decoded audio is silent, or no patch can be found in it.
        """
        if self._latest is None or self._latest[0]() is not decoded:
            self._latest = weakref.ref(decoded), _features(self, decoded)
        return self._latest[1]


def _features(reference: Reference, decoded: Clip) -> Features:
    mode = reference.mode
    heard = Section(decoded.samples[0].astype(np.float64), None, mode)
    if not heard.samples.any():
        raise UnscorableError("the decoded audio is silent")
    shifted = heard.late_by(reference.whole.lag_of(heard)).samples
    own, other = (AudioSignal(s, mode.sample_rate_hz) for s in (reference.whole.samples, shifted))
    signal = Signal(scale_to_match_sound_pressure_level(own, other).data, mode)
    matches = _match(reference, signal)
    for index, section in enumerate(reference.patch_sections[: len(matches)]):
        matches[index] = _aligned_finely(matches[index], section, signal)
    return Features(
        visqol_core.calc_per_patch_mean_freq_band_means(matches),
        visqol_core.calc_per_patch_freq_band_quantile(matches, 0.10),
        visqol_core.calc_per_patch_mean_freq_band_stddevs(matches, mode.frame_s),
        visqol_core.calc_per_patch_mean_freq_band_deg_energy(matches),
    )


def _patch_positions(samples: Array, spectrogram: Array, mode: Mode) -> Positions:
    """First frames of the reference's patches; in speech mode, of those that hold activity."""
    width, frames = mode.patch_frames, spectrogram.shape[1]
    first = width // 2 - 1
    if not mode.skip_pauses:
        if frames < width + width // 2:
            return np.array([], np.int64)
        return np.arange(first, max(frames - width, width // 2 + 1) - 1, width)
    count = (frames - first) // width
    # The C++ code takes the first frame's index for that of a sample. So do we.
    chunks = normalize(samples)[first : first + count * width * mode.hop_length]
    chunks = chunks[: chunks.size // mode.hop_length * mode.hop_length]
    integers = np.clip(chunks * 2**15, -(2**15), 2**15 - 1).astype(np.int16).astype(np.float64)
    loud = np.sqrt(np.mean(integers.reshape(-1, mode.hop_length) ** 2, axis=1)) >= ACTIVE_RMS
    active = loud.copy()
    active[:2] = True
    active[1:] |= loud[:-1]
    active[2:] |= loud[:-2]
    patches = [p for p in range(count) if active[p * width : (p + 1) * width].any()]
    return first + width * np.array(patches, np.int64)


def _match(reference: Reference, signal: Signal) -> list[Any]:
    """Each patch with the stretch of the decoded spectrogram that dynamic programming gives it."""
    mode, width = reference.mode, reference.mode.patch_frames
    own, other = prepare_spectrograms_for_comparison(
        Spectrogram(reference.signal.spectrogram), Spectrogram(signal.spectrogram)
    )
    frames = other.shape[1]
    starts = reference.patch_frames
    starts = starts[: np.count_nonzero(starts - width // 2 <= frames)]
    if starts.size == 0:
        raise UnscorableError("the decoded audio is too short to hold a patch of the reference")
    patches = np.stack([own[:, start : start + width] for start in starts])
    padded = np.concatenate([other, np.zeros((mode.bands, width))], axis=1)
    radius = SEARCH_RADIUS_PATCHES * width
    firsts = np.maximum(starts - radius, 0)
    lasts = np.minimum(starts + radius, frames - 1)
    similarity = patch_similarities(patches, padded, firsts, lasts)
    matches = []
    for patch, times, (position, lost) in zip(
        patches, reference.patch_times, _best_path(similarity, firsts, lasts), strict=False
    ):
        found = position % frames
        match = measure_patch_similarity(patch, padded[:, found : found + width])
        match.ref_patch_start_time, match.ref_patch_end_time = times
        if lost:
            match.similarity, match.freq_band_means = 0.0, np.zeros(mode.bands)
        else:
            match.deg_patch_start_time = position * mode.frame_s
            match.deg_patch_end_time = match.deg_patch_start_time + mode.patch_s
        matches.append(match)
    return matches


def _best_path(similarity: Array, firsts: Positions, lasts: Positions) -> list[tuple[int, bool]]:
    """Positions, in order of time, that together are most similar; and whether a patch is lost.

    A patch is lost where skipping it (staying at the position of the one before) scores higher.
    """
    total = np.zeros_like(similarity)
    previous = np.full(similarity.shape, -1)
    total[0] = similarity[0]
    for patch in range(1, len(similarity)):
        lowest, first, last = firsts[patch - 1], firsts[patch], lasts[patch]
        before = total[patch - 1, lowest : last + 1]
        best = np.maximum.accumulate(before)
        where = np.where(before == best, np.arange(lowest, last + 1), -1)
        best = np.concatenate([[NOTHING], best[:-1]])[first - lowest :]
        where = np.concatenate([[-1], np.maximum.accumulate(where)[:-1]])[first - lowest :]
        onward = similarity[patch, first : last + 1] + best
        staying = before[first - lowest :]
        skip = staying > onward
        total[patch, first : last + 1] = np.where(skip, staying, onward)
        previous[patch, first : last + 1] = np.where(skip, np.arange(first, last + 1), where)
    position = int(firsts[-1] + np.argmax(total[-1, firsts[-1] : lasts[-1] + 1]))
    path = []
    for patch in range(len(similarity) - 1, -1, -1):
        path.append((position, position == previous[patch, position]))
        position = int(previous[patch, position])
    return path[::-1]


def _aligned_finely(match: Any, reference: Section, signal: Signal) -> Any:
    """The match with its samples aligned, where that makes it more similar."""
    if match.deg_patch_start_time == match.deg_patch_end_time == 0.0:
        return match  # lost
    mode = signal.mode
    decoded = signal.section(match.deg_patch_start_time, match.deg_patch_end_time)
    if decoded.samples.size == 0:
        return match
    lag = reference.lag_of(decoded)
    own, other = _overlap(reference, decoded, lag)
    if own.samples.size <= mode.window.size:
        return match
    new = measure_patch_similarity(
        *prepare_spectrograms_for_comparison(own.spectrogram(), other.spectrogram())
    )
    if new.similarity < match.similarity:
        return match
    lag_s = lag / mode.sample_rate_hz
    new.ref_patch_start_time = match.ref_patch_start_time + max(lag_s, 0.0)
    new.deg_patch_start_time = match.deg_patch_start_time - min(lag_s, 0.0)
    new.ref_patch_end_time = new.ref_patch_start_time + own.duration_s
    new.deg_patch_end_time = new.deg_patch_start_time + other.duration_s
    return new


def _overlap(reference: Section, decoded: Section, lag: int) -> tuple[Section, Section]:
    """The parts that lie on each other once `decoded` is `lag` samples later; equally long."""
    shifted = decoded.late_by(lag)
    skip = 0  # of the zeros before `shifted`
    if lag > 0 and reference.samples.size < shifted.samples.size:
        rate = reference.mode.sample_rate_hz
        skip = int(lag / rate * rate)  # rounding may leave one zero
    length = min(reference.samples.size, shifted.samples.size) - skip
    other = decoded.part(0, length) if skip == lag else shifted.part(skip, length)
    return reference.part(skip, length), other
