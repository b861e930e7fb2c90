"""Conditions do to a clip exactly what their name says, the same way every time."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import soundfile

from nacbench import conditions
from nacbench.conditions.active_level import active_level
from nacbench.conditions.recorded import loop
from nacbench.core import Clip
from nacbench.errors import UserError

RATE = 16000
FLOAT32_DB = 1e-3  # the mixture is float32; the noise is recovered by subtraction
SYNTHETIC = ["white", "pink", "hum", "speech_shaped", "babble"]


def speechlike(
    seconds: float = 4.0, channels: int = 1, rate: int = RATE, peak: float = 0.2
) -> Clip:
    """0.6 s of noise every 2 s."""
    rng = np.random.default_rng(1)
    length = round(seconds * rate)
    samples = rng.standard_normal((channels, length)) * (
        np.arange(length) % (2 * rate) < 0.6 * rate
    )
    return Clip(peak * samples / np.abs(samples).max(), rate, "clip", {"speaker": "anna"})


def noise_spec(source: object, snr_db: float = 10.0) -> dict[str, object]:
    return {"noise": {"source": source, "snr_db": snr_db}}


def added(spec: object, clip: Clip, seed: int = 0) -> np.ndarray:
    noisy = conditions.build(spec).apply(clip, seed)  # type: ignore[arg-type]
    return noisy.samples.astype(np.float64) - clip.samples


def power_db(samples: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.asarray(samples, dtype=np.float64) ** 2)))


def test_clean_is_the_clip_itself() -> None:
    clip = speechlike()
    clean = conditions.build("clean")
    assert clean.apply(clip, 0) is clip
    assert (clean.name, clean.spec) == ("clean", "clean")


@pytest.mark.parametrize("source", SYNTHETIC)
@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 20.0])
@pytest.mark.parametrize("channels", [1, 2])
def test_noise_lies_at_the_snr_below_the_active_speech_level(
    source: str, snr_db: float, channels: int
) -> None:
    clip = speechlike(channels=channels)
    noise = added(noise_spec(source, snr_db), clip)
    assert active_level(clip).level_dbov - power_db(noise) == pytest.approx(snr_db, abs=FLOAT32_DB)
    assert active_level(clip).level_dbov > power_db(clip.samples) + 1  # pauses: not the mean power


@pytest.mark.parametrize("source", SYNTHETIC)
def test_noise_is_the_same_for_one_clip_and_seed_and_other_for_others(source: str) -> None:
    clip = speechlike()
    one = conditions.build(noise_spec(source))
    other = pickle.loads(pickle.dumps(conditions.build(noise_spec(source))))
    np.testing.assert_array_equal(one.apply(clip, 3).samples, other.apply(clip, 3).samples)
    renamed = Clip(clip.samples, RATE, "other")
    for different in (one.apply(clip, 4), one.apply(renamed, 3)):
        assert not np.array_equal(different.samples, one.apply(clip, 3).samples)
    assert one.apply(clip, 3).tags["speaker"] == "anna"
    assert one.apply(clip, 3).id == "clip"


def band_db(samples: np.ndarray, low_hz: float, high_hz: float, rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(samples[0])) ** 2
    hertz = np.fft.rfftfreq(samples.shape[1], 1 / rate)
    return float(10 * np.log10(spectrum[(hertz >= low_hz) & (hertz < high_hz)].sum()))


OCTAVE_DB = 0.3  # 1 s.d. of the power of 1000 bins is 0.14 dB


@pytest.mark.parametrize("octave_hz", [125, 500, 2000])
def test_pink_noise_has_equal_power_and_white_noise_double_power_per_octave(
    octave_hz: float,
) -> None:
    clip = speechlike(20.0)
    for source, step_db in (("pink", 0.0), ("white", 10 * np.log10(2))):
        noise = added(noise_spec(source, 0), clip)
        lower = band_db(noise, octave_hz, 2 * octave_hz, RATE)
        upper = band_db(noise, 2 * octave_hz, 4 * octave_hz, RATE)
        assert upper - lower == pytest.approx(step_db, abs=OCTAVE_DB)


@pytest.mark.parametrize("mains_hz", [50, 60])
def test_hum_is_harmonics_of_the_mains_falling_six_db_per_octave(mains_hz: int) -> None:
    noise = added(noise_spec({"hum": {"mains_hz": mains_hz}}, 0), speechlike(4.0))
    levels = [band_db(noise, n * mains_hz - 1, n * mains_hz + 1, RATE) for n in (1, 2, 4)]
    assert np.diff(levels) == pytest.approx([-6.02, -6.02], abs=0.05)
    within = 10 ** ((band_db(noise, 1, 1100, RATE) - band_db(noise, 0, RATE, RATE)) / 10)
    assert within == pytest.approx(1, abs=1e-3)


def test_speech_shaped_noise_and_babble_have_the_spectrum_of_speech() -> None:
    """Against the third-octave levels of ITU-T P.50's sister: Byrne et al. 1994, within 5 dB."""
    byrne_db = {250: 60.3, 500: 62.1, 1000: 53.7, 2000: 48.7, 4000: 45.6}
    for source in ("speech_shaped", "babble"):
        noise = added(noise_spec(source, 0), speechlike(20.0))
        thirds = [band_db(noise, f * 2 ** (-1 / 6), f * 2 ** (1 / 6), RATE) for f in byrne_db]
        difference = np.array(thirds) - np.array(list(byrne_db.values()))
        assert np.abs(difference - difference.mean()).max() < 5


def test_babble_of_few_talkers_moves_in_level_more_than_that_of_many() -> None:
    def swing(talkers: int) -> float:
        noise = added(noise_spec({"babble": {"talkers": talkers}}, 0), speechlike(20.0))
        frames = noise[0, : 20 * RATE].reshape(-1, RATE // 20)
        return float(np.std(10 * np.log10(np.mean(frames**2, axis=1))))

    assert swing(1) > swing(4) > swing(32)
    assert swing(1) > 4


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    rng = np.random.default_rng(5)
    for name, rate, channels, seconds in (
        ("short", 8000, 1, 0.5),
        ("long", 22050, 2, 9.0),
        ("same", RATE, 1, 6.0),
    ):
        samples = 0.1 * rng.standard_normal((round(seconds * rate), channels))
        soundfile.write(tmp_path / f"{name}.wav", samples, rate, subtype="FLOAT")
    return tmp_path


@pytest.mark.parametrize("glob", ["short.wav", "long.wav", "same.wav"])
@pytest.mark.parametrize("channels", [1, 2])
def test_recorded_noise_is_looped_or_cropped_resampled_and_mixed_to_the_clip(
    recordings: Path, glob: str, channels: int
) -> None:
    clip = speechlike(channels=channels)
    spec = noise_spec({"folder": {"path": str(recordings), "glob": glob}}, 5)
    noise = added(spec, clip)
    assert active_level(clip).level_dbov - power_db(noise) == pytest.approx(5, abs=FLOAT32_DB)
    np.testing.assert_array_equal(noise, added(spec, clip))
    condition = conditions.build(spec)
    assert condition.apply(clip, 0).tags["noise"] == glob
    assert condition.name == f"noise(folder:{recordings.name}, 5 dB)"


def test_recorded_noise_starts_at_a_drawn_place(recordings: Path) -> None:
    spec = noise_spec({"folder": {"path": str(recordings), "glob": "same.wav"}}, 5)
    clip = speechlike(1.0)
    starts = {added(spec, clip, seed)[0, 0] for seed in range(5)}
    assert len(starts) == 5


def test_babble_of_recordings_leaves_out_the_clip_and_its_speaker(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    rows = ["path,id,speaker"]
    for name, speaker in (("a", "anna"), ("b", "ben"), ("clip", "cem")):
        soundfile.write(tmp_path / f"{name}.wav", 0.1 * rng.standard_normal(RATE), RATE)
        rows.append(f"{name}.wav,{name},{speaker}")
    (tmp_path / "m.csv").write_text("\n".join(rows))
    source = {"manifest": {"path": str(tmp_path / "m.csv")}}
    for seed in range(5):
        noisy = conditions.build(noise_spec(source)).apply(speechlike(), seed)
        assert noisy.tags["noise"] == "b"
    babble = conditions.build(noise_spec({"babble": {"talkers": 3, "clips": source}}))
    assert babble.name == "noise(babble 3 manifest:m.csv, 10 dB)"
    assert babble.apply(speechlike(), 0).tags["noise"] == babble.name[6:-8]


def test_a_looped_recording_is_seamless() -> None:
    sine = np.sin(1 + 2 * np.pi * 100 * np.arange(1234) / RATE).astype(np.float32)[None]
    looped = loop(sine, 10000, 160)
    assert looped.shape == (1, 10000)
    np.testing.assert_array_equal(looped[:, :1074], sine[:, :1074])
    steepest = 2 * np.pi * 100 / RATE
    assert np.abs(np.diff(looped)).max() < 1.8 * steepest  # a plain repeat jumps by 19 of them
    assert loop(sine, 100, 160).shape == (1, 100)
    assert loop(np.ones((1, 1), np.float32), 5, 160).tolist() == [[1.0] * 5]


def test_a_result_beyond_full_scale_is_attenuated_as_a_whole_and_says_so() -> None:
    clip = speechlike(peak=0.99)
    noisy = conditions.build(noise_spec("white", -10)).apply(clip, 0)
    assert np.abs(noisy.samples).max() == pytest.approx(1.0, abs=1e-6)
    assert float(noisy.tags["attenuated_db"]) > 3
    quiet = conditions.build(noise_spec("white", 10)).apply(speechlike(), 0)
    assert "attenuated_db" not in quiet.tags
    loud = conditions.build("clean").apply(speechlike(peak=2.0), 0)
    assert np.abs(loud.samples).max() == 1.0
    assert loud.tags["attenuated_db"] == "6.02"


def test_silence_has_no_snr_and_says_so() -> None:
    with pytest.raises(UserError, match="clip: silent, so it has no SNR"):
        conditions.build(noise_spec("white")).apply(Clip(np.zeros(RATE), RATE, "clip"), 0)


def test_one_sample_gets_noise() -> None:
    for source in SYNTHETIC:
        noisy = conditions.build(noise_spec(source)).apply(Clip(np.full(1, 0.1), RATE), 0)
        assert noisy.length == 1
        assert np.isfinite(noisy.samples).all()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("claen", r"expected 'clean'.* Did you mean 'clean'\?"),
        ([], "expected 'clean'"),
        (3, "expected 'clean'"),
        ({"noise": {"source": "pink", "snr_db": 5}, "x": {}}, "expected one 'name: {options}'"),
        ({"nose": {}}, r"unknown condition 'nose'. Did you mean 'noise'\?"),
        ({"noise": 10}, "expected options as a mapping"),
        ({"noise": {"source": "pink"}}, "option 'snr_db' is missing"),
        ({"noise": {"source": "pink", "snr": 5}}, r"Did you mean 'snr_db'\?"),
        ({"noise": {"source": "pinck", "snr_db": 5}}, r"'pinck'.*Did you mean 'pink'\?"),
        ({"noise": {"source": "pink", "snr_db": "loud"}}, "snr_db must be a number"),
        ({"noise": {"source": "pink", "snr_db": 1000}}, "snr_db must lie in"),
        ({"noise": {"source": {"hum": {"mains_hz": 5}}, "snr_db": 1}}, "mains_hz must lie in"),
        ({"noise": {"source": {"babble": {"talkers": 0}}, "snr_db": 1}}, "talkers must be"),
        ({"noise": {"source": {"folder": {}}, "snr_db": 1}}, "option 'path' is missing"),
    ],
)
def test_a_faulty_condition_says_what_was_expected(spec: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        conditions.build(spec)  # type: ignore[arg-type]
