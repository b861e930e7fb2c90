"""Spectral distances against the same recipes written with torch and torchaudio."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from signals import changed, noise, sine, voice, with_noise

from nacbench.audio import at_rate
from nacbench.core import Clip
from nacbench.errors import UnscorableError
from nacbench.metrics import METRICS
from nacbench.metrics.spectral import BANDS, WINDOWS
from nacbench.metrics.spectrum import Stft, mel_filters
from nacbench.torchaudio_cpu import import_torchaudio

torch = pytest.importorskip("torch")

PEER = 1e-4  # relative; float32 spectra whose smallest bins differ by rounding
FILTERS = 5e-5  # of the highest; torchaudio rounds band edges to float32: 0.001 Hz of 40 Hz


def torch_mel_filters(rate: int, window_length: int, bands: int, norm: str | None) -> Any:
    return import_torchaudio().functional.melscale_fbanks(
        window_length // 2 + 1, 0.0, rate / 2, bands, rate, norm=norm, mel_scale="slaney"
    )


def stft(clip: Clip, length: int, periodic: bool, pad_mode: str = "reflect") -> Any:
    return torch.stft(
        torch.from_numpy(clip.samples.copy()),
        length,
        hop_length=length // 4,
        window=torch.hann_window(length, periodic=periodic),
        center=True,
        pad_mode=pad_mode,
        return_complex=True,
    )


def l1(x: Any, y: Any) -> Any:
    return torch.nn.functional.l1_loss(x, y)


def torch_mel_dac(x: Clip, y: Clip) -> float:
    total = 0.0
    for length, bands in zip(WINDOWS, BANDS, strict=True):
        filters = torch_mel_filters(x.sample_rate_hz, length, bands, "slaney")
        mels = [(stft(c, length, True).abs().mT @ filters).clamp(1e-5).log10() for c in (x, y)]
        total += float(l1(*mels))
    return total


def torch_mel_audiotools(x: Clip, y: Clip) -> float:
    total = 0.0
    for length, bands in ((2048, 150), (512, 80)):
        filters = torch_mel_filters(x.sample_rate_hz, length, bands, "slaney")
        mels = [stft(c, length, True).abs().mT @ filters for c in (x, y)]
        total += float(l1(*mels) + l1(*[mel.clamp(1e-5).pow(2).log10() for mel in mels]))
    return total


def torch_stft_audiotools(x: Clip, y: Clip) -> float:
    total = 0.0
    for length in (2048, 512):
        spectra = [stft(c, length, True).abs() for c in (x, y)]
        total += float(l1(*spectra) + l1(*[s.clamp(1e-5).pow(2).log10() for s in spectra]))
    return total


def torch_mel_nemo(x: Clip, y: Clip) -> float:
    total = 0.0
    for length, bands in zip(WINDOWS, BANDS, strict=True):
        filters = torch_mel_filters(x.sample_rate_hz, length, bands, None)
        frames = x.length // (length // 4)
        mels = []
        for clip in (x, y):
            parts = torch.view_as_real(stft(clip, length, False, "constant"))
            magnitude = torch.sqrt(parts.pow(2).sum(-1) + 1e-5)
            mels.append(torch.log(magnitude.mT @ filters + 1.0)[:, :frames])
        total += float(l1(*mels))
    return total / len(WINDOWS)


def torch_stft_nemo(x: Clip, y: Clip) -> float:
    total = 0.0
    for length in WINDOWS:
        logs = []
        for clip in (x, y):
            parts = torch.view_as_real(stft(clip, length, False))
            logs.append(torch.log(torch.sqrt(parts.pow(2).sum(-1) + 1e-5) + 1.0))
        total += float(l1(*logs))
    return total / len(WINDOWS)


def torch_lsd(x: Clip, y: Clip) -> float:
    levels = [10 * stft(c, 2048, True).abs().pow(2).clamp(1e-8).log10() for c in (x, y)]
    return float((levels[0] - levels[1]).pow(2).mean(dim=1).sqrt().mean())


PEERS: dict[str, Callable[[Clip, Clip], float]] = {
    "mel:dac": torch_mel_dac,
    "mel:audiotools": torch_mel_audiotools,
    "stft:audiotools": torch_stft_audiotools,
    "mel:nemo": torch_mel_nemo,
    "stft:nemo": torch_stft_nemo,
    "lsd": torch_lsd,
}


def score(recipe: str, reference: Clip, decoded: Clip) -> float:
    metric = METRICS.get(recipe)()
    return float(metric.score(metric.prepare(reference), decoded))


@pytest.mark.parametrize("recipe", PEERS)
@pytest.mark.parametrize("channels", [1, 2])
def test_a_recipe_is_what_torch_computes(recipe: str, channels: int) -> None:
    rate = METRICS.get(recipe).sample_rate_hz or 48000
    reference = voice(1.37, rate)
    if channels == 2:
        reference = changed(
            reference, np.concatenate([reference.samples, reference.samples[:, ::-1]])
        )
    for snr_db in (5, 25, 45):
        decoded = with_noise(reference, snr_db)
        ours, theirs = score(recipe, reference, decoded), PEERS[recipe](reference, decoded)
        assert ours == pytest.approx(theirs, rel=PEER)


@pytest.mark.parametrize("norm", ["slaney", None])
def test_mel_filters_are_those_of_torchaudio(norm: Any) -> None:
    for rate in (22050, 44100):
        for length, bands in zip(WINDOWS, BANDS, strict=True):
            ours = mel_filters(rate, length, bands, norm).toarray()
            theirs = torch_mel_filters(rate, length, bands, norm).numpy().T
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=FILTERS * theirs.max())


@pytest.mark.parametrize("recipe", PEERS)
def test_a_lost_band_is_charged(recipe: str) -> None:
    rate = METRICS.get(recipe).sample_rate_hz or 48000
    reference = noise(1.0, rate)
    halved = at_rate(at_rate(reference, rate // 2), rate)
    assert score(recipe, reference, halved) > 3 * score(
        recipe, reference, with_noise(reference, 40)
    )


def test_a_full_scale_sine_reaches_a_quarter_of_the_window() -> None:
    magnitude = Stft(512).magnitude(sine(1000, 1.0, 16000, level=1.0).samples)
    assert magnitude.shape == (1, 1 + 16000 // 128, 257)
    assert magnitude[0, 60].max() == pytest.approx(128, rel=1e-4)
    assert magnitude[0, 60].argmax() == 1000 * 512 // 16000


def test_the_result_does_not_depend_on_how_frames_are_blocked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reference, decoded = voice(1.0, 44100), with_noise(voice(1.0, 44100), 20)
    whole = score("mel:dac", reference, decoded)
    monkeypatch.setattr("nacbench.metrics.spectrum.SAMPLES_AT_ONCE", 3000)
    assert score("mel:dac", reference, decoded) == pytest.approx(whole, rel=1e-6)


@pytest.mark.parametrize("recipe", PEERS)
def test_a_clip_shorter_than_half_a_window_is_a_reason(recipe: str) -> None:
    rate = METRICS.get(recipe).sample_rate_hz or 48000
    with pytest.raises(UnscorableError, match="too short: 1024 samples"):
        METRICS.get(recipe)().prepare(noise(1024 / rate, rate))
    METRICS.get(recipe)().prepare(noise(1025 / rate, rate))
