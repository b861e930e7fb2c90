"""Discriminators that look at complex spectrograms as images."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from reference_codec.training.adversarial import Judgement
from reference_codec.training.stft import uncentred

SLOPE = 0.2


class STFTDiscriminator(nn.Module):
    """Convolutions over one complex spectrogram, `[batch, 2 · channels, frames, bins]`.

    A 3×9 convolution, three more that stride by 2 over frequency and widen over time (dilations
    1, 2, 4), a 3×3 one, and a 3×3 one to the logits.
    """

    def __init__(self, channels: int, n_fft: int, width: int) -> None:
        super().__init__()
        self.n_fft = n_fft
        self.layers = nn.ModuleList([_convolution(2 * channels, width, (3, 9))])
        for dilation in (1, 2, 4):
            self.layers.append(_convolution(width, width, (3, 9), stride=2, dilation=dilation))
        self.layers.append(_convolution(width, width, (3, 3)))
        self.last = _convolution(width, 1, (3, 3))

    def forward(self, audio: Tensor) -> Judgement:
        x = _spectrogram(audio, self.n_fft)
        features = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), SLOPE)
            features.append(x)
        return Judgement(self.last(x), features)


class MultiScaleSTFT(nn.Module):
    """EnCodec's MS-STFT discriminator: one network per window length.

    Reads beside Défossez et al., arXiv:2210.13438, §3.4, figure 2. Differs: none from the released
    `encodec` 0.1.1 (kernel 3×9, slope 0.2); the paper's text has a kernel of 3×8.

    Args:
        channels: of the audio.
        n_ffts: window lengths; a quarter of each from frame to frame, no padding at the ends.
        width: channels of every layer; the bill of a training run.
    """

    def __init__(self, channels: int, n_ffts: Sequence[int], width: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(STFTDiscriminator(channels, n_fft, width) for n_fft in n_ffts)

    def forward(self, audio: Tensor) -> list[Judgement]:
        return [scale(audio) for scale in self.scales]


class BandedDiscriminator(nn.Module):
    """One network per band of one complex spectrogram, their outputs joined over frequency."""

    def __init__(self, channels: int, n_fft: int, edges: Sequence[float], width: int) -> None:
        super().__init__()
        self.n_fft = n_fft
        bins = n_fft // 2 + 1
        cuts = [int(edge * bins) for edge in (0.0, *edges, 1.0)]
        self.bands = [slice(low, high) for low, high in pairwise(cuts)]
        self.stacks = nn.ModuleList()
        for _ in self.bands:
            stack = [_convolution(2 * channels, width, (3, 9))]
            stack += [_convolution(width, width, (3, 9), stride=2) for _ in range(3)]
            stack.append(_convolution(width, width, (3, 3)))
            self.stacks.append(nn.ModuleList(stack))
        self.last = _convolution(width, 1, (3, 3))

    def forward(self, audio: Tensor) -> Judgement:
        # Mirrored at the ends so that there is a frame for every hop, and not scaled, as in DAC.
        right = -audio.shape[-1] % (self.n_fft // 4)
        surround = 3 * self.n_fft // 8
        audio = F.pad(audio, (surround, surround + right), mode="reflect")
        spectrogram = _spectrogram(audio, self.n_fft, scaled=False)
        features, ends = [], []
        for band, stack in zip(self.bands, self.stacks, strict=True):
            x = spectrogram[..., band]
            for layer in stack.children():
                x = F.leaky_relu(layer(x), 0.1)
                features.append(x)
            ends.append(x)
        return Judgement(self.last(torch.cat(ends, -1)), features)


class MultiBandSTFT(nn.Module):
    """DAC's multi-band multi-scale complex STFT discriminator, which NVIDIA's codecs use too.

    Reads beside Kumar et al., arXiv:2306.06546, §3.3 and appendix A. Differs: none; the audio's
    mean is removed and its peak set to 0.8, as the released code does.

    Args:
        n_ffts: window lengths.
        edges: between the bands, as shares of half the sampling rate, ascending.
    """

    def __init__(
        self, channels: int, n_ffts: Sequence[int], edges: Sequence[float], width: int
    ) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            BandedDiscriminator(channels, n_fft, edges, width) for n_fft in n_ffts
        )

    def forward(self, audio: Tensor) -> list[Judgement]:
        audio = audio - audio.mean(-1, keepdim=True)
        audio = 0.8 * audio / (audio.abs().amax(-1, keepdim=True) + 1e-9)
        return [scale(audio) for scale in self.scales]


def _convolution(
    in_channels: int,
    out_channels: int,
    kernel: tuple[int, int],
    stride: int = 1,
    dilation: int = 1,
) -> nn.Module:
    """Over frames and bins; `stride` is over bins, `dilation` over frames."""
    padding = (dilation * (kernel[0] - 1) // 2, (kernel[1] - 1) // 2)
    layer = nn.Conv2d(in_channels, out_channels, kernel, (1, stride), padding, (dilation, 1))
    return weight_norm(layer)


def _spectrogram(audio: Tensor, n_fft: int, scaled: bool = True) -> Tensor:
    """Real and imaginary parts as channels, `[batch, 2 · channels, frames, bins]`.

    Scaled, white noise of unit variance has unit power in a bin.
    """
    batch, channels, time = audio.shape
    flat = F.pad(audio.float(), (0, max(0, n_fft - time))).flatten(0, 1)
    with torch.autocast(audio.device.type, enabled=False):
        parts = torch.view_as_real(uncentred(flat, n_fft))
        if scaled:
            parts = parts / (3 / 8 * n_fft) ** 0.5  # the norm of a Hann window
    # [batch · channels, bins, frames, 2] to [batch, 2 · channels, frames, bins]
    parts = parts.view(batch, channels, *parts.shape[1:])
    return parts.permute(0, 4, 1, 3, 2).flatten(1, 2).contiguous()
