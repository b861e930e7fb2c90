"""Squim's networks on the processor: the same weights and values as torchaudio's, in less time.

Most of the time goes into matrix products, which PyTorch hands to MKL. Off Intel's processors that
takes twice as long as oneDNN, which does them here. Attention goes through its queries in blocks
whose weights stay in the cache, and an LSTM takes one product for each step of all its sequences.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

QUERIES_AT_ONCE = 160  # their weights over 5 s of frames take 1.6 MB
ROWS_EXPECTED = 64  # of a step of an LSTM: what oneDNN lays its weights out for; more is as fast

_product: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None)


def quicken(network: Any) -> Any:
    """The same network with matrix products by oneDNN and without what inference does not need.

    Where PyTorch comes without oneDNN, its own choice is as good as any.
    """
    if _product is None:
        return network
    if hasattr(network, "dprnn") and all(
        isinstance(rnn.rnn, nn.LSTM) for rnn in (*network.dprnn.row_rnn, *network.dprnn.col_rnn)
    ):
        return Objective(network)
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) is nn.TransformerEncoderLayer:
                setattr(module, name, EncoderLayer(child))
            elif type(child) is nn.Linear:
                setattr(module, name, Linear(child))
    return network


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None, then: str = "none") -> Tensor:
    """`x @ weight.T + bias`, `then` "none" or "relu"; `[…, in]` and `[out, in]` to `[…, out]`."""
    out: Tensor = _product(x, weight, bias, then, [], "")
    return out


class Linear(nn.Module):
    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias

    def forward(self, x: Tensor) -> Tensor:
        return product(x, self.weight, self.bias)


class EncoderLayer(nn.Module):
    """A post-norm transformer layer in evaluation mode, `[batch, time, width]` to the same."""

    def __init__(self, layer: nn.TransformerEncoderLayer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        of = self.layer
        x = of.norm1(x + self._attention(x))
        hidden = product(x, of.linear1.weight, of.linear1.bias, "relu")
        out: Tensor = of.norm2(product(hidden, of.linear2.weight, of.linear2.bias).add_(x))
        return out

    def _attention(self, x: Tensor) -> Tensor:
        of = self.layer.self_attn
        batch, time, width = x.shape
        mixed = product(x, of.in_proj_weight, of.in_proj_bias)
        parts = mixed.view(batch, time, 3, of.num_heads, width // of.num_heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4).contiguous()  # [batch, heads, time, …]
        query *= (width // of.num_heads) ** -0.5
        heads = x.new_empty(batch, time, of.num_heads, width // of.num_heads)
        for clip in range(batch):
            for head in range(of.num_heads):
                for start in range(0, time, QUERIES_AT_ONCE):
                    block = slice(start, start + QUERIES_AT_ONCE)
                    likeness = product(query[clip, head, block], key[clip, head])
                    weight = torch.softmax(likeness, dim=-1)
                    heads[clip, block, head] = product(weight, value[clip, head].T)
        return product(heads.flatten(2), of.out_proj.weight, of.out_proj.bias)


class Objective(nn.Module):
    """`SquimObjective` with LSTMs, `[batch, time]` to three tensors of `[batch]`.

    A clip's scores do not depend on what else is in its batch.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.encoder = network.encoder
        self.dual_path = DualPath(network.dprnn)
        self.branches = nn.ModuleList(quicken(branch) for branch in network.branches)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = x / (torch.mean(x**2, dim=1, keepdim=True) ** 0.5 * 20)
        conv = self.encoder.conv1d
        windows = x.unfold(1, conv.kernel_size[0], conv.stride[0])
        frames = self.dual_path(product(windows, conv.weight[:, 0], None, "relu"))
        return [branch(frames).squeeze(dim=1) for branch in self.branches]


class DualPath(nn.Module):
    """`DPRNN`: `[batch, frames, features]` to `[batch, frames, width]`.

    The frames are cut into chunks that overlap by half. One LSTM goes through each chunk ("row"),
    the next through the same place of all chunks ("col").
    """

    def __init__(self, layers: Any) -> None:
        super().__init__()
        self.layers = layers
        self.steps = [
            (Bidirectional(rnn.rnn, rnn.proj), norm, axis)
            for pair in zip(
                zip(layers.row_rnn, layers.row_norm, [2] * layers.num_blocks, strict=True),
                zip(layers.col_rnn, layers.col_norm, [1] * layers.num_blocks, strict=True),
                strict=True,
            )
            for rnn, norm, axis in pair
        ]

    def forward(self, frames: Tensor) -> Tensor:
        x = self._chunks(frames)
        for rnn, norm, axis in self.steps:
            heard = rnn(x, axis)
            normal = functional.layer_norm(heard, heard.shape[1:], eps=norm.eps)
            x.addcmul_(normal, norm.weight).add_(norm.bias)
        conv, prelu = self.layers.conv
        x = prelu(product(x, conv.weight.flatten(1), conv.bias))
        return self._merged(x, frames.shape[1])

    def _chunks(self, frames: Tensor) -> Tensor:
        """`[batch, chunks, frames of a chunk, features]`."""
        size, stride = self.layers.chunk_size, self.layers.chunk_stride
        batch, length, features = frames.shape
        rest = size - (stride + length % size) % size
        padded = functional.pad(frames, (0, 0, stride, rest + stride))
        halves = [
            part.reshape(batch, -1, size, features)
            for part in (padded[:, : -stride or None], padded[:, stride:])
        ]
        return torch.stack(halves, dim=2).flatten(1, 2)

    def _merged(self, x: Tensor, length: int) -> Tensor:
        """The sum of what the two chunks of each frame say of it."""
        stride = self.layers.chunk_stride
        first, second = x[:, 0::2].flatten(1, 2), x[:, 1::2].flatten(1, 2)
        return first[:, stride : stride + length] + second[:, :length]


class Bidirectional:
    """An LSTM of both directions and the dense layer behind it.

    Every tanh is a logistic function, `tanh(z) = 2 σ(2z) - 1`, so that one call does all gates of
    a step. The cell is kept doubled and the output halved; powers of two in the weights make up
    for that without rounding.
    """

    def __init__(self, rnn: nn.LSTM, projection: nn.Linear) -> None:
        self.size = rnn.hidden_size
        doubled = torch.ones(4 * self.size, 1)
        doubled[2 * self.size : 3 * self.size] = 2
        self.directions = []
        for suffix in ("", "_reverse"):
            of_input, of_hidden, bias, more = (
                getattr(rnn, f"{name}_l0{suffix}").detach()
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            weight = torch.cat((of_input, 2 * of_hidden), dim=1) * doubled
            self.directions.append(
                (_laid_out(weight, ROWS_EXPECTED), (bias + more) * doubled[:, 0])
            )
        self.weight, self.bias = 2 * projection.weight.detach(), projection.bias

    def __call__(self, x: Tensor, axis: int) -> Tensor:
        """Go through `[batch, chunks, frames, features]` along an axis, to the same shape."""
        hidden = x.new_empty(*x.shape[:-1], 2 * self.size)
        forward, backward = hidden.chunk(2, dim=-1)
        self._run(*self.directions[0], x.unbind(axis), forward.unbind(axis))
        self._run(*self.directions[1], x.unbind(axis)[::-1], backward.unbind(axis)[::-1])
        return product(hidden, self.weight, self.bias)

    def _run(
        self, weight: Tensor, bias: Tensor, steps: Sequence[Tensor], outs: Sequence[Tensor]
    ) -> None:
        features = steps[0].shape[-1]
        both = steps[0].new_zeros(*steps[0].shape[:-1], features + self.size)
        heard, before = both[..., :features], both[..., features:]
        cell = torch.zeros_like(before, memory_format=torch.contiguous_format)
        bent = torch.empty_like(cell)
        for step, out in zip(steps, outs, strict=True):
            heard.copy_(step)
            gates = product(both, weight, bias).sigmoid_()
            enter, forget, candidate, leave = gates.chunk(4, dim=-1)
            cell.mul_(forget).addcmul_(enter, candidate, value=4).sub_(enter, alpha=2)
            torch.sigmoid(cell, out=bent)
            torch.mul(leave, bent.sub_(0.5), out=before)
            out.copy_(before)


def _laid_out(weight: Tensor, rows: int) -> Tensor:
    """A matrix in the order in which oneDNN multiplies it by so many rows at once."""
    found: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, rows)
    return found
