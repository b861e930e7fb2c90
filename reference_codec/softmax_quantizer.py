"""Learnt scalar bins with a soft assignment that training hardens.

Reads beside Agustsson et al., "Soft-to-Hard Vector Quantization", arXiv:1704.00648, and Zhen et
al., "Cascaded Cross-Module Residual Learning", arXiv:1906.07769, §2.2, for the cascaded codecs.
Differs: the distance is signed into the softmax with a positive sharpness; the original stores
its negative.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reference_codec.quantizers import Quantized, Quantizer


class SoftmaxQuantizer(Quantizer):
    """Every channel of the latents is one codebook; all channels share the bins.

    In training the latents are softly assigned, which has a gradient; in use the nearest bin
    counts. `commitment_loss` is the quantization penalty mean(Σ√p - 1), which is 0 for one-hot
    assignments; `entropy_bits` is the rate that the cascaded codecs control.

    Args:
        channels: of the latents.
        n_bins: placed evenly over ±1 and then learnt.
        sharpness: α of softmax(-α|x - bin|), learnt too.
    """

    def __init__(self, channels: int, n_bins: int = 32, sharpness: float = 300.0) -> None:
        super().__init__()
        self.codebook_sizes = (n_bins,) * channels
        self.bins = nn.Parameter(torch.linspace(-1, 1, n_bins))
        self.sharpness = nn.Parameter(torch.tensor(float(sharpness)))

    def assign(self, latents: Tensor) -> Tensor:
        """Soft assignment, `[batch, channels, frames, bins]`, that sums to one over the bins."""
        distance = (latents[..., None] - self.bins).abs()
        return torch.softmax(-self.sharpness * distance, -1)

    def entropy_bits(self, latents: Tensor) -> Tensor:
        """Entropy of the batch's mean soft assignment: a differentiable rate, bits per value."""
        shares = self.assign(latents).mean((0, 1, 2)).clamp(min=1e-12)
        return -(shares * shares.log2()).sum()

    def encode(self, latents: Tensor, n_codebooks: int | None = None) -> Tensor:
        return (latents[..., None] - self.bins).abs().argmin(-1)

    def decode(self, codes: Tensor) -> Tensor:
        return self.bins[codes]

    def forward(self, latents: Tensor, n_codebooks: int | Tensor | None = None) -> Quantized:
        codes = self.encode(latents)
        soft = self.assign(latents)
        quantized = soft @ self.bins if self.training else self.decode(codes)
        # √ has no gradient at 0.
        penalty = (soft.clamp(min=1e-12).sqrt().sum(-1) - 1).mean()
        return Quantized(quantized, codes, penalty, torch.zeros_like(penalty))
