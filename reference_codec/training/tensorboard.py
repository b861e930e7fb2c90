"""What TensorBoard shows: losses, scores, codebook usage, spectrograms and audio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from reference_codec.errors import UserError
from reference_codec.training.observing import Observer, Outcome

if TYPE_CHECKING:
    from reference_codec.training.data import HeldOut
    from reference_codec.training.trainer import Trainer
    from reference_codec.training.validation import Point

EVERY_N_STEPS = 10  # scalars
FLOOR_DB, CEILING_DB = -90.0, 0.0  # of spectrograms
CLIPS = 4  # with audio and spectrograms


class TensorBoard(Observer):
    """Event files in `DIRECTORY/tensorboard`; look at them with `tensorboard --logdir`.

    Raises:
        UserError: tensorboard is not installed.
    """

    def __init__(self, directory: Path, sample_rate_hz: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise UserError(
                "TensorBoard is not installed: pip install 'nacbench[training]'"
            ) from error
        self._open: Any = SummaryWriter
        self._directory = directory / "tensorboard"
        self._writer: Any = None
        self._sample_rate_hz = sample_rate_hz
        self._references_shown = False

    def started(self, trainer: Trainer) -> None:
        done = trainer.step + trainer.prior_step
        self._writer = self._open(str(self._directory), purge_step=done + 1 if done else None)

    def step_done(
        self, trainer: Trainer, step: int, losses: Mapping[str, float], seconds: float
    ) -> None:
        if step % EVERY_N_STEPS and step != 1:
            return
        at = step + (trainer.recipe.steps if "prior_bits_per_code" in losses else 0)
        for name, value in losses.items():
            self._writer.add_scalar(f"train/{name}", value, at)
        self._writer.add_scalar("speed/steps_per_second", 1 / max(seconds, 1e-9), at)
        self._writer.add_scalar("speed/share_waiting", trainer.waited_s / max(seconds, 1e-9), at)

    def checkpoint_saved(self, trainer: Trainer, path: Path) -> None:
        self._writer.flush()

    def stopped(self, trainer: Trainer, outcome: Outcome) -> None:
        self._writer.close()

    def validated(self, step: int, clips: Sequence[HeldOut], points: Sequence[Point]) -> None:
        for number, clip in enumerate(clips[:CLIPS]):
            if not self._references_shown:
                self._clip(f"clip_{number}/reference", clip.samples, 0)
            for point in points:
                self._clip(f"clip_{number}/{point.kbps:g}_kbps", point.decoded[number], step)
        self._references_shown = True
        for point in points:
            for name, value in point.scores.items():
                self._writer.add_scalar(f"validation/{name}/{point.kbps:g}_kbps", value, step)
        fullest = points[-1]
        for level, share in enumerate(fullest.usage):
            self._writer.add_scalar(f"codebook_usage/{level:02d}", share, step)
        self._writer.flush()

    def _clip(self, name: str, samples: NDArray[np.float32], step: int) -> None:
        mono = samples.mean(axis=0)
        self._writer.add_audio(
            name, np.clip(mono, -1, 1)[None], step, sample_rate=self._sample_rate_hz
        )
        self._writer.add_image(name, spectrogram(mono), step, dataformats="HW")


def spectrogram(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Power in dB, from -90 dB as 0 to 0 dB as 1: `[257, frames]`, high frequencies on top."""
    from scipy.signal import ShortTimeFFT

    transform = ShortTimeFFT.from_window("hann", fs=1, nperseg=512, noverlap=384)
    power = np.abs(transform.stft(np.pad(samples, (0, max(0, 512 - samples.size))))) ** 2
    db = 10 * np.log10(power / transform.win.sum() ** 2 * 4 + 1e-12)
    shown: NDArray[np.float32] = np.clip((db - FLOOR_DB) / (CEILING_DB - FLOOR_DB), 0, 1)
    return shown[::-1].astype(np.float32)
