"""Step sizes, the optimiser with a state that has names, and the average of the weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from reference_codec.training.recipe import OptimiserOptions

LAST_SHARE = 0.01  # of the learning rate, at the end of the exponential schedule


def rate_share(options: OptimiserOptions, step: int, steps: int) -> float:
    """Share of the full learning rate in step 0…`steps` - 1.

    Linear warm-up, then constant, half a cosine to zero, or an exponential to a hundredth.
    """
    warm_up = options.warm_up_steps
    if step < warm_up:
        return (step + 1) / warm_up
    progress = (step - warm_up) / max(1, steps - warm_up)
    if options.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * progress))
    if options.schedule == "exponential":
        return float(LAST_SHARE**progress)
    return 1.0


class Optimiser:
    """AdamW over the parameters of one module, saved and restored by their names."""

    def __init__(self, module: nn.Module, options: OptimiserOptions, learning_rate: float) -> None:
        self._named = {n: p for n, p in module.named_parameters() if p.requires_grad}
        self._learning_rate = learning_rate
        self._clip = options.gradient_clip
        self._adam = torch.optim.AdamW(
            self._named.values(),
            lr=learning_rate,
            betas=options.betas,
            weight_decay=options.weight_decay,
            fused=True,
        )

    @property
    def parameters(self) -> list[Tensor]:
        return list(self._named.values())

    def clipped_norm(self) -> Tensor:
        """Norm of the whole gradient, which is then at most what the recipe allows."""
        limit = self._clip or math.inf
        return nn.utils.clip_grad_norm_(self._named.values(), limit, foreach=True)

    def step(self, share: float) -> None:
        """Move the parameters with this share of the learning rate."""
        for group in self._adam.param_groups:
            group["lr"] = self._learning_rate * share
        self._adam.step()

    def forget_gradients(self) -> None:
        self._adam.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Tensor]:
        moments = self._adam.state
        return {
            f"{name}:{key}": value
            for name, parameter in self._named.items()
            for key, value in moments.get(parameter, {}).items()
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        index = {name: i for i, name in enumerate(self._named)}
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in state.items():
            parameter, _, key = name.rpartition(":")
            moments.setdefault(index[parameter], {})[key] = value
        groups = self._adam.state_dict()["param_groups"]
        self._adam.load_state_dict({"state": moments, "param_groups": groups})


class WeightAverage:
    """Exponential moving average of everything in a module that is a float, codebooks too.

    The decay starts low and rises with the updates, so that the first weights are soon forgotten.

    Args:
        decay: 0 keeps the current weights.
        leave_out: ends of the names that are not wanted.
    """

    def __init__(self, module: nn.Module, decay: float, leave_out: tuple[str, ...] = ()) -> None:
        self._decay = decay
        self.updates = 0
        self._current = {
            n: t.detach() for n, t in module.state_dict().items() if not n.endswith(leave_out)
        }
        self.weights = {n: t.clone() for n, t in self._current.items()}
        self._floats = [n for n, t in self._current.items() if t.is_floating_point()]
        self._others = [n for n, t in self._current.items() if not t.is_floating_point()]

    @torch.no_grad()
    def update(self) -> None:
        self.updates += 1
        decay = min(self._decay, (1 + self.updates) / (10 + self.updates)) if self._decay else 0.0
        average = [self.weights[n] for n in self._floats]
        torch._foreach_lerp_(average, [self._current[n] for n in self._floats], 1 - decay)
        for name in self._others:
            self.weights[name].copy_(self._current[name])

    def restore(self, weights: Mapping[str, Tensor], updates: int) -> None:
        for name, tensor in self.weights.items():
            tensor.copy_(weights[name])
        self.updates = updates


def with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def without_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    start = f"{prefix}/"
    return {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}
