"""HiFi-GAN as a codec: its generator decodes, and its mirror image encodes.

Reads beside Kong et al., "HiFi-GAN", arXiv:2010.05646, §2.2 (multi-receptive field fusion, MRF)
and Casanova et al., "Low Frame-rate Speech Codec", arXiv:2409.12117, §2.1. Differs from HiFi-GAN
as NeMo's codec does: branches are averaged, not summed; padding mirrors the signal. The decoder of
NVIDIA's nano codecs is causal, with half-snakes: Casanova et al., "NanoCodec", arXiv:2508.05835.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reference_codec.config import HiFiGANConfig
from reference_codec.layers import Conv1d, ConvTranspose1d, Snake, Stream, variance_preserving_

SLOPE = 0.01  # of LeakyReLU; NeMo keeps PyTorch's default where the HiFi-GAN paper has 0.1


class HalfSnake(nn.Module):
    """The first half of the channels through a snake, the others through leaky ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.snake = Snake(channels // 2)

    def forward(self, x: Tensor) -> Tensor:
        curved, bent = x.tensor_split([len(self.snake.alpha)], 1)
        return torch.cat([self.snake(curved), activate(bent)], 1)


class Replicating(Conv1d):
    """A convolution whose signal goes on with its first and last sample."""

    def forward(self, x: Tensor, stream: Stream | None = None) -> Tensor:
        padding = self.left, self.right + -x.shape[-1] % self.step
        return nn.Conv1d.forward(self, F.pad(x, padding, mode="replicate"))


class Style:
    """How one side of a codec makes its layers.

    Args:
        causal: zeros in front and none behind, and half-snakes; else leaky ReLU alone.
        padding: of layers that are not causal.
    """

    def __init__(self, causal: bool = False, padding: str = "reflect") -> None:
        self.causal, self.padding = causal, padding

    def convolution(
        self, channels: int, out_channels: int, kernel: int, stride: int = 1, dilation: int = 1
    ) -> Conv1d:
        sizes = channels, out_channels, kernel, stride, dilation
        if self.padding == "replicate":
            return Replicating(*sizes)
        return Conv1d(*sizes, causal=self.causal, reflect=not self.causal)

    def upsampling(self, channels: int, out_channels: int, stride: int) -> ConvTranspose1d:
        groups = out_channels if self.causal else 1
        return ConvTranspose1d(
            channels, out_channels, 2 * stride, stride, causal=self.causal, groups=groups
        )

    def activation(self, channels: int) -> nn.Module:
        return HalfSnake(channels) if self.causal else nn.LeakyReLU(SLOPE)


class ResidualUnit(nn.Module):
    """x + conv(act(dilated conv(act(x))))."""

    def __init__(self, channels: int, kernel: int, dilation: int, style: Style) -> None:
        super().__init__()
        self.before = style.activation(channels)
        self.dilated = style.convolution(channels, channels, kernel, dilation=dilation)
        self.between = style.activation(channels)
        self.plain = style.convolution(channels, channels, kernel)

    def forward(self, x: Tensor) -> Tensor:
        branch = self.plain(self.between(self.dilated(self.before(x))))
        return x + branch


class ReceptiveFieldFusion(nn.Module):
    """The mean of parallel stacks of residual units, one stack per kernel size."""

    def __init__(
        self, channels: int, kernels: tuple[int, ...], dilations: tuple[int, ...], style: Style
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(
                *(ResidualUnit(channels, kernel, dilation, style) for dilation in dilations)
            )
            for kernel in kernels
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([branch(x) for branch in self.branches]).mean(0)


class EncoderStage(nn.Module):
    def __init__(self, config: HiFiGANConfig, width: int, stride: int, style: Style) -> None:
        super().__init__()
        self.fusion = ReceptiveFieldFusion(width, config.kernels, config.encoder_dilations, style)
        self.act = style.activation(width)
        self.down = style.convolution(width, 2 * width, 2 * stride, stride)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.act(self.fusion(x)))


class DecoderStage(nn.Module):
    def __init__(self, config: HiFiGANConfig, width: int, stride: int, style: Style) -> None:
        super().__init__()
        half = width // 2
        self.act = style.activation(width)
        self.up = style.upsampling(width, half, stride)
        self.fusion = ReceptiveFieldFusion(half, config.kernels, config.decoder_dilations, style)

    def forward(self, x: Tensor) -> Tensor:
        return self.fusion(self.up(self.act(x)))


class Encoder(nn.Module):
    """`[batch, channels, time]` to `[batch, latent_dim, time / hop]`; time in whole hops."""

    def __init__(self, config: HiFiGANConfig, channels: int) -> None:
        super().__init__()
        style, width = Style(padding=config.encoder_padding), config.encoder_width
        self.first = style.convolution(channels, width, 7)
        self.stages = nn.Sequential()
        for stride in config.strides:
            self.stages.append(EncoderStage(config, width, stride, style))
            width *= 2
        self.act = style.activation(width)
        self.last = style.convolution(width, config.latent_dim, 7)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.act(self.stages(self.first(x))))


class Decoder(nn.Module):
    """`[batch, latent_dim, frames]` to `[batch, channels, frames · hop]`, within ±1."""

    def __init__(self, config: HiFiGANConfig, channels: int) -> None:
        super().__init__()
        style, width = Style(causal=config.causal_decoder), config.decoder_width
        self.causal = config.causal_decoder
        self.first = style.convolution(config.latent_dim, width, 7)
        self.stages = nn.Sequential()
        for stride in config.strides[::-1]:
            self.stages.append(DecoderStage(config, width, stride, style))
            width //= 2
        self.act = style.activation(width)
        self.last = style.convolution(width, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.last(self.act(self.stages(self.first(x))))
        return x.clamp(-1, 1) if self.causal else torch.tanh(x)


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
            # A channel of a group hears its group alone.
            variance_preserving_(layer, (2 * layer.groups) ** 0.5)
    for unit in network.modules():
        if isinstance(unit, ResidualUnit):
            variance_preserving_(unit.plain, 0.5 * 2**0.5)
    if isinstance(network, Encoder):
        variance_preserving_(network.first, 1 / AUDIO_LEVEL)
    else:
        variance_preserving_(network.first)
        variance_preserving_(network.last, 2**0.5 * AUDIO_LEVEL)
