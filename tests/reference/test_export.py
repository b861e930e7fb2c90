"""Exported models give the codes and the audio of the model they come from."""

import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import codec_peers as peers
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from test_neural_codec import TINY, noise
from ties import untied

import reference_codec
from reference_codec import checkpoint, convert, export, onnx_backend, presets
from reference_codec.cli import nac
from reference_codec.errors import UserError
from reference_codec.layers import Snake
from reference_codec.neural_codec import NeuralCodec, weights_sha256
from reference_codec.onnx_backend import OnnxBackend

# float32 sums in another order, over signals of unit size.
AUDIO_ATOL = 1e-5

every_family = pytest.mark.parametrize("name", TINY)
causal = pytest.mark.parametrize("name", ["causal", "zero-padded"])


def exported(name: str, folder: Path) -> tuple[NeuralCodec, OnnxBackend]:
    model = NeuralCodec.untrained(TINY[name])
    export.export(model, folder)
    return model, OnnxBackend(folder, threads=1)


@every_family
def test_whole_clips_are_coded_alike(name: str, tmp_path: Path) -> None:
    model, onnx = exported(name, tmp_path)
    assert (onnx.config, onnx.weights_sha256) == (model.config, weights_sha256(model))
    # Below 57 samples some layer has fewer samples than it pads with.
    for length in (1, 2, 5, 9, 17, 24, 31, 33, 57, 160, 799):
        audio = noise(model.config, length, batch=2)
        codes, scale = model.encode_segment(audio)
        got, got_scale = onnx.encode_segment(audio.numpy(), model.config.n_codebooks)
        assert np.array_equal(got, codes.numpy()), length
        if scale is not None:
            np.testing.assert_allclose(got_scale, scale, rtol=1e-6)
        wanted = model.decode_segment(codes, scale)
        decoded = onnx.decode_segment(got, got_scale)
        np.testing.assert_allclose(decoded, wanted, rtol=0, atol=AUDIO_ATOL)


@pytest.mark.parametrize("name", [name for name in TINY if TINY[name].prefix_decodable])
def test_fewer_codebooks_are_the_first_ones(name: str, tmp_path: Path) -> None:
    model, onnx = exported(name, tmp_path)
    audio = noise(model.config, 400)
    for n in range(1, model.config.n_codebooks + 1):
        codes, scale = model.encode_segment(audio, n)
        got, got_scale = onnx.encode_segment(audio.numpy(), n)
        assert np.array_equal(got, codes.numpy())
        wanted = model.decode_segment(codes, scale)
        decoded = onnx.decode_segment(got, got_scale)
        np.testing.assert_allclose(decoded, wanted, rtol=0, atol=AUDIO_ATOL)


def test_channels_learnt_to_be_linear_or_reversed_are_coded_alike(tmp_path: Path) -> None:
    """Snake's factors are folded into their neighbours, which divides by them."""
    model = NeuralCodec.untrained(TINY["dac"])
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, Snake):
                odd = torch.tensor([0.0, 1e-9, -1e-4, -0.7, 30.0])
                layer.alpha[:5, 0] = odd[: len(layer.alpha)]
    export.export(model, tmp_path)
    onnx = OnnxBackend(tmp_path, threads=1)
    audio = noise(model.config, 800)
    codes, _ = model.encode_segment(audio)
    assert np.array_equal(onnx.encode_segment(audio.numpy(), 3)[0], codes.numpy())
    wanted = model.decode_segment(codes)
    decoded = onnx.decode_segment(codes.numpy(), None)
    np.testing.assert_allclose(decoded, wanted, rtol=0, atol=AUDIO_ATOL)


@causal
@pytest.mark.parametrize("length", [160, 165])
def test_a_stream_equals_the_whole_clip(
    name: str, length: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, onnx = exported(name, tmp_path)
    monkeypatch.setattr(onnx_backend, "TILE_SAMPLES", 24)  # three hops: steps fall into tiles
    hop, n = model.config.hop_length, model.config.n_codebooks
    audio = noise(model.config, length)
    offline, _ = model.encode(audio)
    whole = model.decode(offline).numpy()
    for hops in (1, 5, 40):
        cuts = list(range(model.start_frames * hop, length, hops * hop))
        pieces = np.split(audio.numpy(), cuts, axis=2)
        state: tuple[np.ndarray, ...] = ()
        streamed = []
        for piece in pieces:
            codes, state = onnx.encode_step(piece, state, n, last=piece is pieces[-1])
            streamed.append(codes)
        assert np.array_equal(np.concatenate(streamed, axis=2), offline.numpy())

        state, decoded = (), []
        cuts = list(range(model.start_frames, offline.shape[2], hops))
        for codes in np.split(offline.numpy(), cuts, axis=2):
            sound, state = onnx.decode_step(codes, state)
            decoded.append(sound)
        np.testing.assert_allclose(np.concatenate(decoded, 2), whole, rtol=0, atol=AUDIO_ATOL)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["seanet-24k", "seanet-48k-stereo", "dac-16k", "hifigan-fsq-22k"])
def test_exports_of_the_published_sizes_code_alike(name: str, tmp_path: Path) -> None:
    config = presets.config(name)
    if name == "seanet-24k":
        peer = peers.transformers_encodec()
        model = convert.convert(peer.state_dict(), config)
    elif name == "seanet-48k-stereo":
        peer = peers.transformers_encodec(**peers.STEREO_48K)
        model = convert.convert(peer.state_dict(), config)
    else:
        model = presets.build(name)
    export.export(model, tmp_path)
    onnx = OnnxBackend(tmp_path, threads=1)
    audio = peers.noise(config.channels, config.sample_rate_hz // 2 + 77)
    codes, scale = model.encode_segment(audio)
    got, got_scale = onnx.encode_segment(audio.numpy(), config.n_codebooks)
    assert not untied(model, audio, torch.from_numpy(got), codes)
    wanted = model.decode_segment(codes, scale)
    decoded = onnx.decode_segment(codes.numpy(), got_scale)
    np.testing.assert_allclose(decoded, wanted, rtol=0, atol=AUDIO_ATOL)


def test_an_exported_codec_runs_without_torch_and_transformers(tmp_path: Path) -> None:
    exported("causal", tmp_path)
    program = f"""
        import sys
        import numpy as np
        import reference_codec
        codec = reference_codec.load({str(tmp_path)!r})
        audio = np.sin(np.arange(4000) / 7).astype(np.float32)
        decoded, rate = codec.decode(codec.encode(audio, 8000))
        assert decoded.shape == (1, 4000) and rate == 8000
        assert "torch" not in sys.modules and "onnx" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=60)


def test_the_command_exports_and_the_backend_finds_it_beside_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    checkpoint.save(NeuralCodec.untrained(TINY["causal"]), path)
    with pytest.raises(UserError, match=r"Write one: nac export .*model\.safetensors"):
        reference_codec.load(path, backend="onnx")
    folder = tmp_path / "model.onnx"
    done = CliRunner().invoke(nac, ["export", str(path), str(folder)], catch_exceptions=False)
    assert "encoder.onnx" in done.output and "MB" in done.output
    audio = np.sin(np.arange(4000, dtype=np.float32) / 7)
    torch_bytes = reference_codec.load(path).encode(audio, 8000)
    assert reference_codec.load(path, backend="onnx").encode(audio, 8000) == torch_bytes


def test_a_directory_without_an_export_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no encoder\.onnx or decoder\.onnx"):
        OnnxBackend(tmp_path)
    (tmp_path / "encoder.onnx").write_bytes(b"not a graph")
    with pytest.raises(UserError, match="not a model that 'nac export' wrote"):
        OnnxBackend(tmp_path)
    with pytest.raises(UserError, match="unknown backend 'tpu'"):
        reference_codec.load("seanet-24k", backend="tpu")


def test_encoder_and_decoder_of_different_weights_are_refused(tmp_path: Path) -> None:
    for seed, folder in enumerate(("one", "two")):
        export.export(NeuralCodec.untrained(TINY["dac"], seed), tmp_path / folder)
    shutil.copyfile(tmp_path / "two" / "decoder.onnx", tmp_path / "one" / "decoder.onnx")
    onnx = OnnxBackend(tmp_path / "one", threads=1)
    codes, _ = onnx.encode_segment(noise(TINY["dac"], 80).numpy(), 3)
    with pytest.raises(UserError, match="other weights than"):
        onnx.decode_segment(codes, None)
