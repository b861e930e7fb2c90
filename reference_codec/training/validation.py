"""Scores of held-out clips while a codec is trained, by the bench's own metrics.

Beside `plugin.py` the only file of this package that imports the bench: what is watched during
training is what is compared afterwards.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from nacbench.alignment import align
from nacbench.core import Clip
from nacbench.errors import UserError as BenchUserError
from nacbench.scoring import Scorer
from reference_codec.errors import UserError
from reference_codec.training.metrics_log import Table, not_beyond
from reference_codec.training.observing import Observer, Outcome

if TYPE_CHECKING:
    from reference_codec.neural_codec import NeuralCodec
    from reference_codec.training.data import HeldOut
    from reference_codec.training.recipe import ValidationOptions
    from reference_codec.training.trainer import Trainer


@dataclass(frozen=True)
class Point:
    """Means over the clips at one rate.

    Attributes:
        scores: metric -> mean over the clips that have a score; NaN without any.
        scored: metric -> how many those are.
        usage: of each codebook, the share of its entries that the clips used.
        decoded: of each clip, `[channels, time]`.
    """

    kbps: float
    scores: Mapping[str, float]
    scored: Mapping[str, int]
    usage: Sequence[float]
    decoded: Sequence[NDArray[np.float32]]


class Listener(Protocol):
    """Told of every validation."""

    def validated(self, step: int, clips: Sequence[HeldOut], points: Sequence[Point]) -> None: ...


class Validation(Observer):
    """Codes the same clips every so many steps, and once at the end, into `validation.csv`.

    Args:
        listeners: also told: TensorBoard, the progress bar.
    Raises:
        UserError: an unknown metric, or one whose library is not installed.
    """

    def __init__(
        self,
        options: ValidationOptions,
        clips: Sequence[HeldOut],
        directory: Path,
        listeners: Sequence[Listener] = (),
    ) -> None:
        self._options, self._clips, self._listeners = options, clips, listeners
        self._path = directory / "validation.csv"
        self._last = -1
        try:
            self._scorer = Scorer(options.metrics)
        except BenchUserError as error:
            raise UserError(f"validation.metrics: {error}") from error
        self._references: list[Clip] = []

    def started(self, trainer: Trainer) -> None:
        self._table = Table(self._path, ("step", "kbps", "seconds"), keep=not_beyond(trainer))
        rate_hz = trainer.recipe.config.sample_rate_hz
        self._references = [Clip(clip.samples, rate_hz, clip.name) for clip in self._clips]

    def step_done(
        self, trainer: Trainer, step: int, losses: Mapping[str, float], seconds: float
    ) -> None:
        in_codec = "prior_bits_per_code" not in losses
        if in_codec and step % self._options.every_n_steps == 0:
            self._validate(trainer, step)

    def stopped(self, trainer: Trainer, outcome: Outcome) -> None:
        if outcome.codec is not None and self._last != trainer.step:
            self._validate(trainer, trainer.step)

    def _validate(self, trainer: Trainer, step: int) -> None:
        start = time.monotonic()
        model = trainer.codec()
        rates = self._options.kbps or (model.config.kbps[-1],)
        points = [self._point(model, kbps) for kbps in rates]
        self._last = step
        for point in points:
            self._table.add(
                {"step": step, "kbps": f"{point.kbps:g}",
                 "seconds": f"{time.monotonic() - start:.1f}",
                 **{name: f"{value:.5g}" for name, value in point.scores.items()}}
            )  # fmt: skip
        self._table.flush()
        for listener in self._listeners:
            listener.validated(step, self._clips, points)

    def _point(self, model: NeuralCodec, kbps: float) -> Point:
        values: dict[str, list[float]] = {name: [] for name in self._scorer.names}
        decoded, codes = [], []
        n_codebooks = model.config.codebooks_at(kbps)
        for reference in self._references:
            coded, scales = model.encode(torch.tensor(reference.samples)[None], n_codebooks)
            audio = model.decode(coded, scales, reference.length)[0].numpy()
            codes.append(coded[0].numpy())
            decoded.append(audio)
            aligned, _ = align(reference, Clip(audio, reference.sample_rate_hz, reference.id))
            for name, score in self._scorer.score(reference, aligned).items():
                if score.value is not None:
                    values[name].append(score.value)
        means = {
            name: sum(found) / len(found) if found else math.nan for name, found in values.items()
        }
        used = [np.unique(np.concatenate([c[level] for c in codes])).size
                for level in range(n_codebooks)]  # fmt: skip
        usage = [n / size for n, size in zip(used, model.config.codebook_sizes, strict=False)]
        return Point(kbps, means, {k: len(v) for k, v in values.items()}, usage, decoded)


def sentence(point: Point) -> str:
    """`3 kbps: si_sdr 4.2, pesq:wb 2.1`."""
    return f"{point.kbps:g} kbps: " + ", ".join(f"{k} {v:.4g}" for k, v in point.scores.items())
