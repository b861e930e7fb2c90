"""Recorded material for a condition: which clip of a source, which stretch of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import PurePath
from typing import Any

import numpy as np

from nacbench import audio, sources
from nacbench.core import Clip, ClipRef, Samples
from nacbench.errors import UserError
from nacbench.sources.loading import load

LOOP_FADE_S = 0.01  # a recording that is too short repeats; the seam is faded over, not clicked
SLACK_S = 0.01  # read a little more than needed: resampling rounds lengths


class Recorded:
    """Clips of any source, drawn to accompany another clip."""

    def __init__(self, source: str | Mapping[str, Any]) -> None:
        self._source = sources.build(source)
        self.label = _label(source)

    @cached_property
    def refs(self) -> list[ClipRef]:
        return self._source.clips()

    def draw(self, clip: Clip, rng: np.random.Generator) -> tuple[Samples, str]:
        """The first of `draws`."""
        return next(self.draws(clip, rng))

    def draws(self, clip: Clip, rng: np.random.Generator) -> Iterator[tuple[Samples, str]]:
        """Stretches with the rate, length and channels of `clip`, each with the name of its clip.

        Order and starts are drawn; no recording comes twice before all have come once. The clip
        itself and other clips of its speaker are left out. More channels than `clip` has are
        averaged, fewer are repeated.
        """
        speaker = clip.tags.get("speaker")
        others = [
            ref
            for ref in self.refs
            if ref.id != clip.id and (speaker is None or ref.tags.get("speaker") != speaker)
        ]
        if not others:
            raise UserError(f"{clip.id}: {self.label} has no recording of anybody else. Add some.")
        while True:
            for index in rng.permutation(len(others)):
                ref = others[index]
                chosen = _fitting(_stretch(ref, clip.duration_s, rng), clip)
                yield chosen, ref.id


def loop(samples: Samples, length: int, fade: int) -> Samples:
    """`[channels, time]` cut, or repeated with faded seams, to exactly `length` samples.

    At a seam the last `fade` samples fade out as the first ones fade in, at constant power.
    """
    available = samples.shape[-1]
    if available >= length:
        return samples[..., :length]
    fade = min(fade, available // 2)
    angle = np.linspace(0, np.pi / 2, fade, dtype=np.float32)
    seam = samples[..., :fade] * np.sin(angle) + samples[..., available - fade :] * np.cos(angle)
    period = np.concatenate([samples[..., fade : available - fade], seam], axis=-1)
    repeats = -(-length // period.shape[-1])
    return np.concatenate([samples[..., :fade], *[period] * repeats], axis=-1)[..., :length]


def _stretch(ref: ClipRef, duration_s: float, rng: np.random.Generator) -> Clip:
    available_s = ref.duration_s
    if available_s is None:
        available_s = audio.duration_s(ref.path) - ref.start_s
    spare_s = available_s - duration_s - SLACK_S
    if spare_s <= 0:
        return load(ref)
    start_s = ref.start_s + float(rng.uniform(0, spare_s))
    return load(replace(ref, start_s=start_s, duration_s=duration_s + SLACK_S))


def _fitting(stretch: Clip, clip: Clip) -> Samples:
    """With the rate, the channels and the length of `clip`."""
    same_rate = audio.at_rate(stretch, clip.sample_rate_hz)
    if same_rate.channels != clip.channels:
        same_rate = audio.to_mono(same_rate)
    fade = round(LOOP_FADE_S * clip.sample_rate_hz)
    return np.broadcast_to(loop(same_rate.samples, clip.length, fade), clip.samples.shape)


def _label(source: str | Mapping[str, Any]) -> str:
    """`real:noise_eval`, `folder:noises`: the source and the last part of what it names."""
    if isinstance(source, str):
        return source
    ((name, options),) = source.items()
    named = next((value for value in options.values() if isinstance(value, str)), "")
    last = PurePath(named).name
    return f"{name}:{last}" if last else str(name)
