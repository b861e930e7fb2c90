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

TABLES = ("embed", "depth_embed", "logits")  # have a row for each entry


class TrainablePrior(nn.Module):
    """The network of `NeuralPrior` with float parameters and rounded values.

    Args:
        codebooks, size: of the codec.    width: activations per frame.
        layers: causal convolutions with dilations 1, 2, 4, …: context of 2^layers frames.
        latent_dim: 0, or dimensions of the entries that `learn_from` is going to tell. Then each
            table with a row per entry is a learned linear map of the entries plus rows of its own,
            so that what is learned of one entry serves its neighbours. The integer network that
            `export` writes is the same.
    """

    entries: Tensor
    shares: Tensor

    def __init__(
        self, codebooks: int, size: int, width: int = 128, layers: int = 6, latent_dim: int = 0
    ) -> None:
        super().__init__()
        self.codebooks, self.size, self.width, self.layers = codebooks, size, width, layers

        def weights(*shape: int, fan_in: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(*shape) * min(0.15, fan_in**-0.5) * WEIGHT_SCALE)

        def rows(spread: float) -> nn.Parameter:
            spread = 0.0 if latent_dim else spread
            return nn.Parameter(torch.randn(codebooks, size, width) * float(UNIT) * spread)

        self.embed = rows(codebooks**-0.5)
        self.mix = nn.ParameterList(
            weights(2 * width, width, fan_in=2 * width) for _ in range(layers)
        )
        self.mix_bias = nn.ParameterList(torch.zeros(width) for _ in range(layers))
        self.out = nn.ParameterList(
            nn.Parameter(torch.randn(width, width) * 0.02 * WEIGHT_SCALE) for _ in range(layers)
        )
        self.depth = weights(width, width, fan_in=width)
        self.depth_embed = rows(0.5)
        self.depth_bias = nn.Parameter(torch.zeros(codebooks, width))
        self.hidden = weights(width, width, fan_in=width)
        self.hidden_bias = nn.Parameter(torch.zeros(codebooks, width))
        self.logits = nn.Parameter(torch.randn(codebooks, width, size) * 0.02 * WEIGHT_SCALE)
        self.logit_bias = nn.Parameter(torch.zeros(codebooks, size))
        self.maps = nn.ParameterDict()
        if latent_dim:
            features = latent_dim + 1
            start = torch.randn(2, features, width) * float(UNIT)
            for name, map_ in zip(("embed", "depth_embed"), start, strict=True):
                self.maps[name] = nn.Parameter(map_.repeat(codebooks, 1, 1))
            self.maps["logits"] = nn.Parameter(torch.zeros(codebooks, features, width))
            self.register_buffer("entries", torch.zeros(codebooks, size, features))
            self.register_buffer("shares", torch.zeros(codebooks, 1, 1))

    def learn_from(self, entries: Tensor) -> None:
        """Tell where the codebooks' entries lie: `[codebooks, size, latent_dim]`.

        The maps see each entry and its energy: in both together a Gaussian's log-density is linear.
        """
        entries = entries - entries.mean(1, keepdim=True)
        energy = entries.square().sum(2, keepdim=True)
        level = energy.mean(1, keepdim=True).sqrt().clamp(min=1e-9)
        excess = (energy / level.square() - 1) / 8  # beside components of 1/8, where there are 64
        self.entries.copy_(torch.cat([entries / level, excess], 2))
        self.shares.copy_(level / level.square().sum().sqrt())

    def _table(self, name: str) -> Tensor:
        """`embed`, `depth_embed` or `logits` as integers."""
        table: Tensor = getattr(self, name)
        if name in self.maps:
            mapped = self.entries @ self.maps[name]
            if name == "logits":
                table = table + mapped.transpose(1, 2)
            else:
                # What a codebook says of the latents shrinks from one to the next; that it says
                # something of the level of those to come shrinks less.
                share = self.shares if name == "embed" else self.shares.sqrt() / 2
                table = table + share * mapped
        return _round(table, 127 if name == "logits" else 1 << 13)

    def forward(self, codes: Tensor) -> Tensor:
        """Integer logits (as floats) of each code given what precedes it.

        Args:
            codes: `[batch, frames, codebooks]`, a prefix of the codebooks will do.
        Returns:
            `[batch, frames, codebooks, size]` in units of 1/63.5 nat.
        """
        used = codes.shape[2]
        scores = torch.einsum("btkd,kdn->btkn", self._hidden(codes), self._table("logits")[:used])
        return _shift(scores, PRE_SHIFT) + _round(self.logit_bias, 1 << 13)[:used]

    def _hidden(self, codes: Tensor) -> Tensor:
        """`[batch, frames, codebooks, width]`: what the logits are products of."""
        batch, frames, used = codes.shape
        embed, depth_embed = self._table("embed"), self._table("depth_embed")
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
        return _tanh(hidden + hidden_bias[:used])

    def bits(self, codes: Tensor) -> Tensor:
        """Mean code length, bits per code: the loss and the figure of merit."""
        used = codes.shape[2]
        hidden = self._hidden(codes).flatten(0, 1).transpose(0, 1)
        bias = _round(self.logit_bias, 1 << 13)[:used]
        nats: Tensor = _CodeLength.apply(
            hidden, self._table("logits")[:used], bias, codes.flatten(0, 1).T
        )  # type: ignore[no-untyped-call]
        return nats / (codes.numel() * math.log(2))

    def export(self) -> dict[str, NDArray[Any]]:
        """The integer tables that `NeuralPrior` takes."""
        names = {"mix", "out", "depth", "hidden", "logits"}
        tables = {}
        for name, value in self.named_parameters():
            if name.startswith("maps."):
                continue
            limit = 127 if name.split(".")[0] in names else 1 << 13
            integers = self._table(name) if name in TABLES else _round(value, limit)
            rounded = integers.detach().cpu().numpy()
            tables[name] = rounded.astype(np.int8 if limit == 127 else np.int16)
        return tables


class _CodeLength(torch.autograd.Function):
    """Sum of the code lengths in nats, from the hidden values on, one codebook at a time.

    It is the cross entropy of `TrainablePrior.forward`'s logits, but the logits of all codebooks,
    most of a step's memory traffic, never exist at once: the gradient is taken while they do.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weights: Tensor, bias: Tensor, codes: Tensor) -> Tensor:
        """hidden `[codebooks, n, width]`, weights `[codebooks, width, size]`, bias
        `[codebooks, size]`, codes `[codebooks, n]`."""
        unit = float(UNIT)
        total = hidden.new_zeros(())
        gradients = [torch.empty_like(x) for x in (hidden, weights, bias)]
        for k in range(len(codes)):
            logits = (hidden[k] @ weights[k]).div_(1 << PRE_SHIFT).floor_()
            logits.add_(bias[k]).div_(unit)
            log_p = logits.log_softmax(1)
            total -= log_p.gather(1, codes[k][:, None]).sum()
            slope = log_p.exp_()
            slope.scatter_add_(1, codes[k][:, None], slope.new_full((len(slope), 1), -1))
            slope.div_(unit)
            gradients[2][k] = slope.sum(0)
            slope.div_(1 << PRE_SHIFT)
            torch.mm(hidden[k].T, slope, out=gradients[1][k])
            torch.mm(slope, weights[k].T, out=gradients[0][k])
        ctx.save_for_backward(*gradients)
        return total

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor | None, ...]:
        return *(gradient * outer for gradient in ctx.saved_tensors), None


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
