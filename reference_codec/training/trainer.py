"""The training loop: batches through the step, checkpoints, observers, and a codec at the end.

    trainer = Trainer(recipe, data, Path("runs/mine"))
    outcome = trainer.run(max_minutes=9)        # call again, or in a new process, to go on

Every draw is a function of the recipe's seed and the number of the step, so there is no state of
random numbers to keep, and a resumed run on the CPU has the weights of an uninterrupted one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from reference_codec import checkpoint
from reference_codec.checkpoints import PRIOR_SUFFIX
from reference_codec.errors import UserError
from reference_codec.neural_codec import NeuralCodec
from reference_codec.training import checkpoints, distributed
from reference_codec.training.batches import Batch, Batches
from reference_codec.training.observing import Observer, Outcome, Reason
from reference_codec.training.optimisation import with_prefix, without_prefix
from reference_codec.training.prior_stage import PriorStage
from reference_codec.training.recipe import Recipe
from reference_codec.training.step import CodecStep

STATE_VERSION = 1


class Trainer:
    """One run: a recipe, its data, and the directory where it lives.

    Args:
        data: batch `step` is the same whether or not the run was resumed.
        directory: for checkpoints and the finished codec; created.
        observers: progress, logs, validation; called in the first process only.
        resume: go on from the directory's newest checkpoint, if it has one.
        initial: a finished model of the recipe's config to go on from (fine-tuning).
        split_checkpoints: no file of a checkpoint exceeds 16 MB.
    Raises:
        UserError: the directory has a run and `resume` is False, or it is of another model.
    """

    def __init__(
        self,
        recipe: Recipe,
        data: Batches,
        directory: Path,
        observers: Sequence[Observer] = (),
        *,
        resume: bool = True,
        initial: NeuralCodec | None = None,
        split_checkpoints: bool = False,
    ) -> None:
        self.recipe, self.data, self.directory = recipe, data, Path(directory)
        self.device = distributed.start()
        self.step = 0  # steps of the codec done
        self.skipped_steps = 0
        self.seconds = 0.0  # trained, over all slices
        self.waited_s = 0.0  # for the data of the last step
        self._skipped_in_a_row = 0
        self._split = split_checkpoints
        self._observers = observers if distributed.rank() == 0 else ()
        self._stop = False
        found = checkpoints.latest(self.directory)
        if found is not None and not resume:
            raise UserError(
                f"{self.directory}: has a run at {found.name}. "
                "Resume it (--resume), or choose another directory."
            )
        self.codec_step = CodecStep(recipe, self.device, initial)
        self.prior_stage = PriorStage(recipe, self.device) if recipe.prior.steps else None
        if found is not None:
            self._restore(found)

    @property
    def stage(self) -> Literal["codec", "prior"]:
        return "codec" if self.step < self.recipe.steps else "prior"

    def codec(self) -> NeuralCodec:
        """The codec as it is now, with averaged weights, for use on the CPU."""
        return self.codec_step.codec()

    def stop(self) -> None:
        """Ask the run to end after the step in progress, with a checkpoint; for signal handlers."""
        self._stop = True

    def run(self, max_minutes: float | None = None) -> Outcome:
        """Train until the recipe's steps are done or the time is up.

        Raises:
            UserError: too many steps in a row were not finite.
        """
        self._started = self._saved = time.monotonic()
        self._deadline = None if max_minutes is None else self._started + 60 * max_minutes
        self._stop = False
        for observer in self._observers:
            observer.started(self)
        reason = self._train_codec() or self._train_prior()
        if reason == "diverged":
            self._tell(Outcome("diverged", self.step, self.prior_step, self.skipped_steps))
            raise UserError(
                f"training stopped at step {self.step + 1}: {self._skipped_in_a_row} steps in a "
                "row gave losses or gradients that are not finite. Lower "
                "optimiser.learning_rate, set optimiser.gradient_clip, or check the data; "
                f"the last good checkpoint is in {self.directory}."
            )
        if distributed.rank() == 0:
            self._save()
        codec = None
        if reason is None:
            codec = self.export(self.directory / f"{self.recipe.name}.safetensors")
        outcome = Outcome(
            reason or "finished", self.step, self.prior_step, self.skipped_steps, codec
        )
        self._tell(outcome)
        return outcome

    def export(self, path: Path) -> Path:
        """Write the codec, and beside it its prior if it is trained, as `reference_codec.load`
        takes them."""
        if distributed.rank() == 0:
            checkpoint.save(self.codec(), path, getattr(torch, self.recipe.stored))
            if self.prior_stage is not None and self.prior_stage.step == self.recipe.prior.steps:
                self.prior_stage.export(path.with_suffix(PRIOR_SUFFIX))
        return path

    @property
    def prior_step(self) -> int:
        return 0 if self.prior_stage is None else self.prior_stage.step

    def _train_codec(self) -> Reason | None:
        """None: all steps are done."""
        if self.step == self.recipe.steps:
            return None
        batches = iter(self.data.batches(self.step))
        while self.step < self.recipe.steps:
            start = time.monotonic()
            audio = self._next(batches)
            losses, counts = self.codec_step(audio, self.step)
            self._skipped_in_a_row = 0 if counts else self._skipped_in_a_row + 1
            self.skipped_steps += not counts
            if self._skipped_in_a_row >= self.recipe.max_nan_steps:
                return "diverged"
            self.step += 1
            self._done(self.step, losses, time.monotonic() - start)
            if reason := self._pause():
                return reason
        return None

    def _train_prior(self) -> Reason | None:
        stage = self.prior_stage
        if stage is None or stage.step == self.recipe.prior.steps:
            return None
        codes = stage.codes(self.codec(), self.data)
        while stage.step < self.recipe.prior.steps:
            start = time.monotonic()
            batch = next(codes)
            self.waited_s = 0.0
            losses = stage(batch)
            self._done(stage.step, losses, time.monotonic() - start)
            if reason := self._pause():
                return reason
        return None

    def _next(self, batches: Iterator[Batch]) -> Tensor:
        start = time.monotonic()
        audio = next(batches).audio
        self.waited_s = time.monotonic() - start
        return audio

    def _done(self, step: int, losses: dict[str, float], seconds: float) -> None:
        self.seconds += seconds
        for observer in self._observers:
            observer.step_done(self, step, losses, seconds)

    def _pause(self) -> Reason | None:
        """Save if it is time; the reason to stop here, if there is one."""
        now = time.monotonic()
        late = self._deadline is not None and now >= self._deadline
        if distributed.any_of(late, self.device):
            return "time"
        if distributed.any_of(self._stop, self.device):
            return "interrupted"
        if now - self._saved >= 60 * self.recipe.checkpoint_minutes and distributed.rank() == 0:
            self._save()
        return None

    def _save(self) -> None:
        tensors = self.codec_step.tensors()
        state = {
            "version": STATE_VERSION,
            "recipe": self.recipe.to_dict(),
            "config": self.recipe.config.to_json(),
            "step": self.step,
            "prior_step": self.prior_step,
            "skipped_steps": self.skipped_steps,
            "skipped_in_a_row": self._skipped_in_a_row,
            "seconds": self.seconds,
            "codec_step": self.codec_step.state(),
        }
        if self.prior_stage is not None:
            tensors |= with_prefix("prior", self.prior_stage.tensors())
        number = self.step + self.prior_step
        path = checkpoints.save(self.directory, number, tensors, state, self._split)
        self._saved = time.monotonic()
        for observer in self._observers:
            observer.checkpoint_saved(self, path)

    def _restore(self, path: Path) -> None:
        tensors, state = checkpoints.load(path)
        if state["version"] != STATE_VERSION:
            raise UserError(f"{path}: state version {state['version']}, not {STATE_VERSION}.")
        if state["config"] != self.recipe.config.to_json():
            raise UserError(
                f"{path}: is of another model than recipe '{self.recipe.name}' describes. "
                "Choose another directory, or fine-tune from the finished codec."
            )
        self.codec_step.restore(tensors, state["codec_step"])
        if self.prior_stage is not None:
            self.prior_stage.restore(without_prefix("prior", tensors), state["prior_step"])
        self.step = state["step"]
        self.skipped_steps = state["skipped_steps"]
        self._skipped_in_a_row = state["skipped_in_a_row"]
        self.seconds = state["seconds"]

    def _tell(self, outcome: Outcome) -> None:
        for observer in self._observers:
            observer.stopped(self, outcome)
