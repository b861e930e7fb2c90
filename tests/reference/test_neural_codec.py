"""The joined model: shapes, lengths, prefixes, streams, checkpoints."""

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor

from reference_codec import checkpoint, neural_codec
from reference_codec.config import (
    CodecConfig,
    DACConfig,
    FactorisedVQConfig,
    GroupedFSQConfig,
    HiFiGANConfig,
    ResidualVQConfig,
    SEANetConfig,
    SpectralConfig,
)
from reference_codec.errors import UserError
from reference_codec.neural_codec import NeuralCodec, weights_sha256
from reference_codec.presets import PRESETS

# float32 sums in another order; signals have unit size.
STREAM_ATOL = 1e-5

SEANET = SEANetConfig(latent_dim=8, width=4, strides=(2, 4), dilations=((1,), (2,)))
VQ = ResidualVQConfig(n_codebooks=4, codebook_size=16)
TINY = {
    "causal": CodecConfig("causal", 8000, 1, SEANET, VQ, (1, 2)),
    "zero-padded": CodecConfig(
        "zero-padded", 8000, 1, dataclasses.replace(SEANET, padding="zero"), VQ, (1, 2)
    ),
    "spectral": CodecConfig("spectral", 8000, 1, SpectralConfig(8, 16, 8, 2, 2), VQ, (1, 2)),
    "spectral-stereo": CodecConfig(
        "spectral-stereo", 8000, 2, SpectralConfig(8, 16, 8, 1, 1, delay_hops=3), VQ, (1, 2)
    ),
    "segments": CodecConfig(
        "segments",
        8000,
        2,
        dataclasses.replace(SEANET, causal=False, norm="time_group"),
        VQ,
        (1, 2),
        segment_s=0.1,
        overlap=0.1,
        normalise=True,
    ),
    "dac": CodecConfig(
        "dac", 8000, 1, DACConfig(4, 32, (2, 5)), FactorisedVQConfig(3, 16, 4), (1, 2)
    ),
    "hifigan": CodecConfig(
        "hifigan",
        8000,
        1,
        HiFiGANConfig(8, 4, 16, (2, 4), (3, 5), (1,), (1, 3)),
        GroupedFSQConfig(2, (8, 7, 6, 6)),
        (20,),
    ),
}
every_family = pytest.mark.parametrize("name", TINY)


def noise(config: CodecConfig, length: int, batch: int = 1, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, config.channels, length, generator=generator)


@every_family
@pytest.mark.parametrize("length", [1, 7, 160, 799, 801, 1601])
def test_decoding_gives_as_many_samples_as_were_encoded(name: str, length: int) -> None:
    model = NeuralCodec.untrained(TINY[name])
    codes, scales = model.encode(noise(model.config, length))
    assert codes.shape == (1, model.config.n_codebooks, model.config.frames(length))
    assert model.decode(codes, scales, length).shape == (1, model.config.channels, length)


@every_family
def test_a_clip_is_coded_alike_alone_and_in_a_batch(name: str) -> None:
    model = NeuralCodec.untrained(TINY[name])
    audio = noise(model.config, 900, batch=3)
    together, scales = model.encode(audio)
    for index in range(3):
        alone, scale = model.encode(audio[index : index + 1])
        assert torch.equal(alone[0], together[index])
        if scale is not None and scales is not None:
            torch.testing.assert_close(scale[0], scales[index], rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", [name for name in TINY if TINY[name].prefix_decodable])
def test_codes_at_a_low_rate_are_the_first_codes_of_a_high_rate(name: str) -> None:
    model = NeuralCodec.untrained(TINY[name])
    audio = noise(model.config, 900)
    everything, _ = model.encode(audio)
    for n in range(1, model.config.n_codebooks + 1):
        assert torch.equal(model.encode(audio, n)[0], everything[:, :n])


@pytest.mark.parametrize("name", ["causal", "zero-padded", "spectral", "spectral-stereo"])
@pytest.mark.parametrize("hops_per_step", [1, 3])
@pytest.mark.parametrize("length", [160, 163])
def test_a_stream_equals_the_whole_clip(name: str, hops_per_step: int, length: int) -> None:
    model = NeuralCodec.untrained(TINY[name])
    hop = model.config.hop_length
    audio = noise(model.config, length)
    with torch.inference_mode():
        offline = model.quantizer.encode(model.encoder(audio))
        whole = model.decoder(model.quantizer.decode(offline))
    cuts = list(range(model.start_frames * hop, length, hops_per_step * hop))
    pieces = audio.tensor_split(cuts, dim=-1)
    state: tuple[Tensor, ...] = ()
    streamed = []
    for piece in pieces:
        codes, state = model.encode_step(piece, state, last=piece is pieces[-1])
        streamed.append(codes)
    assert torch.equal(torch.cat(streamed, 2), offline)

    cuts = list(range(model.start_frames, offline.shape[2], hops_per_step))
    state, decoded = (), []
    for codes in offline.tensor_split(cuts, dim=2):
        piece, state = model.decode_step(codes, state)
        decoded.append(piece)
    torch.testing.assert_close(torch.cat(decoded, 2), whole, rtol=0, atol=STREAM_ATOL)


@pytest.mark.parametrize("length", [3, 24, 25, 160, 163])
def test_tiles_do_not_show(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = NeuralCodec.untrained(TINY["causal"])
    audio = noise(model.config, length, batch=2)
    codes, _ = model.encode(audio)
    decoded = model.decode(codes)
    monkeypatch.setattr(neural_codec, "TILE_SAMPLES", 8)  # as short as the model's start allows
    assert torch.equal(model.encode(audio)[0], codes)
    torch.testing.assert_close(model.decode(codes), decoded, rtol=0, atol=STREAM_ATOL)


def test_a_stream_with_zero_padding_starts_with_its_first_hop() -> None:
    assert NeuralCodec.untrained(TINY["zero-padded"]).start_frames == 1
    assert NeuralCodec.untrained(TINY["causal"]).start_frames == 7  # the last kernel reflects six


@every_family
def test_weight_norm_changes_nothing_and_folds_away(name: str) -> None:
    model = NeuralCodec.untrained(TINY[name])
    audio = noise(model.config, 800)
    before, digest = model.encode(audio)[0], weights_sha256(model)
    model.apply_weight_norm()
    assert any(".original0" in key for key in model.state_dict())
    assert torch.equal(model.encode(audio)[0], before)
    model.fold_weight_norm()
    assert torch.equal(model.encode(audio)[0], before)
    assert len(digest) == 64


@every_family
def test_a_checkpoint_brings_back_the_same_model(name: str, tmp_path: Path) -> None:
    model = NeuralCodec.untrained(TINY[name], seed=3)
    checkpoint.save(model, tmp_path / "model.safetensors")
    loaded = checkpoint.load(tmp_path / "model.safetensors")
    audio = noise(model.config, 801)
    assert loaded.config == model.config
    assert weights_sha256(loaded) == weights_sha256(model)
    assert torch.equal(loaded.encode(audio)[0], model.encode(audio)[0])


def test_half_precision_halves_the_file_and_its_hash_is_that_of_the_loaded_model(
    tmp_path: Path,
) -> None:
    model = NeuralCodec.untrained(TINY["spectral"])
    checkpoint.save(model, tmp_path / "whole.safetensors")
    checkpoint.save(model, tmp_path / "half.safetensors", torch.float16)
    half = checkpoint.load(tmp_path / "half.safetensors")
    assert weights_sha256(half) != weights_sha256(model)
    for name, value in half.weights().items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, model.weights()[name].half().float(), rtol=0, atol=0)
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("half", "whole")]
    assert sizes[0] < 0.65 * sizes[1]  # names and config stay


def test_equal_models_are_equal_bytes(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    written = set()
    for _ in range(12):  # the library's own order of metadata is another at every call
        checkpoint.save(NeuralCodec.untrained(TINY["causal"]), path)
        written.add(path.read_bytes())
    assert len(written) == 1


def test_checkpoints_that_are_none_say_so(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with pytest.raises(UserError, match="no such checkpoint"):
        checkpoint.load(path)
    path.write_bytes(b"\xff" * 100)
    with pytest.raises(UserError, match="not a readable safetensors file"):
        checkpoint.load(path)
    model = NeuralCodec.untrained(TINY["causal"])
    checkpoint.save(model, path)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match="damaged"):
        checkpoint.load(path)


@pytest.mark.parametrize("name", PRESETS)
def test_configs_survive_json(name: str) -> None:
    assert CodecConfig.from_json(PRESETS[name].to_json()) == PRESETS[name]


def test_bitrates_choose_codebooks_as_published() -> None:
    encodec = PRESETS["seanet-24k"]
    assert [encodec.codebooks_at(kbps) for kbps in encodec.kbps] == [2, 4, 8, 16, 32]
    stereo = PRESETS["seanet-48k-stereo"]
    assert [stereo.codebooks_at(kbps) for kbps in stereo.kbps] == [2, 4, 8, 16]
    assert PRESETS["seanet-16k"].codebooks_at(24) == 48
    assert PRESETS["dac-44k"].codebooks_at(8) == 9
    assert PRESETS["hifigan-fsq-22k"].codebooks_at(1.89) == 8
    with pytest.raises(UserError, match=r"0\.75 kbps or more"):
        encodec.codebooks_at(0.5)


def test_segments_leave_no_sample_out() -> None:
    config = PRESETS["seanet-48k-stereo"]
    assert config.segments(48_000) == [(0, 48_000), (47_520, 48_000)]
    assert config.segments(100_001) == [(0, 48_000), (47_520, 95_520), (95_040, 100_001)]
    assert config.frames(100_001) == 150 + 150 + 16
