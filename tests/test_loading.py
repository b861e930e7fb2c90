"""Reading audio files: an odd file is read as it is or refused with a sentence, never a crash."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from nacbench import audio
from nacbench.core import ClipRef
from nacbench.errors import UserError
from nacbench.sources.loading import file_sha256, load

RATE = 48000
EIGHT_BIT_STEP = 2 / 256
SIXTEEN_BIT_STEP = 2 / 65536
TWENTY_FOUR_BIT_STEP = 2 / 2**24


def noise(frames: int = 4800, channels: int = 2) -> np.ndarray:
    return 0.1 * np.random.default_rng(0).standard_normal((frames, channels)).astype(np.float32)


def written(path: Path, samples: np.ndarray, rate: int = RATE, subtype: str = "PCM_16") -> Path:
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


@pytest.mark.parametrize(
    ("subtype", "step"),
    [
        ("PCM_U8", EIGHT_BIT_STEP),
        ("PCM_16", SIXTEEN_BIT_STEP),
        ("PCM_24", TWENTY_FOUR_BIT_STEP),
        ("FLOAT", 0.0),
    ],
)
def test_every_word_length_is_read_to_within_its_own_step(
    tmp_path: Path, subtype: str, step: float
) -> None:
    samples = noise()
    clip = audio.read(written(tmp_path / "a.wav", samples, subtype=subtype))
    np.testing.assert_allclose(clip.samples.T, samples, rtol=0, atol=step)


@pytest.mark.parametrize(("channels", "rate"), [(8, 48000), (1, 192000), (2, 8000)])
def test_many_channels_and_high_rates_are_read_as_they_are(
    tmp_path: Path, channels: int, rate: int
) -> None:
    clip = audio.read(written(tmp_path / "a.wav", noise(100, channels), rate, "FLOAT"))
    assert (clip.channels, clip.sample_rate_hz, clip.length) == (channels, rate, 100)


def test_one_sample_silence_and_clipped_audio_are_read(tmp_path: Path) -> None:
    assert audio.read(written(tmp_path / "one.wav", noise(1))).length == 1
    assert not audio.read(written(tmp_path / "silent.wav", np.zeros((99, 1)))).samples.any()
    clipped = audio.read(written(tmp_path / "c.wav", np.clip(50 * noise(), -1, 1)))
    assert np.abs(clipped.samples).max() == 1.0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_sample_that_is_not_finite_is_refused_with_its_position(
    tmp_path: Path, value: float
) -> None:
    samples = noise()
    samples[2400, 1] = value
    path = written(tmp_path / "a.wav", samples, subtype="FLOAT")
    with pytest.raises(UserError, match=r"sample 2400 \(0\.050 s\) of channel 2 is -?(nan|inf)"):
        audio.read(path)


def test_files_that_are_empty_missing_or_not_audio_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        audio.read(tmp_path / "missing.wav")
    (tmp_path / "zero.wav").touch()
    with pytest.raises(UserError, match="not readable as audio"):
        audio.read(tmp_path / "zero.wav")
    (tmp_path / "text.flac").write_text("not audio at all")
    with pytest.raises(UserError, match="not readable as audio"):
        audio.read(tmp_path / "text.flac")
    with pytest.raises(UserError, match="holds no samples"):
        audio.read(written(tmp_path / "none.wav", noise(0)))
    with pytest.raises(UserError, match="not readable as audio"):
        audio.read(tmp_path)


@pytest.mark.parametrize(
    "form",
    [
        "WAV PCM_16",
        "WAV FLOAT",
        "FLAC PCM_16",
        "OGG VORBIS",
        "OGG OPUS",
        "MP3 MPEG_LAYER_III",
        "AIFF PCM_16",
        "RF64 PCM_16",
        "AU PCM_16",
        "W64 PCM_24",
        "CAF PCM_16",
    ],
)
@pytest.mark.parametrize("share", [0.001, 0.3, 0.7, 0.99])
def test_a_truncated_file_is_refused_in_every_format(
    tmp_path: Path, form: str, share: float
) -> None:
    kind, subtype = form.split()
    whole, cut = tmp_path / f"whole.{kind.lower()}", tmp_path / f"cut.{kind.lower()}"
    soundfile.write(whole, noise(RATE), RATE, format=kind, subtype=subtype)
    assert audio.read(whole).length == RATE
    cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * share)])
    with pytest.raises(UserError, match="truncated"):
        audio.read(cut)


def test_a_wav_written_to_a_pipe_has_no_length_in_its_header_and_is_whole(tmp_path: Path) -> None:
    path = written(tmp_path / "a.wav", noise(1000, 1))
    content = bytearray(path.read_bytes())
    content[40:44] = content[4:8] = b"\xff" * 4
    path.write_bytes(content)
    assert audio.read(path).length == 1000


def test_a_header_that_promises_a_billion_samples_allocates_nothing(tmp_path: Path) -> None:
    path = written(tmp_path / "a.flac", noise())
    content = bytearray(path.read_bytes())
    content[21:26] = (content[21] | 0x0F, 0xFF, 0xFF, 0xFF, 0xFF)  # 36-bit total in STREAMINFO
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"more than one clip may hold"):
        audio.read(path)
    with pytest.raises(UserError, match="truncated"):
        audio.read(path, duration_s=60)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_a_part_is_the_same_samples_as_in_the_whole(tmp_path: Path, suffix: str) -> None:
    soundfile.write(tmp_path / f"a.{suffix}", noise(3 * RATE), RATE)
    whole = audio.read(tmp_path / f"a.{suffix}")
    part = audio.read(tmp_path / f"a.{suffix}", start_s=1.25, duration_s=0.5)
    np.testing.assert_array_equal(part.samples, whole.samples[:, 60000:84000])


def test_a_part_of_an_mp3_of_variable_rate_is_exact(tmp_path: Path) -> None:
    """libsndfile's own seek is off by thousands of samples here."""
    samples = noise(20 * RATE, 1)[:, 0]
    samples *= np.arange(len(samples)) % RATE < RATE // 2
    path, options = tmp_path / "a.mp3", {"bitrate_mode": "VARIABLE", "compression_level": 0.5}
    with soundfile.SoundFile(path, "w", RATE, 1, format="MP3", **options) as file:
        file.write(samples)
    part = audio.read(path, start_s=15.9, duration_s=0.5)
    np.testing.assert_array_equal(
        part.samples, audio.read(path).samples[:, round(15.9 * RATE) :][:, : RATE // 2]
    )


def test_an_mp3_without_a_length_is_read_to_its_end(tmp_path: Path) -> None:
    import av

    samples = noise(5 * RATE, 1).T
    path = tmp_path / "a.mp3"
    with av.open(str(path), "w", options={"write_xing": "0"}) as container:
        stream = container.add_stream("libmp3lame", rate=RATE, layout="mono")
        stream.codec_context.format, stream.bit_rate = "fltp", 64000
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.rate = RATE
        container.mux([*stream.encode(frame), *stream.encode(None)])
    assert soundfile.info(path).frames > audio.read(path).length >= 5 * RATE


@pytest.mark.parametrize(("start_s", "duration_s"), [(0.2, None), (0, 0.2), (-1, 0.05), (0, 0)])
def test_a_part_outside_the_file_is_refused(
    tmp_path: Path, start_s: float, duration_s: float | None
) -> None:
    path = written(tmp_path / "a.wav", noise())
    with pytest.raises(UserError, match=r"not inside the file, which is 0\.1 s long"):
        audio.read(path, start_s=start_s, duration_s=duration_s)


def test_loading_verifies_the_hash_and_keeps_id_and_tags(tmp_path: Path) -> None:
    path = written(tmp_path / "a.wav", noise())
    right = file_sha256(path)
    clip = load(ClipRef("a", str(path), {"speaker": "anna"}, 0.025, 0.05, right))
    assert (clip.id, clip.tags["speaker"], clip.length) == ("a", "anna", 2400)
    with pytest.raises(UserError, match=r"sha256 is .* expected 000000000000…"):
        load(ClipRef("a", str(path), sha256="0" * 64))
