"""Convolutions, recurrence and activations that all model families share.

One padding rule serves EnCodec, DAC and HiFi-GAN: a convolution of stride s and effective kernel
k is surrounded by k - s samples, all on the left where it is causal, else the larger half on the
left; where the input is no multiple of s, the right side gets what completes the last step.

Causal layers also run piecewise. A `Stream` carries what each of them remembers:

    stream = Stream(state)          # () before the first piece
    out = layer(piece, stream)      # layers read and write in the order in which they run
    state = stream.state            # for the next piece
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

State = tuple[Tensor, ...]


class Stream:
    """The memory of a causal network between two pieces of one signal.

    Args:
        state: what the previous piece left, `()` for the first piece.
        last: no piece follows; an incomplete last step is completed as it is offline.
    """

    def __init__(self, state: State = (), last: bool = False) -> None:
        self.first = not state
        self.last = last
        self._read = iter(state)
        self._written: list[Tensor] = []

    @property
    def state(self) -> State:
        return tuple(self._written)

    def read(self) -> Tensor:
        return next(self._read)

    def write(self, memory: Tensor) -> None:
        self._written.append(memory)


class Conv1d(nn.Conv1d):
    """Convolution over `[batch, channels, time]` that gives ceil(time / stride) steps.

    Args:
        reflect: pad with the mirrored signal instead of zeros.
        group_norm: normalise the output over all channels and time (not for causal models).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        dilation: int = 1,
        *,
        causal: bool = False,
        reflect: bool = False,
        group_norm: bool = False,
        groups: int = 1,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel, stride, dilation=dilation, groups=groups
        )
        self.reflect = reflect
        self.step = stride
        self.surround = (kernel - 1) * dilation + 1 - stride
        self.left = self.surround if causal else self.surround - self.surround // 2
        self.right = self.surround - self.left
        self.norm = nn.GroupNorm(1, out_channels) if group_norm else None

    def forward(self, x: Tensor, stream: Stream | None = None) -> Tensor:
        incomplete = -x.shape[-1] % self.step
        inside = 0  # zeros that the convolution itself puts on both sides, without a copy
        if stream is None and not (incomplete or self.reflect or self.left != self.right):
            inside = self.left
        elif stream is None or stream.first:
            right = self.right + (incomplete if stream is None or stream.last else 0)
            x = pad(x, self.left, right, self.reflect)
        elif self.surround:
            x = torch.cat([stream.read(), x], -1)
            if stream.last and incomplete:
                x = pad(x, 0, incomplete, self.reflect)
        if stream is not None and self.surround:
            stream.write(x[..., x.shape[-1] - self.surround :])
        x = F.conv1d(x, self.weight, self.bias, self.stride, inside, self.dilation, self.groups)
        return x if self.norm is None else self.norm(x)


class ConvTranspose1d(nn.ConvTranspose1d):
    """Upsampling by `stride`: the overlap beyond `time · stride` samples is trimmed.

    Args:
        trim_right: samples to drop at the end; by default the smaller half of the overlap, and
            all of it where the layer is causal.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int,
        *,
        causal: bool = False,
        group_norm: bool = False,
        trim_right: int | None = None,
        groups: int = 1,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel, stride, groups=groups)
        self.overlap = kernel - stride
        half = self.overlap if causal else self.overlap // 2
        self.trim_left = self.overlap - half
        self.trim_right = half if trim_right is None else trim_right
        self.norm = nn.GroupNorm(1, out_channels) if group_norm else None

    def forward(self, x: Tensor, stream: Stream | None = None) -> Tensor:  # type: ignore[override]
        if stream is not None:
            return self._overlap_add(x, stream)
        x = super().forward(x)
        if self.norm is not None:  # before trimming, as EnCodec was trained
            x = self.norm(x)
        return x[..., self.trim_left : x.shape[-1] - self.trim_right]

    def _overlap_add(self, x: Tensor, stream: Stream) -> Tensor:
        y = F.conv_transpose1d(x, self.weight, None, self.stride, groups=self.groups)
        if not stream.first:
            tail = stream.read()
            y = torch.cat([y[..., : self.overlap] + tail, y[..., self.overlap :]], -1)
        complete = y.shape[-1] - self.overlap
        stream.write(y[..., complete:])
        bias = 0.0 if self.bias is None else self.bias[:, None]
        return y[..., :complete] + bias


class LSTM(nn.LSTM):
    """Stacked LSTM over time with a connection around it. `[batch, channels, time]` in and out."""

    def __init__(self, channels: int, n_layers: int) -> None:
        super().__init__(channels, channels, n_layers)

    def forward(self, x: Tensor, stream: Stream | None = None) -> Tensor:  # type: ignore[override]
        series = x.permute(2, 0, 1)
        memory = None if stream is None or stream.first else (stream.read(), stream.read())
        out, (hidden, cell) = super().forward(series, memory)
        if stream is not None:
            stream.write(hidden)
            stream.write(cell)
        return (out + series).permute(1, 2, 0)


class Snake(nn.Module):
    """x + sin²(αx) / α with one learnt α per channel. Source: Ziyin et al., arXiv:2006.08195."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        # 1e-9 as in DAC: a channel whose α was learnt to be zero must not divide by it.
        inverse = (self.alpha + 1e-9).reciprocal()
        if torch.is_grad_enabled():
            return x + inverse * torch.sin(self.alpha * x).square()
        # In one piece of memory: half of the time here would go to fetching more.
        return (self.alpha * x).sin_().square_().mul_(inverse).add_(x)


def pad(x: Tensor, left: int, right: int, reflect: bool) -> Tensor:
    """`x` with `left` and `right` samples beside it, mirrored or zero.

    A clip too short to be mirrored is continued with zeros first, as EnCodec does.
    """
    if not left and not right:
        return x
    if not reflect:
        return F.pad(x, (left, right))
    missing = max(0, max(left, right) - x.shape[-1] + 1)
    x = F.pad(F.pad(x, (0, missing)), (left, right), mode="reflect")
    return x[..., : x.shape[-1] - missing]


@torch.no_grad()
def variance_preserving_(layer: nn.Conv1d | nn.ConvTranspose1d, gain: float = 1.0) -> None:
    """Initialise a convolution so that its output has the variance of its input.

    PyTorch's default (Kaiming uniform with a = √5) shrinks the variance threefold per layer; a
    residual quantizer behind it sees next to nothing and its codebooks collapse.

    Args:
        gain: 1 / root mean square of what precedes the layer, for a standard normal input: 1 for
            nothing, √2 for ReLU, 1.25 for ELU. Less for a branch that is added to another.
    """
    taps = float(layer.kernel_size[0])
    if isinstance(layer, nn.ConvTranspose1d):
        taps /= layer.stride[0]  # that many inputs meet in one output sample
    nn.init.normal_(layer.weight, std=gain / math.sqrt(layer.in_channels * taps))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
