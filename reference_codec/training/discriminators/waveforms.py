"""HiFi-GAN's discriminators, which look at samples."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from reference_codec.training.adversarial import Judgement

SLOPE = 0.1


class PeriodDiscriminator(nn.Module):
    """Sees every `period`-th sample as one column of an image."""

    def __init__(self, channels: int, period: int, width: int) -> None:
        super().__init__()
        self.period = period
        widths = [channels, width, 4 * width, 16 * width, 32 * width]
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(a, b, (5, 1), (3, 1), (2, 0))) for a, b in pairwise(widths)
        )
        self.layers.append(weight_norm(nn.Conv2d(widths[-1], widths[-1], (5, 1), padding=(2, 0))))
        self.last = weight_norm(nn.Conv2d(widths[-1], 1, (3, 1), padding=(1, 0)))

    def forward(self, audio: Tensor) -> Judgement:
        missing = -audio.shape[-1] % self.period
        x = F.pad(audio, (0, missing), mode="reflect") if missing else audio
        x = x.view(*x.shape[:2], -1, self.period)
        return _judged(x, self.layers, self.last)


class MultiPeriod(nn.Module):
    """Reads beside Kong et al., arXiv:2010.05646, §2.3 and appendix A.2. Differs: none.

    Args:
        periods: primes, so that they overlap little.
        width: channels of the first layer, which grow 32-fold.
    """

    def __init__(self, channels: int, periods: Sequence[int], width: int) -> None:
        super().__init__()
        self.periods = nn.ModuleList(
            PeriodDiscriminator(channels, period, width) for period in periods
        )

    def forward(self, audio: Tensor) -> list[Judgement]:
        return [period(audio) for period in self.periods]


class ScaleDiscriminator(nn.Module):
    """Strided, grouped convolutions over the samples, as in MelGAN (arXiv:1910.06711)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        # (channels in, out, kernel, stride, groups)
        sizes = [
            (channels, width, 15, 1, 1),
            (width, width, 41, 2, 4),
            (width, 2 * width, 41, 2, 16),
            (2 * width, 4 * width, 41, 4, 16),
            (4 * width, 8 * width, 41, 4, 16),
            (8 * width, 8 * width, 41, 1, 16),
            (8 * width, 8 * width, 5, 1, 1),
        ]
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv1d(a, b, k, s, k // 2, groups=_groups(g, a)))
            for a, b, k, s, g in sizes
        )
        self.last = weight_norm(nn.Conv1d(8 * width, 1, 3, padding=1))

    def forward(self, audio: Tensor) -> Judgement:
        return _judged(audio, self.layers, self.last)


class MultiScale(nn.Module):
    """The signal as it is, and averaged over 2, 4, … samples.

    Reads beside Kong et al., arXiv:2010.05646, §2.3 and appendix A.2 (`width` 128). Differs: weight
    norm for the first scale too, where the paper has spectral norm.
    """

    def __init__(self, channels: int, scales: int, width: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(ScaleDiscriminator(channels, width) for _ in range(scales))

    def forward(self, audio: Tensor) -> list[Judgement]:
        judgements = []
        for index, scale in enumerate(self.scales):
            if index:
                audio = F.avg_pool1d(audio, 4, 2, padding=2)
            judgements.append(scale(audio))
        return judgements


def _groups(wanted: int, channels: int) -> int:
    """The most groups up to `wanted` that divide few channels."""
    return next(n for n in range(min(wanted, channels), 0, -1) if channels % n == 0)


def _judged(x: Tensor, layers: nn.ModuleList, last: nn.Module) -> Judgement:
    features = []
    for layer in layers:
        x = F.leaky_relu(layer(x), SLOPE)
        features.append(x)
    return Judgement(last(x), features)
