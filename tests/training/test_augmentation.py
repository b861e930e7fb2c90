"""What is done to crops, against closed forms: frequencies, ratios, times."""

from typing import Any

import numpy as np
import pytest

from reference_codec.training.augmentation import (
    Augmentation,
    coloured_noise,
    synthetic_room,
    with_direct_sound_first,
)
from reference_codec.training.recipe import AugmentOptions

RATE = 16_000
Array = np.ndarray[Any, Any]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def certain(step: str, **options: Any) -> Augmentation:
    return Augmentation(
        AugmentOptions.model_validate({step: {"probability": 1.0, **options}}), RATE
    )


def exactly(value: float) -> dict[str, float]:
    return {"low": value, "high": value}


def white(seconds: float = 1.0, level: float = 0.05, channels: int = 1) -> Array:
    return level * rng(1).standard_normal((channels, round(seconds * RATE)), dtype=np.float32)


def tone(hz: float) -> Array:
    return (0.3 * np.sin(2 * np.pi * hz * np.arange(RATE) / RATE)).astype(np.float32)[None]


def db(ratio: float) -> float:
    return float(10 * np.log10(ratio))


def power(audio: Array) -> float:
    return float(np.square(audio, dtype=np.float64).mean())


def test_without_any_step_a_crop_only_gets_its_dither() -> None:
    nothing = Augmentation(AugmentOptions(), RATE)
    audio = white()
    assert nothing.speed(rng()) == 1.0
    assert nothing.colour(rng(), audio) is audio
    assert nothing.add_noise(rng(), audio) is audio
    added = nothing.finish(rng(), audio, dither_db=-70) - audio
    assert db(power(added)) == pytest.approx(-70, abs=0.2)


@pytest.mark.parametrize("snr_db", [0.0, 20.0])
def test_noise_and_other_speakers_come_at_the_ratio_asked_for(snr_db: float) -> None:
    audio = white()
    noisy = certain("noise", snr_db=exactly(snr_db)).add_noise(rng(), audio)
    assert db(power(audio) / power(noisy - audio)) == pytest.approx(snr_db, abs=0.01)
    mixed = certain("mixing", snr_db=exactly(snr_db)).mix(
        rng(), audio, lambda rng, length: tone(300)[:, :length]
    )
    assert db(power(audio) / power(mixed - audio)) == pytest.approx(snr_db, abs=0.01)


def test_nothing_is_mixed_to_silence() -> None:
    silence = np.zeros((1, RATE), np.float32)
    assert not certain("noise").add_noise(rng(), silence).any()


def test_recorded_noise_is_used_where_it_is_given() -> None:
    options = AugmentOptions.model_validate({"noise": {"probability": 1, "snr_db": exactly(0)}})
    recorded = Augmentation(options, RATE, noise=lambda rng, length: tone(1000)[:, :length])
    added = recorded.add_noise(rng(), white()) - white()
    assert np.abs(np.fft.rfft(added[0])).argmax() == 1000


def test_a_band_limit_keeps_what_is_below_and_takes_what_is_above() -> None:
    limited = certain("band_limit", hz=exactly(4000.0))
    below = limited.colour(rng(), tone(3900))[:, 1000:-1000]
    above = limited.colour(rng(), tone(4600))[:, 1000:-1000]
    assert db(power(below) / power(tone(3900))) == pytest.approx(0, abs=0.05)
    assert db(power(above) / power(tone(4600))) < -45


def test_the_equaliser_stays_within_its_gain_and_delays_nothing() -> None:
    click = np.zeros((1, RATE), np.float32)
    click[0, RATE // 2] = 1
    response = certain("equaliser", db=6.0).colour(rng(3), click)[0]
    assert np.abs(response).argmax() == RATE // 2
    gains_db = 20 * np.log10(np.abs(np.fft.rfft(response)))
    # Straight lines between the bands; the finite length rounds their corners.
    assert np.abs(gains_db[60:]).max() < 6.5
    assert np.ptp(gains_db[60:]) > 3


def test_a_room_keeps_the_direct_sound_in_its_place_and_has_the_level_asked_for() -> None:
    click = np.zeros((1, RATE), np.float32)
    click[0, 1000] = 1
    recorded = np.r_[np.zeros(500), 9 * click[0, 1000:1001], synthetic_room(rng(), RATE, 0.3)[1:]]
    for rooms in ((), (recorded.astype(np.float32),)):
        options = AugmentOptions.model_validate(
            {"reverberation": {"probability": 1, "wet_db": exactly(-10), "rt60_s": exactly(0.3)}}
        )
        wet = Augmentation(options, RATE, rooms).colour(rng(), click)[0]
        assert np.abs(wet).argmax() == 1000
        assert wet[1000] == pytest.approx(1, abs=1e-3)
        assert np.abs(wet[:999]).max() < 1e-4  # nothing comes round from the end
        assert db(np.square(wet[1040:]).sum()) == pytest.approx(-10, abs=0.1)


def test_a_synthetic_room_falls_by_sixty_decibels_in_its_time() -> None:
    rooms = np.stack([synthetic_room(rng(seed), RATE, 0.5) for seed in range(200)])
    level = 10 * np.log10(np.square(rooms[:, 200:]).mean(axis=0))
    slope = np.polyfit(np.arange(level.size) / RATE, level, 1)[0]
    assert slope == pytest.approx(-120, rel=0.02)


def test_a_recorded_room_begins_with_its_direct_sound() -> None:
    room = with_direct_sound_first(np.r_[np.zeros(300), 4, np.zeros(50), 1].astype("f4"), RATE)
    assert room[0] == pytest.approx(1)
    assert room[51] == pytest.approx(0.25)


@pytest.mark.parametrize("exponent", [0, 1, 2])
def test_coloured_noise_falls_with_frequency_as_it_should(exponent: int) -> None:
    noise = coloured_noise(rng(), (1, 1 << 18), exponent)[0]
    spectrum = np.square(np.abs(np.fft.rfft(noise)))
    octaves = [spectrum[2**k : 2 ** (k + 1)].mean() for k in range(8, 16)]
    slope = np.polyfit(np.arange(8), 10 * np.log10(octaves), 1)[0]
    assert slope == pytest.approx(-3.01 * exponent, abs=0.1)


def test_the_last_steps_change_level_sign_and_sides() -> None:
    stereo = np.concatenate([tone(300), 0.5 * tone(500)])
    quiet = -140.0  # dither, out of the way
    louder = certain("level", db=exactly(-6.0206)).finish(rng(), stereo, quiet)
    assert np.allclose(louder, 0.5 * stereo, atol=1e-5)
    assert np.allclose(certain("polarity").finish(rng(), stereo, quiet), -stereo, atol=1e-5)
    swapped = certain("channel_swap").finish(rng(), stereo, quiet)
    assert np.allclose(swapped, stereo[::-1], atol=1e-5)


def test_no_crop_exceeds_full_scale() -> None:
    loud = certain("level", db=exactly(30.0)).finish(rng(), tone(300), -70)
    assert np.abs(loud).max() == pytest.approx(1)


def test_a_probability_is_the_share_of_crops() -> None:
    half = Augmentation(AugmentOptions.model_validate({"speed": {"probability": 0.5}}), RATE)
    changed = [half.speed(rng(seed)) != 1.0 for seed in range(1000)]
    assert np.mean(changed) == pytest.approx(0.5, abs=0.05)
