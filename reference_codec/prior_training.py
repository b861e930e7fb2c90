"""Trains the integer prior in float, with the rounding in the loop.

The forward pass computes the very integers of `neural_prior.NeuralPrior` (a test compares them);
the backward pass looks through each rounding as if it were not there (straight-through estimator,
Bengio et al. 2013, arXiv:1308.3432).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from reference_codec.neural_prior import (
    PRE_SHIFT,
    RESIDUAL_SHIFT,
    TABLE_HALF,
    UNIT,
    WEIGHT_SCALE,
    tanh_table,
)


class TrainablePrior(nn.Module):
    """The network of `NeuralPrior` with float parameters and rounded values.

    Args:
        codebooks, size: of the codec.    width: activations per frame.
        layers: causal convolutions with dilations 1, 2, 4, …: context of 2^layers frames.
    """

    def __init__(self, codebooks: int, size: int, width: int = 128, layers: int = 6) -> None:
        super().__init__()
        self.codebooks, self.size, self.width, self.layers = codebooks, size, width, layers

        def weights(*shape: int, fan_in: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(*shape) * min(0.15, fan_in**-0.5) * WEIGHT_SCALE)

        unit = float(UNIT)
        self.embed = nn.Parameter(torch.randn(codebooks, size, width) * unit * codebooks**-0.5)
        self.mix = nn.ParameterList(
            weights(2 * width, width, fan_in=2 * width) for _ in range(layers)
        )
        self.mix_bias = nn.ParameterList(torch.zeros(width) for _ in range(layers))
        self.out = nn.ParameterList(
            nn.Parameter(torch.randn(width, width) * 0.02 * WEIGHT_SCALE) for _ in range(layers)
        )
        self.depth = weights(width, width, fan_in=width)
        self.depth_embed = nn.Parameter(torch.randn(codebooks, size, width) * unit * 0.5)
        self.depth_bias = nn.Parameter(torch.zeros(codebooks, width))
        self.hidden = weights(width, width, fan_in=width)
        self.hidden_bias = nn.Parameter(torch.zeros(codebooks, width))
        self.logits = nn.Parameter(torch.randn(codebooks, width, size) * 0.02 * WEIGHT_SCALE)
        self.logit_bias = nn.Parameter(torch.zeros(codebooks, size))

    def forward(self, codes: Tensor) -> Tensor:
        """Integer logits (as floats) of each code given what precedes it.

        Args:
            codes: `[batch, frames, codebooks]`, a prefix of the codebooks will do.
        Returns:
            `[batch, frames, codebooks, size]` in units of 1/63.5 nat.
        """
        batch, frames, used = codes.shape
        embed, depth_embed = _round(self.embed, 1 << 13), _round(self.depth_embed, 1 << 13)
        total = sum(embed[k][codes[:, :-1, k]] for k in range(used))
        first = torch.zeros(batch, 1, self.width, device=codes.device)
        x = torch.cat([first, _tanh(torch.as_tensor(total))], dim=1)
        for i in range(self.layers):
            delayed = functional.pad(x, (0, 0, 1 << i, 0))[:, :frames]
            pair = torch.cat([x, delayed], dim=-1)
            mixed = _shift(pair @ _round(self.mix[i]), PRE_SHIFT)
            mixed = mixed + _round(self.mix_bias[i], 1 << 13)
            added = _shift(_tanh(mixed) @ _round(self.out[i]), RESIDUAL_SHIFT)
            x = (x + added).clamp(-127, 127)
        context = _shift(x @ _round(self.depth), PRE_SHIFT)
        depth_bias, hidden_bias = (
            _round(self.depth_bias, 1 << 13),
            _round(self.hidden_bias, 1 << 13),
        )
        contexts = []
        for k in range(used):
            contexts.append(context + depth_bias[k])
            context = context + depth_embed[k][codes[..., k]]
        hidden = _shift(_tanh(torch.stack(contexts, dim=2)) @ _round(self.hidden), PRE_SHIFT)
        hidden = _tanh(hidden + hidden_bias[:used])
        scores = torch.einsum("btkd,kdn->btkn", hidden, _round(self.logits)[:used])
        return _shift(scores, PRE_SHIFT) + _round(self.logit_bias, 1 << 13)[:used]

    def bits(self, codes: Tensor) -> Tensor:
        """Mean code length, bits per code: the loss and the figure of merit."""
        logits = self(codes) / float(UNIT)
        return functional.cross_entropy(logits.flatten(0, 2), codes.flatten()) / float(np.log(2))

    def export(self) -> dict[str, NDArray[Any]]:
        """The integer tables that `NeuralPrior` takes."""
        names = {"mix", "out", "depth", "hidden", "logits"}
        tables = {}
        for name, value in self.named_parameters():
            limit = 127 if name.split(".")[0] in names else 1 << 13
            rounded = _round(value.detach(), limit).cpu().numpy()
            tables[name] = rounded.astype(np.int8 if limit == 127 else np.int16)
        return tables


def train(
    prior: TrainablePrior,
    batches: Iterator[Tensor],
    steps: int,
    learning_rate: float = 1e-2,
    seed: int = 0,
) -> Iterator[float]:
    """Fit `prior` to codes; yields the loss of each step in bits per code.

    A random prefix of the codebooks is used in each step, so one prior serves every rate.

    Args:
        batches: `[batch, frames, codebooks]` int64, endless.
    """
    draw = torch.Generator().manual_seed(seed)
    # Parameters live in integer units, two orders above their float values; so does the rate.
    groups = [{"params": list(prior.parameters()), "lr": learning_rate * WEIGHT_SCALE / 4}]
    optimiser = torch.optim.Adam(groups, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, learning_rate * WEIGHT_SCALE / 4, total_steps=steps, pct_start=0.1
    )
    for _ in range(steps):
        codes = next(batches)
        full = bool(torch.rand((), generator=draw) < 0.5)
        used = (
            prior.codebooks
            if full
            else int(torch.randint(1, prior.codebooks + 1, (), generator=draw))
        )
        loss = prior.bits(codes[..., :used])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(prior.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        yield float(loss.detach())


def _round(value: Tensor, limit: int = 127) -> Tensor:
    clipped = value.clamp(-limit, limit)
    return clipped + (clipped.round() - clipped).detach()


def _shift(accumulator: Tensor, bits: int) -> Tensor:
    exact = accumulator / (1 << bits)
    return exact + (exact.floor() - exact).detach()


def _tanh(pre: Tensor) -> Tensor:
    index = pre.detach().clamp(-TABLE_HALF, TABLE_HALF - 1).long() + TABLE_HALF
    table = torch.as_tensor(tanh_table(), dtype=pre.dtype, device=pre.device)
    smooth = 127 * torch.tanh((pre + 0.5) / float(UNIT))
    return smooth + (table[index] - smooth).detach()
