"""`metrics.csv`: a row per step, and none twice, however often a run was killed and resumed."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reference_codec.training.observing import Observer, Outcome

if TYPE_CHECKING:
    from reference_codec.training.trainer import Trainer

FLUSH_S = 2.0
STAGES = ("codec", "prior")


class Table:
    """A CSV file that rows are added to; unknown columns are added at its right.

    Args:
        keep: which of the rows that are there already stay.
    """

    def __init__(
        self,
        path: Path,
        columns: Sequence[str],
        keep: Callable[[Mapping[str, str]], bool] = lambda row: True,
    ) -> None:
        self.path = path
        self._columns = list(columns)
        self._pending: list[Mapping[str, object]] = []
        self._flushed = time.monotonic()
        self._rewrite([row for row in rows(path) if keep(row)])

    def add(self, row: Mapping[str, object]) -> None:
        self._pending.append(row)
        if time.monotonic() - self._flushed >= FLUSH_S:
            self.flush()

    def flush(self) -> None:
        self._flushed = time.monotonic()
        new = [name for row in self._pending for name in row if name not in self._columns]
        if new:
            self._columns += dict.fromkeys(new)
            self._rewrite(rows(self.path))
        if self._pending:
            with self.path.open("a", encoding="utf-8", newline="") as file:
                file.write(self._text(self._pending))
            self._pending.clear()

    def _rewrite(self, kept: Sequence[Mapping[str, str]]) -> None:
        self._columns += [name for name in (kept[0] if kept else {}) if name not in self._columns]
        partial = self.path.with_name(f".{self.path.name}.partial")
        header = ",".join(self._columns) + "\n"
        partial.write_text(header + self._text(kept), encoding="utf-8", newline="")
        partial.replace(self.path)

    def _text(self, lines: Sequence[Mapping[str, object]]) -> str:
        text = io.StringIO()
        csv.DictWriter(text, self._columns, restval="", lineterminator="\n").writerows(lines)
        return text.getvalue()


def rows(path: Path) -> list[dict[str, str]]:
    """Whole rows of a table; a last line that was cut off does not count."""
    if not path.is_file():
        return []
    text = path.read_text("utf-8", errors="replace")
    whole = text[: text.rfind("\n") + 1]
    return [row for row in csv.DictReader(io.StringIO(whole)) if None not in row.values()]


class MetricsLog(Observer):
    """Losses, gradient norms, learning rate, time and waiting of every step."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "metrics.csv"

    def started(self, trainer: Trainer) -> None:
        self._table = Table(
            self._path, ("stage", "step", "seconds", "waited_s"), keep=not_beyond(trainer)
        )

    def step_done(
        self, trainer: Trainer, step: int, losses: Mapping[str, float], seconds: float
    ) -> None:
        numbers = {name: f"{value:.6g}" for name, value in losses.items()}
        stage = STAGES["prior_bits_per_code" in losses]
        self._table.add(
            {"stage": stage, "step": step, "seconds": f"{seconds:.4f}",
             "waited_s": f"{trainer.waited_s:.4f}", **numbers}
        )  # fmt: skip

    def checkpoint_saved(self, trainer: Trainer, path: Path) -> None:
        self._table.flush()

    def stopped(self, trainer: Trainer, outcome: Outcome) -> None:
        self._table.flush()


def not_beyond(trainer: Trainer) -> Callable[[Mapping[str, str]], bool]:
    """Whether a row is of a step that the resumed run has behind it; the others come again."""
    done = {"codec": trainer.step, "prior": trainer.prior_step}

    def keep(row: Mapping[str, str]) -> bool:
        step = row.get("step") or ""
        return step.isdecimal() and int(step) <= done.get(row.get("stage") or "codec", 0)

    return keep
