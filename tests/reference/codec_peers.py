"""Other projects' codecs with random weights, small or of the published sizes.

Their outputs are brought to audio level and their codebooks to the level of the latents, as in a
trained model: otherwise absolute tolerances would mean nothing.
"""

import importlib
import importlib.util
import logging
import math
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nacbench.torchaudio_cpu import import_torchaudio

AUDIO_LEVEL = 0.2


def noise(channels: int, length: int, seed: int = 5) -> Tensor:
    """Coloured noise at speech level, `[1, channels, length]`."""
    generator = torch.Generator().manual_seed(seed)
    white = torch.randn(1, channels, length, generator=generator)
    return AUDIO_LEVEL * (white + white.cumsum(-1) / math.sqrt(length))


def encodec_coder() -> ModuleType:
    """The arithmetic coder of Meta's `encodec` package."""
    _installed("encodec", "encodec")
    import_torchaudio()
    return importlib.import_module("encodec.quantization.ac")


def transformers_encodec(seed: int = 0, **options: Any) -> Any:
    """`transformers`' EncodecModel; without options the published 24 kHz model's shape."""
    from transformers import EncodecConfig, EncodecModel

    torch.manual_seed(seed)
    model: Any = EncodecModel(EncodecConfig(**options)).eval()
    embeds = [layer.codebook.embed for layer in model.quantizer.layers]
    _liven_encodec(model.encoder, embeds, model.decoder, model.config.audio_channels)
    return model


STEREO_48K = {
    "sampling_rate": 48_000,
    "audio_channels": 2,
    "target_bandwidths": [3.0, 6.0, 12.0, 24.0],
    "normalize": True,
    "chunk_length_s": 1.0,
    "overlap": 0.01,
    "norm_type": "time_group_norm",
    "use_causal_conv": False,
}


def meta_encodec(rate_hz: int, n_filters: int = 32, dimension: int = 128, seed: int = 0) -> Any:
    """Meta's `encodec` package: its published models, or smaller ones of the same plan."""
    _installed("encodec", "encodec")
    import_torchaudio()
    from encodec.model import EncodecModel
    from encodec.modules import SEANetDecoder, SEANetEncoder
    from encodec.quantization import ResidualVectorQuantizer

    torch.manual_seed(seed)
    stereo = rate_hz == 48_000
    network = {
        "channels": 2 if stereo else 1,
        "norm": "time_group_norm" if stereo else "weight_norm",
        "causal": not stereo,
        "n_filters": n_filters,
        "dimension": dimension,
    }
    bandwidths = [3.0, 6.0, 12.0, 24.0] if stereo else [1.5, 3.0, 6.0, 12.0, 24.0]
    n_codebooks = 16 if stereo else 32
    model: Any = EncodecModel(
        SEANetEncoder(**network),
        SEANetDecoder(**network),
        ResidualVectorQuantizer(dimension, n_codebooks, 1024),
        bandwidths,
        rate_hz,
        network["channels"],
        normalize=stereo,
        segment=1.0 if stereo else None,
    )
    model.eval()
    embeds = [layer._codebook.embed for layer in model.quantizer.vq.layers]
    _liven_encodec(model.encoder, embeds, model.decoder, model.channels)
    return model


def transformers_dac(seed: int = 0, **options: Any) -> Any:
    from transformers import DacConfig, DacModel

    torch.manual_seed(seed)
    model: Any = DacModel(DacConfig(**options)).eval()
    _liven_dac(model)
    return model


def descript_dac(seed: int = 0, **options: Any) -> Any:
    """The `descript-audio-codec` package's model.

    It imports `audiotools` for training and files, which pins outdated libraries; an empty
    stand-in is enough for the network.
    """
    if "dac" not in sys.modules:
        tools = _Anything("audiotools")
        tools.ml = _Anything("audiotools.ml")
        tools.ml.BaseModel = nn.Module
        sys.modules |= {"audiotools": tools, "audiotools.ml": tools.ml}
        _package("dac", _installed("dac", "descript-audio-codec"))
    # get_delay() runs the whole network once; only files need it.
    model_class = importlib.import_module("dac.model.dac").DAC
    torch.manual_seed(seed)
    model_class.get_delay = lambda self: 0
    model = model_class(**options).eval()
    _liven_dac(model)
    return model


class _Anything(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return object


@torch.no_grad()
def _liven_encodec(encoder: Any, embeds: list[Tensor], decoder: Any, channels: int) -> None:
    """Codebooks that shrink the residual level by level; a decoder that ends at audio level."""
    _preserve_variance(encoder, ELU_GAIN)
    _preserve_variance(decoder, ELU_GAIN)
    latents = encoder(noise(channels, 9600))
    for codebook, embed in enumerate(embeds):
        embed.normal_(std=float(latents.std()) * max(0.6 * 0.8**codebook, 0.01))
    _scale_last_convolution(decoder, float(decoder(latents).std()))


@torch.no_grad()
def _liven_dac(model: Any) -> None:
    for name, parameter in model.named_parameters():
        if name.endswith("alpha"):
            parameter.uniform_(0.5, 2.0)
    _preserve_variance(model.encoder, SNAKE_GAIN)
    _preserve_variance(model.decoder, SNAKE_GAIN)
    _damp(model, "conv2", "block.3")
    quantized = model.quantizer(model.encoder(noise(1, 3200)))[0]
    level = float(torch.atanh(model.decoder(quantized).clamp(-0.999, 0.999)).std())
    _scale_last_convolution(model.decoder, level)


# 1 / root mean square of the activation for a standard normal input.
ELU_GAIN, SNAKE_GAIN, LEAKY_RELU_GAIN = 1.25, 0.88, 1.41


def _preserve_variance(module: Any, gain: float) -> None:
    for layer in module.modules():
        if not isinstance(layer, nn.Conv1d | nn.ConvTranspose1d):
            continue
        taps = layer.kernel_size[0]
        if isinstance(layer, nn.ConvTranspose1d):
            taps //= layer.stride[0]
        parameters = dict(layer.named_parameters())
        parameters["bias"].normal_(std=0.01)
        for direction, length in (
            ("weight", None),
            ("weight_v", "weight_g"),
            ("parametrizations.weight.original1", "parametrizations.weight.original0"),
        ):
            if direction in parameters:
                weight = parameters[direction].normal_(
                    std=gain / math.sqrt(layer.in_channels * taps)
                )
                if length:
                    parameters[length].copy_(weight.norm(dim=(1, 2), keepdim=True))


def _damp(module: Any, *branches: str) -> None:
    """Residual units add their branch to the identity: keep the branch small."""
    for name, parameter in module.named_parameters():
        layer, _, leaf = name.replace(".parametrizations.weight", "").rpartition(".")
        if layer.endswith(branches) and leaf in ("weight", "weight_g", "original0"):
            parameter *= 0.3


def _scale_last_convolution(decoder: Any, level: float, target: float = AUDIO_LEVEL) -> None:
    last = [layer for layer in decoder.modules() if isinstance(layer, nn.Conv1d)][-1]
    for name, parameter in last.named_parameters():
        if not name.endswith(("weight_v", "original1")):
            parameter *= target / level


def nemo_codec(description: dict[str, Any], seed: int = 0) -> Any:
    """NeMo's own encoder, quantizer and decoder from a `model_config.yaml`'s content.

    `import nemo` wants a hundred packages; the networks alone need PyTorch and stand-ins for
    NeMo's type checks.
    """
    import_torchaudio()  # transformers looks for it
    modules = _nemo_modules()
    torch.manual_seed(seed)
    model = nn.Module()
    for name in ("audio_encoder", "audio_decoder", "vector_quantizer"):
        options = dict(description[name])
        build = getattr(modules, options.pop("_target_").rpartition(".")[2])
        setattr(model, name, build(**options))
    model.eval()
    with torch.no_grad():
        for part in (model.audio_encoder, model.audio_decoder):
            _preserve_variance(part, LEAKY_RELU_GAIN)
            _damp(part, "skip_conv.conv")
        audio = noise(1, 8 * math.prod(model.audio_encoder.down_sample_rates))
        n = torch.tensor([audio.shape[-1]])
        latents, frames = model.audio_encoder(audio=audio[:, 0], audio_len=n)
        _scale_last_convolution(model.audio_encoder.post_conv, float(latents.std()), 1.0)
        quantized, _ = model.vector_quantizer(inputs=latents, input_len=frames)
        decoded, _ = model.audio_decoder(inputs=quantized, input_len=frames)
        level = float(torch.atanh(decoded.clamp(-0.999, 0.999)).std())
        _scale_last_convolution(model.audio_decoder.post_conv, level)
    return model


def _nemo_modules() -> Any:
    name = "nemo.collections.tts.modules.audio_codec_modules"
    if name in sys.modules:
        return sys.modules[name]
    root = _installed("nemo", "nemo_toolkit")
    for package in ("", ".collections", ".collections.tts", ".collections.tts.modules"):
        _package(f"nemo{package}", root)
    for package in ("nemo.collections.common", "nemo.collections.common.parts"):
        _package(package, root)
    for stand_in in (
        "nemo.collections.asr.modules",
        "nemo.collections.audio.parts.utils.transforms",
        "nemo.core.classes.common",
        "nemo.core.classes.module",
        "nemo.core.neural_types.elements",
        "nemo.core.neural_types.neural_type",
        "nemo.utils",
    ):
        sys.modules[stand_in] = _Anything(stand_in)
    sys.modules["nemo.core.classes.common"].typecheck = _no_typecheck  # type: ignore[attr-defined]
    sys.modules["nemo.core.classes.module"].NeuralModule = nn.Module  # type: ignore[attr-defined]
    sys.modules["nemo.utils"].logging = logging  # type: ignore[attr-defined]
    sys.modules["nemo.core.neural_types.neural_type"].NeuralType = lambda *_, **__: None  # type: ignore[attr-defined]
    return importlib.import_module(name)


def _installed(name: str, project: str) -> Path:
    """Where a peer's package lies; `make` installs the peers, other set-ups may lack them."""
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        pytest.skip(f"{project} is not installed")
    return Path(found.submodule_search_locations[0]).parent


def _no_typecheck(*_: Any, **__: Any) -> Any:
    return lambda method: method


def _package(name: str, root: Path) -> None:
    """Register a package without running its `__init__`."""
    package = ModuleType(name)
    package.__path__ = [str(root.joinpath(*name.split(".")))]
    sys.modules[name] = package
