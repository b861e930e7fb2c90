"""Finite scalar quantization: squash every channel into a few integer levels and round.

Reads beside Mentzer et al., "Finite Scalar Quantization: VQ-VAE Made Simple", arXiv:2309.15505,
§3.1 and its appendix's code; grouped as in Casanova et al., arXiv:2409.12117, §2.1. No codebook,
so nothing can collapse and no loss is needed. Differs: none.
"""

from __future__ import annotations

import math
from itertools import accumulate
from operator import mul

import torch
from torch import Tensor

from reference_codec.quantizers import Quantized, Quantizer, straight_through

SHRINK = 1e-3  # keeps tanh's extremes off the rounding boundary beyond the outermost levels


class FiniteScalarQuantizer(Quantizer):
    """One code for `len(levels)` channels: level indices as digits, the first the least.

    Latents come back as level / (levels // 2), within ±1.
    """

    levels: Tensor
    bases: Tensor

    def __init__(self, levels: tuple[int, ...]) -> None:
        super().__init__()
        self.codebook_sizes = (math.prod(levels),)
        bases = list(accumulate(levels[:-1], mul, initial=1))
        # Derived from the config: nothing to store.
        self.register_buffer("levels", torch.tensor(levels)[:, None], persistent=False)
        self.register_buffer("bases", torch.tensor(bases)[:, None], persistent=False)

    def encode(self, latents: Tensor, n_codebooks: int | None = None) -> Tensor:
        digits = self.squash(latents).round().long() + self.levels // 2
        return (digits * self.bases).sum(1, keepdim=True)

    def decode(self, codes: Tensor) -> Tensor:
        digits = codes // self.bases % self.levels
        half = self.levels // 2
        return (digits - half) / half

    def forward(self, latents: Tensor, n_codebooks: int | Tensor | None = None) -> Quantized:
        squashed = self.squash(latents)
        quantized = straight_through(squashed, squashed.round()) / (self.levels // 2)
        zero = latents.new_zeros(())
        return Quantized(quantized, self.encode(latents), zero, zero)

    def squash(self, latents: Tensor) -> Tensor:
        """Into (-levels/2, levels/2), so that rounding gives exactly `levels` integers."""
        span, offset, shift = self.squashing()
        return span * torch.tanh(latents + shift) - offset

    def squashing(self) -> tuple[Tensor, Tensor, Tensor]:
        """Span, offset and shift of `squash`, `[channels, 1]` each."""
        span = (self.levels - 1) / 2 * (1 - SHRINK)
        # An even number of levels has no middle one: shift by half, and let 0 stay on 0.
        offset = torch.where(self.levels % 2 == 0, 0.5, 0.0)
        return span, offset, torch.tan(offset / span)


class GroupedFSQ(Quantizer):
    """`n_groups` finite scalar quantizers, each on its own slice of the channels."""

    def __init__(self, n_groups: int, levels: tuple[int, ...]) -> None:
        super().__init__()
        self.group = FiniteScalarQuantizer(levels)
        self.n_groups = n_groups
        self.codebook_sizes = self.group.codebook_sizes * n_groups

    def encode(self, latents: Tensor, n_codebooks: int | None = None) -> Tensor:
        return self._joined(self.group.encode(self._split(latents)), latents)

    def decode(self, codes: Tensor) -> Tensor:
        batch, _, frames = codes.shape
        return self.group.decode(codes.reshape(-1, 1, frames)).reshape(batch, -1, frames)

    def forward(self, latents: Tensor, n_codebooks: int | Tensor | None = None) -> Quantized:
        quantized, codes, commitment, codebook = self.group(self._split(latents))
        return Quantized(
            quantized.reshape(latents.shape), self._joined(codes, latents), commitment, codebook
        )

    def _split(self, latents: Tensor) -> Tensor:
        batch, channels, frames = latents.shape
        return latents.reshape(batch * self.n_groups, channels // self.n_groups, frames)

    def _joined(self, codes: Tensor, latents: Tensor) -> Tensor:
        return codes.view(latents.shape[0], self.n_groups, -1)
