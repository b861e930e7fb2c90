"""Short-time Fourier transforms with backward passes of their own, several times faster.

PyTorch differentiates a real transform through a complex one of full length, and a magnitude
through sgn(z). A real inverse transform and one division do the same.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def stft(audio: Tensor, window_length: int) -> Tensor:
    """Hann window, a quarter of it from frame to frame, centred, mirrored at the ends.

    Args:
        audio: `[batch, time]`; time exceeds half of the window.
    Returns:
        complex `[batch, bins, frames]`, unscaled, as `torch.stft` gives it.
    """
    half = window_length // 2
    return uncentred(F.pad(audio[:, None], (half, half), mode="reflect")[:, 0], window_length)


def uncentred(audio: Tensor, window_length: int) -> Tensor:
    """The same of whole windows only: the first frame begins with the first sample."""
    window = hann(window_length, audio.device)
    spectrum: Tensor = _Transform.apply(audio, window)  # type: ignore[no-untyped-call]
    return spectrum


def magnitude(spectrum: Tensor) -> Tensor:
    """|z|; its gradient is 0 at 0."""
    absolute: Tensor = _Magnitude.apply(spectrum)  # type: ignore[no-untyped-call]
    return absolute


@functools.cache
def hann(window_length: int, device: torch.device) -> Tensor:
    return torch.hann_window(window_length, device=device)


class _Transform(torch.autograd.Function):
    """X_k = Σ_n w_n x_n exp(-iωkn) for each frame of samples that are already padded."""

    @staticmethod
    def forward(ctx: Any, samples: Tensor, window: Tensor) -> Tensor:
        ctx.save_for_backward(window)
        ctx.length, n = samples.shape[-1], len(window)
        return torch.stft(samples, n, n // 4, window=window, center=False, return_complex=True)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        # ∂L/∂x_n = w_n Re Σ_k g_k exp(iωkn) over the bins that there are. The inverse transform
        # divides by N and counts all but the first and the last bin twice.
        (window,) = ctx.saved_tensors
        n = len(window)
        counted = _twice(n, window.device)
        frames = torch.fft.irfft(gradient.transpose(1, 2) * counted, n=n) * window
        batch, count, _ = frames.shape
        quarters = frames.view(batch, count, 4, n // 4)
        samples = window.new_zeros(batch, ctx.length)
        blocks = samples[:, : (count + 3) * (n // 4)].view(batch, count + 3, n // 4)
        for i in range(4):
            blocks[:, i : i + count] += quarters[:, :, i]
        return samples, None


class _Magnitude(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, spectrum: Tensor) -> Tensor:
        absolute = (spectrum.real.square() + spectrum.imag.square()).sqrt()
        ctx.save_for_backward(spectrum, absolute)
        return absolute

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        spectrum, absolute = ctx.saved_tensors
        return spectrum * (gradient / absolute.clamp(min=torch.finfo(absolute.dtype).tiny))


@functools.cache
def _twice(n: int, device: torch.device) -> Tensor:
    """N / 2 for every bin, N for the first and the last."""
    counted = torch.full((n // 2 + 1,), n / 2, device=device)
    counted[[0, -1]] = n
    return counted
