"""A codec that trains in milliseconds per step, and endless made-up batches for it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reference_codec.training.recipe import Recipe
from reference_codec.training.trainer import Trainer

SMALL_JURY = {"kind": "ms_stft", "n_ffts": (256, 128), "channels": 4}


def recipe(**changes: Any) -> Recipe:
    """1,000 frames a second would be too many: hop 16, four codebooks of 32 entries."""
    values: dict[str, Any] = {
        "name": "tiny",
        "model": {
            "preset": "seanet-16k",
            "network": {
                "width": 4, "latent_dim": 8, "strides": [4, 4], "dilations": [[1], [1]],
                "lstm_layers": 0, "padding": "zero",
            },
            "quantizer": {"n_codebooks": 4, "codebook_size": 32},
            "kbps": (5.0, 20.0),
        },
        "steps": 6, "batch_size": 4, "segment_s": 0.128,
        "losses": {"mel": 1.0, "stft": 0.5, "waveform": 1.0},
        "optimiser": {"learning_rate": 1e-3, "ema_decay": 0.9, "gradient_clip": 10.0},
    }  # fmt: skip
    return Recipe.model_validate(values | changes)


def adversarial(start_step: int = 2, every_n_steps: int = 2, **losses: Any) -> dict[str, Any]:
    """What makes `recipe` adversarial."""
    return {
        "losses": {
            "mel": 1.0, "waveform": 1.0, "adversarial": 1.0, "feature_matching": 2.0, **losses,
        },
        "adversarial": {
            "discriminators": (SMALL_JURY,),
            "start_step": start_step,
            "every_n_steps": every_n_steps,
        },
    }  # fmt: skip


@dataclass(frozen=True)
class MadeUp:
    audio: Tensor


class Tones:
    """Harmonic tones in noise; a batch is a function of its step alone.

    Args:
        world, rank: processes that share each batch, and which of them this is.
        spoilt: steps whose batch holds a number that is none.
    """

    def __init__(
        self, recipe: Recipe, world: int = 1, rank: int = 0, spoilt: range = range(0)
    ) -> None:
        self.recipe, self.world, self.rank, self.spoilt = recipe, world, rank, spoilt
        self.segment, self.batch_size = recipe.segment, recipe.batch_size

    def resized(self, segment: int, batch_size: int) -> "Tones":
        other = Tones(self.recipe, self.world, self.rank, self.spoilt)
        other.segment, other.batch_size = segment, batch_size
        return other

    def batches(self, first_step: int) -> Iterator[MadeUp]:
        step = first_step
        while True:
            yield MadeUp(self.audio(step))
            step += 1

    def audio(self, step: int) -> Tensor:
        config = self.recipe.config
        generator = torch.Generator().manual_seed(step)
        clips = self.batch_size * self.world
        time = torch.arange(self.segment) / config.sample_rate_hz
        pitch = 100 + 300 * torch.rand(clips, config.channels, 1, generator=generator)
        tones = [torch.sin(2 * torch.pi * k * pitch * time) / k for k in range(1, 6)]
        noise = 0.01 * torch.randn(clips, config.channels, self.segment, generator=generator)
        audio = 0.2 * torch.stack(tones).sum(0) + noise
        if step in self.spoilt:
            audio[0, 0, 5] = torch.nan
        return audio[self.rank * self.batch_size : (self.rank + 1) * self.batch_size]


SMALL_PRIOR = {"steps": 4, "width": 16, "layers": 2, "frames": 16, "batch_size": 2}


def saving_run(directory: Path) -> None:
    """Both stages with a checkpoint after every step, from wherever the directory is."""
    run = recipe(**adversarial(), steps=12, checkpoint_minutes=1e-9, prior=SMALL_PRIOR)
    Trainer(run, Tones(run), directory).run()
