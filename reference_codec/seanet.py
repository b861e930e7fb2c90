"""SEANet, the encoder and decoder of EnCodec.

Reads beside Défossez et al., "High Fidelity Neural Audio Compression", arXiv:2210.13438, §3.1 and
figure 1. Differs: none; where the paper leaves a value open, Meta's `encodec` 0.1.1 decides (the
1×1 shortcut, reflection padding, normalisation before trimming).
"""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F

from reference_codec.config import SEANetConfig
from reference_codec.layers import (
    LSTM,
    Conv1d,
    ConvTranspose1d,
    Stream,
    variance_preserving_,
)


class ResidualUnit(nn.Module):
    """shortcut(x) + conv₁(ELU(conv₃(ELU(x)))), with fewer channels in between."""

    def __init__(self, config: SEANetConfig, channels: int, dilation: int) -> None:
        super().__init__()
        hidden = channels // config.compress
        wide = config.residual_kernel
        self.wide = convolution(config, channels, hidden, wide, dilation=dilation)
        self.narrow = convolution(config, hidden, channels, 1)
        self.shortcut = convolution(config, channels, channels, 1) if config.conv_shortcut else None

    def forward(self, x: Tensor, stream: Stream | None = None) -> Tensor:
        branch = self.narrow(F.elu(self.wide(F.elu(x), stream)), stream)
        return branch + (x if self.shortcut is None else self.shortcut(x, stream))


class EncoderStage(nn.Module):
    """Residual units, then a convolution that strides and doubles the channels."""

    def __init__(
        self, config: SEANetConfig, width: int, stride: int, dilations: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.units = nn.ModuleList(ResidualUnit(config, width, dilation) for dilation in dilations)
        self.down = convolution(config, width, 2 * width, 2 * stride, stride)

    def forward(self, x: Tensor, stream: Stream | None = None) -> Tensor:
        for unit in self.units:
            x = unit(x, stream)
        return self.down(F.elu(x), stream)


class DecoderStage(nn.Module):
    """A transposed convolution that upsamples and halves the channels, then residual units."""

    def __init__(
        self, config: SEANetConfig, width: int, stride: int, dilations: tuple[int, ...]
    ) -> None:
        super().__init__()
        half, group_norm = width // 2, config.norm == "time_group"
        self.up = ConvTranspose1d(
            width, half, 2 * stride, stride, causal=config.causal, group_norm=group_norm
        )
        self.units = nn.ModuleList(ResidualUnit(config, half, dilation) for dilation in dilations)

    def forward(self, x: Tensor, stream: Stream | None = None) -> Tensor:
        x = self.up(F.elu(x), stream)
        for unit in self.units:
            x = unit(x, stream)
        return x


class Encoder(nn.Module):
    """`[batch, channels, time]` to `[batch, latent_dim, ceil(time / hop)]`."""

    def __init__(self, config: SEANetConfig, channels: int) -> None:
        super().__init__()
        width = config.width
        self.first = convolution(config, channels, width, config.kernel)
        self.stages = nn.ModuleList()
        for stride, dilations in zip(config.strides, config.dilations, strict=True):
            self.stages.append(EncoderStage(config, width, stride, dilations))
            width *= 2
        self.lstm = LSTM(width, config.lstm_layers) if config.lstm_layers else None
        self.last = convolution(config, width, config.latent_dim, config.last_kernel)

    def forward(self, x: Tensor, stream: Stream | None = None) -> Tensor:
        x = self.first(x, stream)
        for stage in self.stages:
            x = stage(x, stream)
        if self.lstm is not None:
            x = self.lstm(x, stream)
        return self.last(F.elu(x), stream)


class Decoder(nn.Module):
    """`[batch, latent_dim, frames]` to `[batch, channels, frames · hop]`: the encoder mirrored."""

    def __init__(self, config: SEANetConfig, channels: int) -> None:
        super().__init__()
        width = config.width * 2 ** len(config.strides)
        self.first = convolution(config, config.latent_dim, width, config.kernel)
        self.lstm = LSTM(width, config.lstm_layers) if config.lstm_layers else None
        self.stages = nn.ModuleList()
        for stride, dilations in zip(config.strides[::-1], config.dilations, strict=True):
            self.stages.append(DecoderStage(config, width, stride, dilations))
            width //= 2
        self.last = convolution(config, width, channels, config.last_kernel)

    def forward(self, x: Tensor, stream: Stream | None = None) -> Tensor:
        x = self.first(x, stream)
        if self.lstm is not None:
            x = self.lstm(x, stream)
        for stage in self.stages:
            x = stage(x, stream)
        return self.last(F.elu(x), stream)


def convolution(
    config: SEANetConfig,
    in_channels: int,
    out_channels: int,
    kernel: int,
    stride: int = 1,
    dilation: int = 1,
) -> Conv1d:
    return Conv1d(
        in_channels,
        out_channels,
        kernel,
        stride,
        dilation,
        causal=config.causal,
        reflect=config.padding == "reflect",
        group_norm=config.norm == "time_group",
    )


ELU_GAIN = 1.25  # 1 / root mean square of ELU(x) for a standard normal x


def initialise_(network: Encoder | Decoder) -> None:
    """Variance-preserving weights; a unit's two summands share the variance."""
    for layer in network.modules():
        if isinstance(layer, Conv1d | ConvTranspose1d):
            variance_preserving_(layer, ELU_GAIN)
    variance_preserving_(network.first)
    for unit in network.modules():
        if isinstance(unit, ResidualUnit):
            variance_preserving_(unit.narrow, ELU_GAIN * 0.5**0.5)
            if unit.shortcut is not None:
                variance_preserving_(unit.shortcut, 0.5**0.5)


def start_frames(config: SEANetConfig) -> int:
    """Frames that a stream must see before its first step, so that reflection finds its mirror.

    Zero padding needs one. With reflection, every layer needs one sample more than it pads.
    """
    if config.padding == "zero":
        return 1
    # (samples that a layer reaches back, samples per frame where it stands)
    hop = math.prod(config.strides)
    reaches = [(config.kernel - 1, hop), (config.last_kernel - 1, 1)]  # encoder
    reaches += [(config.kernel - 1, 1), (config.last_kernel - 1, hop)]  # decoder
    below, above = hop, 1
    for down, up, dilations in zip(
        config.strides, config.strides[::-1], config.dilations, strict=True
    ):
        above *= up
        for dilation in dilations:
            reach = (config.residual_kernel - 1) * dilation
            reaches += [(reach, below), (reach, above)]
        reaches.append((down, below))
        below //= down
    return max(math.ceil((reach + 1) / per_frame) for reach, per_frame in reaches)
