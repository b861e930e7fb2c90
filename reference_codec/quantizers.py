"""What every quantizer is: latents to integer codes and back, and how well its entries are used.

    residual_vq.py        ResidualVQ          EnCodec: codebooks follow a moving average
    factorised_vq.py      FactorisedVQ        DAC: narrow, normalised codebooks, learnt by gradient
    fsq.py                FiniteScalarQuantizer, GroupedFSQ      NVIDIA: rounding, no codebook
    softmax_quantizer.py  SoftmaxQuantizer    cascaded codecs: learnt scalar bins

`encode` and `decode` are for using a quantizer, `forward` is for training it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from reference_codec.config import (
    FactorisedVQConfig,
    GroupedFSQConfig,
    QuantizerConfig,
)


class Quantized(NamedTuple):
    """What `forward` gives to training.

    Attributes:
        latents: the quantized latents; gradients pass through to the input (straight-through).
        codes: int64 `[batch, codebooks, frames]`.
        commitment_loss: how far the encoder is from the entries it was given.
        codebook_loss: how far the entries are from the encoder; 0 where no gradient moves them.
    """

    latents: Tensor
    codes: Tensor
    commitment_loss: Tensor
    codebook_loss: Tensor


@dataclass(frozen=True)
class CodebookUse:
    """How a stretch of codes used the codebooks, one number per codebook.

    Attributes:
        frames: codes seen; a few frames make all of these too low.
        usage: share of the entries that occurred, 0…1.
        entropy_bits: empirical entropy of one code; at most log2 of the codebook's size.
        perplexity: 2^entropy, the number of equally used entries that would cost as much.
    """

    frames: int
    usage: tuple[float, ...]
    entropy_bits: tuple[float, ...]
    perplexity: tuple[float, ...]


def codebook_use(codes: Tensor, codebook_sizes: Sequence[int]) -> CodebookUse:
    """Use of each codebook over all clips and frames of `codes` `[batch, codebooks, frames]`."""
    usage, entropy = [], []
    for codebook, size in zip(codes.unbind(1), codebook_sizes, strict=False):
        counts = torch.bincount(codebook.flatten(), minlength=size).double()
        shares = counts[counts > 0] / counts.sum()
        usage.append(len(shares) / size)
        # max() keeps a single used entry from reading as -0.0
        entropy.append(max(0.0, float(-(shares * shares.log2()).sum())))
    return CodebookUse(
        frames=codes.shape[0] * codes.shape[2],
        usage=tuple(usage),
        entropy_bits=tuple(entropy),
        perplexity=tuple(2.0**bits for bits in entropy),
    )


class Quantizer(nn.Module):
    """Base class. Latents are `[batch, latent_dim, frames]`, codes `[batch, codebooks, frames]`."""

    codebook_sizes: tuple[int, ...]

    def encode(self, latents: Tensor, n_codebooks: int | None = None) -> Tensor:
        """Codes of the first `n_codebooks` codebooks (all by default)."""
        raise NotImplementedError

    def decode(self, codes: Tensor) -> Tensor:
        """The latents that codes of the first codebooks stand for."""
        raise NotImplementedError

    def forward(self, latents: Tensor, n_codebooks: int | Tensor | None = None) -> Quantized:
        """Quantize for training.

        Args:
            n_codebooks: how many codebooks to use, one number for all clips or one per clip
                (`[batch]`, see `drop_codebooks`).
        """
        raise NotImplementedError

    def use(self, codes: Tensor) -> CodebookUse:
        return codebook_use(codes, self.codebook_sizes)


def drop_codebooks(
    batch: int, n_codebooks: int, probability: float, generator: torch.Generator | None = None
) -> Tensor:
    """Quantizer dropout: how many codebooks each clip of a training batch uses, `[batch]`.

    A share of the batch draws uniformly from 1…n, so that every prefix of the codebooks becomes a
    codec of its own; the rest uses all. Source: SoundStream, arXiv:2107.03312, §III-C, with DAC's
    share (arXiv:2306.06546, §3.3).
    """
    counts = torch.full((batch,), n_codebooks)
    dropped = torch.rand(batch, generator=generator) < probability
    draws = torch.randint(1, n_codebooks + 1, (batch,), generator=generator)
    return torch.where(dropped, draws, counts)


def codebooks_per_clip(n_codebooks: int | Tensor | None, latents: Tensor, available: int) -> Tensor:
    """`forward`'s argument in its one form, `[batch]` on the latents' device."""
    if isinstance(n_codebooks, Tensor):
        return n_codebooks.to(latents.device)
    return torch.full((latents.shape[0],), n_codebooks or available, device=latents.device)


def straight_through(latents: Tensor, quantized: Tensor) -> Tensor:
    """`quantized` forwards; backwards as if nothing had been rounded."""
    return latents + (quantized - latents).detach()


def build(config: QuantizerConfig, latent_dim: int) -> Quantizer:
    from reference_codec.factorised_vq import FactorisedVQ
    from reference_codec.fsq import GroupedFSQ
    from reference_codec.residual_vq import ResidualVQ

    if isinstance(config, GroupedFSQConfig):
        return GroupedFSQ(config.n_groups, config.levels)
    if isinstance(config, FactorisedVQConfig):
        return FactorisedVQ(
            latent_dim, config.n_codebooks, config.codebook_size, config.codebook_dim
        )
    return ResidualVQ(latent_dim, config.n_codebooks, config.codebook_size)
