"""Reverberation, level, bandwidth and clipping against closed forms."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import soundfile

from nacbench import audio, conditions
from nacbench.conditions.active_level import active_level
from nacbench.conditions.reverb import synthetic_response
from nacbench.core import Clip
from nacbench.errors import UserError

RATE = 16000
FLOAT32 = 2e-6  # rounding of samples around 1
LEVEL_DB = 1e-3  # of float32 samples


def under(spec: object, clip: Clip, seed: int = 0) -> Clip:
    return conditions.build(spec).apply(clip, seed)  # type: ignore[arg-type]


def noise(seconds: float = 2.0, channels: int = 1, scale: float = 0.05) -> Clip:
    rng = np.random.default_rng(2)
    return Clip(scale * rng.standard_normal((channels, round(seconds * RATE))), RATE, "clip")


def click(at: int, channels: int = 1) -> Clip:
    samples = np.zeros((channels, RATE))
    samples[:, at] = 0.5
    return Clip(samples, RATE, "click")


def power_db(samples: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.asarray(samples, dtype=np.float64) ** 2)))


# Reverberation


@pytest.mark.parametrize("rt60_s", [0.3, 1.0])
def test_a_synthetic_room_decays_by_sixty_db_in_its_reverberation_time(rt60_s: float) -> None:
    tail = synthetic_response(rt60_s, 0.0, 48000, 1, np.random.default_rng(0))[0]
    tail[0] = 0.0
    remaining_db = 10 * np.log10(np.cumsum(tail[::-1] ** 2)[::-1])
    at_5_db, at_35_db = (np.argmax(remaining_db < remaining_db[0] - x) for x in (5, 35))
    t30_s = 2 * (at_35_db - at_5_db) / 48000
    assert t30_s == pytest.approx(rt60_s, rel=0.05)  # Schroeder's curve of one draw of noise


@pytest.mark.parametrize("drr_db", [-6.0, 0.0, 12.0])
def test_a_synthetic_room_has_its_direct_to_reverberant_ratio(drr_db: float) -> None:
    for response in synthetic_response(0.5, drr_db, RATE, 2, np.random.default_rng(0)):
        assert response[0] == 1.0
        assert 10 * np.log10(1 / np.sum(response[1:] ** 2)) == pytest.approx(drr_db, abs=1e-9)


def test_the_direct_path_stays_in_time_and_the_power_stays_as_it_was() -> None:
    wet = under({"reverb": {"rt60_s": 0.4}}, click(3000))
    assert np.abs(wet.samples[0]).argmax() == 3000
    assert not wet.samples[0, :2999].any() or np.abs(wet.samples[0, :2999]).max() < 1e-6
    assert wet.length == RATE
    dry = noise()
    assert power_db(under({"reverb": {"rt60_s": 0.4}}, dry).samples) == pytest.approx(
        power_db(dry.samples), abs=LEVEL_DB
    )


@pytest.fixture
def rooms(tmp_path: Path) -> Path:
    """A stereo response: the right ear is louder and earlier, both after a travel time."""
    response = np.zeros((4800, 2))
    response[1030, 0], response[1000, 1] = 0.25, -0.5
    response[1480, 0], response[1480, 1] = 0.1, 0.2
    soundfile.write(tmp_path / "room.wav", response, 48000, subtype="FLOAT")
    return tmp_path


def at_48k(at: int, channels: int) -> Clip:
    return Clip(click(at, channels).samples, 48000, "click")


def test_a_measured_room_keeps_the_direct_path_and_the_delay_between_the_ears(rooms: Path) -> None:
    spec = {"reverb": {"source": {"folder": {"path": str(rooms)}}}}
    wet = under(spec, at_48k(2000, 2))
    left, right = wet.samples / np.abs(wet.samples).max()
    assert np.flatnonzero(np.abs(right) > 0.01).tolist() == [2000, 2480]
    assert np.flatnonzero(np.abs(left) > 0.01).tolist() == [2030, 2480]
    np.testing.assert_allclose(right[[2000, 2480]], [-1, 0.4], atol=FLOAT32)
    np.testing.assert_allclose(left[[2030, 2480]], [0.5, 0.2], atol=FLOAT32)
    assert wet.tags["reverb"] == "room.wav"
    assert conditions.build(spec).name == f"reverb(folder:{rooms.name})"


def test_a_mono_clip_in_a_stereo_room_hears_the_louder_ear(rooms: Path) -> None:
    wet = under({"reverb": {"source": {"folder": {"path": str(rooms)}}}}, at_48k(2000, 1))
    assert wet.channels == 1
    assert np.flatnonzero(np.abs(wet.samples[0]) > 0.01).tolist() == [2000, 2480]


def test_a_room_at_another_rate_is_resampled(rooms: Path) -> None:
    wet = under({"reverb": {"source": {"folder": {"path": str(rooms)}}}}, click(2000))
    assert np.abs(wet.samples[0]).argmax() == 2000
    echo = 2000 + 480 * RATE // 48000
    assert np.abs(wet.samples[0, echo]) > 0.2 * np.abs(wet.samples).max()


def test_a_silent_or_endless_response_is_refused(tmp_path: Path) -> None:
    spec = {"reverb": {"source": {"folder": {"path": str(tmp_path)}}}}
    soundfile.write(tmp_path / "a.wav", np.zeros(100), RATE)
    with pytest.raises(UserError, match="silent, so no impulse response"):
        under(spec, click(0))
    soundfile.write(tmp_path / "a.wav", np.zeros(31 * RATE), RATE)
    with pytest.raises(UserError, match="longer than 30 s"):
        under(spec, click(0))


# Level


def test_a_gain_is_a_gain() -> None:
    clip = noise()
    louder = under({"level": {"db": 6}}, clip)
    np.testing.assert_allclose(louder.samples, clip.samples * 10 ** (6 / 20), atol=FLOAT32)


def test_the_target_level_is_reached_on_its_own_scale() -> None:
    samples = noise(4).samples.copy()
    samples[:, RATE : 2 * RATE] = 0.0
    clip = Clip(samples, RATE, "clip")
    # The level is interpolated between thresholds 6 dB apart, so a second look differs a little.
    assert active_level(under({"level": {"active_dbov": -30}}, clip)).level_dbov == pytest.approx(
        -30, abs=0.1
    )
    loud = under({"level": {"lufs": -30}}, clip)
    assert audio.loudness_lufs(loud) == pytest.approx(-30, abs=LEVEL_DB)


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000, 96000])
def test_loudness_meets_the_calibration_point_of_its_standard(rate: int) -> None:
    """ITU-R BS.1770-4: a full-scale sine of 997 Hz in one channel is -3.01 LKFS."""
    sine = np.sin(2 * np.pi * 997 * np.arange(5 * rate) / rate)
    assert audio.loudness_lufs(Clip(sine, rate)) == pytest.approx(-3.01, abs=0.05)


def test_what_cannot_be_held_is_attenuated_to_full_scale_and_tagged() -> None:
    clip = noise()
    peak_db = 20 * np.log10(np.abs(clip.samples).max())
    loud = under({"level": {"db": 40}}, clip)
    assert np.abs(loud.samples).max() == pytest.approx(1, abs=FLOAT32)
    assert float(loud.tags["attenuated_db"]) == pytest.approx(40 + peak_db, abs=0.01)


@pytest.mark.parametrize("target", ["active_dbov", "lufs"])
def test_silence_has_no_target_level(target: str) -> None:
    with pytest.raises(UserError, match="silent, so no gain"):
        under({"level": {target: -30}}, Clip(np.zeros(RATE), RATE, "clip"))


def test_loudness_needs_a_block_and_at_most_five_channels() -> None:
    with pytest.raises(UserError, match="too short to have a loudness"):
        under({"level": {"lufs": -30}}, noise(0.39))
    with pytest.raises(UserError, match="1 to 5 channels, not 8"):
        under({"level": {"lufs": -30}}, noise(1, 8))


# Bandwidth


def response_db(spec: object, hertz: float, rate: int = 48000) -> float:
    tone = 0.5 * np.sin(2 * np.pi * hertz * np.arange(rate) / rate)
    filtered = under(spec, Clip(tone, rate)).samples[0]
    middle = slice(rate // 4, 3 * rate // 4)
    return power_db(filtered[middle]) - power_db(tone[middle])


@pytest.mark.parametrize("edge_hz", [3400.0, 8000.0])
def test_a_low_pass_keeps_the_band_and_removes_the_rest(edge_hz: float) -> None:
    spec = {"bandwidth": {"high_hz": edge_hz}}
    assert response_db(spec, 0.94 * edge_hz) == pytest.approx(0, abs=0.01)
    assert response_db(spec, edge_hz) == pytest.approx(-6.02, abs=0.05)
    assert response_db(spec, 1.06 * edge_hz) < -79


def test_a_telephone_band_has_both_edges() -> None:
    spec = {"bandwidth": {"low_hz": 300, "high_hz": 3400}}
    assert response_db(spec, 1000) == pytest.approx(0, abs=0.01)
    assert response_db(spec, 300) == pytest.approx(-6.02, abs=0.05)
    assert response_db(spec, 200) < -79
    assert response_db(spec, 4000) < -79


def test_filters_have_no_delay() -> None:
    for spec in ({"high_hz": 4000}, {"low_hz": 100}, {"low_hz": 100, "high_hz": 4000}):
        limited = under({"bandwidth": spec}, click(5000)).samples[0]
        assert np.abs(limited).argmax() == 5000
        np.testing.assert_allclose(limited[4000:5000], limited[6000:5000:-1], atol=FLOAT32)


def test_an_edge_beyond_the_clips_own_band_changes_nothing() -> None:
    clip = noise()
    np.testing.assert_array_equal(
        under({"bandwidth": {"high_hz": 8000}}, clip).samples, clip.samples
    )


# Clipping


@pytest.mark.parametrize("share", [0.001, 0.01, 0.2])
def test_a_share_of_the_samples_is_clipped(share: float) -> None:
    clip = noise(10)
    clipped = under({"clipping": {"share": share}}, clip).samples
    changed = np.mean(clipped != clip.samples)
    assert changed == pytest.approx(share, abs=2 / clip.length)
    assert (np.abs(clipped[clipped != clip.samples]) == np.abs(clipped).max()).all()


def test_a_threshold_is_relative_to_the_peak() -> None:
    clip = noise()
    clipped = under({"clipping": {"threshold_db": -6}}, clip).samples
    limit = np.abs(clip.samples).max() * 10 ** (-6 / 20)
    np.testing.assert_allclose(clipped, np.clip(clip.samples, -limit, limit), atol=FLOAT32)


# All of them


EVERY = [
    {"reverb": {"rt60_s": 0.3}},
    {"reverb": {"rt60_s": 0.3, "drr_db": 6}},
    {"level": {"db": -20}},
    {"level": {"active_dbov": -26}},
    {"level": {"lufs": -23}},
    {"bandwidth": {"high_hz": 4000}},
    {"bandwidth": {"low_hz": 300}},
    {"bandwidth": {"low_hz": 300, "high_hz": 3400}},
    {"clipping": {"share": 0.01}},
    {"clipping": {"threshold_db": -12}},
    [{"reverb": {"rt60_s": 0.5}}, {"noise": {"source": "babble", "snr_db": 10}}],
]
NAMES = [
    "reverb(0.3 s)",
    "reverb(0.3 s, drr 6 dB)",
    "level(-20 dB)",
    "level(-26 dBov)",
    "level(-23 LUFS)",
    "bandwidth(<4000 Hz)",
    "bandwidth(>300 Hz)",
    "bandwidth(300-3400 Hz)",
    "clipping(1 %)",
    "clipping(-12 dB)",
    "reverb(0.5 s) + noise(babble, 10 dB)",
]


@pytest.mark.parametrize(("spec", "name"), list(zip(EVERY, NAMES, strict=True)), ids=NAMES)
def test_every_condition_has_its_name_and_keeps_shape_id_and_draw(spec: object, name: str) -> None:
    condition = conditions.build(spec)  # type: ignore[arg-type]
    assert condition.name == name
    for channels in (1, 2):
        clip = noise(1.0, channels)
        changed = condition.apply(clip, 7)
        assert (changed.id, changed.sample_rate_hz) == ("clip", RATE)
        assert changed.samples.shape == clip.samples.shape
        assert np.isfinite(changed.samples).all()
        again = pickle.loads(pickle.dumps(condition)).apply(clip, 7)
        assert audio.sha256(again) == audio.sha256(changed)


def test_a_chain_applies_its_steps_in_order() -> None:
    clip = noise()
    chain = under([{"bandwidth": {"high_hz": 3400}}, {"level": {"db": -6}}], clip)
    limited = under({"bandwidth": {"high_hz": 3400}}, clip)
    np.testing.assert_array_equal(chain.samples, under({"level": {"db": -6}}, limited).samples)
    steps = [{"level": {"db": 40}}, {"level": {"db": -40}}]  # nothing is lost in between
    np.testing.assert_allclose(under(steps, clip).samples, clip.samples, atol=FLOAT32)


@pytest.mark.parametrize("samples", [np.full((1, 1), 0.1), 0.1 * np.ones((8, 5))])
def test_one_sample_and_eight_channels_pass_or_say_why_not(samples: np.ndarray) -> None:
    clip = Clip(samples, 192000, "odd")
    for spec in EVERY:
        try:
            changed = under(spec, clip)
        except UserError as error:
            assert str(error).startswith("odd: ")
        else:
            assert changed.samples.shape == samples.shape
            assert np.isfinite(changed.samples).all()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"reverb": {}}, "give either rt60_s or source"),
        ({"reverb": {"rt60_s": 1, "source": "real:rir"}}, "give either rt60_s or source"),
        ({"reverb": {"rt60_s": 0}}, "rt60_s must lie in"),
        ({"reverb": {"rt60_s": 1, "drr_db": 99}}, "drr_db must lie in"),
        ({"reverb": {"source": "real:rir", "drr_db": 3}}, "drr_db belongs to rt60_s"),
        ({"reverb": {"source": "real:rirs"}}, "unknown set 'rirs'"),
        ({"level": {}}, "give one of db"),
        ({"level": {"db": 1, "lufs": -23}}, "give one of db"),
        ({"level": {"lufs": 5}}, "lufs must lie in"),
        ({"level": {"db": "loud"}}, "level"),
        ({"bandwidth": {}}, "give high_hz"),
        ({"bandwidth": {"high_hz": 3}}, "high_hz must lie in"),
        ({"bandwidth": {"high_hz": 300, "low_hz": 3400}}, "low_hz must be below"),
        ({"clipping": {}}, "give either share"),
        ({"clipping": {"share": 2}}, "share must lie in"),
        ({"clipping": {"threshold_db": 3}}, "threshold_db must lie in"),
    ],
)
def test_a_faulty_condition_says_what_was_expected(spec: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        conditions.build(spec)  # type: ignore[arg-type]
