"""The anchors, measured against BS.1534-3's mask at every rate."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from mushra_app.anchors import anchor, taps
from nacbench.core import Clip
from nacbench.errors import UserError

RATES = (16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 64_000, 88_200, 96_000)
RIPPLE_DB, AT_4000_DB, AT_4500_DB = 0.1, -25.0, -50.0  # BS.1534-3, as facts cite page 7
MID_STOP_DB = -50.0


def response_db(role: str, rate: int, hz: np.ndarray) -> np.ndarray:
    """Gain of the anchor as it is made, from its answer to an impulse in the middle."""
    impulse = np.zeros((1, 8192), np.float32)
    impulse[0, 4096] = 1
    made = anchor(Clip(impulse, rate), role).samples[0].astype(np.float64)
    _, gain = signal.freqz(made, worN=hz, fs=rate)
    return np.asarray(20 * np.log10(np.abs(gain) + 1e-12))


@pytest.mark.parametrize("rate", RATES)
def test_the_low_anchor_is_inside_the_mask(rate: int) -> None:
    ripple = response_db("low_anchor", rate, np.linspace(20, 3500, 2000))
    assert np.abs(ripple).max() <= RIPPLE_DB
    top_hz = rate / 2
    assert response_db("low_anchor", rate, np.linspace(4000, top_hz, 2000)).max() <= AT_4000_DB
    assert response_db("low_anchor", rate, np.linspace(4500, top_hz, 2000)).max() <= AT_4500_DB


@pytest.mark.parametrize("rate", RATES)
def test_the_mid_anchor_passes_7_khz_and_stops_8(rate: int) -> None:
    assert np.abs(response_db("mid_anchor", rate, np.linspace(20, 7000, 2000))).max() <= RIPPLE_DB
    if rate > 16_000:
        hz = np.linspace(8000, rate / 2, 2000)
        assert response_db("mid_anchor", rate, hz).max() <= MID_STOP_DB


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("role", ["low_anchor", "mid_anchor"])
def test_anchors_are_in_time_with_the_reference(role: str, rate: int) -> None:
    filter_ = taps(role, rate)
    assert filter_.size % 2 == 1
    assert np.array_equal(filter_, filter_[::-1])
    noise = np.random.default_rng(0).standard_normal((2, rate // 4)).astype(np.float32) / 8
    made = anchor(Clip(noise, rate), role)
    assert made.samples.shape == noise.shape
    for channel in range(2):
        lags = signal.correlation_lags(noise.shape[1], noise.shape[1])
        peak = np.argmax(signal.correlate(made.samples[channel], noise[channel]))
        assert lags[peak] == 0


def test_a_rate_without_room_for_the_mid_anchor_is_refused() -> None:
    with pytest.raises(UserError, match="at least 16000 Hz"):
        taps("low_anchor", 8000)
