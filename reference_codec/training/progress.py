"""What a terminal or a log shows of a run: losses, speed, time left."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reference_codec.training.observing import Observer, Outcome

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from reference_codec.training.data import HeldOut
    from reference_codec.training.trainer import Trainer
    from reference_codec.training.validation import Point

LOG_PERIOD_S = 30.0  # between lines where there is no terminal
SMOOTHING = 0.98  # of losses and speed, per step
NOT_LOSSES = ("learning_rate", "gradient_norm", "discriminator_norm")


class ProgressBar(Observer):
    """A bar on standard error; in a log, a line every half minute.

    Args:
        console: of rich; standard error by default.
    """

    def __init__(self, console: Console | None = None) -> None:
        from rich.console import Console
        from rich.progress import TaskID

        self._console = console or Console(stderr=True)
        self._bar: Progress | None = None
        self._stage = ""
        self._task = TaskID(0)
        self._total = 0
        self._told = 0.0

    def started(self, trainer: Trainer) -> None:
        if trainer.step or trainer.prior_step:
            self._say(f"resumed at step {trainer.step + trainer.prior_step:,}")

    def step_done(
        self, trainer: Trainer, step: int, losses: Mapping[str, float], seconds: float
    ) -> None:
        # The stage that this step belongs to; the trainer may have moved on to the next.
        stage = "prior" if "prior_bits_per_code" in losses else "codec"
        if stage != self._stage:
            self._begin(trainer, stage, step)
        self._smooth(losses, seconds, trainer.waited_s)
        now = time.monotonic()
        last = step == self._total
        if self._bar is not None:
            self._bar.update(self._task, completed=step, state=self._state(step))
        elif last or now - self._told >= LOG_PERIOD_S:
            self._told = now
            self._say(f"{stage} {step:,}/{self._total:,}  {self._state(step)}")

    def checkpoint_saved(self, trainer: Trainer, path: Path) -> None:
        self._say(f"checkpoint {path}")

    def stopped(self, trainer: Trainer, outcome: Outcome) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        self._stage = ""
        skipped = f", {outcome.skipped_steps} skipped" if outcome.skipped_steps else ""
        self._say(f"{outcome.reason} at step {outcome.step:,}{skipped}")

    def validated(self, step: int, clips: Sequence[HeldOut], points: Sequence[Point]) -> None:
        from reference_codec.training.validation import sentence

        for point in points:
            self._say(f"step {step:,}  {sentence(point)}")

    def _begin(self, trainer: Trainer, stage: str, step: int) -> None:
        recipe = trainer.recipe
        self._stage = stage
        self._total = recipe.steps if stage == "codec" else recipe.prior.steps
        self._losses: dict[str, float] = {}
        self._seconds = self._waited = 0.0
        self._weight = 0.0
        self._told = time.monotonic() - LOG_PERIOD_S
        if not self._console.is_terminal:
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        if self._bar is None:
            columns = (
                TextColumn("{task.description:<6}"),
                BarColumn(bar_width=20),
                MofNCompleteColumn(),
                TextColumn("{task.fields[state]}"),
            )
            self._bar = Progress(*columns, console=self._console, refresh_per_second=4)
            self._bar.start()
        self._task = self._bar.add_task(stage, total=self._total, completed=step - 1, state="")

    def _smooth(self, losses: Mapping[str, float], seconds: float, waited_s: float) -> None:
        """Averages that forget, unbiased from the first step on."""
        self._weight = SMOOTHING * self._weight + 1 - SMOOTHING
        share = (1 - SMOOTHING) / self._weight
        for name, value in losses.items():
            if name not in NOT_LOSSES:
                before = self._losses.get(name, value)
                self._losses[name] = before + share * (value - before)
        self._seconds += share * (seconds - self._seconds)
        self._waited += share * (waited_s - self._waited)

    def _state(self, step: int) -> str:
        named = "  ".join(f"{name} {value:.3g}" for name, value in self._losses.items())
        per_step = max(self._seconds, 1e-9)
        left = clock((self._total - step) * per_step)
        waiting = self._waited / per_step
        late = f"  waits {waiting:.0%} for data" if waiting > 0.05 else ""
        return f"{named}  {1 / per_step:.2f} steps/s  {left} left{late}"

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)


def clock(seconds: float) -> str:
    """`1:02:03`, or `2:03` below an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
