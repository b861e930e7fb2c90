"""The spectral family's networks as ONNX operators. See `onnx_graph.py` for the layout."""

from __future__ import annotations

import torch
from torch import nn

from reference_codec.onnx_graph import END, Graph, convolution
from reference_codec.spectral import FLOOR, LOUDEST, Block, Decoder, Encoder


def encoder(g: Graph, network: Encoder, x: str) -> str:
    """`[batch, channels, 1, time]` to latents `[batch, latent_dim, 1, frames]`."""
    x = convolution(g, "encoder.first", network.first, _features(g, network, x))
    rows = _rows(g, _blocks(g, "encoder.blocks", network.blocks, x))
    rows = _layer_norm(g, "encoder.norm", network.norm, rows)
    return _columns(g, _linear(g, "encoder.last", network.last, rows))


def decoder(g: Graph, network: Decoder, x: str) -> str:
    """Latents to audio `[batch, channels, 1, time]`."""
    x = convolution(g, "decoder.first", network.first, x)
    rows = _rows(g, _blocks(g, "decoder.blocks", network.blocks, x))
    rows = _layer_norm(g, "decoder.norm", network.norm, rows)
    return _overlap_add(g, network, _linear(g, "decoder.last", network.last, rows))


def _features(g: Graph, network: Encoder, x: str) -> str:
    hop, channels = network.hop, network.first.in_channels // (3 * (network.hop + 1))
    missing = g("Mod", g("Neg", g.length(x)), g.ints(hop))
    nothing = g.ints(0, 0, 0, 0, 0, 0, 0)
    x = g("Pad", x, g("Concat", nothing, missing, axis=0))
    state = g.recall("batch", channels, 1, hop)
    x = g.join(state, x)
    g.remember(state, g.slice(x, g.ints(-hop), g.ints(END)))
    if channels > 1:  # each becomes a clip of its own
        x = g("Reshape", x, g("Concat", g.ints(-1, 1, 1), g.length(x), axis=0))
    basis = g.weight("encoder.basis", network.basis.unsqueeze(2))
    bins = g("Conv", x, basis, strides=[1, hop])
    real, imaginary = g.many("Split", [bins], 2, axis=1)
    power = g("Add", g("Mul", real, real), g("Mul", imaginary, imaginary))
    magnitude = g("Sqrt", g("Add", power, g.number(FLOOR**2)))
    level = g("Add", g("Mul", g("Log", magnitude), g.number(0.5)), g.number(1.5))
    square_root = g("Div", g.number(3), g("Sqrt", magnitude))
    parts = [level, g("Mul", real, square_root), g("Mul", imaginary, square_root)]
    features = g("Concat", *parts, axis=1)
    if channels == 1:
        return features
    width = 3 * (hop + 1)
    frames = g("Shape", features, start=3, end=4)
    return g("Reshape", features, g("Concat", g.ints(-1, channels * width, 1), frames, axis=0))


def _blocks(g: Graph, name: str, blocks: nn.ModuleList, x: str) -> str:
    for index, block in enumerate(blocks):
        assert isinstance(block, Block)
        own = f"{name}.{index}"
        rows = _rows(g, convolution(g, f"{own}.depthwise", block.depthwise, x))
        rows = _layer_norm(g, f"{own}.norm", block.norm, rows)
        rows = _gelu(g, _linear(g, f"{own}.wide", block.wide, rows))
        # The scale of the branch goes into its last weights.
        scaled = nn.Linear(block.narrow.in_features, block.narrow.out_features, device="meta")
        scaled.weight = nn.Parameter(block.narrow.weight * block.scale[:, None])
        scaled.bias = nn.Parameter(block.narrow.bias * block.scale)
        x = g("Add", x, _columns(g, _linear(g, f"{own}.narrow", scaled, rows)))
    return x


def _overlap_add(g: Graph, network: Decoder, rows: str) -> str:
    """As a product: the second half of each frame meets the first half of the next."""
    hop, channels = network.hop, network.channels
    bins = hop + 1
    if channels > 1:  # [batch, frames, channels, values], channels in front of the frames
        rows = g("Reshape", rows, g.ints(0, 0, channels, 3 * bins))
    else:
        rows = g("Unsqueeze", rows, g.ints(2))
    rows = g("Transpose", rows, perm=[0, 2, 1, 3])
    level, cosine, sine = g.many("Split", [rows], 3, axis=3)
    level = g("Min", g("Sub", level, g.number(2)), g.number(LOUDEST))
    length = g("Add", g("Mul", cosine, cosine), g("Mul", sine, sine))
    length = g("Sqrt", g("Add", length, g.number(1e-6)))
    scale = g("Div", g("Exp", level), length)
    spectrum = g("Concat", g("Mul", scale, cosine), g("Mul", scale, sine), axis=3)
    frames = g("MatMul", spectrum, g.weight("decoder.basis", network.basis[:, 0]))
    first, second = g.many("Split", [frames], 2, axis=3)
    state = g.recall("batch", channels, 1, hop)
    second = g("Concat", state, second, axis=2)
    g.remember(state, g("Slice", second, g.ints(-1), g.ints(END), g.ints(2)))
    before = g("Slice", second, g.ints(0), g.ints(-1), g.ints(2))
    audio = g("Add", first, before)
    return g("Reshape", audio, g.ints(0, channels, 1, -1))


def _rows(g: Graph, x: str) -> str:
    """`[batch, width, 1, frames]` to `[batch, frames, width]`."""
    return g("Transpose", g("Squeeze", x, g.ints(2)), perm=[0, 2, 1])


def _columns(g: Graph, rows: str) -> str:
    return g("Unsqueeze", g("Transpose", rows, perm=[0, 2, 1]), g.ints(2))


def _linear(g: Graph, name: str, layer: nn.Linear, rows: str) -> str:
    product = g("MatMul", rows, g.weight(f"{name}.weight", layer.weight.t()))
    return g("Add", product, g.weight(f"{name}.bias", layer.bias))


def _layer_norm(g: Graph, name: str, layer: nn.LayerNorm, rows: str) -> str:
    weights = [g.weight(f"{name}.{kind}", getattr(layer, kind)) for kind in ("weight", "bias")]
    return g("LayerNormalization", rows, *weights, axis=-1, epsilon=layer.eps)


def _gelu(g: Graph, rows: str) -> str:
    below = g("Erf", g("Mul", rows, g.number(float(torch.tensor(0.5).sqrt()))))
    return g("Mul", g("Mul", rows, g.number(0.5)), g("Add", below, g.number(1)))
