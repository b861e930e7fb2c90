"""A discriminator that listens through a frozen speech model."""

from __future__ import annotations

import functools
import math
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from reference_codec.errors import UserError
from reference_codec.training.adversarial import Judgement

SLOPE = 0.1


class SpeechModel(nn.Module):
    """A small convolutional network over all hidden states of a WavLM-like model.

    Reads beside Li et al., "StyleTTS 2", arXiv:2306.07691, §3.2.3, as used by Casanova et al.,
    arXiv:2409.12117, §2.3. Differs: the audio is brought to unit variance, as these models expect.

    Args:
        backbone: a `transformers` model that takes `[batch, samples]` and gives hidden states;
            frozen here, and no part of checkpoints.
        rate_hz: at which it hears.    sample_rate_hz: of the audio to judge.
    """

    def __init__(self, backbone: nn.Module, rate_hz: int, sample_rate_hz: int, width: int) -> None:
        super().__init__()
        # In a tuple, so that it is neither trained nor saved as a part of this module.
        self._frozen = (backbone.eval().requires_grad_(False),)
        self._rates = (sample_rate_hz, rate_hz)
        config: Any = backbone.config
        states = (config.num_hidden_layers + 1) * config.hidden_size
        widths = [width, 2 * width, 4 * width, 4 * width]
        self.project = weight_norm(nn.Conv1d(states, width, 1))
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv1d(a, b, 5, padding=2)) for a, b in pairwise(widths)
        )
        self.last = weight_norm(nn.Conv1d(widths[-1], 1, 3, padding=1))

    @classmethod
    def named(cls, name: str, sample_rate_hz: int, width: int) -> SpeechModel:
        """With the model in a directory or on the hub.

        Raises:
            UserError: `transformers` or the model is not to be had.
        """
        try:
            from transformers import AutoFeatureExtractor, AutoModel
        except ModuleNotFoundError as error:
            raise UserError(
                f"discriminator speech_model needs {error.name}: pip install transformers"
            ) from error
        try:
            backbone = AutoModel.from_pretrained(name, use_safetensors=True)
        except (OSError, ValueError) as error:
            raise UserError(
                f"discriminator speech_model: '{name}' cannot be loaded "
                f"({str(error).splitlines()[0]}). Give a directory with config.json and "
                "model.safetensors, or a name on the hub."
            ) from error
        try:
            extractor: Any = AutoFeatureExtractor
            rate_hz = int(extractor.from_pretrained(name).sampling_rate)
        except (OSError, ValueError, AttributeError):
            rate_hz = 16_000  # of all published WavLM, HuBERT and wav2vec 2.0 models
        return cls(backbone, rate_hz, sample_rate_hz, width)

    def _apply(self, move: Any, recurse: bool = True) -> SpeechModel:
        backbone: Any = self._frozen[0]
        backbone._apply(move)
        return super()._apply(move, recurse)  # type: ignore[no-untyped-call]

    def forward(self, audio: Tensor) -> list[Judgement]:
        mono = resample(audio.float().mean(1), *self._rates)
        mono = mono - mono.mean(-1, keepdim=True)
        mono = mono / (mono.square().mean(-1, keepdim=True).sqrt() + 1e-5)
        found = self._frozen[0](mono, output_hidden_states=True)
        x = torch.cat(found.hidden_states, -1).transpose(1, 2)
        x, features = self.project(x), []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), SLOPE)
            features.append(x)
        return [Judgement(self.last(x), features)]


def resample(audio: Tensor, source_hz: int, target_hz: int) -> Tensor:
    """`[batch, time]` at another rate, with a gradient: a polyphase filter, Hann-windowed sinc."""
    if source_hz == target_hz:
        return audio
    common = math.gcd(source_hz, target_hz)
    up, down = target_hz // common, source_hz // common
    filters, reach = _filters(up, down)
    steps = math.ceil(audio.shape[-1] * up / down)
    padded = F.pad(audio[:, None], (reach, reach + down))
    phases = F.conv1d(padded, filters.to(audio), stride=down)
    return phases.transpose(1, 2).flatten(1)[:, :steps]


@functools.cache
def _filters(up: int, down: int) -> tuple[Tensor, int]:
    """One filter per output phase, `[up, 1, taps]`, and the samples that it reaches back."""
    cutoff = 0.95 * min(1.0, up / down)  # of the input's half rate
    half = 16 / cutoff  # sixteen zero crossings to each side
    reach = math.ceil(half)
    taps = torch.arange(-reach, reach + down + 1, dtype=torch.float64)
    times = taps - torch.arange(up, dtype=torch.float64)[:, None] * down / up
    window = torch.cos((math.pi / 2 * times / half).clamp(-math.pi / 2, math.pi / 2)).square()
    return (cutoff * torch.sinc(cutoff * times) * window)[:, None].float(), reach
