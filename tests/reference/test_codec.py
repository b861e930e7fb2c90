"""Waveform to bytes and back: true length and rate, streams equal files, losses cost themselves."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from reference_codec.backend import TorchBackend
from reference_codec.bitstream import BitstreamError, Coding, read_blocks, read_header, write_header
from reference_codec.codec import Codec
from reference_codec.errors import UserError

STREAM_TOLERANCE = 1e-5  # float32 sums in another order
HEAD_BYTES = 60  # header with a short model id, and the head of one block
ROOT = Path(__file__).parents[2]
FAMILIES = list(tiny.CONFIGS)


@pytest.fixture(scope="module", params=FAMILIES)
def codec(request: pytest.FixtureRequest) -> Codec:
    return tiny.codec(request.param)


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_as_many_samples_come_back_at_the_rate_that_went_in(
    codec: Codec, rate: int, channels: int
) -> None:
    audio = tiny.music(0.31, rate, channels)
    decoded, decoded_rate = codec.decode(codec.encode(audio, rate))
    assert decoded_rate == rate
    assert decoded.shape == audio.shape
    assert np.isfinite(decoded).all()


@pytest.mark.parametrize("length", [0, 1, 2, 319, 320, 321, 641, 1024, 1025])
def test_every_length_survives(codec: Codec, length: int) -> None:
    rate = codec.config.sample_rate_hz
    audio = tiny.music(0.1, rate, codec.config.channels)[:, :length]
    assert codec.decode(codec.encode(audio, rate))[0].shape == audio.shape


def test_the_bytes_carry_the_codes_of_the_whole_clip(codec: Codec) -> None:
    config = codec.config
    audio = tiny.music(9.3, config.sample_rate_hz, config.channels)
    whole, _ = tiny.model(config.name).encode(torch.from_numpy(audio)[None])
    _, codes = codec.codes(codec.encode(audio, config.sample_rate_hz))
    agree = (codes == whole.numpy()).mean()
    assert agree > 0.999  # near ties may fall otherwise when sums run in another order


def test_decoded_audio_equals_the_models_own_decoding_of_the_codes(codec: Codec) -> None:
    config = codec.config
    audio = tiny.music(9.3, config.sample_rate_hz, config.channels)
    model = tiny.model(config.name)
    codes, scales = model.encode(torch.from_numpy(audio)[None])
    whole = model.decode(codes, scales, audio.shape[1])[0].numpy()
    decoded, _ = codec.decode(codec.encode(audio, config.sample_rate_hz))
    assert np.abs(decoded - whole).max() <= STREAM_TOLERANCE * max(1, np.abs(whole).max())


@pytest.mark.parametrize("sizes", [(37,), (320,), (5000, 1, 999)])
def test_a_stream_gives_the_audio_of_the_file_whatever_the_pieces(
    codec: Codec, sizes: tuple[int, ...]
) -> None:
    config = codec.config
    audio = tiny.music(1.5, config.sample_rate_hz, config.channels)
    whole, _ = codec.decode(codec.encode(audio, config.sample_rate_hz))
    encoder = codec.stream_encoder(config.sample_rate_hz, config.channels, block_s=0.2)
    decoder = codec.stream_decoder()
    data, at, turn = b"", 0, 0
    while at < audio.shape[1]:
        size = sizes[turn % len(sizes)]
        data += encoder.push(audio[:, at : at + size])
        at, turn = at + size, turn + 1
    data += encoder.finish()
    pieces = [decoder.push(data[i : i + 101]) for i in range(0, len(data), 101)]
    pieces = [piece for piece in pieces if piece.shape[0] == config.channels]
    streamed = np.concatenate([*pieces, decoder.finish()], axis=1)
    assert streamed.shape == whole.shape
    assert np.abs(streamed - whole).max() <= STREAM_TOLERANCE * max(1, np.abs(whole).max())


def test_a_causal_stream_delays_by_one_hop_and_one_block() -> None:
    codec = tiny.codec("tiny-causal")
    hop = codec.config.hop_length
    encoder = codec.stream_encoder(16_000, block_s=hop / 16_000)
    decoder = codec.stream_decoder()
    start = TorchBackend(tiny.model("tiny-causal")).start_frames
    audio = tiny.music(1.0, 16_000)
    pushed = heard = 0
    while pushed + hop <= audio.shape[1]:
        heard += decoder.push(encoder.push(audio[:, pushed : pushed + hop])).shape[1]
        pushed += hop
        if pushed >= start * hop:
            assert heard == pushed  # whatever was pushed in whole hops is out again


def test_a_lost_block_is_silence_and_the_stream_goes_on(codec: Codec) -> None:
    config = codec.config
    audio = tiny.music(4.0, config.sample_rate_hz, config.channels)
    encoder = codec.stream_encoder(
        config.sample_rate_hz, config.channels, sample_count=audio.shape[1], block_s=0.5
    )
    data = encoder.push(audio) + encoder.finish()
    file = io.BytesIO(data)
    info = read_header(file)
    starts = [block.offset for block in read_blocks(file, info)]
    damaged = bytearray(data)
    damaged[starts[2] + 9] ^= 0x55
    with pytest.raises(BitstreamError):
        codec.decode(bytes(damaged))
    decoded, _ = codec.decode(bytes(damaged), resync=True)
    assert decoded.shape == audio.shape
    assert np.abs(decoded[:, -1000:]).max() > 0
    whole, _ = codec.decode(data)
    intact = round(0.4 * config.sample_rate_hz)
    assert np.allclose(decoded[:, :intact], whole[:, :intact], atol=1e-4)


def test_a_stream_that_starts_late_begins_with_its_first_intact_block(codec: Codec) -> None:
    config = codec.config
    audio = tiny.music(4.0, config.sample_rate_hz, config.channels)
    encoder = codec.stream_encoder(config.sample_rate_hz, config.channels, block_s=0.5)
    data = encoder.push(audio) + encoder.finish()
    file = io.BytesIO(data)
    info = read_header(file)
    late = list(read_blocks(file, info))[2].offset
    decoded, _ = codec.decode(write_header(info) + data[late + 3 :], resync=True)
    assert 0 < decoded.shape[1] < audio.shape[1]


def test_a_cut_file_is_refused(codec: Codec) -> None:
    data = codec.encode(tiny.music(1.0, 16_000), 16_000)
    for cut in (3, 20, len(data) // 2, len(data) - 1):
        with pytest.raises(BitstreamError):
            codec.decode(data[:cut])


@pytest.mark.parametrize("kbps", [0.6, 1.2, 1.8])
def test_fewer_kbps_are_fewer_codebooks_and_fewer_bytes(kbps: float) -> None:
    codec = tiny.codec("tiny-causal")
    audio = tiny.music(5.0, 16_000)
    data = codec.encode(audio, 16_000, kbps, coding=Coding.PACKED)
    _, codes = codec.codes(data)
    assert codes.shape[1] == round(kbps / 0.3)
    heads = len(data) - codes.size * 6 / 8  # 64 entries are 6 bits
    assert 0 < heads <= HEAD_BYTES


def test_a_rate_below_the_lowest_is_refused() -> None:
    with pytest.raises(UserError, match="below its lowest rate"):
        tiny.codec("tiny-causal").encode(tiny.music(0.1, 16_000), 16_000, kbps=0.1)


def test_no_coding_makes_a_file_longer_than_packed_bits(codec: Codec) -> None:
    audio = tiny.music(2.0, codec.config.sample_rate_hz, codec.config.channels)
    rate = codec.config.sample_rate_hz
    packed = len(codec.encode(audio, rate, coding=Coding.PACKED))
    assert len(codec.encode(audio, rate, coding=Coding.ADAPTIVE)) <= packed


def test_a_file_of_another_model_is_refused_by_name() -> None:
    data = tiny.codec("tiny-causal").encode(tiny.music(0.2, 16_000), 16_000)
    with pytest.raises(BitstreamError, match="tiny-causal"):
        tiny.codec("tiny-dac").decode(data)


def test_the_same_bytes_come_from_two_fresh_processes_and_thread_counts(tmp_path: Path) -> None:
    program = (
        "import sys, torch\n"
        "torch.set_num_threads(int(sys.argv[1]))\n"
        "sys.path.insert(0, 'tests/reference')\n"
        "import tiny\n"
        "codec = tiny.codec('tiny-causal')\n"
        "open(sys.argv[2], 'wb').write(codec.encode(tiny.music(1.0, 16_000), 16_000))\n"
    )
    files = []
    for threads in ("1", "4"):
        files.append(tmp_path / threads)
        subprocess.run(
            [sys.executable, "-c", program, threads, str(files[-1])], check=True, cwd=ROOT
        )
    codec = tiny.codec("tiny-causal")
    (_, first), (_, second) = (codec.codes(file.read_bytes()) for file in files)
    assert (first == second).mean() > 0.999  # the encoder is float; the file format is not
    assert np.isfinite(codec.decode(files[0].read_bytes())[0]).all()


def test_samples_that_are_not_finite_are_refused(codec: Codec) -> None:
    audio = np.full((codec.config.channels, 500), np.nan, np.float32)
    with pytest.raises(ValueError, match="finite"):
        codec.encode(audio, codec.config.sample_rate_hz)
