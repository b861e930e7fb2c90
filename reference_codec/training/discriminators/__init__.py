"""Networks that tell decoded audio from real: one file per family of what they look at.

    spectrograms.py    MultiScaleSTFT (EnCodec), MultiBandSTFT (DAC, NVIDIA)
    waveforms.py       MultiPeriod, MultiScale (HiFi-GAN)
    speech_model.py    SpeechModel: the hidden states of a frozen WavLM-like model

Each takes `[batch, channels, time]` and gives a `Judgement` per sub-discriminator.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor, nn

from reference_codec.training.adversarial import Judgement

if TYPE_CHECKING:
    from reference_codec.training.recipe import Discriminator


class Jury(nn.Module):
    """All discriminators of a run, one after the other."""

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, audio: Tensor) -> list[Judgement]:
        return [judgement for member in self.members for judgement in member(audio)]


def build(options: Sequence[Discriminator], channels: int, sample_rate_hz: int) -> Jury:
    """The discriminators of a recipe, with PyTorch's random weights.

    Args:
        channels, sample_rate_hz: of the audio to judge.
    """
    return Jury([_build(option, channels, sample_rate_hz) for option in options])


def _build(option: Discriminator, channels: int, sample_rate_hz: int) -> nn.Module:
    from reference_codec.training import recipe

    if isinstance(option, recipe.MSSTFT):
        from reference_codec.training.discriminators.spectrograms import MultiScaleSTFT

        return MultiScaleSTFT(channels, option.n_ffts, option.channels)
    if isinstance(option, recipe.MultiBand):
        from reference_codec.training.discriminators.spectrograms import MultiBandSTFT

        return MultiBandSTFT(channels, option.n_ffts, option.bands, option.channels)
    if isinstance(option, recipe.MultiPeriod):
        from reference_codec.training.discriminators.waveforms import MultiPeriod

        return MultiPeriod(channels, option.periods, option.channels)
    if isinstance(option, recipe.MultiScale):
        from reference_codec.training.discriminators.waveforms import MultiScale

        return MultiScale(channels, option.scales, option.channels)
    from reference_codec.training.discriminators.speech_model import SpeechModel

    return SpeechModel.named(option.model, sample_rate_hz, option.channels)
