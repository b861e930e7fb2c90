"""Distances between short-time spectra: multi-scale mel and STFT distances, and LSD.

"Mel distance" names at least four different numbers in the literature, up to ten times apart.
Each recipe here is one of them, with its own rate, windows, padding, compression and reduction.
Lower is better and 0 is a copy; scales differ, so recipes are not comparable with each other.

Conventions: magnitudes are those of an unscaled STFT; means run over channels, frames and bins
or bands alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from nacbench.core import Clip
from nacbench.metrics.spectrum import Spectrum, Stft, mel_filters

WINDOWS = tuple(2**power for power in range(5, 12))  # 32…2048 samples
BANDS = tuple(5 * 2**index for index in range(7))  # 5…320 mel bands, one per 3.2 bins


class _Distance:
    """Mean absolute differences between features of the two clips, summed over the features."""

    version = "1"
    unit = ""
    bounds = (0.0, float("inf"))
    higher_is_better = False
    mono = False
    domain = "any"

    def prepare(self, reference: Clip) -> list[Spectrum]:
        return list(self._features(reference))

    def score(self, prepared: Sequence[Spectrum], decoded: Clip) -> float:
        pairs = zip(prepared, self._features(decoded), strict=True)
        return sum(float(np.mean(np.abs(own - other), dtype=np.float64)) for own, other in pairs)

    def _features(self, clip: Clip) -> Iterator[Spectrum]:
        raise NotImplementedError


class MelDac(_Distance):
    """Multi-scale mel distance of the Descript Audio Codec.

    Windows 32, 64, … 2048 with 5, 10, … 320 mel bands of unit area; per scale the mean of
    |log10 max(mel, 1e-5) - log10 max(mel', 1e-5)|; summed over the seven scales.

    Source: Kumar et al., NeurIPS 2023, arXiv:2306.06546, with conf/base.yml of its repository.
        Differs: none.
    """

    name = "mel:dac"
    sample_rate_hz = 44100  # of the paper's model
    source = "Kumar et al., NeurIPS 2023, arXiv:2306.06546; conf/base.yml of its repository"

    def _features(self, clip: Clip) -> Iterator[Spectrum]:
        for window_length, bands in zip(WINDOWS, BANDS, strict=True):
            filters = mel_filters(clip.sample_rate_hz, window_length, bands, "slaney")
            yield _floored_log10(Stft(window_length).magnitude(clip.samples, filters))


class MelAudiotools(_Distance):
    """Mel distance with the defaults of descript-audiotools, which Codec-SUPERB reports.

    Windows 2048 and 512 with 150 and 80 mel bands of unit area; per scale the mean of
    2·|log10 max(mel, 1e-5) - log10 max(mel', 1e-5)| plus that of |mel - mel'|; summed.

    Source: descript-audiotools 348ebf2, MelSpectrogramLoss. Differs: none. (Its early versions
        applied the floor to the squared magnitude.)
    """

    name = "mel:audiotools"
    sample_rate_hz = 44100
    source = "descript-audiotools 348ebf2, metrics/spectral.py, MelSpectrogramLoss"

    def _features(self, clip: Clip) -> Iterator[Spectrum]:
        for window_length, bands in ((2048, 150), (512, 80)):
            filters = mel_filters(clip.sample_rate_hz, window_length, bands, "slaney")
            mel = Stft(window_length).magnitude(clip.samples, filters)
            yield mel
            yield 2 * _floored_log10(mel)


class StftAudiotools(_Distance):
    """STFT distance with the defaults of descript-audiotools: `mel:audiotools` without mel.

    Source: descript-audiotools 348ebf2, MultiScaleSTFTLoss. Differs: none.
    """

    name = "stft:audiotools"
    sample_rate_hz = 44100
    source = "descript-audiotools 348ebf2, metrics/spectral.py, MultiScaleSTFTLoss"

    def _features(self, clip: Clip) -> Iterator[Spectrum]:
        for window_length in (2048, 512):
            magnitude = Stft(window_length).magnitude(clip.samples)
            yield magnitude
            yield 2 * _floored_log10(magnitude)


NEMO_GUARD = 1e-5  # added to each bin's power, so that the root has a gradient at 0


class MelNemo(_Distance):
    """Mel distance of NVIDIA's codec cards.

    Windows and bands of `mel:dac`, triangles of height 1, zero padding, a symmetric window,
    without the last frame; per scale the mean of |ln(1 + mel) - ln(1 + mel')|; mean over scales.

    Source: NeMo 8cfedd7, MultiResolutionMelLoss over FilterbankFeatures, with the resolutions of
        audio_codec_low_frame_rate_22050.yaml. Differs: none.
    """

    name = "mel:nemo"
    sample_rate_hz = 22050
    source = "NVIDIA NeMo 8cfedd7, collections/tts/losses/audio_codec_loss.py"

    def score(self, prepared: Sequence[Spectrum], decoded: Clip) -> float:
        return super().score(prepared, decoded) / len(WINDOWS)

    def _features(self, clip: Clip) -> Iterator[Spectrum]:
        for window_length, bands in zip(WINDOWS, BANDS, strict=True):
            stft = Stft(window_length, periodic=False, padding="constant", guard=NEMO_GUARD)
            filters = mel_filters(clip.sample_rate_hz, window_length, bands, None)
            mel = stft.magnitude(clip.samples, filters)[:, :-1]
            yield np.log1p(mel, out=mel)


class StftNemo(_Distance):
    """STFT distance of NVIDIA's codec cards.

    Windows 32, 64, … 2048, symmetric; per window the mean of |ln(1 + |X|) - ln(1 + |Y|)|; mean
    over the windows.

    Source: NeMo 8cfedd7, MultiResolutionSTFTLoss, with the resolutions of
        audio_codec_low_frame_rate_22050.yaml. Differs: none.
    """

    name = "stft:nemo"
    sample_rate_hz = 22050
    source = "NVIDIA NeMo 8cfedd7, collections/tts/losses/audio_codec_loss.py"

    def score(self, prepared: Sequence[Spectrum], decoded: Clip) -> float:
        return super().score(prepared, decoded) / len(WINDOWS)

    def _features(self, clip: Clip) -> Iterator[Spectrum]:
        for window_length in WINDOWS:
            stft = Stft(window_length, periodic=False, guard=NEMO_GUARD)
            magnitude = stft.magnitude(clip.samples)
            yield np.log1p(magnitude, out=magnitude)


class Lsd:
    """Log-spectral distance: root mean square difference of log power spectra, in dB.

    Window 2048, hop 512, power floored at 1e-8; the root is taken per frame over its bins, the
    mean over frames and channels. Divide by 10 for the unit of the bandwidth-extension papers.

    Source: Gray and Markel, IEEE Trans. ASSP 24(5), 1976; parameters of Lee and Han (NU-Wave),
        Interspeech 2021, arXiv:2104.02321. Differs: in dB.
    """

    name = "lsd"
    version = "1"
    unit = "dB"
    bounds = (0.0, float("inf"))
    higher_is_better = False
    sample_rate_hz = None
    mono = False
    domain = "any"
    source = "Gray and Markel, IEEE Trans. ASSP 24(5), 1976; parameters of arXiv:2104.02321"

    def prepare(self, reference: Clip) -> Spectrum:
        return self._level_db(reference)

    def score(self, prepared: Spectrum, decoded: Clip) -> float:
        difference = prepared - self._level_db(decoded)
        return float(np.mean(np.sqrt(np.mean(difference * difference, axis=-1))))

    def _level_db(self, clip: Clip) -> Spectrum:
        magnitude = Stft(2048).magnitude(clip.samples)
        level_db: Spectrum = 20 * np.log10(np.maximum(magnitude, np.float32(1e-4)))
        return level_db


def _floored_log10(magnitude: Spectrum) -> Spectrum:
    logarithm: Spectrum = np.log10(np.maximum(magnitude, np.float32(1e-5)))
    return logarithm
