"""HiFi-GAN as a codec: its generator decodes, and its mirror image encodes.

Reads beside Kong et al., "HiFi-GAN", arXiv:2010.05646, §2.2 (multi-receptive field fusion, MRF)
and Casanova et al., "Low Frame-rate Speech Codec", arXiv:2409.12117, §2.1. Differs from HiFi-GAN
as NeMo's codec does: branches are averaged, not summed; padding mirrors the signal.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reference_codec.config import HiFiGANConfig
from reference_codec.layers import Conv1d, ConvTranspose1d, variance_preserving_

SLOPE = 0.01  # of LeakyReLU; NeMo keeps PyTorch's default where the HiFi-GAN paper has 0.1


class ResidualUnit(nn.Module):
    """x + conv(LReLU(dilated conv(LReLU(x))))."""

    def __init__(self, channels: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.dilated = Conv1d(channels, channels, kernel, dilation=dilation, reflect=True)
        self.plain = Conv1d(channels, channels, kernel, reflect=True)

    def forward(self, x: Tensor) -> Tensor:
        branch = self.plain(activate(self.dilated(activate(x))))
        return x + branch


class ReceptiveFieldFusion(nn.Module):
    """The mean of parallel stacks of residual units, one stack per kernel size."""

    def __init__(self, channels: int, kernels: tuple[int, ...], dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(ResidualUnit(channels, kernel, dilation) for dilation in dilations))
            for kernel in kernels
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([branch(x) for branch in self.branches]).mean(0)


class EncoderStage(nn.Module):
    def __init__(self, config: HiFiGANConfig, width: int, stride: int) -> None:
        super().__init__()
        self.fusion = ReceptiveFieldFusion(width, config.kernels, config.encoder_dilations)
        self.down = Conv1d(width, 2 * width, 2 * stride, stride, reflect=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(activate(self.fusion(x)))


class DecoderStage(nn.Module):
    def __init__(self, config: HiFiGANConfig, width: int, stride: int) -> None:
        super().__init__()
        self.up = ConvTranspose1d(width, width // 2, 2 * stride, stride)
        self.fusion = ReceptiveFieldFusion(width // 2, config.kernels, config.decoder_dilations)

    def forward(self, x: Tensor) -> Tensor:
        return self.fusion(self.up(activate(x)))


class Encoder(nn.Module):
    """`[batch, channels, time]` to `[batch, latent_dim, time / hop]`; time in whole hops."""

    def __init__(self, config: HiFiGANConfig, channels: int) -> None:
        super().__init__()
        width = config.encoder_width
        self.first = Conv1d(channels, width, 7, reflect=True)
        self.stages = nn.Sequential()
        for stride in config.strides:
            self.stages.append(EncoderStage(config, width, stride))
            width *= 2
        self.last = Conv1d(width, config.latent_dim, 7, reflect=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(activate(self.stages(self.first(x))))


class Decoder(nn.Module):
    """`[batch, latent_dim, frames]` to `[batch, channels, frames · hop]`, within ±1."""

    def __init__(self, config: HiFiGANConfig, channels: int) -> None:
        super().__init__()
        width = config.decoder_width
        self.first = Conv1d(config.latent_dim, width, 7, reflect=True)
        self.stages = nn.Sequential()
        for stride in config.strides[::-1]:
            self.stages.append(DecoderStage(config, width, stride))
            width //= 2
        self.last = Conv1d(width, channels, 3, reflect=True)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.last(activate(self.stages(self.first(x)))))


def activate(x: Tensor) -> Tensor:
    return F.leaky_relu(x, SLOPE)


AUDIO_LEVEL = 0.1  # root mean square of speech and music, roughly


def initialise_(network: Encoder | Decoder) -> None:
    """Variance-preserving weights, with residual branches weaker than what they join.

    Leaky ReLU keeps a small signal small, so that the encoder's first layer brings audio to the
    unit size that FSQ expects, and the decoder's last layer brings it back.
    """
    for layer in network.modules():
        if isinstance(layer, Conv1d | ConvTranspose1d):
            variance_preserving_(layer, 2**0.5)
    for unit in network.modules():
        if isinstance(unit, ResidualUnit):
            variance_preserving_(unit.plain, 0.5 * 2**0.5)
    if isinstance(network, Encoder):
        variance_preserving_(network.first, 1 / AUDIO_LEVEL)
    else:
        variance_preserving_(network.first)
        variance_preserving_(network.last, 2**0.5 * AUDIO_LEVEL)
