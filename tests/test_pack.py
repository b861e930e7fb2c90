"""The embedded pack: the manifest tells the truth, and the audio is what its set promises."""

import csv
import hashlib
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from nacbench import pack, sources
from nacbench.errors import UserError
from nacbench.pack.rebuild import music
from nacbench.pack.rebuild.midi import phrase
from nacbench.pack.rebuild.models import plucked_string
from nacbench.pack.rebuild.track import run
from nacbench.sources.loading import load

FOLDER = Path(pack.__file__).parent
LARGEST_PACK_BYTES = 20_000_000
LARGEST_DC = 1e-3  # -60 dBFS; a codec's high-pass would otherwise be scored for removing it
FRAME_S = 0.02


def manifest() -> list[dict[str, str]]:
    with (FOLDER / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


ROWS = manifest()


def rows_of(name: str) -> list[dict[str, str]]:
    return [row for row in ROWS if row["set"] == name]


@cache
def audio(path: str) -> tuple[NDArray[np.float64], int]:
    """`[time, channels]` and the rate."""
    samples, sample_rate_hz = soundfile.read(FOLDER / path, always_2d=True)
    return samples, sample_rate_hz


def each(rows: list[dict[str, str]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", rows, ids=[row["id"] for row in rows])


def frame_power(row: dict[str, str]) -> NDArray[np.float64]:
    samples, sample_rate_hz = audio(row["path"])
    frame = round(FRAME_S * sample_rate_hz)
    mono = samples.mean(axis=1)
    return np.square(mono[: mono.size // frame * frame]).reshape(-1, frame).mean(axis=1)


@each(ROWS)
def test_the_manifest_matches_the_file(row: dict[str, str]) -> None:
    path = FOLDER / row["path"]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == row["sha256"]
    info = soundfile.info(path)
    assert (info.format, info.subtype) == ("FLAC", "PCM_16")
    assert info.samplerate == int(row["sample_rate_hz"])
    assert info.channels == int(row["channels"])
    assert f"{info.frames / info.samplerate:.3f}" == row["seconds"]
    for column in ("genre", "licence", "generator", "processing", "seed"):
        assert row[column], column


def test_every_audio_file_is_in_the_manifest_and_all_fit_into_20_mb() -> None:
    files = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.flac"))
    assert files == sorted(row["path"] for row in ROWS)
    assert sum((FOLDER / path).stat().st_size for path in files) <= LARGEST_PACK_BYTES
    assert len({row["id"] for row in ROWS}) == len(ROWS)


def test_the_speech_set_has_many_voices_and_languages() -> None:
    speech = rows_of("speech")
    assert len(speech) >= 16
    assert len({row["speaker"] for row in speech}) >= 8
    assert len({row["language"].split("-")[0] for row in speech}) >= 6
    assert min(Counter(row["gender"] for row in speech).values()) >= 6
    for row in speech:
        assert 4 <= float(row["seconds"]) <= 8, row["id"]
        assert row["channels"] == "1" and len(row["transcript"]) > 20


@each(ROWS)
def test_no_clip_is_silent_clipped_or_offset(row: dict[str, str]) -> None:
    samples, _ = audio(row["path"])
    peak = np.abs(samples).max(axis=0)
    assert (peak > 0.05).all() and (peak < 10 ** (-0.5 / 20)).all()
    assert np.abs(samples.mean(axis=0)).max() < LARGEST_DC
    assert samples.std(axis=0).min() > 10 ** (-40 / 20)


@each(ROWS)
def test_the_licences_of_all_clips_are_explained(row: dict[str, str]) -> None:
    notice = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert row["licence"] in notice
    if row["speaker"]:
        assert f"`{row['speaker']}`" in notice


@each(rows_of("speech"))
def test_speech_pauses_and_moves_at_the_rate_of_syllables(row: dict[str, str]) -> None:
    power = frame_power(row)
    active = power > np.percentile(power, 95) * 1e-3
    assert 0.6 < active.mean() < 0.95
    sounding = np.flatnonzero(active) * FRAME_S
    assert 0.18 <= sounding[0] <= 0.6
    assert 0.25 <= power.size * FRAME_S - sounding[-1] <= 0.9
    envelope = np.sqrt(power) - np.sqrt(power).mean()
    spectrum = np.abs(np.fft.rfft(envelope * np.hanning(envelope.size), 1024)) ** 2
    modulation_hz = np.fft.rfftfreq(1024, FRAME_S)
    syllabic = (modulation_hz > 2) & (modulation_hz < 8)
    assert spectrum[syllabic].sum() > 0.35 * spectrum[modulation_hz > 0.3].sum()


@each(rows_of("speech"))
def test_speech_uses_the_band_that_its_rate_promises(row: dict[str, str]) -> None:
    """The loudest sibilants reach 15 dB above the room tone just below the Nyquist frequency."""
    samples, sample_rate_hz = audio(row["path"])
    frame = round(FRAME_S * sample_rate_hz)
    frames = samples[: len(samples) // frame * frame, 0].reshape(-1, frame)
    power = np.abs(np.fft.rfft(frames * np.hanning(frame), axis=1)) ** 2
    relative = np.fft.rfftfreq(frame, 0.5)
    top = power[:, (relative > 0.75) & (relative < 0.95)].mean(axis=1)
    assert 10 * np.log10(np.percentile(top, 99) / np.percentile(top, 3)) > 15


def test_the_music_set_has_many_kinds_at_music_rates_and_stereo() -> None:
    music = rows_of("music")
    assert len(music) >= 12
    assert len({row["genre"] for row in music}) >= 12
    assert sum(row["channels"] == "2" for row in music) >= 4
    for row in music:
        assert 8 <= float(row["seconds"]) <= 10, row["id"]
        assert row["sample_rate_hz"] in ("44100", "48000")


def partials(samples: NDArray[np.float64]) -> float:
    """Median count of spectral peaks within 60 dB of the strongest, over sounding frames."""
    size = 4096
    frames = samples[: samples.size // size * size].reshape(-1, size) * np.hanning(size)
    level_db = 20 * np.log10(np.abs(np.fft.rfft(frames, axis=1)) + 1e-9)
    sounding = level_db[level_db.max(axis=1) > level_db.max() - 60]
    inner = sounding[:, 1:-1]
    peak = (inner > sounding[:, :-2]) & (inner > sounding[:, 2:])
    strong = inner > sounding.max(axis=1, keepdims=True) - 60
    return float(np.median((peak & strong).sum(axis=1)))


# A glockenspiel has five modes a bar; everything else has far more than fifteen partials.
FEWEST_PARTIALS = 15


@each(rows_of("music"))
def test_music_is_rich_in_partials(row: dict[str, str]) -> None:
    samples, _ = audio(row["path"])
    assert partials(samples.mean(axis=1)) >= FEWEST_PARTIALS


def test_a_melody_of_bare_sines_would_not_pass_as_music() -> None:
    time_s = np.arange(44100) / 44100
    beeps = [np.sin(2 * np.pi * hz * time_s) * np.exp(-time_s) for hz in (440, 554.4, 659.3)]
    assert partials(np.concatenate(beeps)) < FEWEST_PARTIALS


@each([row for row in rows_of("music") if row["channels"] == "2"])
def test_stereo_is_not_twice_the_same_channel(row: dict[str, str]) -> None:
    samples, _ = audio(row["path"])
    assert abs(np.corrcoef(samples.T)[0, 1]) < 0.99


def test_transient_clips_rise_within_a_millisecond_or_two() -> None:
    samples, sample_rate_hz = audio("music/castanets.flac")
    step = sample_rate_hz // 1000
    envelope = np.abs(samples).max(axis=1)[: len(samples) // step * step].reshape(-1, step).max(1)
    rise_db = 20 * np.log10((envelope[2:] + 1e-4) / (envelope[:-2] + 1e-4))
    assert (rise_db > 20).sum() >= 30


def test_rebuilding_a_clip_gives_the_same_audio() -> None:
    """Of the clips that need no engine; the last bit may differ between builds of numpy."""
    track = music.render("castanets")
    samples, sample_rate_hz = audio("music/castanets.flac")
    assert track.sample_rate_hz == sample_rate_hz
    np.testing.assert_allclose(track.audio.T, samples, rtol=0, atol=1.6 / 32768)


def test_a_missing_engine_names_the_package_to_install() -> None:
    with pytest.raises(UserError, match=r"no-such-engine: not installed.*apt-get install festival"):
        run(["no-such-engine"], "festival")


def test_a_phrase_is_read_as_notes() -> None:
    notes = phrase("c4:1! eb4+g4:.5 -:.25 a4~", velocity=80, legato=1.0)
    assert [(note.start_beat, note.beats, note.pitch, note.velocity) for note in notes] == [
        (0.0, 1.0, 60, 94),
        (1.0, 0.5, 63, 80),
        (1.0, 0.5, 67, 80),
        (1.75, 0.25, 69, 66),
    ]


def test_a_plucked_string_sounds_at_its_pitch() -> None:
    sample_rate_hz = 48000
    sound = plucked_string(196.0, 0.8, sample_rate_hz, 2.0, np.random.default_rng(1))
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(sound.size), 1 << 19))
    resolution_hz = sample_rate_hz / (1 << 19)
    around = slice(int(150 / resolution_hz), int(250 / resolution_hz))
    found_hz = (around.start + int(spectrum[around].argmax())) * resolution_hz
    assert abs(1200 * np.log2(found_hz / 196.0)) < 5  # cents; nobody hears less


@pytest.mark.parametrize("name", sorted({row["set"] for row in ROWS}))
def test_the_embedded_source_lists_a_set_with_hashes_and_tags(name: str) -> None:
    refs = sources.build(f"embedded:{name}").clips()
    assert [ref.id for ref in refs] == [row["id"] for row in rows_of(name)]
    assert all(ref.sha256 for ref in refs)
    assert "sha256" not in refs[0].tags and refs[0].tags["licence"]
    clip = load(refs[0])
    assert clip.sample_rate_hz == int(rows_of(name)[0]["sample_rate_hz"])


def test_an_unknown_set_names_the_right_one() -> None:
    with pytest.raises(UserError, match=r"no set 'speach'\. Did you mean 'speech'\?"):
        sources.build("embedded:speach").clips()
