"""The adversarial game: what the discriminators and the generator each want."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from reference_codec.training import distributed

Kind = Literal["hinge", "lsgan"]


class Judgement(NamedTuple):
    """What one discriminator says about a batch.

    Attributes:
        logits: any shape; large means real.
        features: outputs of its layers, for feature matching.
    """

    logits: Tensor
    features: list[Tensor]


def discriminator_loss(
    reference: Sequence[Judgement], decoded: Sequence[Judgement], kind: Kind
) -> Tensor:
    """Mean over the discriminators. Zero when each is sure and right.

    hinge: max(0, 1 - D(x)) + max(0, 1 + D(x̂)). Source: EnCodec, arXiv:2210.13438, eq. 3.
    lsgan: (1 - D(x))² + D(x̂)². Source: HiFi-GAN, arXiv:2010.05646, eq. 1.
    """
    losses = []
    for real, fake in zip(reference, decoded, strict=True):
        x, x_hat = real.logits.float(), fake.logits.float()
        if kind == "hinge":
            losses.append(F.relu(1 - x).mean() + F.relu(1 + x_hat).mean())
        else:
            losses.append((1 - x).square().mean() + x_hat.square().mean())
    return torch.stack(losses).mean()


def generator_loss(decoded: Sequence[Judgement], kind: Kind) -> Tensor:
    """Mean over the discriminators. Zero when all take the decoded audio for real.

    hinge: max(0, 1 - D(x̂)), as in EnCodec, §3.4. lsgan: (1 - D(x̂))².
    """
    losses = []
    for fake in decoded:
        short = 1 - fake.logits.float()
        losses.append((F.relu(short) if kind == "hinge" else short.square()).mean())
    return torch.stack(losses).mean()


def feature_matching(reference: Sequence[Judgement], decoded: Sequence[Judgement]) -> Tensor:
    """Mean over all layers of mean |D_l(x) - D_l(x̂)| / mean |D_l(x)|.

    Source: EnCodec, arXiv:2210.13438, eq. 2. No gradient reaches the reference's features.
    """
    distances, levels = [], []
    for real, fake in zip(reference, decoded, strict=True):
        for x, x_hat in zip(real.features, fake.features, strict=True):
            distances.append(F.l1_loss(x_hat.float(), x.detach().float()))
            levels.append(x.detach().float().abs().mean())
    level = distributed.mean(torch.stack(levels)).clamp(min=1e-8)
    return (torch.stack(distances) / level).mean()
