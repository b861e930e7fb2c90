"""Residual quantization in a narrow, normalised space, learnt by gradient.

Reads beside Kumar et al., "High-Fidelity Audio Compression with Improved RVQGAN",
arXiv:2306.06546, §3.2 and appendix A. Differs: none.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reference_codec.quantizers import Quantized, Quantizer, codebooks_per_clip, straight_through


class FactorisedCodebook(nn.Module):
    """Project to a few dimensions, look up by cosine similarity, project back."""

    directions: Tensor

    def __init__(self, latent_dim: int, size: int, dim: int) -> None:
        super().__init__()
        self.narrow = nn.Conv1d(latent_dim, dim, 1)
        self.widen = nn.Conv1d(dim, latent_dim, 1)
        self.vectors = nn.Parameter(torch.randn(size, dim))
        self.register_buffer("directions", torch.zeros(size, dim), persistent=False)
        self.register_load_state_dict_post_hook(  # type: ignore[no-untyped-call]
            lambda module, keys: module.refresh()
        )
        self.refresh()

    @torch.no_grad()
    def refresh(self) -> None:
        """Recompute the normalised entries; `eval()` and loading do it."""
        self.directions = F.normalize(self.vectors)

    def train(self, mode: bool = True) -> FactorisedCodebook:
        self.refresh()
        return super().train(mode)

    def nearest(self, narrow: Tensor) -> Tensor:
        """Index of the entry at the smallest angle, `[batch, frames]`."""
        directions = F.normalize(self.vectors) if self.training else self.directions
        # For unit vectors |x - e|² = 2 - 2 x·e, and the length of x does not change the order.
        return (narrow.transpose(1, 2) @ directions.t()).argmax(2)

    def look_up(self, codes: Tensor) -> Tensor:
        return F.embedding(codes, self.vectors).transpose(1, 2)


class FactorisedVQ(Quantizer):
    """Each codebook codes what the ones before it left over.

    The losses are summed over the codebooks and averaged over the batch; DAC weighs them 0.25
    (commitment) and 1 (codebook).
    """

    def __init__(
        self, latent_dim: int, n_codebooks: int, codebook_size: int, codebook_dim: int
    ) -> None:
        super().__init__()
        self.codebook_sizes = (codebook_size,) * n_codebooks
        self.codebooks: Sequence[FactorisedCodebook] = nn.ModuleList(  # type: ignore[assignment]
            FactorisedCodebook(latent_dim, codebook_size, codebook_dim) for _ in range(n_codebooks)
        )

    def encode(self, latents: Tensor, n_codebooks: int | None = None) -> Tensor:
        residual, codes = latents, []
        for codebook in self.codebooks[:n_codebooks]:
            codes.append(codebook.nearest(codebook.narrow(residual)))
            residual = residual - codebook.widen(codebook.look_up(codes[-1]))
        return torch.stack(codes, 1)

    def decode(self, codes: Tensor) -> Tensor:
        levels = zip(self.codebooks, codes.unbind(1), strict=False)
        return sum(codebook.widen(codebook.look_up(level)) for codebook, level in levels)

    def forward(self, latents: Tensor, n_codebooks: int | Tensor | None = None) -> Quantized:
        per_clip = codebooks_per_clip(n_codebooks, latents, len(self.codebooks))
        residual, total, all_codes = latents, torch.zeros_like(latents), []
        commitment = codebook_loss = latents.new_zeros(())
        for level, codebook in enumerate(self.codebooks):
            active = (level < per_clip).to(latents.dtype)
            narrow = codebook.narrow(residual)
            codes = codebook.nearest(narrow)
            entries = codebook.look_up(codes)
            commitment = commitment + (active * _distance(narrow, entries.detach())).mean()
            codebook_loss = codebook_loss + (active * _distance(entries, narrow.detach())).mean()
            wide = codebook.widen(straight_through(narrow, entries))
            total = total + wide * active[:, None, None]
            residual = residual - wide
            all_codes.append(codes)
        return Quantized(total, torch.stack(all_codes, 1), commitment, codebook_loss)


def _distance(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared difference of each clip, `[batch]`."""
    return (a - b).square().mean((1, 2))
