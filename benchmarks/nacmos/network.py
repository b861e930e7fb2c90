"""The network of nacmos, as it is trained. `nacbench/metrics/nacmos.py` runs it without torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nacbench.metrics.nacmos import BANDS, LAYERS, TARGETS, WIDTH


class Nacmos(nn.Module):
    """Log spectra to estimates: convolutions over time and frequency, then over time.

    `[batch, frames, bands]` to `[batch, 3]`, in units of the training set's mean and deviation.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        channels, bands = 1, BANDS
        for out, kernel, stride in LAYERS:
            pad = kernel // 2
            self.layers.append(
                nn.Sequential(
                    nn.Conv2d(channels, out, kernel, stride, pad, bias=False), nn.BatchNorm2d(out)
                )
            )
            channels, bands = out, -(-bands // stride[1])
        self.flat = nn.Linear(channels * bands, WIDTH)
        self.time = nn.ModuleList([nn.Conv1d(WIDTH, WIDTH, 3, padding=1) for _ in range(2)])
        self.hidden = nn.Linear(2 * WIDTH, 64)
        self.heads = nn.Linear(64, len(TARGETS))
        self.dropout = nn.Dropout(0.2)

    def forward(self, spectra: Tensor) -> Tensor:
        x = spectra[:, None]
        for layer in self.layers:
            x = F.relu(layer(x))
        x = F.relu(self.flat(x.permute(0, 2, 1, 3).flatten(2)))  # [batch, frames, width]
        for conv in self.time:
            x = x + F.relu(conv(x.mT)).mT
        pooled = torch.cat([x.mean(1), x.var(1, unbiased=False).add(1e-5).sqrt()], dim=1)
        out: Tensor = self.heads(F.relu(self.hidden(self.dropout(pooled))))
        return out

    def shipped(self) -> dict[str, Tensor]:
        """Weights for running: batch normalisation folded into the convolutions before it."""
        folded = {}
        for index, layer in enumerate(self.layers):
            conv, norm = layer[0], layer[1]
            scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            folded[f"layers.{index}.weight"] = conv.weight * scale[:, None, None, None]
            folded[f"layers.{index}.bias"] = norm.bias - norm.running_mean * scale
        rest = {k: v for k, v in self.state_dict().items() if not k.startswith("layers.")}
        return {k: v.detach().float().contiguous().clone() for k, v in {**folded, **rest}.items()}
