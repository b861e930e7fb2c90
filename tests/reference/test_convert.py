"""Converted weights compute what the project they come from computes.

Peers run side by side with random weights: small ones here, the published sizes as `slow`.
"""

import dataclasses
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import codec_peers as peers
import numpy as np
import pytest
import torch
import yaml
from ties import untied
from torch import Tensor

from reference_codec import convert, peer_configs, presets
from reference_codec.config import CodecConfig, SEANetConfig
from reference_codec.errors import UserError
from reference_codec.neural_codec import NeuralCodec

# Issue's bound. The arithmetic is the peer's own, so that it usually holds bit for bit.
AUDIO_ATOL = 1e-5

# torch deprecates what encodec and descript-audio-codec use.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*torch.jit.script.*:DeprecationWarning",
    "ignore:.*torch.nn.utils.weight_norm.*:FutureWarning",
    "ignore:.*torch.nn.utils.weight_norm.*:UserWarning",
)


def assert_equals_encodec(model: NeuralCodec, peer: Any, length: int, meta: bool) -> None:
    audio = peers.noise(model.config.channels, length)
    for kbps in model.config.kbps:
        with torch.inference_mode():
            if meta:
                peer.set_target_bandwidth(kbps)
                segments = peer.encode(audio)
                theirs = torch.cat([codes for codes, _ in segments], 2)
                scales = [scale for _, scale in segments]
                wanted = peer.decode(segments)
            else:
                codes, scales, padded = peer.encode(audio, bandwidth=kbps, return_dict=False)
                last = codes.shape[-1] - padded
                theirs = torch.cat([*codes[:-1], codes[-1][..., :last]], 2)
                wanted = peer.decode(codes, scales, last_frame_pad_length=padded)[0]
        ours, our_scales = model.encode(audio, model.config.codebooks_at(kbps))
        if our_scales is not None:
            torch.testing.assert_close(our_scales, torch.cat(scales, 1), rtol=1e-6, atol=0)
        assert not untied(model, audio, ours, theirs)
        got = model.decode(theirs, our_scales, length)
        torch.testing.assert_close(got, wanted[..., :length], rtol=0, atol=AUDIO_ATOL)
        assert got.std() > 0.03  # or the tolerance would mean nothing


def small(name: str) -> CodecConfig:
    config = presets.config(name)
    assert isinstance(config.network, SEANetConfig)
    return dataclasses.replace(
        config, network=dataclasses.replace(config.network, width=4, latent_dim=16)
    )


@pytest.mark.parametrize("length", [12_001, 2_000, 319])
def test_encodec_24k_equals_transformers_at_every_bandwidth(length: int) -> None:
    peer = peers.transformers_encodec(num_filters=4, hidden_size=16)
    config = peer_configs.transformers(peer.config.to_dict())
    assert dataclasses.replace(config, name="", source="") == dataclasses.replace(
        small("seanet-24k"), name="", source=""
    )
    assert_equals_encodec(convert.convert(peer.state_dict(), config), peer, length, meta=False)


def test_encodec_48k_equals_transformers_at_every_bandwidth() -> None:
    peer = peers.transformers_encodec(num_filters=4, hidden_size=16, **peers.STEREO_48K)
    config = peer_configs.transformers(peer.config.to_dict())
    assert dataclasses.replace(config, name="", source="") == dataclasses.replace(
        small("seanet-48k-stereo"), name="", source=""
    )
    assert_equals_encodec(convert.convert(peer.state_dict(), config), peer, 50_001, meta=False)


@pytest.mark.parametrize(
    ("name", "length"),
    [
        ("seanet-24k", 12_001),
        ("seanet-24k", 100),
        ("seanet-48k-stereo", 50_001),
        ("seanet-48k-stereo", 47_600),  # a first segment of 149 frames, where transformers fails
    ],
)
def test_encodec_equals_metas_package_at_every_bandwidth(name: str, length: int) -> None:
    config = small(name)
    peer = peers.meta_encodec(config.sample_rate_hz, n_filters=4, dimension=16)
    assert_equals_encodec(convert.convert(peer.state_dict(), config), peer, length, meta=True)


@pytest.mark.slow
@pytest.mark.parametrize("meta", [False, True], ids=["transformers", "encodec"])
@pytest.mark.parametrize(
    ("name", "length"), [("seanet-24k", 12_001), ("seanet-48k-stereo", 50_001)]
)
def test_encodec_of_the_published_size_equals_its_peers(name: str, length: int, meta: bool) -> None:
    config = presets.config(name)
    if meta:
        peer = peers.meta_encodec(config.sample_rate_hz)
    else:
        peer = peers.transformers_encodec(**(peers.STEREO_48K if config.channels == 2 else {}))
    assert_equals_encodec(convert.convert(peer.state_dict(), config), peer, length, meta)


def dac_peer(config: CodecConfig, descript: bool) -> Any:
    network, quantizer = config.network, config.quantizer
    if descript:
        return peers.descript_dac(
            encoder_dim=network.encoder_width,  # type: ignore[union-attr]
            decoder_dim=network.decoder_width,  # type: ignore[union-attr]
            encoder_rates=list(network.strides),
            decoder_rates=list(network.strides[::-1]),
            n_codebooks=config.n_codebooks,
            codebook_size=quantizer.codebook_size,  # type: ignore[union-attr]
            sample_rate=config.sample_rate_hz,
        )
    return peers.transformers_dac(
        encoder_hidden_size=network.encoder_width,  # type: ignore[union-attr]
        decoder_hidden_size=network.decoder_width,  # type: ignore[union-attr]
        downsampling_ratios=list(network.strides),
        n_codebooks=config.n_codebooks,
        codebook_size=quantizer.codebook_size,  # type: ignore[union-attr]
        sampling_rate=config.sample_rate_hz,
    )


def assert_equals_dac(config: CodecConfig, descript: bool, n_frames: int) -> None:
    """The peers lose a ragged end, so that they are given whole hops and ours is cut."""
    peer = dac_peer(config, descript)
    model = convert.convert(peer.state_dict(), config)
    length = n_frames * config.hop_length - 37
    audio = peers.noise(1, length)
    whole_hops = torch.nn.functional.pad(audio, (0, 37))
    for kbps in config.kbps:
        n = config.codebooks_at(kbps)
        with torch.inference_mode():
            if descript:
                theirs = peer.encode(whole_hops, n)[1]
                wanted = peer.decode(peer.quantizer.from_codes(theirs)[0])
            else:
                theirs = peer.encode(whole_hops, n).audio_codes
                wanted = peer.decode(audio_codes=theirs).audio_values[:, None]
        ours, _ = model.encode(audio, n)
        assert not untied(model, audio, ours, theirs)
        got = model.decode(theirs)
        common = wanted.shape[-1]
        assert 0 <= got.shape[-1] - common <= 8
        torch.testing.assert_close(got[..., :common], wanted, rtol=0, atol=AUDIO_ATOL)
        assert not got[..., common:].any()
        assert got.std() > 0.05
        assert model.decode(theirs, length=length).shape[-1] == length


@pytest.mark.parametrize("descript", [False, True], ids=["transformers", "descript"])
@pytest.mark.parametrize("name", ["dac-16k", "dac-44k"])
def test_dac_equals_its_peers_at_every_bandwidth(name: str, descript: bool) -> None:
    config = presets.config(name)
    network = dataclasses.replace(config.network, encoder_width=8, decoder_width=64)
    assert_equals_dac(dataclasses.replace(config, network=network), descript, n_frames=9)


@pytest.mark.slow
@pytest.mark.parametrize("descript", [False, True], ids=["transformers", "descript"])
@pytest.mark.parametrize("name", ["dac-16k", "dac-24k", "dac-44k"])
def test_dac_of_the_published_size_equals_its_peers(name: str, descript: bool) -> None:
    assert_equals_dac(presets.config(name), descript, n_frames=8)


TARGET = "nemo.collections.tts.modules.audio_codec_modules"
LFSC = {  # audio_codec_low_frame_rate_22050.yaml
    "target": "nemo.collections.tts.models.audio_codec.AudioCodecModel",
    "sample_rate": 22_050,
    "samples_per_frame": 1024,
    "audio_encoder": {
        "_target_": f"{TARGET}.HiFiGANEncoder",
        "down_sample_rates": [2, 2, 4, 8, 8],
        "encoded_dim": 32,
        "base_channels": 48,
        "activation": "lrelu",
        "resblock_dilation_sizes": [1],
    },
    "audio_decoder": {
        "_target_": f"{TARGET}.HiFiGANDecoder",
        "up_sample_rates": [8, 8, 4, 2, 2],
        "input_dim": 32,
        "base_channels": 1024,
        "activation": "lrelu",
        "output_activation": "tanh",
    },
    "vector_quantizer": {
        "_target_": f"{TARGET}.GroupFiniteScalarQuantizer",
        "num_groups": 8,
        "num_levels_per_group": [8, 7, 6, 6],
    },
}
SMALL_LFSC: dict[str, Any] = LFSC | {
    "audio_encoder": LFSC["audio_encoder"] | {"base_channels": 4, "down_sample_rates": [2, 3, 4]},  # type: ignore[operator]
    "audio_decoder": LFSC["audio_decoder"] | {"base_channels": 32, "up_sample_rates": [4, 3, 2]},  # type: ignore[operator]
}
SMALL_NANO: dict[str, Any] = SMALL_LFSC | {  # as nemo-nano-codec-22khz-1.89kbps-21.5fps
    "audio_encoder": SMALL_LFSC["audio_encoder"] | {"pad_mode": "replicate"},
    "audio_decoder": {
        "_target_": f"{TARGET}.CausalHiFiGANDecoder",
        "up_sample_rates": [4, 3, 2],
        "input_dim": 32,
        "base_channels": 32,
        "activation": "half_snake",
        "output_activation": "clamp",
        "pad_mode": "zeros",
        "n_groups_equal_to_out_channels": True,
    },
}


def write_nemo(path: Path, description: Any, state: Any) -> Path:
    """As NeMo's SaveRestoreConnector packs it: an uncompressed tar with names under './'."""
    weights = io.BytesIO()
    torch.save(state, weights)
    members = {
        "./model_config.yaml": yaml.safe_dump(description).encode(),
        "./model_weights.ckpt": weights.getvalue(),
    }
    with tarfile.open(path, "w:") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def assert_equals_nemo(description: dict[str, Any], n_frames: int, path: Path) -> None:
    peer = peers.nemo_codec(description)
    # The published archive holds the discriminators too.
    state = peer.state_dict() | {"discriminator.discriminators.0.conv.weight": torch.ones(3)}
    model = convert.load(write_nemo(path, description, state))
    hop = model.config.hop_length
    audio = peers.noise(1, n_frames * hop - 11)
    padded = torch.nn.functional.pad(audio, (0, 11))
    with torch.inference_mode():
        latents, frames = peer.audio_encoder(
            audio=padded[:, 0], audio_len=torch.tensor([n_frames * hop])
        )
        quantized, codes = peer.vector_quantizer(inputs=latents, input_len=frames)
        wanted, _ = peer.audio_decoder(inputs=quantized, input_len=frames)
    ours, _ = model.encode(audio)
    assert torch.equal(ours, codes.transpose(0, 1).long())
    torch.testing.assert_close(model.decode(ours)[:, 0], wanted, rtol=0, atol=AUDIO_ATOL)
    assert min(model.quantizer.use(ours).entropy_bits) > 2
    assert wanted.std() > 0.05


@pytest.mark.filterwarnings("ignore:To copy construct from a tensor:UserWarning")  # NeMo's own
@pytest.mark.parametrize("description", [SMALL_LFSC, SMALL_NANO], ids=["lfsc", "nano"])
def test_a_nemo_archive_equals_nemos_own_networks(
    description: dict[str, Any], tmp_path: Path
) -> None:
    assert_equals_nemo(description, 40, tmp_path / "codec.nemo")


@pytest.mark.slow
def test_a_nemo_archive_of_the_published_size_equals_nemos_own_networks(tmp_path: Path) -> None:
    assert_equals_nemo(LFSC, 9, tmp_path / "codec.nemo")


def documented_nemo_state(seed: int = 0) -> dict[str, Tensor]:
    """Names and shapes of `SMALL_LFSC` as NeMo 1 and 2 wrote them, spelt out by hand."""
    generator = torch.Generator().manual_seed(seed)
    state = {}

    def convolution(name: str, *shape: int) -> None:
        transposed = "up_sample" in name
        state[f"{name}.conv.weight_g"] = torch.rand(shape[0], 1, 1, generator=generator)
        state[f"{name}.conv.weight_v"] = torch.randn(shape, generator=generator)
        bias = shape[1] if transposed else shape[0]
        state[f"{name}.conv.bias"] = torch.randn(bias, generator=generator)

    for part, widths, rates, rescale, dilations in (
        ("audio_encoder", (4, 8, 16, 32), (2, 3, 4), "down_sample", (1,)),
        ("audio_decoder", (32, 16, 8, 4), (4, 3, 2), "up_sample", (1, 3, 5)),
    ):
        encoder = part == "audio_encoder"
        convolution(f"{part}.pre_conv", widths[0], 1 if encoder else 32, 7)
        convolution(f"{part}.post_conv", *((32, widths[-1], 7) if encoder else (1, 4, 3)))
        for stage, rate in enumerate(rates):
            before, after = widths[stage], widths[stage + 1]
            shape = (after, before, 2 * rate) if encoder else (before, after, 2 * rate)
            convolution(f"{part}.{rescale}_conv_layers.{stage}", *shape)
            width = before if encoder else after
            for branch, kernel in enumerate((3, 7, 11)):
                for unit in range(len(dilations)):
                    block = f"{part}.res_layers.{stage}.res_blocks.{branch}.res_blocks.{unit}"
                    convolution(f"{block}.input_conv", width, width, kernel)
                    convolution(f"{block}.skip_conv", width, width, kernel)
    return state


def test_a_nemo_archive_of_the_documented_layout_loads_without_nemo(tmp_path: Path) -> None:
    state = documented_nemo_state()
    model = convert.load(write_nemo(tmp_path / "codec.nemo", SMALL_LFSC, state))
    assert model.config.frame_rate_hz == 22_050 / 24
    assert model.config.codebook_sizes == (2016,) * 8
    name = "audio_decoder.res_layers.1.res_blocks.2.res_blocks.0.skip_conv.conv"
    direction, length = state[f"{name}.weight_v"], state[f"{name}.weight_g"]
    wanted = length * direction / direction.norm(dim=(1, 2), keepdim=True)
    got = model.state_dict()["decoder.stages.1.fusion.branches.2.0.plain.weight"]
    torch.testing.assert_close(got, wanted, rtol=1e-6, atol=1e-7)
    codes, _ = model.encode(peers.noise(1, 100))
    assert model.decode(codes, length=100).shape == (1, 1, 100)


def test_a_nemo_archive_that_is_none_says_so(tmp_path: Path) -> None:
    path = tmp_path / "codec.nemo"
    with pytest.raises(UserError, match="no such file"):
        convert.load(path)
    path.write_bytes(b"\x1f\x8b" + bytes(100))
    with pytest.raises(UserError, match="not a readable"):
        convert.load(path)
    with tarfile.open(path, "w:"):
        pass
    with pytest.raises(UserError, match="has no"):
        convert.load(path)
    state = documented_nemo_state()
    other = SMALL_LFSC | {"audio_decoder": {"_target_": f"{TARGET}.ResNetDecoder"}}
    with pytest.raises(UserError, match="Known of NeMo's: HiFiGANDecoder and Causal"):
        convert.load(write_nemo(path, other, state))
    odd = SMALL_NANO | {"audio_decoder": SMALL_NANO["audio_decoder"] | {"activation": "elu"}}
    with pytest.raises(UserError, match="activation is 'elu'"):
        convert.load(write_nemo(path, odd, state))
    with pytest.raises(UserError, match="does not describe an audio codec"):
        convert.load(write_nemo(path, {"sample_rate": 22_050}, state))
    state.popitem()
    with pytest.raises(UserError, match=r"the weights lack|no .* beside it"):
        convert.load(write_nemo(path, SMALL_LFSC, state))


class Exploit:
    """Unpickling this would write a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.target, "gotcha")


@pytest.mark.parametrize("name", ["codec.nemo", "weights.pth"])
def test_weights_cannot_run_code(tmp_path: Path, name: str) -> None:
    target, path = tmp_path / "written", tmp_path / name
    state = {"audio_encoder.pre_conv.conv.bias": Exploit(target)}
    if name.endswith(".nemo"):
        write_nemo(path, SMALL_LFSC, state)
    else:
        torch.save(state, path)
    with pytest.raises(UserError, match="not readable as plain tensors"):
        convert.load(path, "seanet-24k")
    assert not target.exists()


def test_yaml_cannot_run_code(tmp_path: Path) -> None:
    target = tmp_path / "written"
    path = write_nemo(tmp_path / "codec.nemo", {}, {})
    text = f"!!python/object/apply:pathlib.Path.touch [{target}]"
    with tarfile.open(path, "w:") as archive:
        member = tarfile.TarInfo("model_config.yaml")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text.encode()))
    with pytest.raises(UserError, match="not plain YAML"):
        convert.load(path)
    assert not target.exists()


def test_a_transformers_directory_describes_itself(tmp_path: Path) -> None:
    peer = peers.transformers_encodec(num_filters=4, hidden_size=16)
    peer.save_pretrained(tmp_path)
    model = convert.load(tmp_path)
    assert model.config.sample_rate_hz == 24_000
    audio = peers.noise(1, 4000)
    theirs = peer.encode(audio, bandwidth=24.0).audio_codes[0]
    assert torch.equal(model.encode(audio)[0], theirs)


def test_a_descript_checkpoint_describes_itself(tmp_path: Path) -> None:
    options = {
        "encoder_dim": 4,
        "decoder_dim": 32,
        "encoder_rates": [2, 4],
        "decoder_rates": [4, 2],
    }
    options |= {"n_codebooks": 3, "codebook_size": 64, "codebook_dim": 8, "sample_rate": 16_000}
    peer = peers.descript_dac(**options)
    path = tmp_path / "weights.pth"
    torch.save({"state_dict": peer.state_dict(), "metadata": {"kwargs": options}}, path)
    model = convert.load(path)
    audio = peers.noise(1, 800)
    with torch.inference_mode():
        assert torch.equal(model.encode(audio)[0], peer.encode(audio)[1])


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    state = peers.transformers_encodec(num_filters=4, hidden_size=16).state_dict()
    with pytest.raises(UserError, match=r"is \[4, 1, 7\], expected \[32, 1, 7\]"):
        convert.convert(state, presets.config("seanet-24k"))
    with pytest.raises(UserError, match="has no place for"):
        convert.convert(state, presets.config("dac-16k"))
    del state["encoder.layers.0.conv.bias"]
    with pytest.raises(UserError, match=r"lack 'encoder\.first\.bias'"):
        convert.convert(state, small("seanet-24k"))
    path = tmp_path / "weights.pth"
    torch.save({"x": np.zeros(3).tolist()}, path)
    with pytest.raises(UserError, match="holds no state dict"):
        convert.load(path)
    torch.save({"x": torch.zeros(3)}, path)
    with pytest.raises(UserError, match="cannot tell which model"):
        convert.load(path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "mimi"}), "utf-8")
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="not readable"):
        convert.load(tmp_path)
