"""EnCodec's loss balancer: weights that are shares of the gradient, whatever a loss's scale is.

Source: Défossez et al., arXiv:2210.13438, §3.4, eq. 4. Differs: none.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from reference_codec.training import distributed


class Balancer:
    """g̃_i = R · λ_i / Σ_j λ_j · g_i / ⟨‖g_i‖₂⟩_β, with g_i the gradient of loss i to the audio.

    ‖·‖₂ is taken clip by clip and averaged over the batch; ⟨·⟩_β is its moving average, corrected
    for its start at zero.

    Args:
        weights: λ_i by loss; the sum runs over the losses present in a step.
        total_norm: R.    decay: β.
    """

    def __init__(
        self, weights: Mapping[str, float], total_norm: float = 1.0, decay: float = 0.999
    ) -> None:
        self._weights = weights
        self._total_norm = total_norm
        self._decay = decay
        # Per loss: Σ β^k ‖g‖ and Σ β^k over the steps so far.
        self._sums: dict[str, tuple[float, float]] = {}

    def gradient(self, losses: Mapping[str, Tensor], audio: Tensor, keep_graph: bool) -> Tensor:
        """Σ g̃_i, of the shape of `audio`, with respect to which the losses are differentiated.

        Args:
            keep_graph: the graph is needed once more afterwards.
        """
        gradients = {}
        for index, (name, loss) in enumerate(losses.items()):
            keep = keep_graph or index < len(losses) - 1
            (gradients[name],) = torch.autograd.grad(loss, audio, retain_graph=keep)
        norms = torch.stack([g.flatten(1).norm(dim=1).mean() for g in gradients.values()])
        norms = distributed.mean(norms)
        total_weight = sum(self._weights[name] for name in losses)
        balanced = torch.zeros_like(audio)
        for (name, gradient), norm in zip(gradients.items(), norms.tolist(), strict=True):
            scale = self._total_norm * self._weights[name] / total_weight
            balanced += gradient * (scale / (self._average(name, norm) + 1e-12))
        # Norms are per clip, so gradients add up over the clips of a batch; over processes they
        # are averaged later, and must not be.
        return balanced * distributed.world_size()

    def _average(self, name: str, norm: float) -> float:
        total, count = self._sums.get(name, (0.0, 0.0))
        if norm < float("inf"):  # a step that is not finite is skipped and leaves no trace
            total, count = total * self._decay + norm, count * self._decay + 1
            self._sums[name] = (total, count)
        return total / count if count else norm

    def state(self) -> dict[str, tuple[float, float]]:
        return dict(self._sums)

    def restore(self, state: Mapping[str, tuple[float, float]]) -> None:
        self._sums = {name: (sums[0], sums[1]) for name, sums in state.items()}
