"""Clip to bytes to clip: rates, channels, options, and what is refused."""

from typing import Any

import numpy as np
import pytest
from signals import noise

from nacbench import coding
from nacbench.codecs import CODECS
from nacbench.core import Bitstream, Clip
from nacbench.errors import CodecUnavailableError, UserError


class Probe:
    """Stores what it is given as float32 and remembers it."""

    name = "probe"
    version = "1"
    sample_rates_hz: tuple[int, ...] = ()
    channels: tuple[int, ...] = ()
    seen: tuple[Clip, ...] = ()

    def __init__(self, level: float = 1.0) -> None:
        if level < 0:
            raise ValueError(f"level must not be negative, got {level:g}")

    def encode(self, clip: Clip) -> Bitstream:
        self.seen = (*self.seen, clip)
        shape = np.array([clip.channels, clip.sample_rate_hz], "<i4")
        return Bitstream(shape.tobytes() + clip.samples.tobytes())

    def decode(self, bitstream: Bitstream) -> Clip:
        channels, rate = np.frombuffer(bitstream.payload[:8], "<i4")
        samples = np.frombuffer(bitstream.payload[8:], "<f4").reshape(int(channels), -1)
        return Clip(samples, int(rate))


def probe(rates: tuple[int, ...] = (), channels: tuple[int, ...] = ()) -> Probe:
    codec = Probe()
    codec.sample_rates_hz, codec.channels = rates, channels
    return codec


@pytest.mark.parametrize(
    ("rates", "clip_rate", "coded_rate"),
    [
        ((), 44_100, 44_100),
        ((8000, 16_000, 48_000), 16_000, 16_000),
        ((8000, 16_000, 48_000), 22_050, 48_000),
        ((8000, 16_000), 44_100, 16_000),
        ((16_000,), 8000, 16_000),
        ((8000, 48_000), 192_000, 48_000),
    ],
)
def test_a_clip_is_coded_at_its_own_rate_the_next_higher_or_the_highest(
    rates: tuple[int, ...], clip_rate: int, coded_rate: int
) -> None:
    codec = probe(rates)
    clip = noise(0.1, clip_rate)
    streams = coding.encode(codec, clip)
    assert codec.seen[0].sample_rate_hz == coded_rate
    decoded = coding.decode(probe(rates), streams, clip)
    assert (decoded.sample_rate_hz, decoded.samples.shape) == (clip_rate, clip.samples.shape)


@pytest.mark.parametrize(
    ("taken", "channels", "streams", "each"),
    [((), 8, 1, 8), ((1,), 1, 1, 1), ((1,), 2, 2, 1), ((1, 2), 2, 1, 2), ((1, 2), 8, 8, 1)],
)
def test_a_codec_of_few_channels_gets_each_on_its_own(
    taken: tuple[int, ...], channels: int, streams: int, each: int
) -> None:
    codec = probe(channels=taken)
    clip = noise(0.05, channels=channels)
    coded = coding.encode(codec, clip)
    assert [part.channels for part in codec.seen] == [each] * streams
    assert len(coded) == streams
    decoded = coding.decode(probe(channels=taken), coded, clip)
    assert np.array_equal(decoded.samples, clip.samples)


def test_a_codec_of_stereo_only_gets_mono_twice_and_its_mean_comes_back() -> None:
    codec = probe(channels=(2,))
    clip = noise(0.05)
    coded = coding.encode(codec, clip)
    assert codec.seen[0].channels == 2
    assert np.allclose(coding.decode(codec, coded, clip).samples, clip.samples, atol=1e-7)
    with pytest.raises(ValueError, match="3 channels, the codec takes 2"):
        coding.encode(codec, noise(0.05, channels=3))


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (np.zeros((1, 0)), "empty"),
        (np.array([0.0, np.nan]), "not finite"),
        (np.array([0.0, np.inf]), "not finite"),
        (np.zeros(1), "too short: 1 samples at 48000 Hz"),
    ],
)
def test_a_clip_that_cannot_be_coded_is_refused_with_the_reason(
    samples: np.ndarray, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        coding.encode(probe((8000,)), Clip(samples, 48_000))


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        (None, "NoneType, not a Clip"),
        (Clip(np.zeros((1, 0)), 16_000), "no samples"),
        (Clip(np.full(16_000, np.nan), 16_000), "not finite"),
        (Clip(np.zeros((2, 16_000)), 16_000), None),
        (Clip(np.zeros((3, 16_000)), 16_000), None),
        (Clip(np.zeros(8000), 16_000), "0.500 s of audio for a clip of 1.000 s"),
        (Clip(np.zeros(16_000), 48_000), "0.333 s of audio"),
        (Clip(np.zeros(48_000), 16_000), "3.000 s of audio"),
    ],
)
def test_rubbish_from_a_decoder_is_refused_with_the_reason(returned: Any, reason: str) -> None:
    codec: Any = Probe()
    codec.decode = lambda bitstream: returned
    clip = noise(1.0)
    if reason is None:  # more channels than the clip: their mean, as for a stereo-only codec
        assert coding.decode(codec, (Bitstream(b"x"),), clip).channels == 1
    else:
        with pytest.raises(ValueError, match=reason):
            coding.decode(codec, (Bitstream(b"x"),), clip)


def test_a_mono_decoder_must_not_answer_a_stereo_clip() -> None:
    codec: Any = Probe()
    codec.decode = lambda bitstream: noise(1.0)
    with pytest.raises(ValueError, match="1 channels for a clip of 2"):
        coding.decode(codec, (Bitstream(b"x"),), noise(1.0, channels=2))


def test_an_encoder_must_return_a_bitstream() -> None:
    codec: Any = Probe()
    codec.encode = lambda clip: b"bytes"
    with pytest.raises(ValueError, match="bytes, not a Bitstream"):
        coding.encode(codec, noise(0.1))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("opsu", {}, "unknown codec 'opsu'. Did you mean 'opus'?"),
        ("opus", {"kpbs": 6}, "has no option 'kpbs'. Did you mean 'kbps'? It takes kbps, "),
        ("opus", {"kbps": 1}, "codec 'opus': kbps must be from 6 to 510, got 1"),
        ("opus:6", {}, "takes no ':6'"),
        ("pcm:99", {}, "bits must be from 2 to 24, got 99"),
        ("identity", {"kbps": 6}, "codec 'identity' has no option 'kbps'. It takes none."),
    ],
)
def test_a_codec_that_cannot_be_built_says_why(
    name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError) as caught:
        coding.build(name, options)
    assert message in str(caught.value)


def test_a_codec_is_built_by_name_by_argument_and_by_path() -> None:
    assert vars(coding.build("pcm:8", {})) == {"bits": 8}
    assert type(coding.build("test_coding:Probe", {"level": 2})).__name__ == "Probe"
    assert type(coding.build("nacbench.codecs.pcm:Pcm", {"bits": 4})).__name__ == "Pcm"


def test_a_codec_that_is_not_installed_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Absent(Probe):
        @classmethod
        def missing(cls) -> str | None:
            return "not installed: pip install absent"

    monkeypatch.setitem(CODECS._added, "absent", Absent)
    assert coding.missing("absent") == "not installed: pip install absent"
    assert coding.missing("identity") is None
    with pytest.raises(CodecUnavailableError, match="pip install absent"):
        coding.build("absent", {})
