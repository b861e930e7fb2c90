"""Losses against closed forms, and against DAC's mel filters."""

import math

import numpy as np
import pytest
import torch

from reference_codec.training import losses, stft
from reference_codec.training.losses import Spectra

FLOAT32 = 2e-6  # a few rounding errors of values near one
RATE_HZ = 16_000


def noise(seed: int = 0, clips: int = 3, length: int = 4096) -> torch.Tensor:
    return 0.1 * torch.randn(clips, 1, length, generator=torch.Generator().manual_seed(seed))


def test_every_loss_is_zero_between_a_clip_and_itself() -> None:
    x = noise()
    spectra = Spectra(x), Spectra(x.clone())
    assert losses.multi_scale_mel(*spectra, RATE_HZ) == 0
    assert losses.multi_scale_stft(*spectra) == 0
    assert losses.waveform_l1(x, x.clone()) == 0
    assert losses.compressed_complex(*spectra) == 0
    assert losses.band_envelopes(*spectra, RATE_HZ) == 0


def test_a_gain_moves_every_envelope_by_its_decibels() -> None:
    x = noise()
    loss = losses.band_envelopes(Spectra(x), Spectra(10 ** (-6 / 20) * x), RATE_HZ)
    assert float(loss) == pytest.approx(0.6, abs=1e-3)  # the floor lies 60 dB below this noise


def test_envelopes_hear_a_band_that_is_missing_but_hardly_which_noise_fills_it() -> None:
    t = torch.arange(16_000) / RATE_HZ
    tone = 0.1 * torch.sin(2 * torch.pi * 3000 * t)[None, None]
    hiss, other = noise(1, 1, 16_000), noise(2, 1, 16_000)
    same_level = losses.band_envelopes(Spectra(hiss), Spectra(other), RATE_HZ)
    missing = losses.band_envelopes(Spectra(tone), Spectra(0 * tone), RATE_HZ)
    assert float(same_level) < 0.5 * float(
        losses.multi_scale_mel(Spectra(hiss), Spectra(other), RATE_HZ)
    )
    assert float(missing) > 0.3


def test_a_gain_moves_every_mel_scale_by_its_logarithm() -> None:
    x = noise()
    loss = losses.multi_scale_mel(Spectra(x), Spectra(0.5 * x), RATE_HZ)
    # A few of the narrowest filters hardly touch a bin and stay at the floor.
    assert math.isclose(float(loss), len(losses.MEL_WINDOWS) * math.log10(2), abs_tol=1e-3)


def test_a_gain_gives_the_stft_losses_their_closed_form() -> None:
    x = noise()
    loss = losses.multi_scale_stft(Spectra(x), Spectra(0.5 * x))
    assert math.isclose(float(loss), math.log(2) + 0.5, abs_tol=1e-4)  # ln 2 + |1 - ½|
    for gain in (0.0, 0.25):
        loss = losses.compressed_complex(Spectra(x), Spectra(gain * x))
        assert math.isclose(float(loss), (1 - math.sqrt(gain)) ** 2, abs_tol=1e-3)


def test_only_the_complex_term_hears_polarity() -> None:
    x = noise()
    spectra = Spectra(x), Spectra(-x)
    assert float(losses.multi_scale_stft(*spectra)) == pytest.approx(0, abs=FLOAT32)
    assert float(losses.compressed_complex(*spectra)) == pytest.approx(4, abs=1e-4)


def test_the_waveform_loss_is_the_mean_absolute_difference() -> None:
    x = noise()
    assert float(losses.waveform_l1(x, x + 0.25)) == pytest.approx(0.25, abs=FLOAT32)


def test_the_stft_losses_weigh_a_quiet_clip_like_a_loud_one() -> None:
    x, wrong = noise(1), noise(2)
    both = torch.cat([x, 0.01 * x]), torch.cat([wrong, 0.01 * wrong])
    loss = [losses.multi_scale_stft(Spectra(a), Spectra(b)) for a, b in ((x, wrong), both)]
    # Only the floor of the logarithm tells them apart.
    assert float(loss[0]) == pytest.approx(float(loss[1]), rel=0.01)


def test_a_transform_is_computed_once_however_many_losses_ask(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls, real = [], torch.stft
    monkeypatch.setattr(torch, "stft", lambda *a, **k: calls.append(a[1]) or real(*a, **k))
    spectra = Spectra(noise()), Spectra(noise(1))
    losses.multi_scale_mel(*spectra, RATE_HZ)
    losses.multi_scale_stft(*spectra)
    losses.compressed_complex(*spectra)
    assert sorted(calls) == sorted(2 * losses.MEL_WINDOWS)


@pytest.mark.parametrize(("window", "length"), [(32, 200), (512, 1999), (512, 2048)])
def test_the_fast_backward_pass_is_that_of_torch(window: int, length: int) -> None:
    x = noise(length=length)[:, 0].double().requires_grad_()
    hann = torch.hann_window(window).double()
    theirs = torch.stft(x, window, window // 4, window=hann, return_complex=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stft, "hann", lambda n, device: hann)
        ours = stft.stft(x, window)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
        weights = torch.randn_like(theirs)
        for loss in (
            lambda z: (z * weights).real.sum() + z.imag.square().sum(),
            lambda z: (stft.magnitude(z) if z is ours else z.abs()).log().sum(),
        ):
            a, b = (torch.autograd.grad(loss(z), x, retain_graph=True)[0] for z in (ours, theirs))
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def test_gradients_are_finite_in_digital_silence() -> None:
    silence = torch.zeros(2, 1, 4096)
    decoded = torch.zeros(2, 1, 4096, requires_grad=True)
    spectra = Spectra(silence), Spectra(decoded)
    mel = losses.multi_scale_mel(*spectra, RATE_HZ)
    stft = losses.multi_scale_stft(*spectra) + losses.compressed_complex(*spectra)
    (mel + stft).backward()
    assert decoded.grad is not None
    assert decoded.grad.isfinite().all()


def test_clips_shorter_than_a_window_are_measured_with_the_others() -> None:
    x, y = noise(length=200), noise(1, length=200)
    assert losses.multi_scale_mel(Spectra(x), Spectra(y), RATE_HZ) > 0
    assert losses.multi_scale_stft(Spectra(x), Spectra(y)) == 0  # none of its windows fits


@pytest.mark.parametrize(("window", "bands"), [(2048, 320), (256, 40), (32, 5)])
def test_mel_filters_are_those_of_the_bench_metric(window: int, bands: int) -> None:
    from nacbench.metrics import spectrum

    theirs = spectrum.mel_filters(RATE_HZ, window, bands, "slaney").toarray()
    ours = losses.mel_filters(RATE_HZ, window, bands).numpy()
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-7)
