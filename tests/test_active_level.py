"""ITU-T P.56 against signals whose envelope, and so active level, has a closed form."""

import math

import numpy as np
import pytest

from nacbench.conditions.active_level import active_level
from nacbench.core import Clip

RATE = 16000
# The closed forms are in continuous time; a sample more or less at each edge is 1e-4 dB here.
SAMPLING_DB = 2e-3


def tone(seconds: float, amplitude: float = 0.5, hertz: float = 1000.0) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)


def square(seconds: float, amplitude: float) -> np.ndarray:
    signs = np.where(np.arange(round(seconds * RATE)) % 16 < 8, 1.0, -1.0)
    return amplitude * signs


def test_a_steady_tone_has_its_own_power_as_active_level() -> None:
    found = active_level(Clip(tone(20), RATE))
    assert found.level_dbov == pytest.approx(20 * math.log10(0.5 / math.sqrt(2)), abs=0.01)
    assert found.activity == pytest.approx(1, abs=0.002)


def burst_level_db(amplitude: float, burst_s: float) -> float:
    """Active level of one burst of a square wave in silence, from the method's definition.

    |x| is constant, so the envelope of two one-pole smoothers is A (1 - (1 + t/T) e^(-t/T)) in
    the burst and, long after its start, A (1 + t/T) e^(-t/T) from its end on. Both are A times
    r(u) or its complement, u = t/T; a threshold c is passed at u where (1 + u) e^(-u) = 1 - c/A
    and left where it is c/A.
    """

    def crossing(value: float) -> float:
        low, high = 0.0, 100.0
        for _ in range(200):
            middle = (low + high) / 2
            low, high = (
                (middle, high) if (1 + middle) * math.exp(-middle) > value else (low, middle)
            )
        return low

    energy = amplitude**2 * burst_s
    lower = None
    for exponent in range(-24, 1):
        threshold = 2.0**exponent
        active_s = (
            burst_s
            + 0.2
            + 0.03 * (crossing(threshold / amplitude) - crossing(1 - threshold / amplitude))
        )
        level = 10 * math.log10(energy / active_s)
        margin = level - 20 * math.log10(threshold)
        if margin <= 15.9:
            assert lower is not None
            share = (lower[1] - 15.9) / (lower[1] - margin)
            return lower[0] + share * (level - lower[0])
        lower = (level, margin)
    raise AssertionError


@pytest.mark.parametrize("amplitude", [0.9, 0.1, 0.013])
@pytest.mark.parametrize("burst_s", [1.0, 3.0])
@pytest.mark.parametrize("silence_s", [2.0, 10.0])
def test_a_burst_in_silence_has_the_level_and_activity_of_the_closed_form(
    amplitude: float, burst_s: float, silence_s: float
) -> None:
    signal = np.concatenate(
        [np.zeros(RATE), square(burst_s, amplitude), np.zeros(RATE * int(silence_s))]
    )
    found = active_level(Clip(signal, RATE))
    expected = burst_level_db(amplitude, burst_s)
    assert found.level_dbov == pytest.approx(expected, abs=SAMPLING_DB)
    mean_power_db = 10 * math.log10(np.mean(signal**2))
    assert found.activity == pytest.approx(10 ** ((mean_power_db - expected) / 10), rel=1e-3)


def test_silence_before_and_after_does_not_change_the_active_level() -> None:
    speechlike = np.concatenate([tone(0.7), np.zeros(RATE), tone(0.4, 0.2), np.zeros(RATE)])
    padded = np.concatenate([np.zeros(3 * RATE), speechlike, np.zeros(7 * RATE)])
    before, after = active_level(Clip(speechlike, RATE)), active_level(Clip(padded, RATE))
    assert after.level_dbov == pytest.approx(before.level_dbov, abs=1e-6)


@pytest.mark.parametrize("doublings", [1, -2, -10])
def test_a_gain_of_whole_threshold_steps_moves_the_level_by_itself(doublings: int) -> None:
    signal = np.concatenate([tone(1.3, 0.4), np.zeros(2 * RATE), tone(0.6, 0.05)])
    moved = active_level(Clip(signal * 2.0**doublings, RATE)).level_dbov
    expected = 20 * math.log10(2) * doublings
    assert moved - active_level(Clip(signal, RATE)).level_dbov == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("rate", [8000, 44100, 48000, 192000])
def test_the_level_does_not_depend_on_the_sample_rate(rate: int) -> None:
    time_s = np.arange(4 * rate) / rate
    signal = 0.3 * np.sin(2 * np.pi * 440 * time_s) * (time_s < 1.5)
    at_16k = np.arange(4 * RATE) / RATE
    same = 0.3 * np.sin(2 * np.pi * 440 * at_16k) * (at_16k < 1.5)
    found, expected = active_level(Clip(signal, rate)), active_level(Clip(same, RATE))
    assert found.level_dbov == pytest.approx(expected.level_dbov, abs=5e-3)


def test_identical_channels_have_the_level_of_one_and_channels_may_differ_in_sign() -> None:
    mono = np.concatenate([tone(1), np.zeros(RATE)])
    one = active_level(Clip(mono, RATE)).level_dbov
    assert active_level(Clip(np.stack([mono, mono]), RATE)).level_dbov == pytest.approx(one)
    assert active_level(Clip(np.stack([mono, -mono]), RATE)).level_dbov == pytest.approx(one)


def test_silence_has_no_level_and_a_click_has_a_finite_one() -> None:
    assert active_level(Clip(np.zeros(RATE), RATE)).level_dbov == -math.inf
    assert active_level(Clip(np.zeros(RATE), RATE)).activity == 0
    click = np.zeros(RATE)
    click[100] = 1.0
    found = active_level(Clip(click, RATE))
    assert -60 < found.level_dbov < 0
    assert 0 < found.activity <= 1
    assert math.isfinite(active_level(Clip(np.full(1, 0.5), RATE)).level_dbov)
