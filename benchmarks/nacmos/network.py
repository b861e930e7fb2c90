"""The network of nacmos, as it is trained. `nacbench/metrics/nacmos.py` runs it without torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nacbench.metrics.nacmos import BANDS, LAYERS, TARGETS, WIDTH


class Nacmos(nn.Module):
    """Log spectra and level to estimates, in units of the training set's mean and deviation.

    Args:
        normalised: with batch normalisation after each convolution and without the level, for the
            first stage. Its weights are folded for the second, which goes on from there.
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
        self.time = nn.ModuleList([nn.Conv1d(WIDTH, WIDTH, 3, padding=1) for _ in range(2)])
        self.hidden = nn.Linear(2 * WIDTH + (not normalised), 64)
        self.heads = nn.Linear(64, len(TARGETS))
        self.dropout = nn.Dropout(0.2)
        self.normalised = normalised

    def forward(self, relative: Tensor, level: Tensor) -> Tensor:
        """`[batch, frames, bands]` and `[batch]` to `[batch, 3]`."""
        x = relative[:, None]
        for layer in self.layers:
            x = F.relu(layer(x))
        x = F.relu(self.flat(x.permute(0, 2, 1, 3).flatten(2)))  # [batch, frames, width]
        for conv in self.time:
            x = x + F.relu(conv(x.mT)).mT
        pooled = torch.cat([x.mean(1), x.var(1, unbiased=False).add(1e-5).sqrt()], dim=1)
        pooled = self.dropout(pooled)
        if not self.normalised:
            pooled = torch.cat([pooled, level[:, None]], dim=1)
        out: Tensor = self.heads(F.relu(self.hidden(pooled)))
        return out

    def shipped(self) -> dict[str, Tensor]:
        """Weights for running, batch normalisation folded into the convolutions before it."""
        state = dict(self.state_dict())
        if self.normalised:
            for index, (conv, norm) in enumerate(self.layers):
                scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
                state[f"layers.{index}.weight"] = conv.weight * scale[:, None, None, None]
                state[f"layers.{index}.bias"] = norm.bias - norm.running_mean * scale
            inner = [name for name in state if name.startswith("layers.") and name.count(".") > 2]
            for name in inner:
                del state[name]
            state["hidden.weight"] = F.pad(state["hidden.weight"], (0, 1))
        return {name: x.detach().float().contiguous().clone() for name, x in state.items()}
