"""The reference codec as the bench sees it."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tiny

from nacbench import coding
from nacbench.core import Bitstream, Clip
from nacbench.errors import DecodeError, UserError
from reference_codec import checkpoint
from reference_codec.neural_codec import weights_sha256
from reference_codec.plugin import Reference

BY_PATH = "reference_codec.plugin:Reference"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    checkpoint.save(tiny.model("tiny-causal"), path)
    return str(path)


def test_the_payload_is_the_file_and_its_packets_are_header_and_blocks(model: str) -> None:
    clip = Clip(tiny.music(12.0, 44_100, 2), 44_100)
    codec = coding.build(BY_PATH, {"model": model, "kbps": 1.2})
    streams = coding.encode(codec, clip)
    assert len(streams) == 2  # a mono model: one stream per channel
    packets = streams[0].packets()
    assert packets[0].startswith(b"NAC\x01") and len(packets) == 3  # blocks of 10 s
    decoded = coding.decode(coding.build(BY_PATH, {"model": model, "kbps": 1.2}), streams, clip)
    assert decoded.samples.shape == clip.samples.shape
    assert codec.tokens(streams[0]).shape == (4, 600)  # 12 s at 50 frames/s


def test_a_damaged_payload_is_a_decode_error(model: str) -> None:
    codec = Reference(model)
    stream = codec.encode(Clip(tiny.music(1.0, 16_000), 16_000))
    with pytest.raises(DecodeError, match="byte"):
        codec.decode(Bitstream(stream.payload[:-7]))


def test_presets_are_untrained_and_checkpoints_are_not(model: str) -> None:
    assert Reference("seanet-16k").untrained
    assert not Reference(model).untrained


def test_what_a_codec_is_can_be_told_without_its_weights(model: str) -> None:
    """A run with everything cached asks no more, and must not wait for PyTorch."""
    program = f"""
        import sys
        from nacbench import coding
        for model in ("seanet-16k", {model!r}):
            codec = coding.build("reference", {{"model": model, "kbps": 3}})
            print(codec.build_id(), codec.nominal_kbps, codec.untrained)
        assert "torch" not in sys.modules
    """
    run = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(run, check=True, capture_output=True, text=True, timeout=60)
    preset, trained = done.stdout.splitlines()
    assert "weights drawn by" in preset and preset.endswith("3.0 True")
    hash_ = weights_sha256(checkpoint.load(model))
    assert f"weights {hash_[:16]} " in trained and trained.endswith("False")


def test_an_unknown_model_is_named_with_a_suggestion() -> None:
    with pytest.raises(UserError, match="Did you mean 'seanet-24k'"):
        Reference("seanet-25k")


def test_the_nominal_rate_is_that_of_the_codebooks_in_use(model: str) -> None:
    assert Reference(model, kbps=1.3).nominal_kbps == pytest.approx(1.2)
    assert np.prod(Reference(model, kbps=0.3).codebook_sizes) == 64


def test_lost_packets_become_silence_and_the_rest_stays_in_place(model: str) -> None:
    codec = Reference(model, packet_ms=100)
    clip = Clip(tiny.music(2.0, 16_000), 16_000)
    sent = codec.encode(clip)
    whole = codec.decode(sent).samples
    for lost in ((1,), (8, 9), (20,), range(1, 21)):
        packets = sent.packets()
        assert len(packets) == 21
        for index in lost:
            packets[index] = b""
        arrived = Bitstream(b"".join(packets), tuple(map(len, packets)))
        heard = Reference(model).decode(arrived).samples
        assert heard.shape == whole.shape
        start, stop = ((index - 1) * 1600 for index in (lost[0], lost[-1] + 1))
        assert not heard[:, start + 400 : stop - 400].any()  # a filter rings for under 25 ms
        before = max(0, start - 400)
        np.testing.assert_allclose(heard[:, :before], whole[:, :before], atol=1e-5)


def test_wrong_bits_cost_a_packet_and_not_the_clip(model: str) -> None:
    codec = Reference(model, packet_ms=100)
    sent = codec.encode(Clip(tiny.music(1.0, 16_000), 16_000))
    packets = sent.packets()
    packets[3] = bytes([*packets[3][:-1], packets[3][-1] ^ 1])
    heard = codec.decode(Bitstream(b"".join(packets), sent.packet_sizes)).samples
    assert heard.shape == (1, 16_000)
    assert heard[:, :3000].any() and not heard[:, 3600:4400].any()
