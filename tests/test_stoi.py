"""STOI and ESTOI against pystoi, and what they do where pystoi makes a number up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from signals import changed, noise, voice, with_noise

from nacbench.audio import read
from nacbench.core import Clip
from nacbench.errors import UnscorableError
from nacbench.metrics.stoi import Estoi, Stoi

PEER = 1e-9  # pystoi adds random numbers of 2e-16 to ESTOI's envelopes; else sums differ in order
PAIR = Path(__file__).parents[1].parent / "shared/data/metric_refs"


def score(metric: type[Stoi] | type[Estoi], reference: Clip, decoded: Clip) -> float:
    return metric().score(metric().prepare(reference), decoded)


def of_pystoi(reference: Clip, decoded: Clip, extended: bool) -> float:
    pystoi = pytest.importorskip("pystoi")
    samples = (clip.samples[0].astype(np.float64) for clip in (reference, decoded))
    return float(pystoi.stoi(*samples, reference.sample_rate_hz, extended=extended))


@pytest.mark.parametrize("metric", [Stoi, Estoi])
@pytest.mark.parametrize("seconds", [2.0, 3.217])
def test_at_16_khz_the_value_is_that_of_pystoi(
    metric: type[Stoi] | type[Estoi], seconds: float
) -> None:
    reference = voice(seconds)
    for snr_db in (-10, 0, 10, 40):
        decoded = with_noise(reference, snr_db)
        theirs = of_pystoi(reference, decoded, extended=metric is Estoi)
        assert score(metric, reference, decoded) == pytest.approx(theirs, abs=PEER)


@pytest.mark.skipif(not PAIR.exists(), reason="../shared/data/metric_refs is not there")
@pytest.mark.parametrize("metric", [Stoi, Estoi])
def test_real_speech_in_babble_has_the_value_of_pystoi(metric: type[Stoi] | type[Estoi]) -> None:
    reference, decoded = read(PAIR / "pesq_speech.wav"), read(PAIR / "pesq_speech_bab_0dB.wav")
    theirs = of_pystoi(reference, decoded, extended=metric is Estoi)
    assert score(metric, reference, decoded) == pytest.approx(theirs, abs=PEER)


@pytest.mark.parametrize("metric", [Stoi, Estoi])
def test_a_copy_has_1_and_silence_0(metric: type[Stoi] | type[Estoi]) -> None:
    reference = voice()
    assert score(metric, reference, reference) == pytest.approx(1.0, abs=1e-12)
    silent = changed(reference, np.zeros_like(reference.samples))
    assert score(metric, reference, silent) == 0.0


@pytest.mark.parametrize("metric", [Stoi, Estoi])
def test_what_pystoi_scores_1e_5_is_a_reason(metric: type[Stoi] | type[Estoi]) -> None:
    with pytest.raises(UnscorableError, match=r"too little speech: \d+ frames"):
        metric().prepare(voice(0.35))
    silent = changed(voice(), np.zeros_like(voice().samples))
    with pytest.raises(UnscorableError, match="reference is silent"):
        metric().prepare(silent)
    with pytest.raises(UnscorableError, match="shorter than a frame"):
        metric().prepare(noise(0.02))


def test_a_pause_of_the_reference_does_not_count() -> None:
    reference = voice(3.0)
    paused = changed(reference, np.pad(reference.samples, ((0, 0), (0, 16000))))
    decoded = with_noise(reference, 5)
    with_pause = changed(paused, np.pad(decoded.samples, ((0, 0), (0, 16000))))
    loud_pause = changed(paused, with_pause.samples + np.float32(0.05) * (paused.samples == 0))
    assert score(Stoi, paused, loud_pause) == pytest.approx(
        score(Stoi, paused, with_pause), abs=0.01
    )


def test_estoi_is_the_same_every_time_where_a_band_is_empty() -> None:
    reference = voice()
    low = np.fft.rfft(reference.samples)
    low[:, low.shape[1] // 8 :] = 0  # nothing above 1 kHz
    decoded = changed(reference, np.fft.irfft(low, reference.length).astype(np.float32))
    first = score(Estoi, reference, decoded)
    assert first == score(Estoi, reference, decoded)
    assert 0 < first < 0.7
