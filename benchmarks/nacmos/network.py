"""The network of nacmos, as it is trained. `nacbench/metrics/nacmos.py` runs it without torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.nacmos.features import MAPS
from nacbench.metrics.nacmos import BANDS, HEADS, HIDDEN, LAYERS, TARGETS, TIME_LAYERS, WIDTH


class Nacmos(nn.Module):
    """Log spectra and level to estimates, in units of the training set's mean and deviation.

    Args:
        normalised: with batch normalisation after each convolution over time and frequency, for
            training; `shipped` folds it into them.

    A second head says, for every step of the network, how the spectrum differs from the original's
    (`features.damage`). It teaches what the estimates rest on, and is not shipped.
    """

    def __init__(self, normalised: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        channels, bands = 1, BANDS
        for out, kernel, stride in LAYERS:
            layer = nn.Conv2d(channels, out, kernel, stride, kernel // 2, bias=not normalised)
            self.layers.append(nn.Sequential(layer, nn.BatchNorm2d(out)) if normalised else layer)
            channels, bands = out, -(-bands // stride[1])
        self.flat = nn.Linear(channels * bands, WIDTH)
        self.time = nn.ModuleList(
            [nn.Conv1d(WIDTH, WIDTH, 3, padding=1) for _ in range(TIME_LAYERS)]
        )
        self.damage = nn.Linear(WIDTH, MAPS)
        self.attention = nn.Linear(WIDTH, HEADS)
        self.hidden = nn.Linear(3 * WIDTH + 1, HIDDEN)
        self.heads = nn.Linear(HIDDEN, len(TARGETS))
        self.dropout = nn.Dropout(0.2)
        self.normalised = normalised

    def forward(self, relative: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        """`[batch, frames, bands]` and `[batch]` to `[batch, 3]` and `[batch, steps, MAPS]`."""
        x = relative[:, None]
        for layer in self.layers:
            x = F.relu(layer(x))
        x = F.relu(self.flat(x.permute(0, 2, 1, 3).flatten(2)))  # [batch, steps, width]
        for conv in self.time:
            x = x + F.relu(conv(x.mT)).mT
        share = self.attention(x).softmax(1)
        attended = torch.einsum("bth,bthc->bhc", share, x.unflatten(2, (HEADS, -1))).flatten(1)
        deviation = x.var(1, unbiased=False).add(1e-5).sqrt()
        pooled = self.dropout(torch.cat([x.mean(1), deviation, attended], dim=1))
        pooled = torch.cat([pooled, level[:, None].to(pooled.dtype)], dim=1)
        return self.heads(F.relu(self.hidden(pooled))), self.damage(x)

    def shipped(self) -> dict[str, Tensor]:
        """Weights for running: batch normalisation folded into the convolution before it."""
        state = {k: x for k, x in self.state_dict().items() if not k.startswith("damage.")}
        if self.normalised:
            state = {k: x for k, x in state.items() if not k.startswith("layers.")}
            for index, (conv, norm) in enumerate(self.layers):
                scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
                state[f"layers.{index}.weight"] = conv.weight * scale[:, None, None, None]
                state[f"layers.{index}.bias"] = norm.bias - norm.running_mean * scale
        return {name: x.detach().float().contiguous().clone() for name, x in state.items()}
