"""What watches a run: progress bars, logs, validation. The trainer knows no more of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from reference_codec.training.trainer import Trainer

Reason = Literal["finished", "time", "interrupted", "diverged"]


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        reason: "finished"; "time" is up; "interrupted" by `Trainer.stop`; "diverged": too many
            steps in a row that were not finite.
        step: codec steps done in all slices.
        prior_step: steps of the neural prior done.
        skipped_steps: of those, skipped because something was not finite.
        codec: the finished codec, where there is one; its prior lies beside it.
    """

    reason: Reason
    step: int
    prior_step: int
    skipped_steps: int
    codec: Path | None = None


class Observer:
    """Base class whose methods do nothing; called in the first process only.

    None of them may change the run: it has the same weights watched or not.
    """

    def started(self, trainer: Trainer) -> None:
        """Before the first step; `trainer.step` tells where a resumed run continues."""

    def step_done(
        self, trainer: Trainer, step: int, losses: Mapping[str, float], seconds: float
    ) -> None:
        """After every step.

        Args:
            step: number of this step, from 1; of the prior in the second stage
                (`trainer.stage == "prior"`).
            losses: unweighted, by name; "gradient_norm" and "learning_rate" too.
            seconds: that the step took, `trainer.waited_s` of them for data.
        """

    def checkpoint_saved(self, trainer: Trainer, path: Path) -> None:
        """After a checkpoint has reached the disk."""

    def stopped(self, trainer: Trainer, outcome: Outcome) -> None:
        """After the last step of this slice, whatever the reason."""
