"""How other projects describe their models, as our configs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from reference_codec.config import (
    CodecConfig,
    DACConfig,
    FactorisedVQConfig,
    GroupedFSQConfig,
    HiFiGANConfig,
    ResidualVQConfig,
    SEANetConfig,
)
from reference_codec.errors import UserError

Description = Mapping[str, Any]


def transformers(description: Description) -> CodecConfig:
    """`config.json` of an EncodecModel or a DacModel."""
    kind = description.get("model_type")
    if kind == "encodec":
        return _encodec(description)
    if kind == "dac":
        return _dac(
            description["sampling_rate"],
            DACConfig(
                description["encoder_hidden_size"],
                description["decoder_hidden_size"],
                description["downsampling_ratios"],
            ),
            description,
        )
    raise UserError(f"config.json: model_type is {kind!r}. Expected 'encodec' or 'dac'.")


def descript(options: Description) -> CodecConfig:
    """The keyword arguments that `descript-audio-codec` stores in a checkpoint."""
    network = DACConfig(options["encoder_dim"], options["decoder_dim"], options["encoder_rates"])
    return _dac(options["sample_rate"], network, options)


def _dac(sample_rate_hz: int, network: DACConfig, description: Description) -> CodecConfig:
    n, size = description["n_codebooks"], description["codebook_size"]
    bits_per_s = math.log2(size) * sample_rate_hz / math.prod(network.strides)
    return CodecConfig(
        name="dac",
        sample_rate_hz=sample_rate_hz,
        channels=1,
        network=network,
        quantizer=FactorisedVQConfig(n, size, description["codebook_dim"]),
        kbps=tuple(round(bits_per_s * (level + 1) / 1000, 3) for level in range(n)),
        source="arXiv:2306.06546",
    )


def _encodec(description: Description) -> CodecConfig:
    strides = tuple(description["upsampling_ratios"])[::-1]
    growth = description["dilation_growth_rate"]
    dilations = tuple(growth**unit for unit in range(description["num_residual_layers"]))
    rate_hz, size = description["sampling_rate"], description["codebook_size"]
    kbps = tuple(description["target_bandwidths"])
    bits_per_s = math.log2(size) * math.ceil(rate_hz / math.prod(strides))
    return CodecConfig(
        name="encodec",
        sample_rate_hz=rate_hz,
        channels=description["audio_channels"],
        network=SEANetConfig(
            latent_dim=description["hidden_size"],
            width=description["num_filters"],
            strides=strides,
            dilations=(dilations,) * len(strides),
            kernel=description["kernel_size"],
            last_kernel=description["last_kernel_size"],
            residual_kernel=description["residual_kernel_size"],
            compress=description["compress"],
            lstm_layers=description["num_lstm_layers"],
            conv_shortcut=description["use_conv_shortcut"],
            causal=description["use_causal_conv"],
            padding="reflect" if description["pad_mode"] == "reflect" else "zero",
            norm="weight" if description["norm_type"] == "weight_norm" else "time_group",
        ),
        quantizer=ResidualVQConfig(int(1000 * kbps[-1] // bits_per_s), size),
        kbps=kbps,
        segment_s=description["chunk_length_s"],
        overlap=description["overlap"] or 0.0,
        normalise=description["normalize"],
        source="arXiv:2210.13438",
    )


def nemo(description: Description) -> CodecConfig:
    """`model_config.yaml` of a NeMo AudioCodecModel with HiFi-GAN networks and grouped FSQ.

    Raises:
        UserError: another architecture, or options that the published codec does not use.
    """
    encoder, decoder = description["audio_encoder"], description["audio_decoder"]
    quantizer = description["vector_quantizer"]
    for part, options, targets in (
        ("audio_encoder", encoder, ("HiFiGANEncoder",)),
        ("audio_decoder", decoder, ("HiFiGANDecoder", "CausalHiFiGANDecoder")),
        ("vector_quantizer", quantizer, ("GroupFiniteScalarQuantizer",)),
    ):
        if str(options["_target_"]).rpartition(".")[2] not in targets:
            known = " and ".join(targets)
            raise UserError(f"{part} is {options['_target_']}. Known of NeMo's: {known}.")
    causal = str(decoder["_target_"]).endswith(".CausalHiFiGANDecoder")
    padding = encoder.get("pad_mode", "reflect")
    if padding not in ("reflect", "replicate"):
        raise UserError(f"the encoder's pad_mode is {padding!r}, not 'reflect' or 'replicate'.")
    for part, option, default, supported in (
        (encoder, "activation", "lrelu", "lrelu"),
        (decoder, "activation", "lrelu", "half_snake" if causal else "lrelu"),
        (decoder, "pad_mode", "zeros" if causal else "reflect", "zeros" if causal else "reflect"),
        (decoder, "output_activation", "tanh", "clamp" if causal else "tanh"),
        (decoder, "n_groups_equal_to_out_channels", causal, causal),
        (encoder, "in_kernel_size", 7, 7),
        (encoder, "out_kernel_size", 7, 7),
        (decoder, "in_kernel_size", 7, 7),
        (decoder, "out_kernel_size", 3, 3),
    ):
        if part.get(option, default) != supported:
            found = part.get(option, default)
            raise UserError(f"{option} is {found!r}. Only {supported!r} is supported.")
    strides = tuple(encoder["down_sample_rates"])
    if tuple(decoder["up_sample_rates"]) != strides[::-1]:
        raise UserError("the decoder's up_sample_rates are not the encoder's backwards.")
    kernels = tuple(encoder.get("resblock_kernel_sizes", (3, 7, 11)))
    if tuple(decoder.get("resblock_kernel_sizes", (3, 7, 11))) != kernels:
        raise UserError("encoder and decoder have different resblock_kernel_sizes.")
    fsq = GroupedFSQConfig(quantizer["num_groups"], quantizer["num_levels_per_group"])
    rate_hz = description["sample_rate"]
    bits = sum(math.log2(codebook) for codebook in fsq.codebook_sizes)
    return CodecConfig(
        name="nemo-audio-codec",
        sample_rate_hz=rate_hz,
        channels=1,
        network=HiFiGANConfig(
            latent_dim=encoder["encoded_dim"],
            encoder_width=encoder.get("base_channels", 32),
            decoder_width=decoder.get("base_channels", 512),
            strides=strides,
            kernels=kernels,
            encoder_dilations=tuple(encoder.get("resblock_dilation_sizes", (1, 3, 5))),
            decoder_dilations=tuple(decoder.get("resblock_dilation_sizes", (1, 3, 5))),
            encoder_padding=padding,
            causal_decoder=causal,
        ),
        quantizer=fsq,
        kbps=(round(bits * rate_hz / math.prod(strides) / 1000, 2),),
        source="arXiv:2409.12117",
    )
