"""The built-in codecs: bytes and delays against closed forms, decoders against other decoders."""

import ctypes
import functools
import inspect
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import signals
from signals import noise, sine

from nacbench import audio, coding
from nacbench.alignment import align
from nacbench.codecs import CODECS, amr, libav, ogg, shared_library, speex
from nacbench.core import Alignment, Bitstream, Clip
from nacbench.errors import CodecUnavailableError, DecodeError, UserError
from nacbench.testing import check_codec

voice = functools.cache(signals.voice)  # clips are immutable
BUILT_IN = sorted(CODECS._builtin)
NEED_AN_OPTION = ("command", "files", "nemo", "tokens")
ON_THEIR_OWN = [name for name in BUILT_IN if name not in NEED_AN_OPTION]
POINTS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in ON_THEIR_OWN),
    ("opus", {"kbps": 6, "application": "voip"}),
    ("opus", {"kbps": 64, "application": "lowdelay", "vbr": "off", "frame_ms": 2.5}),
    ("opus", {"kbps": 32, "vbr": "constrained", "frame_ms": 60}),
    ("mp3", {"kbps": 16, "mode": "abr"}),
    ("flac", {"bits": 24}),
    ("g711", {"law": "a"}),
    ("g726", {"kbps": 24}),
    ("amr_nb", {"kbps": 4.75}),
    ("amr_wb", {"kbps": 23.85}),
    ("lc3", {"kbps": 64, "frame_ms": 2.5}),
    ("codec2", {"kbps": 0.7}),
    ("speex", {"quality": 10, "band": "ultra_wide"}),
    ("speex", {"quality": 0, "band": "narrow"}),
]


WEIGHTS = Path(__file__).parents[1] / ".." / "shared" / "weights"


@pytest.fixture(autouse=True)
def _weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those at hand are used; codecs without theirs are skipped."""
    if WEIGHTS.is_dir():
        monkeypatch.setenv("NACBENCH_DATA", str(WEIGHTS))


def build(name: str, **options: Any) -> Any:
    try:
        return coding.build(name, options)
    except CodecUnavailableError as error:
        pytest.skip(str(error))


def round_trip(name: str, clip: Clip, **options: Any) -> tuple[Bitstream, Clip, Alignment]:
    (stream,) = coding.encode(build(name, **options), clip)
    decoded = coding.decode(build(name, **options), (stream,), clip)
    aligned, found = align(clip, decoded)
    return stream, aligned, found


@pytest.mark.parametrize(("name", "options"), POINTS)
def test_every_codec_keeps_the_contract(name: str, options: dict[str, Any]) -> None:
    build(name, **options)
    report = check_codec(name, **options)
    assert report.measured["payload_kbps"] > 0


@pytest.mark.parametrize("name", ON_THEIR_OWN)
def test_the_default_points_of_every_codec_can_be_built(name: str) -> None:
    cls: Any = CODECS.get(name)
    for options in getattr(cls, "default_points", ({},)):
        build(name, **options)
        assert set(options) <= set(inspect.signature(cls).parameters)
    for swept in getattr(cls, "sweep", ("kbps",)):
        assert swept in inspect.signature(cls).parameters or name == "identity"


# ---------------------------------------------------------------- bytes


def frames(length: int, hop: int) -> int:
    return -(-length // hop)


@pytest.mark.parametrize(
    ("name", "options", "rate", "frame_bytes", "hop", "delay"),
    [
        ("g711", {}, 8000, 1, 1, 0),
        ("g722", {}, 16_000, 1, 2, 22),
        *(("g726", {"kbps": k}, 8000, k / 64, 1, 0) for k in (16, 24, 32, 40)),
        *(("amr_nb", {"kbps": k}, 8000, n, 160, 40) for k, n in amr.NB_BYTES.items()),
        *(("amr_wb", {"kbps": k}, 16_000, n, 320, 95) for k, n in amr.WB_BYTES.items()),
        ("lc3", {"kbps": 16}, 16_000, 20, 160, 40),
        ("lc3", {"kbps": 96}, 48_000, 120, 480, 120),
        ("lc3", {"kbps": 64, "frame_ms": 7.5}, 48_000, 60, 360, 192),
        *(("codec2", {"kbps": k}, 8000, k * 5, 320, 320) for k in (3.2, 2.4, 1.6, 1.4, 1.2)),
        *(("codec2", {"kbps": k}, 8000, k * 10, 640, 320) for k in (1.3, 0.7)),
        ("speex", {"quality": 4}, 16_000, 32, 320, 223),
        ("speex", {"quality": 10, "band": "narrow"}, 8000, 62, 160, 80),
        ("pcm", {"bits": 5}, 16_000, 5 / 8, 1, 0),
        ("identity", {}, 16_000, 4, 1, 0),
    ],
)
def test_a_constant_rate_is_exactly_that_of_the_standard(
    name: str, options: dict[str, Any], rate: int, frame_bytes: float, hop: int, delay: int
) -> None:
    clip = noise(1.0, rate)
    stream, _, _ = round_trip(name, clip, **options)
    body = len(stream.payload) - stream.packet_sizes[0]
    assert body == pytest.approx(frames(clip.length + delay, hop) * frame_bytes, abs=frame_bytes)
    assert stream.packet_sizes[0] <= 7  # the header


@pytest.mark.parametrize("kbps", [12, 24, 64])
def test_opus_at_constant_rate_fills_every_packet_alike(kbps: int) -> None:
    stream, _, _ = round_trip("opus", voice(2.0, 48_000), kbps=kbps, vbr="off")
    assert set(stream.packet_sizes[1:]) == {kbps * 20 // 8}


def test_opus_at_variable_rate_spends_less_where_there_is_little() -> None:
    stream, _, _ = round_trip("opus", voice(2.0, 48_000), kbps=24)
    assert len(set(stream.packet_sizes[1:])) > 10


@pytest.mark.parametrize(("frame_ms", "count"), [(2.5, 401), (20, 51), (60, 17)])
def test_the_frame_duration_of_opus_sets_the_number_of_packets(frame_ms: float, count: int) -> None:
    clip = noise(1.0, 48_000)
    stream, _, _ = round_trip("opus", clip, kbps=64, application="audio", frame_ms=frame_ms)
    assert len(stream.packet_sizes) - 1 == pytest.approx(count, abs=3)


@pytest.mark.parametrize("kbps", [32, 128])
def test_mp3_frames_have_the_standard_s_size(kbps: int) -> None:
    stream, _, _ = round_trip("mp3", noise(2.0, 48_000), kbps=kbps)
    assert set(stream.packet_sizes[1:]) == {kbps * 1000 * 1152 // 8 // 48_000}


def test_mp3_at_a_low_rate_codes_at_a_low_sample_rate() -> None:
    assert max(build("mp3", kbps=24).sample_rates_hz) == 24_000
    assert min(build("mp3", kbps=320).sample_rates_hz) == 32_000


def test_aac_comes_near_its_rate() -> None:
    stream, _, _ = round_trip("aac", noise(3.0, 48_000), kbps=64)
    assert len(stream.payload) * 8 / 3000 == pytest.approx(64, rel=0.1)


def test_vorbis_spends_more_for_more_quality_and_sends_its_codebooks() -> None:
    clip = voice(2.0, 44_100)
    sizes = [len(round_trip("vorbis", clip, quality=q)[0].payload) for q in (0, 4, 8)]
    assert sizes == sorted(sizes)
    setup = round_trip("vorbis", clip, quality=4)[0].packets()[2]
    assert setup.startswith(b"\x05vorbis")
    assert len(setup) > 2000


@pytest.mark.parametrize(
    ("name", "rate", "extra"),
    [
        ("amr_nb", 8000, lambda packets: len(b"#!AMR\n") + packets),
        ("amr_wb", 16_000, lambda packets: len(b"#!AMR-WB\n") + packets),
        ("g722", 16_000, lambda packets: 0),
    ],
)
def test_the_stored_file_costs_what_its_format_says(name: str, rate: int, extra: Any) -> None:
    stream, _, _ = round_trip(name, noise(1.0, rate))
    header, *packets = stream.packet_sizes
    assert stream.container_bytes == len(stream.payload) - header + extra(len(packets))


@pytest.mark.parametrize(
    ("name", "most"), [("opus", 400), ("mp3", 700), ("aac", 2500), ("vorbis", 1500), ("g711", 70)]
)
def test_a_container_is_larger_than_its_packets(name: str, most: int) -> None:
    """Bounds from files of the same length: Ogg 77 B/s, MP4 2.7 kB, WAV 58 B."""
    stream, _, _ = round_trip(name, noise(1.0, 48_000))
    assert 0 < stream.container_bytes - len(stream.payload) < most


# ---------------------------------------------------------------- delays


@pytest.mark.parametrize(
    ("name", "options", "rate", "delay", "within"),
    [
        ("identity", {}, 16_000, 0, 0.01),
        ("flac", {}, 48_000, 0, 0.01),
        ("vorbis", {"quality": 8}, 48_000, 0, 0.1),
        ("g711", {}, 8000, 0, 0.01),
        ("g726", {"kbps": 40}, 8000, 0, 0.1),
        ("opus", {"kbps": 128}, 48_000, 312, 0.5),  # pre-skip: 2.5 ms of overlap, 4 of look-ahead
        ("opus", {"kbps": 128}, 16_000, 104, 0.5),
        ("opus", {"kbps": 128, "application": "lowdelay"}, 48_000, 120, 0.5),
        ("mp3", {"kbps": 128}, 48_000, 1105, 0.1),  # encoder 576 + 1, decoder 528
        ("mp3", {"kbps": 64}, 24_000, 1105, 0.1),
        ("aac", {"kbps": 128}, 48_000, 1024, 0.1),  # one window half
        ("lc3", {"kbps": 96}, 48_000, 120, 1.0),  # 2.5 ms
        ("lc3", {"kbps": 32}, 16_000, 40, 0.5),
        ("lc3", {"kbps": 96, "frame_ms": 7.5}, 48_000, 192, 1.0),  # 4 ms
        ("g722", {}, 16_000, 22, 0.1),
        ("amr_nb", {"kbps": 12.2}, 8000, 40, 0.3),  # 5 ms of look-ahead
        ("amr_nb", {"kbps": 4.75}, 8000, 40, 0.3),
        ("amr_wb", {"kbps": 23.85}, 16_000, 95, 0.3),
        ("amr_wb", {"kbps": 6.6}, 16_000, 95, 0.5),
        ("speex", {"quality": 8}, 16_000, 223, 0.5),
        ("speex", {"quality": 8, "band": "narrow"}, 8000, 80, 0.5),
    ],
)
def test_the_delay_is_that_of_the_codec(
    name: str, options: dict[str, Any], rate: int, delay: int, within: float
) -> None:
    clip = voice(3.0, rate)
    _, aligned, found = round_trip(name, clip, **options)
    assert found.delay_ms * rate / 1000 == pytest.approx(delay, abs=within)
    assert found.polarity == 1
    assert aligned.length == clip.length


@pytest.mark.parametrize("name", ["opus", "mp3", "aac", "lc3", "amr_wb", "g722"])
def test_the_delay_is_the_same_when_the_bench_converts_the_rate(name: str) -> None:
    clip = voice(3.0, 44_100)
    codec = build(name)
    coded_hz = coding.coded_rate_hz(codec, 44_100)
    coded = round_trip(name, audio.at_rate(clip, coded_hz))[2]
    assert round_trip(name, clip)[2].delay_ms == pytest.approx(coded.delay_ms, abs=0.05)


def test_speex_is_as_late_as_its_library_says() -> None:
    build("speex")
    for mode, delay in enumerate(speex.DELAYS):
        total = 0
        for side in ("encoder", "decoder"):
            look_ahead = ctypes.c_int()
            with speex._coder(side, mode) as (library, state, _):
                ask = getattr(library, f"speex_{side}_ctl")
                ask(state, 39, ctypes.byref(look_ahead))  # SPEEX_GET_LOOKAHEAD
            total += look_ahead.value
        assert total == delay


def test_codec2_is_aligned_by_envelope() -> None:
    for kbps, low_ms, high_ms in ((3.2, 12, 25), (1.3, 12, 27), (0.7, 24, 40)):
        _, _, found = round_trip("codec2", voice(4.0, 8000), kbps=kbps)
        assert low_ms < found.delay_ms < high_ms


def test_amr_nb_keeps_polarity_though_low_voices_look_inverted_over_the_full_band() -> None:
    """Its 80 Hz high-pass turns a 95 Hz fundamental so far that the largest peak is negative."""
    from scipy import signal

    time = np.arange(4 * 8000) / 8000
    pitch = 2 * np.pi * np.cumsum(95 + 5 * np.sin(2 * np.pi * 0.8 * time)) / 8000
    voiced = 0.3 * np.sin(pitch) + sum(0.03 * np.sin(k * pitch + k) for k in range(2, 35))
    clip = Clip(voiced * (0.2 + np.sin(2 * np.pi * 1.5 * time) ** 2), 8000)
    decoded = coding.decode(build("amr_nb"), coding.encode(build("amr_nb"), clip), clip)
    full_band = signal.correlate(decoded.samples[0], clip.samples[0], method="fft")
    near = full_band[clip.length - 1 : clip.length - 1 + 60]
    assert -near.min() > near.max()
    _, found = align(clip, decoded)
    assert found.polarity == 1
    assert found.delay_ms == pytest.approx(5, abs=0.1)


# ---------------------------------------------------------------- audio


def test_flac_gives_16_bit_audio_back_bit_exactly() -> None:
    levels = np.random.default_rng(0).integers(-(2**15), 2**15, (2, 10_001))
    clip = Clip(levels / 2.0**15, 44_100)
    stream, decoded, _ = round_trip("flac", clip)
    assert np.array_equal(decoded.samples, clip.samples)
    fine = Clip((levels * 256 + 77) / 2.0**23, 44_100)
    assert np.array_equal(round_trip("flac", fine, bits=24)[1].samples, fine.samples)
    assert len(round_trip("flac", noise(1.0, 44_100))[0].payload) < 44_100 * 2
    assert stream.container_bytes > len(stream.payload) + 8000  # padding for later tags


@pytest.mark.parametrize("bits", [4, 8, 12, 16])
def test_n_bit_pcm_has_the_textbook_s_signal_to_noise_ratio(bits: int) -> None:
    clip = sine(997, 1.0, 48_000, level=1 - 2 ** (1 - bits))
    _, decoded, _ = round_trip("pcm", clip, bits=bits)
    error = decoded.samples.astype(np.float64) - clip.samples
    snr_db = 10 * math.log10(float((clip.samples.astype(np.float64) ** 2).sum() / (error**2).sum()))
    expected = 6.02 * bits + 1.76 + 20 * math.log10(1 - 2 ** (1 - bits))
    assert snr_db == pytest.approx(expected, abs=1.0 if bits == 4 else 0.1)


def test_identity_changes_no_bit() -> None:
    clip = noise(0.5, 22_050, channels=3)
    assert np.array_equal(round_trip("identity", clip)[1].samples, clip.samples)


@pytest.mark.parametrize("hz", [3500, 7000])
def test_the_low_pass_anchor_is_flat_steep_and_without_delay(hz: int) -> None:
    impulse = np.zeros(20_001, np.float32)
    impulse[10_000] = 1
    clip = Clip(impulse, 48_000)
    (stream,) = coding.encode(build("lowpass", hz=hz), clip)
    response = build("lowpass", hz=hz).decode(stream).samples[0]
    assert np.allclose(response, response[::-1], rtol=0, atol=1e-7)  # linear phase, zero lag
    spectrum_db = 20 * np.log10(np.abs(np.fft.rfft(response, 48_000)) + 1e-12)
    assert np.abs(spectrum_db[: hz + 1]).max() < 0.1
    assert spectrum_db[hz * 8 // 7 :].max() < -60


def test_a_low_pass_above_the_clip_s_band_changes_nothing() -> None:
    clip = noise(0.3, 8000)
    assert np.array_equal(round_trip("lowpass", clip, hz=3600)[1].samples, clip.samples)


@pytest.mark.parametrize(
    ("name", "ours", "other"),
    [
        ("opus", "libopus", "opus"),
        ("amr_nb", "libopencore_amrnb", "amrnb"),
        ("amr_wb", "libopencore_amrwb", "amrwb"),
    ],
)
def test_an_independent_decoder_hears_the_same(
    name: str, ours: str, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = voice(2.0, 16_000)
    codec = build(name)
    (stream,) = coding.encode(codec, clip)
    expected = codec.decode(stream)
    real = libav.Decoder.decode

    def with_other(self: libav.Decoder, *args: Any) -> Any:
        assert self.codec == ours
        return real(libav.Decoder(other), *args)

    monkeypatch.setattr(libav.Decoder, "decode", with_other)
    assert align(expected, codec.decode(stream))[1].correlation > 0.99


def test_the_ogg_file_of_speex_is_one_that_ffmpeg_reads() -> None:
    codec = build("speex", quality=8)
    clip = voice(8.0, 16_000)  # 400 packets: several pages
    (stream,) = coding.encode(codec, clip)
    packets = stream.packets()[1:]
    file = ogg.mux([codec._file_header(320), bytes(8)], packets, 320)
    assert len(file) == stream.container_bytes
    header, found = libav.demux(file)
    assert found == packets
    theirs = libav.Decoder("speex").decode(found, 16_000, 1, clip.length, header)
    ours = codec.decode(stream).samples[:, : clip.length]
    assert np.corrcoef(theirs[0], ours[0])[0, 1] > 0.98  # libspeex adds its enhancement filter


@pytest.mark.parametrize("name", ["opus", "mp3", "aac", "vorbis", "flac"])
def test_stereo_stays_stereo(name: str) -> None:
    left, right = sine(440, 1.0, 48_000), sine(1500, 1.0, 48_000)
    clip = Clip(np.concatenate([left.samples, right.samples]), 48_000)
    options = {"kbps": 128} if name in ("opus", "mp3", "aac") else {}
    _, decoded, _ = round_trip(name, clip, **options)
    for channel in range(2):
        overlap = np.corrcoef(decoded.samples[channel], clip.samples)[0, 1:]
        assert overlap[channel] > 0.95
        assert abs(overlap[1 - channel]) < 0.1


def test_codec2_decodes_alike_however_often_this_process_has_decoded() -> None:
    """Its library draws random phases from a state that all decoders of a process share."""
    clip = voice(1.0, 8000)
    codec = build("codec2")
    (stream,) = coding.encode(codec, clip)
    first = codec.decode(stream).samples
    for _ in range(3):
        assert np.array_equal(codec.decode(stream).samples, first)


def test_a_minute_of_stereo_does_not_crash_vorbis() -> None:
    """libsndfile 1.2.2 dies of it in one piece, so this runs where a crash harms nobody."""
    program = (
        "import numpy as np\n"
        "from nacbench import coding\n"
        "from nacbench.core import Clip\n"
        "clip = Clip(np.zeros((2, 60 * 44100)), 44100)\n"
        "stream, = coding.encode(coding.build('vorbis', {}), clip)\n"
        "assert coding.build('vorbis', {}).decode(stream).length == clip.length\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


# ---------------------------------------------------------------- odd clips and settings


@pytest.mark.parametrize("name", ON_THEIR_OWN)
def test_eight_channels_at_192_khz_come_back_as_such(name: str) -> None:
    clip = noise(0.06, 192_000, channels=8)
    codec = build(name)
    streams = coding.encode(codec, clip)
    decoded = coding.decode(codec, streams, clip)
    assert (decoded.channels, decoded.sample_rate_hz) == (8, 192_000)
    assert len(streams) in (1, 8)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("opus", {"kbps": 600}, "kbps must be from 6 to 510, got 600"),
        ("opus", {"frame_ms": 7}, "frame_ms must be one of"),
        ("opus", {"complexity": 11}, "complexity must be from 0 to 10"),
        ("mp3", {"kbps": 33}, "kbps must be one of 8, 16, 24"),
        ("aac", {"kbps": 4}, "kbps must be from 8 to 512"),
        ("vorbis", {"quality": -1}, "quality must be from 0 to 10"),
        ("flac", {"bits": 8}, "bits must be 16 or 24"),
        ("flac", {"level": 13}, "level must be from 0 to 12"),
        ("g711", {"law": "u"}, "law must be 'mu' or 'a'"),
        ("g726", {"kbps": 48}, "kbps must be 16, 24, 32 or 40"),
        ("amr_nb", {"kbps": 5}, "kbps must be one of 4.75, 5.15"),
        ("amr_wb", {"kbps": 12.2}, "kbps must be one of 6.6, 8.85"),
        ("lc3", {"kbps": 8}, "kbps must be from 16 to 320"),
        ("lc3", {"kbps": 16, "frame_ms": 2.5}, "kbps must be from 64 to 1280"),
        ("codec2", {"kbps": 6}, "kbps must be one of 3.2, 2.4"),
        ("speex", {"quality": 11}, "quality must be from 0 to 10"),
        ("speex", {"band": "full"}, "band must be 'narrow', 'wide' or 'ultra_wide'"),
        ("lowpass", {"hz": 1}, "hz must be from 100"),
    ],
)
def test_a_setting_out_of_range_says_what_the_range_is(
    name: str, options: dict[str, Any], message: str
) -> None:
    build(name)
    with pytest.raises(UserError) as caught:
        coding.build(name, options)
    assert message in str(caught.value)


def test_what_is_not_installed_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from nacbench.codecs import codec2, lc3

    monkeypatch.setattr(shared_library, "load", lambda *names: None)
    monkeypatch.setattr(codec2, "find_spec", lambda name: None)
    monkeypatch.setattr(lc3, "find_spec", lambda name: None)
    codec2._library_path.cache_clear()
    hints = {name: coding.missing(name) for name in ("amr_wb", "speex", "codec2", "lc3")}
    codec2._library_path.cache_clear()
    assert "apt-get install libvo-amrwbenc0" in str(hints["amr_wb"])
    assert "apt-get install libspeex1" in str(hints["speex"])
    assert "pip install pycodec2" in str(hints["codec2"])
    assert "pip install lc3py" in str(hints["lc3"])
    assert "lacks FFmpeg's 'evs'" in str(libav.missing(("evs", "w")))


@pytest.mark.parametrize("name", ON_THEIR_OWN)
def test_a_length_that_no_audio_can_have_is_refused_at_once(name: str) -> None:
    """A header that promises 2^56 samples must not make the decoder reserve them."""
    codec = build(name)
    (stream,) = coding.encode(codec, noise(0.1, coding.coded_rate_hz(codec, 16_000)))
    header, *packets = stream.packets()
    numbers = header.lstrip(bytes(range(128, 256)))[1:]  # what follows the first number
    for length in (b"\xff" * 7 + b"\x7f", b"\xff" * 40, b"\x00", b"\xff\xff\xff\x7f"):
        parts = [length + numbers, *packets]
        with pytest.raises(DecodeError):
            codec.decode(Bitstream(b"".join(parts), tuple(map(len, parts))))


def test_the_name_of_every_codec_is_its_class_s() -> None:
    for name in BUILT_IN:
        assert CODECS.get(name).name == name  # type: ignore[attr-defined]


DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_codec_is_documented_with_every_option(name: str) -> None:
    text = (DOCS / "codecs.md").read_text(encoding="utf-8")
    assert f"`{name}`" in text
    for option in inspect.signature(CODECS.get(name)).parameters:
        assert f"`{option}" in text, f"{name}: {option}"
