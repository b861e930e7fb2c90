"""The networks of the Descript Audio Codec.

Reads beside Kumar et al., "High-Fidelity Audio Compression with Improved RVQGAN",
arXiv:2306.06546, §3.1 and table 4. Differs: none; as in `descript-audio-codec` 1.0.0, an odd
stride costs the decoder samples at the end of a clip, which `NeuralCodec.decode` fills with zeros.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from reference_codec.config import DACConfig
from reference_codec.layers import Conv1d, ConvTranspose1d, Snake

DILATIONS = (1, 3, 9)


class ResidualUnit(nn.Module):
    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.snake_1 = Snake(channels)
        self.wide = Conv1d(channels, channels, 7, dilation=dilation)
        self.snake_2 = Snake(channels)
        self.narrow = Conv1d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        branch = self.narrow(self.snake_2(self.wide(self.snake_1(x))))
        return x + branch


class Encoder(nn.Sequential):
    """`[batch, channels, time]` to `[batch, latent_dim, time / hop]`; time in whole hops."""

    def __init__(self, config: DACConfig, channels: int) -> None:
        width = config.encoder_width
        layers: list[nn.Module] = [Conv1d(channels, width, 7)]
        for stride in config.strides:
            layers += [ResidualUnit(width, dilation) for dilation in DILATIONS]
            layers += [Snake(width), Conv1d(width, 2 * width, 2 * stride, stride)]
            width *= 2
        layers += [Snake(width), Conv1d(width, config.latent_dim, 3)]
        super().__init__(*layers)


class Decoder(nn.Sequential):
    """`[batch, latent_dim, frames]` to `[batch, channels, ≤ frames · hop]`, within ±1."""

    def __init__(self, config: DACConfig, channels: int) -> None:
        width = config.decoder_width
        layers: list[nn.Module] = [Conv1d(config.latent_dim, width, 7)]
        for stride in config.strides[::-1]:
            trim = math.ceil(stride / 2)
            up = ConvTranspose1d(width, width // 2, 2 * stride, stride, trim_right=trim)
            layers += [Snake(width), up]
            width //= 2
            layers += [ResidualUnit(width, dilation) for dilation in DILATIONS]
        layers += [Snake(width), Conv1d(width, channels, 7), nn.Tanh()]
        super().__init__(*layers)


@torch.no_grad()
def initialise_(module: nn.Module) -> None:
    """As published: weights from a normal of σ 0.02 cut at ±2, biases zero. Source: §4.1's code."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv1d):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
