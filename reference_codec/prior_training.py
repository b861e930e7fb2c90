"""Trains the integer prior in float, with the rounding in the loop.

The forward pass computes the very integers of `neural_prior.NeuralPrior` (a test compares them);
the backward pass looks through each rounding as if it were not there (straight-through estimator,
Bengio et al. 2013, arXiv:1308.3432).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed, nn
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


class PriorStep:
    """Fits a prior step by step: Adam, one rise and one fall of the learning rate.

    A random prefix of the codebooks is used in each step, so one prior serves every rate. All
    draws are functions of the seed and the step's number.
    """

    def __init__(
        self, prior: TrainablePrior, steps: int, learning_rate: float = 1e-2, seed: int = 0
    ) -> None:
        self._prior, self._steps, self._seed = prior, steps, seed
        # Parameters live in integer units, two orders above their float values; so does the rate.
        self._top = learning_rate * WEIGHT_SCALE / 4
        self._named = dict(prior.named_parameters())
        self._adam = torch.optim.Adam(self._named.values(), lr=self._top, betas=(0.9, 0.98))

    def __call__(self, codes: Tensor, step: int) -> float:
        """One step, from 0, on codes `[batch, frames, codebooks]`; its loss in bits per code."""
        draw = torch.Generator().manual_seed(self._seed * 1_000_003 + step)
        used = self._prior.codebooks
        if torch.rand((), generator=draw) >= 0.5:
            used = int(torch.randint(1, used + 1, (), generator=draw))
        loss = self._prior.bits(codes[..., :used])
        self._adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._average_gradients()
        nn.utils.clip_grad_norm_(self._named.values(), 1.0)
        self._adam.param_groups[0]["lr"] = self._top * _one_cycle(step / self._steps)
        self._adam.step()
        return float(loss.detach())

    def _average_gradients(self) -> None:
        """Over the processes that train together, each on its own codes."""
        if distributed.is_initialized():
            for parameter in self._named.values():
                assert parameter.grad is not None
                distributed.all_reduce(parameter.grad)
                parameter.grad.div_(distributed.get_world_size())

    def state(self) -> dict[str, Tensor]:
        return {
            f"{name}:{key}": value
            for name, parameter in self._named.items()
            for key, value in self._adam.state.get(parameter, {}).items()
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        moments: dict[int, dict[str, Tensor]] = {}
        index = {name: i for i, name in enumerate(self._named)}
        for name, value in state.items():
            parameter, _, key = name.rpartition(":")
            moments.setdefault(index[parameter], {})[key] = value
        groups = self._adam.state_dict()["param_groups"]
        self._adam.load_state_dict({"state": moments, "param_groups": groups})


def train(
    prior: TrainablePrior,
    batches: Iterator[Tensor],
    steps: int,
    learning_rate: float = 1e-2,
    seed: int = 0,
) -> Iterator[float]:
    """Fit `prior` to codes; yields the loss of each step in bits per code.

    Args:
        batches: `[batch, frames, codebooks]` int64, endless.
    """
    learn = PriorStep(prior, steps, learning_rate, seed)
    for step in range(steps):
        yield learn(next(batches), step)


def _one_cycle(progress: float) -> float:
    """Share of the learning rate: from 4 % up over a tenth of the steps, then down to none.

    Half cosines, after Smith & Topin, arXiv:1708.07120.
    """
    rise = 0.1
    if progress < rise:
        return 0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * progress / rise))
    return 0.5 * (1 + math.cos(math.pi * (progress - rise) / (1 - rise)))


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
