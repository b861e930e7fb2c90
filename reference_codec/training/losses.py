"""Distances between reference and decoded audio that a generator is trained on.

Audio is `[batch, channels, time]`. The spectral losses take `Spectra`, which compute each
transform once, however many losses look at it. All are means over batch and time, in float32.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.linalg import vector_norm as _norm
from torch.nn import functional as F

from reference_codec.training import distributed
from reference_codec.training.stft import magnitude, stft

# Source: Kumar et al., arXiv:2306.06546, §3.4 and descriptinc/descript-audio-codec, conf/base.yml.
MEL_WINDOWS = (32, 64, 128, 256, 512, 1024, 2048)
MEL_BANDS = (5, 10, 20, 40, 80, 160, 320)
MEL_FLOOR = 1e-5

STFT_WINDOWS = (512, 1024, 2048)  # of the resolutions in Yamamoto et al., arXiv:1910.11480, table 1
# Magnitude below which a logarithm would only hear numbers: a full-scale sine has window / 4.
STFT_FLOOR = 1e-4


class Spectra:
    """Short-time Fourier transforms of one batch, each window length computed at most once.

    Hann window, a quarter of it from frame to frame, centred, mirrored at the ends.

    Args:
        audio: `[batch, channels, time]`; time exceeds half of the longest window asked for.
    """

    def __init__(self, audio: Tensor) -> None:
        self._audio = audio.flatten(0, 1).float()
        self._complex: dict[int, Tensor] = {}
        self._magnitude: dict[int, Tensor] = {}

    def complex(self, window_length: int) -> Tensor:
        """`[batch · channels, bins, frames]`, unscaled."""
        if window_length not in self._complex:
            self._complex[window_length] = stft(self._audio, window_length)
        return self._complex[window_length]

    def magnitude(self, window_length: int) -> Tensor:
        if window_length not in self._magnitude:
            self._magnitude[window_length] = magnitude(self.complex(window_length))
        return self._magnitude[window_length]

    def longest(self, windows: Sequence[int]) -> list[int]:
        """Those of the windows that the clip is long enough for."""
        return [window for window in windows if window // 2 < self._audio.shape[-1]]


def multi_scale_mel(
    reference: Spectra,
    decoded: Spectra,
    sample_rate_hz: int,
    windows: Sequence[int] = MEL_WINDOWS,
    bands: Sequence[int] = MEL_BANDS,
) -> Tensor:
    """L1 between log10 mel magnitudes, summed over the scales.

    Source: DAC, arXiv:2306.06546, §3.4: seven windows of 32…2048 samples with 5…320 bands and a
    floor of 1e-5. Differs: windows that do not fit a short clip are left out.
    """
    total = torch.zeros(())
    fitting = set(reference.longest(windows))
    for window, n_bands in zip(windows, bands, strict=True):
        if window not in fitting:
            continue
        reference_mel, decoded_mel = (
            _log_mel(spectra.magnitude(window), sample_rate_hz, window, n_bands)
            for spectra in (reference, decoded)
        )
        total = total.to(decoded_mel.device) + F.l1_loss(decoded_mel, reference_mel)
    return total


def multi_scale_stft(
    reference: Spectra, decoded: Spectra, windows: Sequence[int] = STFT_WINDOWS
) -> Tensor:
    """Log magnitude plus spectral convergence, averaged over the scales.

    log magnitude: mean |ln S - ln Ŝ|. Spectral convergence: ‖S - Ŝ‖ / ‖S‖ over bins and frames,
    averaged over the clips.

    Source: Yamamoto et al., arXiv:1910.11480, §2.2. Differs: a quarter of the window from frame
    to frame; the ratio is taken clip by clip, so that a loud clip does not hide the others.
    """
    total, fitting = torch.zeros(()), reference.longest(windows)
    for window in fitting:
        S, S_hat = reference.magnitude(window), decoded.magnitude(window)
        log_magnitude = F.l1_loss(S_hat.clamp(min=STFT_FLOOR).log(), S.clamp(min=STFT_FLOOR).log())
        convergence = _norm(S_hat - S, dim=(1, 2)) / _norm(S, dim=(1, 2)).clamp(min=STFT_FLOOR)
        total = total.to(S.device) + log_magnitude + convergence.mean()
    return total / max(1, len(fitting))


# 64 ms and 32 ms at 16 kHz, in about as many bands as the ear has critical bands.
ENVELOPE_WINDOWS = (1024, 512)
ENVELOPE_BANDS = 32
ENVELOPE_FLOOR = 1e-9  # of power: -90 dB below a full-scale sine


def band_envelopes(reference: Spectra, decoded: Spectra, sample_rate_hz: int) -> Tensor:
    """Mean difference of the bands' levels, in units of 10 dB, averaged over the windows.

    Power is added within wide bands and long windows before the logarithm is taken, so this hears
    whether each band has the right level at the right time and is deaf to what random phases do to
    single bins, which dominates `multi_scale_mel`. Metrics that compare smoothed spectra (ViSQOL:
    Chinen et al., arXiv:2004.09584, §2) hear about the same.
    """
    fitting = reference.longest(ENVELOPE_WINDOWS)
    total = torch.zeros(())
    for window in fitting:
        filters = _mel_filters_on(
            sample_rate_hz, window, ENVELOPE_BANDS, reference.magnitude(window).device
        )
        full_scale = (window / 4) ** 2
        levels = [
            ((filters @ spectra.magnitude(window).square()) / full_scale + ENVELOPE_FLOOR).log10()
            for spectra in (reference, decoded)
        ]
        total = total.to(levels[0].device) + F.l1_loss(levels[1], levels[0])
    return total / max(1, len(fitting))


def compressed_complex(reference: Spectra, decoded: Spectra, window_length: int = 512) -> Tensor:
    """‖C - Ĉ‖² / ‖C‖², with magnitudes compressed to their square root and phases kept.

    The complex part of the STFT loss. 1 for silence, 2 for unrelated phases of the right level, 4
    for inverted polarity. It teaches phase from the first steps on, in quiet bins as well as in
    loud ones. Source: power-law compression in Ephrat et al., arXiv:1804.03619, §4. Differs: power
    0.5, and relative to the reference.
    """
    C, C_hat = (_square_root(spectra.complex(window_length)) for spectra in (reference, decoded))
    level = distributed.mean(C.square().sum())
    return (C - C_hat).square().sum() / level.clamp(min=STFT_FLOOR)


def _square_root(spectrum: Tensor) -> Tensor:
    """Real and imaginary part with the magnitude's square root, relative to a full-scale sine."""
    parts = torch.view_as_real(spectrum)
    full_scale = (spectrum.shape[1] - 1) / 2  # a quarter of the window's length
    power = parts.square().sum(-1, keepdim=True) / full_scale**2
    return parts / full_scale * (power + STFT_FLOOR**2).pow(-0.25)


def waveform_l1(reference: Tensor, decoded: Tensor) -> Tensor:
    """Mean |x - x̂|. Source: EnCodec, arXiv:2210.13438, §3.4, ℓ_t."""
    return F.l1_loss(decoded.float(), reference)


@functools.cache
def mel_filters(sample_rate_hz: int, window_length: int, n_bands: int) -> Tensor:
    """`[bands, bins]`: triangles on Slaney's mel scale, 0 Hz to half the rate, of unit area.

    Slaney's scale (Auditory Toolbox, 1998): linear up to 1 kHz with 200/3 Hz per mel, then
    27 mel per factor of 6.4. Filters narrower than the distance of two bins may be empty.
    """
    top = _hz_to_mel(sample_rate_hz / 2)
    edges = torch.tensor(
        [_mel_to_hz(top * i / (n_bands + 1)) for i in range(n_bands + 2)], dtype=torch.float64
    )
    bins = torch.arange(window_length // 2 + 1, dtype=torch.float64)
    hz = bins * sample_rate_hz / window_length
    low, centre, high = (edges[i : n_bands + i, None] for i in range(3))
    rising, falling = (hz - low) / (centre - low), (high - hz) / (high - centre)
    triangles = torch.minimum(rising, falling).clamp(min=0)
    return (triangles * 2 / (high - low)).float()


def _log_mel(spectrum: Tensor, sample_rate_hz: int, window: int, n_bands: int) -> Tensor:
    filters = _mel_filters_on(sample_rate_hz, window, n_bands, spectrum.device)
    # Frames lie together in memory: one product instead of one per clip.
    return (spectrum.transpose(1, 2) @ filters.t()).clamp(min=MEL_FLOOR).log10()


@functools.cache
def _mel_filters_on(rate: int, window: int, n_bands: int, device: torch.device) -> Tensor:
    return mel_filters(rate, window, n_bands).to(device)


_LINEAR_TOP_HZ, _LINEAR_HZ_PER_MEL = 1000.0, 200 / 3
_LOG_STEP = math.log(6.4) / 27


def _hz_to_mel(hz: float) -> float:
    if hz < _LINEAR_TOP_HZ:
        return hz / _LINEAR_HZ_PER_MEL
    return _LINEAR_TOP_HZ / _LINEAR_HZ_PER_MEL + math.log(hz / _LINEAR_TOP_HZ) / _LOG_STEP


def _mel_to_hz(mel: float) -> float:
    knee = _LINEAR_TOP_HZ / _LINEAR_HZ_PER_MEL
    if mel < knee:
        return mel * _LINEAR_HZ_PER_MEL
    return _LINEAR_TOP_HZ * math.exp((mel - knee) * _LOG_STEP)
