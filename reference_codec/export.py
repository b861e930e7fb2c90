"""A `NeuralCodec` as ONNX: `encoder.onnx` and `decoder.onnx`, for `onnx_backend.py` to run.

The files hold the config and the weights' hash, so they need no checkpoint beside them. Causal
models are exported as the step of a stream; a whole clip is a stream of one piece.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto
from torch import Tensor

from reference_codec import dac, hifigan, onnx_spectral, seanet, spectral
from reference_codec.errors import UserError
from reference_codec.factorised_vq import FactorisedVQ
from reference_codec.fsq import GroupedFSQ
from reference_codec.layers import Conv1d, ConvTranspose1d, Snake
from reference_codec.neural_codec import NeuralCodec, weights_sha256
from reference_codec.onnx_graph import (
    Graph,
    alpha,
    convolution,
    elu,
    lstm,
    pointwise,
    snake,
    transposed_convolution,
)
from reference_codec.quantizers import Quantizer
from reference_codec.residual_vq import ResidualVQ

ENCODER, DECODER = "encoder.onnx", "decoder.onnx"


@torch.no_grad()
def export(model: NeuralCodec, directory: str | Path) -> list[Path]:
    """Write both files; the directory is made where it is missing."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, build in ((ENCODER, encoder), (DECODER, decoder)):
        paths.append(directory / name)
        onnx.save(build(model), paths[-1])
    return paths


def encoder(model: NeuralCodec) -> onnx.ModelProto:
    """Inputs: `audio` `[batch, channels, time]`, `n_codebooks` `[]`, and states.
    Outputs: `codes` `[codebooks, batch · frames]` and states.
    """
    g = Graph(model.config.network.causal)
    audio = g.input("audio", ["batch", model.config.channels, "time"])
    latents = _encoder(g, model.encoder, g("Unsqueeze", audio, g.ints(2)))
    n_codebooks = g.input("n_codebooks", [], TensorProto.INT64)
    codes = _codes(g, model.quantizer, latents, n_codebooks)
    g.output("codes", codes, ["codebooks", "frames"], TensorProto.INT64)
    return g.model(_description(model, g))


def decoder(model: NeuralCodec) -> onnx.ModelProto:
    """Inputs: `codes` `[batch, codebooks, frames]` and states. Outputs: `audio` and states."""
    g = Graph(model.config.network.causal)
    codes = g.input("codes", ["batch", "codebooks", "frames"], TensorProto.INT64)
    audio = _decoder(g, model.decoder, _latents(g, model.quantizer, codes))
    audio = g("Squeeze", audio, g.ints(2))
    g.output("audio", audio, ["batch", model.config.channels, "time"])
    return g.model(_description(model, g))


def _description(model: NeuralCodec, g: Graph) -> dict[str, str]:
    return {
        "config": model.config.to_json(),
        "weights_sha256": weights_sha256(model),
        "start_frames": str(model.start_frames),
        "states": json.dumps(g.state_shapes),
    }


def _encoder(g: Graph, network: torch.nn.Module, x: str) -> str:
    if isinstance(network, seanet.Encoder):
        x = convolution(g, "encoder.first", network.first, x)
        for index, stage in enumerate(network.stages):
            assert isinstance(stage, seanet.EncoderStage)
            name = f"encoder.stages.{index}"
            x = _seanet_units(g, f"{name}.units", stage.units, x)
            x = convolution(g, f"{name}.down", stage.down, elu(g, x))
        if network.lstm is not None:
            x = lstm(g, "encoder.lstm", network.lstm, x)
        return convolution(g, "encoder.last", network.last, elu(g, x))
    if isinstance(network, hifigan.Encoder):
        if isinstance(network.first, hifigan.Replicating):
            raise UserError("ONNX: encoders that repeat their first and last sample are not known.")
        x = convolution(g, "encoder.first", network.first, x)
        for index, stage in enumerate(network.stages):
            assert isinstance(stage, hifigan.EncoderStage)
            name = f"encoder.stages.{index}"
            x = _fusion(g, f"{name}.fusion", stage.fusion, x)
            x = convolution(g, f"{name}.down", stage.down, _leaky(g, x))
        return convolution(g, "encoder.last", network.last, _leaky(g, x))
    if isinstance(network, spectral.Encoder):
        return onnx_spectral.encoder(g, network, x)
    assert isinstance(network, dac.Encoder)
    return _sequence(g, "encoder", network, x)


def _decoder(g: Graph, network: torch.nn.Module, x: str) -> str:
    if isinstance(network, seanet.Decoder):
        x = convolution(g, "decoder.first", network.first, x)
        if network.lstm is not None:
            x = lstm(g, "decoder.lstm", network.lstm, x)
        for index, stage in enumerate(network.stages):
            assert isinstance(stage, seanet.DecoderStage)
            name = f"decoder.stages.{index}"
            x = transposed_convolution(g, f"{name}.up", stage.up, elu(g, x))
            x = _seanet_units(g, f"{name}.units", stage.units, x)
        return convolution(g, "decoder.last", network.last, elu(g, x))
    if isinstance(network, hifigan.Decoder):
        if network.causal:
            raise UserError("ONNX: the causal decoders of NVIDIA's nano codecs are not known.")
        x = convolution(g, "decoder.first", network.first, x)
        for index, stage in enumerate(network.stages):
            assert isinstance(stage, hifigan.DecoderStage)
            name = f"decoder.stages.{index}"
            x = transposed_convolution(g, f"{name}.up", stage.up, _leaky(g, x))
            x = _fusion(g, f"{name}.fusion", stage.fusion, x)
        return g("Tanh", convolution(g, "decoder.last", network.last, _leaky(g, x)))
    if isinstance(network, spectral.Decoder):
        return onnx_spectral.decoder(g, network, x)
    assert isinstance(network, dac.Decoder)
    return _sequence(g, "decoder", network, x)


def _seanet_units(g: Graph, name: str, units: torch.nn.ModuleList, x: str) -> str:
    for index, unit in enumerate(units):
        assert isinstance(unit, seanet.ResidualUnit)
        own = f"{name}.{index}"
        branch = convolution(g, f"{own}.wide", unit.wide, elu(g, x))
        branch = convolution(g, f"{own}.narrow", unit.narrow, elu(g, branch))
        if unit.shortcut is not None:
            x = convolution(g, f"{own}.shortcut", unit.shortcut, x)
        x = g("Add", branch, x)
    return x


def _fusion(g: Graph, name: str, fusion: hifigan.ReceptiveFieldFusion, x: str) -> str:
    branches = []
    for index, branch in enumerate(fusion.branches):
        assert isinstance(branch, torch.nn.Sequential)
        y = x
        for place, unit in enumerate(branch):
            assert isinstance(unit, hifigan.ResidualUnit)
            own = f"{name}.branches.{index}.{place}"
            inner = convolution(g, f"{own}.dilated", unit.dilated, _leaky(g, y))
            y = g("Add", y, convolution(g, f"{own}.plain", unit.plain, _leaky(g, inner)))
        branches.append(y)
    return g("Mul", g("Sum", *branches), g.number(1 / len(branches)))


def _leaky(g: Graph, x: str) -> str:
    return g("LeakyRelu", x, alpha=hifigan.SLOPE)


def _sequence(g: Graph, name: str, layers: torch.nn.Sequential, x: str) -> str:
    """DAC's layers, which are all in a row."""
    before: Tensor | None = None  # factors that `x` still lacks
    for index, layer in enumerate(layers):
        own = f"{name}.{index}"
        if isinstance(layer, Conv1d):
            x, before = convolution(g, own, layer, x, before), None
        elif isinstance(layer, ConvTranspose1d):
            x, before = transposed_convolution(g, own, layer, x, before), None
        elif isinstance(layer, Snake):
            x, before = _snake(g, own, layer, x)
        elif isinstance(layer, dac.ResidualUnit):
            branch, narrower = _snake(g, f"{own}.snake_1", layer.snake_1, x)
            inner = alpha(layer.snake_2)
            branch = convolution(g, f"{own}.wide", layer.wide, branch, narrower, inner)
            branch = pointwise(
                g, f"{own}.narrow", layer.narrow, snake(g, branch), inner.reciprocal()
            )
            x = g("Add", x, branch)
        else:
            assert isinstance(layer, torch.nn.Tanh)
            x = g("Tanh", x)
    return x


def _snake(g: Graph, name: str, layer: Snake, x: str) -> tuple[str, Tensor]:
    """Its output and the factors that this lacks."""
    inner = alpha(layer)
    scaled = g("Mul", x, g.weight(f"{name}.alpha", inner[:, None, None]))
    return snake(g, scaled), inner.reciprocal()


def _codes(g: Graph, quantizer: Quantizer, latents: str, n_codebooks: str) -> str:
    """Codes `[codebooks, batch · frames]`."""
    if isinstance(quantizer, GroupedFSQ):
        return _fsq_codes(g, quantizer, latents)
    rows = g("Transpose", g("Squeeze", latents, g.ints(2)), perm=[0, 2, 1])
    rows = g("Flatten", rows, axis=2)  # one for each frame

    def stacked(name: str, tensors: Sequence[Tensor]) -> Callable[[str], str]:
        weight = g.weight(f"quantizer.{name}", torch.stack(tuple(tensors)))
        return lambda level: g("Gather", weight, level)

    if isinstance(quantizer, ResidualVQ):
        vectors = stacked("vectors", [book.vectors for book in quantizer.codebooks])
        shift = stacked("shift", [-book.half_norms for book in quantizer.codebooks])

        def nearest(level: str, residual: str) -> tuple[str, str]:
            entries = vectors(level)
            scores = g("Gemm", residual, entries, shift(level), transB=1)
            codes = g("ArgMax", scores, axis=1, keepdims=0)
            return g("Sub", residual, g("Gather", entries, codes)), codes

        return g.repeat(n_codebooks, rows, nearest)
    assert isinstance(quantizer, FactorisedVQ)
    books = quantizer.codebooks
    narrow = stacked("narrow", [book.narrow.weight[:, :, 0].t() for book in books])
    narrow_bias = stacked("narrow_bias", [_bias(book.narrow) for book in books])
    directions = stacked("directions", [book.directions.t() for book in books])
    vectors = stacked("vectors", [book.vectors for book in books])
    widen = stacked("widen", [book.widen.weight[:, :, 0].t() for book in books])
    widen_bias = stacked("widen_bias", [_bias(book.widen) for book in books])

    def similar(level: str, residual: str) -> tuple[str, str]:
        seen = g("Add", g("MatMul", residual, narrow(level)), narrow_bias(level))
        codes = g("ArgMax", g("MatMul", seen, directions(level)), axis=1, keepdims=0)
        wide = g("MatMul", g("Gather", vectors(level), codes), widen(level))
        return g("Sub", residual, g("Add", wide, widen_bias(level))), codes

    return g.repeat(n_codebooks, rows, similar)


def _latents(g: Graph, quantizer: Quantizer, codes: str) -> str:
    """From codes of any number of codebooks; `[batch, dim, 1, frames]`."""
    if isinstance(quantizer, GroupedFSQ):
        return _fsq_latents(g, quantizer, codes)
    # One table for all codebooks, so that how many there are need not be known.
    sizes = np.array(quantizer.codebook_sizes)
    offsets = g.weight("quantizer.offsets", (np.cumsum(sizes) - sizes)[:, None])
    n = g("Shape", codes, start=1, end=2)
    index = g("Add", codes, g("Slice", offsets, g.ints(0), n, g.ints(0)))
    if isinstance(quantizer, ResidualVQ):
        table = torch.cat([codebook.vectors for codebook in quantizer.codebooks])
        entries = g("Gather", g.weight("quantizer.vectors", table), index)
        rows = g("ReduceSum", entries, g.ints(1), keepdims=0)
    else:
        assert isinstance(quantizer, FactorisedVQ)
        books = quantizer.codebooks
        table = torch.cat([codebook.vectors for codebook in books])
        entries = g("Gather", g.weight("quantizer.vectors", table), index)
        dim = table.shape[1]
        side_by_side = g("Transpose", entries, perm=[0, 2, 1, 3])
        side_by_side = g(
            "Reshape", side_by_side, g("Concat", g.ints(0, 0), g("Mul", n, g.ints(dim)), axis=0)
        )
        widen = torch.cat([codebook.widen.weight[:, :, 0].t() for codebook in books])
        used = g(
            "Slice",
            g.weight("quantizer.widen", widen),
            g.ints(0),
            g("Mul", n, g.ints(dim)),
            g.ints(0),
        )
        bias = torch.stack([_bias(codebook.widen) for codebook in books]).cumsum(0)
        last = g("Sub", n, g.ints(1))
        rows = g(
            "Add",
            g("MatMul", side_by_side, used),
            g("Gather", g.weight("quantizer.bias", bias), last),
        )
    return g("Unsqueeze", g("Transpose", rows, perm=[0, 2, 1]), g.ints(2))


def _fsq_codes(g: Graph, quantizer: GroupedFSQ, latents: str) -> str:
    group, n = quantizer.group, quantizer.n_groups
    levels = group.levels.float()[:, None]  # [channels of a group, 1, 1]
    span, offset, shift = group.squashing()
    channels = len(levels)
    x = g("Reshape", latents, g.ints(0, n, channels, -1))
    x = g("Tanh", g("Add", x, g.weight("fsq.shift", shift)))
    x = g("Sub", g("Mul", x, g.weight("fsq.span", span)), g.weight("fsq.offset", offset))
    digits = g(
        "Add",
        g("Cast", g("Round", x), to=TensorProto.INT64),
        g.weight("fsq.half", group.levels // 2),
    )
    codes = g(
        "ReduceSum", g("Mul", digits, g.weight("fsq.bases", group.bases)), g.ints(2), keepdims=0
    )
    return g("Flatten", g("Transpose", codes, perm=[1, 0, 2]), axis=1)


def _fsq_latents(g: Graph, quantizer: GroupedFSQ, codes: str) -> str:
    group = quantizer.group
    half = group.levels // 2
    digits = g("Div", g("Unsqueeze", codes, g.ints(2)), g.weight("fsq.bases", group.bases))
    digits = g("Mod", digits, g.weight("fsq.levels", group.levels))
    centred = g("Cast", g("Sub", digits, g.weight("fsq.half", half)), to=TensorProto.FLOAT)
    latents = g("Div", centred, g.weight("fsq.scale", half.float()))
    channels = quantizer.n_groups * len(half)
    return g("Reshape", latents, g.ints(0, channels, 1, -1))


def _bias(layer: torch.nn.Conv1d) -> Tensor:
    assert layer.bias is not None
    return layer.bias
