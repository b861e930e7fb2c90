"""Diagnostics, each on signals whose value is known beforehand."""

from __future__ import annotations

import numpy as np
import pytest
from signals import changed, noise, sine

from nacbench.core import Clip
from nacbench.scoring import Scorer


def value(name: str, reference: Clip, decoded: Clip | None = None) -> float:
    score = Scorer([name]).score(reference, decoded or reference)[name]
    assert score.value is not None, score.reason
    return score.value


def reason(name: str, reference: Clip, decoded: Clip | None = None) -> str:
    return str(Scorer([name]).score(reference, decoded or reference)[name].reason)


def silent(clip: Clip) -> Clip:
    return changed(clip, np.zeros_like(clip.samples))


def test_a_sine_has_its_frequency_as_bandwidth() -> None:
    tone = sine(1234.0, 2.0, 48000)
    assert value("bandwidth_hz", tone) == pytest.approx(1234, abs=0.5)
    offset = changed(tone, tone.samples + np.float32(0.4))
    assert value("bandwidth_hz", tone, offset) == pytest.approx(1234, abs=0.5)


def test_white_noise_has_99_percent_of_its_band() -> None:
    clip = noise(4.0, 16000, channels=2)
    assert value("bandwidth_hz", clip) == pytest.approx(0.99 * 8000, abs=20)  # 128,000 samples
    low = np.fft.rfft(clip.samples)
    low[:, low.shape[1] // 2 :] = 0
    halved = changed(clip, np.fft.irfft(low, clip.length).astype(np.float32))
    assert value("bandwidth_hz", clip, halved) == pytest.approx(0.99 * 4000, abs=20)


def test_silence_and_nothing_have_no_bandwidth() -> None:
    assert "silent" in reason("bandwidth_hz", noise(), silent(noise()))


@pytest.mark.parametrize("gain_db", [-12.0, 0.0, 3.0])
def test_a_gain_is_the_difference_in_loudness(gain_db: float) -> None:
    clip = noise(2.0, 48000, channels=2)
    louder = changed(clip, np.float32(10 ** (gain_db / 20)) * clip.samples)
    assert value("loudness_difference", clip, louder) == pytest.approx(gain_db, abs=1e-4)


def test_loudness_that_cannot_be_measured_is_a_reason() -> None:
    assert "0.4 s" in reason("loudness_difference", noise(0.3))
    assert "decoded audio is quieter" in reason("loudness_difference", noise(), silent(noise()))
    assert "reference is quieter" in reason("loudness_difference", silent(noise()), noise())
    assert "8 channels" in reason("loudness_difference", noise(channels=8))


def test_clipping_is_the_share_at_full_scale() -> None:
    tone = sine(1000, 1.0, 48000, level=1.5)
    cut = changed(tone, np.clip(tone.samples, -1, 32767 / 32768))
    expected = 1 - 2 / np.pi * np.arcsin(1 / 1.5)
    assert value("clipping", tone, cut) == pytest.approx(expected, abs=0.02)  # 48 samples a period
    assert value("clipping", tone, tone) == value("clipping", tone, cut)
    assert value("clipping", tone, changed(tone, 0.5 * tone.samples)) == 0.0


def test_dc_is_the_mean_of_the_channel_furthest_from_0() -> None:
    clip = Clip(np.stack([np.full(1000, 0.01), np.full(1000, -0.125)]), 16000)
    assert value("dc", clip) == -0.125


@pytest.mark.parametrize("name", ["bandwidth_hz", "loudness_difference", "clipping", "dc"])
def test_a_clip_without_samples_is_a_reason(name: str) -> None:
    assert "no samples" in reason(name, Clip(np.zeros((1, 0), np.float32), 16000))
