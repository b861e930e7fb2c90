"""How other projects name the layers of the same networks.

Each function maps a peer's layer (or single tensor) to ours. The layouts of `transformers` serve
as the common form; `encodec` and `descript-audio-codec` are first rewritten into it.
"""

from __future__ import annotations

import re

from reference_codec.config import DACConfig, HiFiGANConfig, SEANetConfig

# One stage of DAC in the order in which it runs.
DAC_ENCODER_STAGE = ("res_unit1", "res_unit2", "res_unit3", "snake1", "conv1")
DAC_DECODER_STAGE = ("snake1", "conv_t1", "res_unit1", "res_unit2", "res_unit3")
DAC_UNIT = ("snake1", "conv1", "snake2", "conv2")
OUR_UNIT = ("snake_1", "wide", "snake_2", "narrow")


def encodec(config: SEANetConfig, n_codebooks: int) -> dict[str, str]:
    """`transformers`' EncodecModel: layers are numbered as they run, activations included."""
    names = {}

    def convolution(theirs: str, ours: str) -> None:
        names[f"{theirs}.conv"] = ours
        names[f"{theirs}.norm"] = f"{ours}.norm"

    for part in ("encoder", "decoder"):
        index = 0
        convolution(f"{part}.layers.0", f"{part}.first")
        if part == "decoder" and config.lstm_layers:
            index += 1
            names[f"decoder.layers.{index}.lstm"] = "decoder.lstm"
        for stage, dilations in enumerate(config.dilations):
            if part == "decoder":
                index += 2
                convolution(f"decoder.layers.{index}", f"decoder.stages.{stage}.up")
            for unit in range(len(dilations)):
                index += 1
                theirs, ours = f"{part}.layers.{index}", f"{part}.stages.{stage}.units.{unit}"
                convolution(f"{theirs}.block.1", f"{ours}.wide")
                convolution(f"{theirs}.block.3", f"{ours}.narrow")
                convolution(f"{theirs}.shortcut", f"{ours}.shortcut")
            if part == "encoder":
                index += 2
                convolution(f"encoder.layers.{index}", f"encoder.stages.{stage}.down")
        if part == "encoder" and config.lstm_layers:
            index += 1
            names[f"encoder.layers.{index}.lstm"] = "encoder.lstm"
        convolution(f"{part}.layers.{index + 2}", f"{part}.last")
    for level in range(n_codebooks):
        theirs = f"quantizer.layers.{level}.codebook.embed"
        names[theirs] = f"quantizer.codebooks.{level}.vectors"
    return names


def encodec_from_meta(name: str) -> str:
    """A tensor of Meta's `encodec` package as `transformers` names it."""
    name = re.sub(r"^(encoder|decoder)\.model\.", r"\1.layers.", name)
    name = re.sub(r"\.(conv|convtr)\.\1\.", ".conv.", name)
    name = re.sub(r"\.(conv|convtr)\.norm\.", ".norm.", name)
    return re.sub(
        r"^quantizer\.vq\.layers\.(\d+)\._codebook", r"quantizer.layers.\1.codebook", name
    )


def dac(config: DACConfig, n_codebooks: int) -> dict[str, str]:
    """`transformers`' DacModel. Ours numbers all layers of a network as they run."""
    names = {}
    end = 1 + 5 * len(config.strides)
    for part, places in (("encoder", DAC_ENCODER_STAGE), ("decoder", DAC_DECODER_STAGE)):
        names[f"{part}.conv1"] = f"{part}.0"
        for stage in range(len(config.strides)):
            for place, layer in enumerate(places):
                theirs, ours = f"{part}.block.{stage}.{layer}", f"{part}.{1 + 5 * stage + place}"
                names[theirs] = ours
                for inner, own in zip(DAC_UNIT, OUR_UNIT, strict=True):
                    names[f"{theirs}.{inner}"] = f"{ours}.{own}"
        names[f"{part}.snake1"] = f"{part}.{end}"
        names[f"{part}.conv2"] = f"{part}.{end + 1}"
    for level in range(n_codebooks):
        theirs, ours = f"quantizer.quantizers.{level}", f"quantizer.codebooks.{level}"
        names[f"{theirs}.in_proj"] = f"{ours}.narrow"
        names[f"{theirs}.out_proj"] = f"{ours}.widen"
        names[f"{theirs}.codebook.weight"] = f"{ours}.vectors"
    return names


def dac_from_descript(name: str, n_stages: int) -> str:
    """A tensor of the `descript-audio-codec` package as `transformers` names it."""
    found = re.match(r"(encoder|decoder)\.(?:block|model)\.(\d+)\.(.*)", name)
    if not found:
        return name
    part, index, rest = found[1], int(found[2]), found[3]
    if index == 0 or index > n_stages:
        return f"{part}.{('conv1', 'snake1', 'conv2')[max(0, index - n_stages)]}.{rest}"
    places = DAC_ENCODER_STAGE if part == "encoder" else DAC_DECODER_STAGE
    rest = re.sub(r"^block\.(\d)", lambda place: places[int(place[1])], rest)
    rest = re.sub(r"\.block\.(\d)", lambda place: f".{DAC_UNIT[int(place[1])]}", rest)
    return f"{part}.block.{index - 1}.{rest}"


def nemo(config: HiFiGANConfig) -> dict[str, str]:
    """NeMo's AudioCodecModel with HiFiGANEncoder and HiFiGANDecoder or CausalHiFiGANDecoder."""
    names = {}
    for part, rescale, own, dilations in (
        ("encoder", "down_sample_conv_layers", "down", config.encoder_dilations),
        ("decoder", "up_sample_conv_layers", "up", config.decoder_dilations),
    ):
        names[f"audio_{part}.pre_conv.conv"] = f"{part}.first"
        names[f"audio_{part}.post_conv.conv"] = f"{part}.last"
        snake = "activation.snake_act"
        names[f"audio_{part}.post_activation.{snake}"] = f"{part}.act.snake"
        for stage in range(len(config.strides)):
            names[f"audio_{part}.{rescale}.{stage}.conv"] = f"{part}.stages.{stage}.{own}"
            names[f"audio_{part}.activations.{stage}.{snake}"] = f"{part}.stages.{stage}.act.snake"
            for branch in range(len(config.kernels)):
                for unit in range(len(dilations)):
                    theirs = (
                        f"audio_{part}.res_layers.{stage}.res_blocks.{branch}.res_blocks.{unit}"
                    )
                    ours = f"{part}.stages.{stage}.fusion.branches.{branch}.{unit}"
                    names[f"{theirs}.input_activation.{snake}"] = f"{ours}.before.snake"
                    names[f"{theirs}.input_conv.conv"] = f"{ours}.dilated"
                    names[f"{theirs}.skip_activation.{snake}"] = f"{ours}.between.snake"
                    names[f"{theirs}.skip_conv.conv"] = f"{ours}.plain"
    return names
