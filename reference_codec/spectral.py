"""A codec whose networks run once per frame, on windowed spectra: cheap to train and to use.

Reads beside Siuzdak, "Vocos", arXiv:2306.00814, §3 (ConvNeXt blocks at the frame rate, a head of
magnitude and phase, overlap-add instead of upsampling) and Liu et al., "A ConvNet for the 2020s",
arXiv:2201.03545, §2 (the block). Differs:

- the encoder mirrors the decoder, as a codec needs: windowed spectrum, blocks, latents;
- everything is causal. Frame t sees two hops of audio, up to its own last sample, and is
  synthesised over two hops that end `delay_hops` later. At least one hop of delay lets the windows
  of analysis and synthesis fall on the same samples; each further hop lets the decoder look one
  frame ahead;
- windows are sines, which overlap to one when squared, so that a spectrum handed through comes
  back as the same audio.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reference_codec.config import SpectralConfig
from reference_codec.layers import Conv1d, Stream

FLOOR = 1e-3  # of a bin's magnitude, for the logarithm
LOUDEST = 5.0  # log magnitude beyond which the decoder is not believed


class Block(nn.Module):
    """ConvNeXt: x + scale · linear(GELU(linear(norm(depthwise(x)))))."""

    def __init__(self, config: SpectralConfig, n_blocks: int) -> None:
        super().__init__()
        width = config.width
        self.depthwise = Conv1d(width, width, config.kernel, causal=True, groups=width)
        self.norm = nn.LayerNorm(width)
        self.wide = nn.Linear(width, config.expansion * width)
        self.narrow = nn.Linear(config.expansion * width, width)
        self.scale = nn.Parameter(torch.full((width,), n_blocks**-0.5))

    def forward(self, x: Tensor, stream: Stream | None = None) -> Tensor:
        branch = self.norm(self.depthwise(x, stream).transpose(1, 2))
        branch = self.narrow(F.gelu(self.wide(branch))) * self.scale
        return x + branch.transpose(1, 2)


class Encoder(nn.Module):
    """`[batch, channels, time]` to `[batch, latent_dim, ceil(time / hop)]`."""

    basis: Tensor

    def __init__(self, config: SpectralConfig, channels: int) -> None:
        super().__init__()
        self.hop = config.hop
        bins = config.hop + 1
        basis = fourier_basis(config.hop)[:, None] * config.hop**-0.5 * 2**0.5
        self.register_buffer("basis", basis, persistent=False)
        self.first = Conv1d(3 * bins * channels, config.width, 2, causal=True)
        n = config.encoder_blocks
        self.blocks = nn.ModuleList(Block(config, n) for _ in range(n))
        self.norm = nn.LayerNorm(config.width)
        self.last = nn.Linear(config.width, config.latent_dim)

    def forward(self, x: Tensor, stream: Stream | None = None) -> Tensor:
        x = self.first(self.features(x, stream), stream)
        for block in self.blocks:
            x = block(x, stream)
        latents: Tensor = self.last(self.norm(x.transpose(1, 2)))
        return latents.transpose(1, 2)

    def features(self, x: Tensor, stream: Stream | None) -> Tensor:
        """Of each frame and bin: log magnitude, real and imaginary part at a square-root scale."""
        batch, channels, time = x.shape
        x = F.pad(x, (0, -time % self.hop))
        before = x.new_zeros(batch, channels, self.hop)
        if stream is not None:
            before = before if stream.first else stream.read()
            stream.write(torch.cat([before, x], 2)[..., -self.hop :])
        x = torch.cat([before, x], 2).flatten(0, 1)[:, None]
        with torch.autocast(x.device.type, enabled=False):
            real, imaginary = F.conv1d(x.float(), self.basis, stride=self.hop).chunk(2, 1)
            magnitude = (real.square() + imaginary.square() + FLOOR**2).sqrt()
            level = 0.5 * magnitude.log() + 1.5
            square_root = 3 * magnitude.rsqrt()
            parts = [level, real * square_root, imaginary * square_root]
            return torch.cat(parts, 1).view(batch, -1, parts[0].shape[2])


class Decoder(nn.Module):
    """`[batch, latent_dim, frames]` to `[batch, channels, frames · hop]`, `delay_hops` late."""

    basis: Tensor

    def __init__(self, config: SpectralConfig, channels: int) -> None:
        super().__init__()
        self.hop, self.channels = config.hop, channels
        bins = config.hop + 1
        mirrored = torch.full((bins,), 2.0)  # bins that stand for a negative frequency too
        mirrored[0] = mirrored[-1] = 1.0
        basis = fourier_basis(config.hop) * mirrored.repeat(2)[:, None]
        self.register_buffer("basis", basis[:, None] * (8 * config.hop) ** -0.5, persistent=False)
        self.first = Conv1d(config.latent_dim, config.width, 5, causal=True)
        n = config.decoder_blocks
        self.blocks = nn.ModuleList(Block(config, n) for _ in range(n))
        self.norm = nn.LayerNorm(config.width)
        self.last = nn.Linear(config.width, 3 * bins * channels)

    def forward(self, x: Tensor, stream: Stream | None = None) -> Tensor:
        x = self.first(x, stream)
        for block in self.blocks:
            x = block(x, stream)
        spectrum = self.last(self.norm(x.transpose(1, 2))).transpose(1, 2)
        return self._overlap_add(spectrum, stream)

    def _overlap_add(self, spectrum: Tensor, stream: Stream | None) -> Tensor:
        batch = spectrum.shape[0]
        spectrum = spectrum.reshape(batch * self.channels, -1, spectrum.shape[2])
        with torch.autocast(spectrum.device.type, enabled=False):
            level, cosine, sine = spectrum.float().chunk(3, 1)
            magnitude = (level - 2).clamp(max=LOUDEST).exp()
            # The direction of a vector, so that no phase wraps around.
            magnitude = magnitude * (cosine.square() + sine.square() + 1e-6).rsqrt()
            bins = torch.cat([magnitude * cosine, magnitude * sine], 1)
            frames = F.conv_transpose1d(bins, self.basis, stride=self.hop)
        audio = frames.view(batch, self.channels, -1)
        if stream is None:
            return audio[..., : -self.hop]
        if not stream.first:
            tail = stream.read()
            audio = torch.cat([audio[..., : self.hop] + tail, audio[..., self.hop :]], 2)
        stream.write(audio[..., -self.hop :])
        return audio[..., : -self.hop]


def fourier_basis(hop: int) -> Tensor:
    """Windowed cosines, then sines, of all bins: `[2 · (hop + 1), 2 · hop]`.

    Applied to a frame it gives real and imaginary parts of the spectrum of the windowed frame.
    """
    length = 2 * hop
    bins = torch.arange(hop + 1, dtype=torch.float64)[:, None]
    time = torch.arange(length, dtype=torch.float64) + 0.5
    window = torch.sin(math.pi * time / length)
    phase = 2 * math.pi / length * bins * time
    return (torch.cat([phase.cos(), -phase.sin()]) * window).float()


def initialise_(network: Encoder | Decoder) -> None:
    """PyTorch's default but for the depthwise convolutions, which would lose most of the signal."""
    for module in network.modules():
        if isinstance(module, Block):
            nn.init.normal_(module.depthwise.weight, std=module.depthwise.kernel_size[0] ** -0.5)
