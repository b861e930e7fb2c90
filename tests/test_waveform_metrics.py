"""SI-SDR and SNR: closed forms, invariances, and torchmetrics beside them."""

from __future__ import annotations

import numpy as np
import pytest
from signals import changed, noise, sine, voice, with_noise

from nacbench.core import Clip
from nacbench.errors import UnscorableError
from nacbench.metrics.si_sdr import LIMIT_DB, SiSdr, Snr, si_sdr

ROUNDING_DB = 1e-4  # float32 samples, power ratios of up to 60 dB
PEER_DB = 1e-4  # torchmetrics computes in float32 and adds an epsilon


def snr(reference: Clip, decoded: Clip) -> float:
    return Snr().score(Snr().prepare(reference), decoded)


@pytest.mark.parametrize("snr_db", [-10, 0, 20, 60])
def test_orthogonal_noise_has_its_own_level(snr_db: float) -> None:
    tone = sine(1000)
    other = sine(2000).samples * 10 ** (-snr_db / 20)  # whole periods of both: orthogonal
    decoded = changed(tone, tone.samples + other)
    assert snr(tone, decoded) == pytest.approx(snr_db, abs=ROUNDING_DB)
    assert si_sdr(tone.samples, decoded.samples) == pytest.approx(snr_db, abs=ROUNDING_DB)


def test_a_gain_and_an_inverted_polarity_leave_si_sdr_and_cost_snr() -> None:
    reference = voice()
    decoded = with_noise(reference, 20)
    for gain in (0.5, -1.0):
        changed_level = changed(decoded, np.float32(gain) * decoded.samples)
        assert si_sdr(reference.samples, changed_level.samples) == pytest.approx(
            si_sdr(reference.samples, decoded.samples), abs=ROUNDING_DB
        )
    assert snr(reference, changed(reference, 0.5 * reference.samples)) == pytest.approx(
        20 * np.log10(2), abs=ROUNDING_DB
    )
    assert snr(reference, changed(reference, -reference.samples)) == pytest.approx(
        -20 * np.log10(2), abs=ROUNDING_DB
    )


def test_a_copy_has_the_limit_and_not_infinity() -> None:
    reference = voice()
    assert si_sdr(reference.samples, reference.samples) == LIMIT_DB
    assert snr(reference, reference) == LIMIT_DB


def test_an_offset_leaves_si_sdr() -> None:
    reference = noise()
    assert si_sdr(reference.samples, reference.samples + np.float32(0.25)) > 100


def test_one_scale_holds_for_all_channels() -> None:
    reference = noise(channels=2)
    gains = np.array([[1.0], [0.5]], np.float32)
    # Projection of (r, r/2) on (r, r) for channels of equal power p: scale 3/4, residual 1/4 each.
    expected = 10 * np.log10((2 * 0.75**2) / (2 * 0.25**2))
    assert si_sdr(reference.samples, gains * reference.samples) == pytest.approx(expected, abs=0.05)


def test_si_sdr_is_that_of_torchmetrics() -> None:
    torch = pytest.importorskip("torch")
    audio = pytest.importorskip("torchmetrics.functional.audio")
    for snr_db in (-5, 10, 30):
        reference = voice(seed=snr_db + 5)
        decoded = with_noise(reference, snr_db)
        theirs = audio.scale_invariant_signal_distortion_ratio(
            torch.from_numpy(decoded.samples.copy()).double(),
            torch.from_numpy(reference.samples.copy()).double(),
            zero_mean=True,
        )
        ours = SiSdr().score(SiSdr().prepare(reference), decoded)
        assert ours == pytest.approx(float(theirs), abs=PEER_DB)
        assert ours == si_sdr(reference.samples, decoded.samples)


def test_silence_is_a_reason() -> None:
    silent = changed(voice(), np.zeros_like(voice().samples))
    with pytest.raises(UnscorableError, match="reference is silent"):
        si_sdr(silent.samples, voice().samples)
    with pytest.raises(UnscorableError, match="decoded audio is silent"):
        si_sdr(voice().samples, silent.samples)
    with pytest.raises(UnscorableError, match="reference is silent"):
        snr(silent, voice())
    assert snr(voice(), silent) == pytest.approx(0.0, abs=1e-12)
