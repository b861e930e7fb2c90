"""The data pipeline: what is used, what a crop is, and that a batch depends on its number alone."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from reference_codec.errors import UserError
from reference_codec.training import cache as caching
from reference_codec.training import recipe_file
from reference_codec.training.data import TrainingData, held_out_speakers, prepare
from reference_codec.training.recipe import AugmentOptions, DataOptions
from reference_codec.training.recordings import find

RATE = 16_000
SIXTEEN_BITS = 2 / 32767  # the rounding of the file, and that of the cache


def tone(hz: float, seconds: float, rate: int = RATE, level: float = 0.5) -> np.ndarray[Any, Any]:
    return (level * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype("f4")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "recordings"
    for speaker, hz in (("anna", 300), ("ben", 500), ("cleo", 700), ("dirk", 900)):
        (root / speaker).mkdir(parents=True)
        for take in (1, 2):
            soundfile.write(root / speaker / f"{take}.wav", tone(hz, 1.5), RATE)
    return root


def cached(folder: Path, channels: int = 1, rate: int = RATE, **options: Any) -> caching.Cache:
    where = DataOptions(**options)
    return caching.build(find(folder), rate, channels, where, folder.parent / "cache", threads=1)


def data(cache: caching.Cache, batch_size: int = 4, **more: Any) -> TrainingData:
    augment = more.pop("augment", AugmentOptions())
    options = more.pop("options", DataOptions())
    return TrainingData(cache, options, augment, 4000, batch_size, seed=3, **more)


def everything() -> AugmentOptions:
    names = AugmentOptions.model_fields
    return AugmentOptions.model_validate({name: {"probability": 1.0} for name in names})


def test_speakers_are_the_first_folders_in_which_the_files_differ(folder: Path) -> None:
    assert {r.speaker for r in find(folder)} == {"anna", "ben", "cleo", "dirk"}
    assert {r.speaker for r in find(folder.parent)} == {"anna", "ben", "cleo", "dirk"}
    assert {r.speaker for r in find(folder / "anna")} == {"1.wav", "2.wav"}


def test_a_manifest_gives_speakers_parts_and_a_choice_of_rows(folder: Path) -> None:
    manifest = folder / "list.csv"
    manifest.write_text(
        "path,speaker,set,start_s,duration_s\nanna/1.wav,A,train,0.5,0.6\nben/1.wav,B,eval,,\n"
    )
    (only,) = find(manifest, {"set": "train"})
    assert (only.speaker, only.start_s, only.duration_s) == ("A", 0.5, 0.6)
    cache = caching.build([only], RATE, 1, DataOptions(), folder / "c", threads=1)
    assert cache.entries[0].length == round(0.6 * RATE)
    expected = tone(300, 1.5)[8000:17600]
    assert np.abs(cache.read(0, 0, 9600)[0] - expected).max() < SIXTEEN_BITS
    with pytest.raises(UserError, match=r"no column 'sett'.* Did you mean 'set'\?"):
        find(manifest, {"sett": "train"})
    with pytest.raises(UserError, match="no row has"):
        find(manifest, {"set": "test"})


def test_what_cannot_be_trained_on_is_listed_with_its_reason(folder: Path) -> None:
    (folder / "odd").mkdir()
    soundfile.write(folder / "odd" / "silent.wav", np.zeros(RATE), RATE)
    soundfile.write(folder / "odd" / "short.wav", tone(300, 0.2), RATE)
    soundfile.write(folder / "odd" / "old.wav", tone(300, 1, 8000), 8000)
    soundfile.write(folder / "odd" / "nan.wav", np.full(RATE, np.nan, "f4"), RATE, "FLOAT")
    (folder / "odd" / "text.wav").write_text("no audio")
    (folder / "odd" / "notes.txt").write_text("not looked at")
    whole = (folder / "anna" / "1.wav").read_bytes()
    soundfile.write(folder / "odd" / "cut.flac", tone(300, 2), RATE)
    flac = folder / "odd" / "cut.flac"
    flac.write_bytes(flac.read_bytes()[: flac.stat().st_size // 2])
    (folder / "odd" / "empty.wav").write_bytes(whole[:44])
    cache = cached(folder, lowest_rate_hz=16000)
    reasons = {Path(left.name).stem: left.reason for left in cache.left_out}
    assert set(reasons) == {"silent", "short", "old", "nan", "text", "cut", "empty"}
    assert "silent" in reasons["silent"]
    assert "0.20 s" in reasons["short"]
    assert "8000 Hz" in reasons["old"]
    assert "not finite" in reasons["nan"]
    assert "not readable" in reasons["text"]
    assert len(cache.entries) == 8
    table = (cache.directory / "left_out.csv").read_text().splitlines()
    assert len(table) == 1 + len(reasons)


def test_nothing_to_train_on_is_an_error_that_says_why(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(UserError, match="no audio files"):
        find(tmp_path / "a")
    with pytest.raises(UserError, match="no such folder"):
        find(tmp_path / "b")
    soundfile.write(tmp_path / "a" / "silent.wav", np.zeros(RATE), RATE)
    with pytest.raises(UserError, match="silent: its loudest 100 ms"):
        cached(tmp_path / "a")


@pytest.mark.parametrize("suffix", ["flac", "ogg", "mp3", "aiff", "m4a"])
@pytest.mark.parametrize("rate", [8000, 44100])
def test_any_format_and_rate_arrives_at_the_codecs_own(
    tmp_path: Path, suffix: str, rate: int
) -> None:
    path = tmp_path / "in" / f"a.{suffix}"
    path.parent.mkdir()
    signal = np.stack([tone(440, 2, rate), tone(440, 2, rate, 0.25)], axis=1)
    if suffix == "m4a":
        write_m4a(path, signal, rate)
    else:
        soundfile.write(path, signal, rate)
    cache = cached(path.parent)
    (entry,) = cache.entries
    assert abs(entry.length / RATE - 2) < 2 * 1152 / rate  # MP3 and AAC pad to whole frames
    middle = cache.read(0, RATE // 2, 3 * RATE // 2)[0]
    spectrum = np.abs(np.fft.rfft(middle)) / (RATE / 2)
    assert spectrum.argmax() == 440
    assert spectrum[440] == pytest.approx(0.375, abs=0.02)  # the mean of both channels


def write_m4a(path: Path, signal: np.ndarray[Any, Any], rate: int) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=rate, layout="stereo")
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(signal.T), format="fltp", layout="stereo"
        )
        frame.sample_rate = rate
        container.mux(stream.encode(frame))  # type: ignore[attr-defined]
        container.mux(stream.encode(None))  # type: ignore[attr-defined]


def test_stereo_stays_stereo_and_mono_is_read_for_both(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "s.wav", np.stack([tone(300, 1), tone(900, 1)], 1), RATE)
    soundfile.write(tmp_path / "m.wav", tone(500, 1), RATE)
    (tmp_path / "in").mkdir()
    for name in "sm":
        (tmp_path / f"{name}.wav").rename(tmp_path / "in" / f"{name}.wav")
    cache = cached(tmp_path / "in", channels=2)
    mono, stereo = (cache.read(i, 0, RATE) for i in (0, 1))
    assert np.array_equal(mono[0], mono[1])
    assert np.abs(stereo[1] - tone(900, 1)).max() < SIXTEEN_BITS


def test_a_long_file_becomes_pieces_that_join_to_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reference_codec.training import decoding

    monkeypatch.setattr(decoding, "PIECE_S", 1.0)
    monkeypatch.setattr(decoding, "_READ_S", 0.3)
    (tmp_path / "in").mkdir()
    signal = tone(300, 3.5, 48_000) * np.linspace(0.1, 1, 168_000, dtype="f4")
    soundfile.write(tmp_path / "in" / "long.wav", signal, 48_000, "FLOAT")
    pieces = cached(tmp_path / "in")
    assert [e.length for e in pieces.entries] == [RATE, RATE, RATE, RATE // 2]
    joined = np.concatenate([pieces.read(i, 0, e.length) for i, e in enumerate(pieces.entries)], 1)
    monkeypatch.undo()
    whole = caching.build(
        find(tmp_path / "in"), RATE, 1, DataOptions(), tmp_path / "other", threads=1
    )
    assert np.abs(joined - whole.read(0, 0, joined.shape[1])).max() < SIXTEEN_BITS


def test_a_cache_is_reused_until_a_file_or_an_option_changes(folder: Path) -> None:
    first = cached(folder)
    stamp = (first.directory / "samples.i16").stat().st_mtime_ns
    again = cached(folder)
    assert again.directory == first.directory
    assert (again.directory / "samples.i16").stat().st_mtime_ns == stamp
    assert cached(folder, shortest_s=0.4).directory != first.directory
    soundfile.write(folder / "anna" / "1.wav", tone(310, 1.6), RATE)
    assert cached(folder).directory != first.directory


def test_a_cache_that_was_interrupted_is_not_taken_for_whole(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        caching.build(find(folder), RATE, 1, DataOptions(), folder.parent / "cache", dies)
    left = [p for p in (folder.parent / "cache").iterdir() if p.suffix != ".lock"]
    assert left == []
    assert len(cached(folder).entries) == 8


def test_batches_are_a_function_of_seed_and_step_alone(folder: Path) -> None:
    cache = cached(folder)
    whole = [
        b.audio.numpy() for b in itertools.islice(data(cache, augment=everything()).batches(0), 5)
    ]
    late = data(cache, augment=everything())
    resumed = [(b.step, b.audio.numpy()) for b in itertools.islice(late.batches(3), 2)]
    for step, audio in resumed:
        assert np.array_equal(audio, whole[step])
    assert not np.array_equal(whole[0], whole[1])
    assert whole[0].shape == (4, 1, 4000)
    assert whole[0].dtype == np.float32


def test_processes_that_train_together_share_one_batch(folder: Path) -> None:
    cache = cached(folder)
    one = data(cache, 4, augment=everything()).crops(7)
    two = [data(cache, 2, augment=everything(), rank=r, world=2).crops(7) for r in (0, 1)]
    assert np.array_equal(np.concatenate(two), one)


def test_worker_processes_make_the_same_batches(folder: Path) -> None:
    cache = cached(folder)
    alone = data(cache, augment=everything()).crops(2)
    workers = data(cache, augment=everything(), workers=1).batches(2)
    assert np.array_equal(next(workers).audio.numpy(), alone)
    workers.close()  # type: ignore[attr-defined]


def test_no_speaker_is_in_both_training_and_validation(folder: Path) -> None:
    split = data(cached(folder))
    speakers = [
        {split.cache.entries[i].speaker for i in entries}
        for entries in (split.training_entries, split.validation_entries)
    ]
    assert speakers[0].isdisjoint(speakers[1])
    assert len(speakers[1]) == 1
    (held,) = {clip.speaker for clip in split.held_out(2, 1.0)}
    assert {held} == speakers[1]
    assert {split.cache.entries[split._place(np.random.default_rng(i))[0]].speaker
            for i in range(50)} == speakers[0]  # fmt: skip


def test_new_speakers_move_nobody_who_was_held_out_into_training() -> None:
    few = {f"s{i}" for i in range(50)}
    many = few | {f"t{i}" for i in range(50)}
    assert held_out_speakers(few, 0.2) - held_out_speakers(many, 0.2) <= few
    ranked = [held_out_speakers(many, share) for share in (0.1, 0.2, 0.4)]
    assert ranked[0] < ranked[1] < ranked[2]
    assert held_out_speakers({"alone"}, 0.5) == frozenset()
    assert len(held_out_speakers({"a", "b"}, 0.9)) == 1


def test_crops_hold_speech_and_never_digital_silence(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    mostly_silent = np.concatenate([np.zeros(10 * RATE), tone(400, 0.3), np.zeros(10 * RATE)])
    soundfile.write(tmp_path / "in" / "a.wav", mostly_silent, RATE)
    crops = data(cached(tmp_path / "in"), 32).crops(0)
    levels = np.sqrt(np.square(crops).mean(axis=(1, 2)))
    assert (levels > 0.05).mean() > 0.9
    blocks = np.square(crops[:, 0].reshape(32, -1, 100)).mean(axis=2)
    assert 10 * np.log10(blocks.min()) > -74  # dither of -70 dBFS, over 100 samples


def test_a_clip_shorter_than_a_crop_is_whole_in_it(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in" / "a.wav", tone(400, 0.1), RATE)
    cache = cached(tmp_path / "in", shortest_s=0.05)
    crops = data(cache, 16, options=DataOptions(shortest_s=0.05)).crops(0)
    energy = np.square(crops).sum(axis=(1, 2))
    assert np.count_nonzero(energy > 0.95 * np.square(tone(400, 0.1)).sum()) >= 5


def test_speakers_can_be_drawn_with_equal_chances(tmp_path: Path) -> None:
    for speaker, hz, takes in (("a", 400, 1), ("b", 3000, 9)):
        (tmp_path / "in" / speaker).mkdir(parents=True)
        for take in range(takes):
            soundfile.write(tmp_path / "in" / speaker / f"{take}.wav", tone(hz, 1), RATE)
    cache = cached(tmp_path / "in")

    def share_of_a(balance: str) -> float:
        options = DataOptions.model_validate({"balance": balance, "validation_share": 0.0})
        draw = data(cache, options=options)._place
        drawn = [cache.entries[draw(np.random.default_rng(i))[0]].speaker for i in range(400)]
        return drawn.count("a") / 400

    assert share_of_a("seconds") == pytest.approx(0.1, abs=0.05)
    assert share_of_a("speakers") == pytest.approx(0.5, abs=0.08)


def test_kinds_of_sound_in_folders_can_be_drawn_with_equal_chances(tmp_path: Path) -> None:
    for place, hz in (("music/x", 400), *((f"speech/{i}", 3000) for i in range(9))):
        (tmp_path / "in" / place).mkdir(parents=True)
        soundfile.write(tmp_path / "in" / place / "1.wav", tone(hz, 1), RATE)
    cache = cached(tmp_path / "in")
    options = DataOptions(balance="folders", validation_share=0.0)
    draw = data(cache, options=options)._place
    drawn = [cache.entries[draw(np.random.default_rng(i))[0]].name for i in range(400)]
    music = sum(name.startswith("music/") for name in drawn) / 400
    assert music == pytest.approx(0.5, abs=0.08)


def test_prepare_follows_a_recipe(folder: Path) -> None:
    told = []
    recipe = recipe_file.load("tiny", [f"data.noises={folder / 'ben'}", f"data.rooms={folder}"])
    ready = prepare(recipe, folder, folder.parent / "c", advance=lambda *state: told.append(state))
    assert ready.crops(0).shape == (8, 1, recipe.segment)
    assert told[-1] == ("noises", 2, 2)
    assert sum(ready.hours) == pytest.approx(8 * 1.5 / 3600)


def test_speed_changes_pitch_and_length_together(folder: Path) -> None:
    options = {"speed": {"probability": 1, "factor": {"low": 1.1, "high": 1.1}}}
    fast = data(cached(folder / "anna"), augment=AugmentOptions.model_validate(options)).crops(0)
    spectrum = np.abs(np.fft.rfft(fast[0, 0] * np.hanning(4000), 1 << 16))
    assert spectrum.argmax() * RATE / (1 << 16) == pytest.approx(330, abs=1)


def test_recorded_noises_are_repeated_where_they_are_too_short(folder: Path) -> None:
    soundfile.write(folder / "click.wav", tone(1000, 0.12), RATE)
    noises = caching.build(
        [r for r in find(folder) if r.name == "click.wav"], RATE, 1,
        DataOptions(shortest_s=0.1), folder.parent / "cache", threads=1,
    )  # fmt: skip
    noisy = data(cached(folder), noises=noises)._noise(np.random.default_rng(0), 4000)
    assert noisy.shape == (1, 4000)
    assert np.square(noisy[0, 3000:]).mean() == pytest.approx(0.125, rel=0.05)


def test_stereo_crops_go_through_every_step(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name, hz in (("a", 300), ("b", 700)):
        stereo = np.stack([tone(hz, 1), tone(2 * hz, 1)], axis=1)
        soundfile.write(tmp_path / "in" / f"{name}.wav", stereo, RATE)
    crops = data(cached(tmp_path / "in", channels=2), augment=everything()).crops(0)
    assert crops.shape == (4, 2, 4000)
    assert np.isfinite(crops).all()
    assert np.abs(crops).max() <= 1
    assert not np.allclose(crops[:, 0], crops[:, 1])
