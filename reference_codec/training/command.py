"""What `nac train` and `nac finetune` do, from the words of the command line to the outcome."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import torch

from reference_codec import checkpoint
from reference_codec.checkpoints import shipped
from reference_codec.errors import UserError
from reference_codec.training import distributed, recipe_file
from reference_codec.training.data import TrainingData, default_workers, prepare
from reference_codec.training.metrics_log import MetricsLog
from reference_codec.training.model_changes import changes_for
from reference_codec.training.observing import Observer
from reference_codec.training.progress import ProgressBar
from reference_codec.training.recipe import Recipe
from reference_codec.training.trainer import Trainer

if TYPE_CHECKING:
    from rich.console import Console

    from reference_codec.neural_codec import NeuralCodec

LEFT_OUT_SHOWN = 20
FINE_TUNING_RATE = 1 / 3  # of the recipe's learning rate, where the user gives none


@dataclass(frozen=True)
class Choices:
    """What both commands take, beside the recipe.

    Attributes:
        out: directory of the run; `runs/NAME` by default.
        threads: of PyTorch on the processor; its own choice by default.
        workers: processes that make batches; chosen by the device by default.
    """

    data: Path
    out: Path | None = None
    cache: Path | None = None
    resume: bool = False
    max_minutes: float | None = None
    split: bool = False
    dry_run: bool = False
    threads: int | None = None
    workers: int | None = None
    tensorboard: bool = True


def train(name: str, changes: Sequence[str], choices: Choices) -> None:
    """Train the recipe of that name or file."""
    _run(recipe_file.load(name, changes), choices)


def finetune(
    source: str, recipe_name: str | None, changes: Sequence[str], choices: Choices
) -> None:
    """Go on training a finished codec, on other data or with another recipe.

    Args:
        source: shipped checkpoint or path of one.
        recipe_name: by default `recipe.yaml` beside the checkpoint, or the packaged recipe of the
            codec's name.
    """
    path = shipped().get(source, Path(source))
    model = checkpoint.load(path)
    recipe = _recipe_for(path, model, recipe_name)
    content = recipe.to_dict()
    content["name"] = f"{model.config.name}-tuned"
    content["model"] = changes_for(model.config)
    # Not that of the discriminators, which are no part of a finished codec and start anew.
    content["optimiser"]["learning_rate"] *= FINE_TUNING_RATE
    origin = recipe_name or f"recipe for {path.name}"
    _run(recipe_file.from_mapping(content, origin, changes), choices, model)


def _recipe_for(path: Path, model: NeuralCodec, name: str | None) -> Recipe:
    beside = path.parent / "recipe.yaml"
    if name is not None:
        return recipe_file.load(name)
    if beside.is_file():
        return recipe_file.load(beside)
    if model.config.name in recipe_file.packaged():
        return recipe_file.load(model.config.name)
    raise UserError(
        f"{path}: has no recipe.yaml beside it. Choose one with --recipe: a file, or one of "
        f"{', '.join(recipe_file.packaged())}."
    )


def _run(recipe: Recipe, choices: Choices, initial: NeuralCodec | None = None) -> None:
    from rich.console import Console

    console = Console(stderr=True)
    if choices.threads is not None:
        torch.set_num_threads(choices.threads)
    device = distributed.start()
    first = distributed.rank() == 0
    workers = default_workers(device.type) if choices.workers is None else choices.workers
    with _decoding(console if first else None) as advance:
        data = prepare(
            recipe, choices.data, choices.cache or _cache_root(),
            rank=distributed.rank(), world=distributed.world_size(), workers=workers,
            advance=advance,
        )  # fmt: skip
    if first:
        _tell_data(console, data)
    if choices.dry_run:
        from reference_codec.training.dry_run import describe

        for line in describe(recipe, data):
            print(line)
        return
    directory = choices.out or Path("runs", recipe.name)
    trainer = Trainer(
        recipe, data, directory, resume=choices.resume, initial=initial,
        observers=_observers(recipe, data, directory, console, choices) if first else (),
        split_checkpoints=choices.split,
    )  # fmt: skip
    if first:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "recipe.yaml").write_text(recipe_file.written(recipe), "utf-8")
        shutil.copyfile(data.cache.directory / "left_out.csv", directory / "left_out.csv")
    with _stopping_on_signals(trainer):
        outcome = trainer.run(choices.max_minutes)
    if not first:
        return
    if outcome.codec is not None:
        console.print(f"codec {outcome.codec}", highlight=False, markup=False, soft_wrap=True)
        console.print(
            f"score it: nacbench run speech --codec reference:{outcome.codec}",
            highlight=False, markup=False, soft_wrap=True,
        )  # fmt: skip
    else:
        console.print("go on with --resume", highlight=False)


def _observers(
    recipe: Recipe, data: TrainingData, directory: Path, console: Console, choices: Choices
) -> list[Observer]:
    bar = ProgressBar(console)
    observers: list[Observer] = [bar, MetricsLog(directory)]
    listeners: list[Any] = [bar]
    if choices.tensorboard and recipe.steps >= 1:
        from reference_codec.training.tensorboard import TensorBoard

        try:
            board = TensorBoard(directory, recipe.config.sample_rate_hz)
            observers.append(board)
            listeners.append(board)
        except UserError as error:
            console.print(str(error), highlight=False, markup=False)
    if recipe.validation.every_n_steps:
        clips = data.held_out(recipe.validation.clips, recipe.validation.seconds)
        if clips:
            from reference_codec.training.validation import Validation

            observers.append(Validation(recipe.validation, clips, directory, listeners))
        else:
            console.print("no validation: one speaker only, or data.validation_share is 0")
    # Scores come before the files are closed.
    return sorted(observers, key=lambda observer: type(observer).__name__ != "Validation")


def _tell_data(console: Console, data: TrainingData) -> None:
    """Hours, and the table of what is left out."""
    from rich.table import Table

    training, held = data.hours
    speakers = len(data.validation_speakers)
    console.print(
        f"data: {training:.2f} h to train on, {held:.2f} h by {speakers} "
        f"speaker{'s' * (speakers != 1)} held out",
        highlight=False,
    )
    left_out = data.cache.left_out
    if not left_out:
        return
    table = Table("left out", "why", title=f"{len(left_out)} recordings are left out")
    for entry in left_out[:LEFT_OUT_SHOWN]:
        table.add_row(entry.name, entry.reason)
    console.print(table)
    if len(left_out) > LEFT_OUT_SHOWN:
        console.print(f"all of them: {data.cache.directory / 'left_out.csv'}", soft_wrap=True)


@contextmanager
def _decoding(console: Console | None) -> Iterator[Callable[[str, int, int], None]]:
    """A bar while recordings are decoded; nothing where the cache is there already."""
    if console is None:
        yield lambda what, done, total: None
        return
    if not console.is_terminal:

        def tell(what: str, done: int, total: int) -> None:
            if done == 1:
                console.print(f"decoding {total:,} {what}", highlight=False)

        yield tell
        return
    from rich.progress import Progress

    with Progress(console=console, transient=True) as bar:
        tasks: dict[str, Any] = {}

        def advance(what: str, done: int, total: int) -> None:
            task = tasks.setdefault(what, None) or bar.add_task(f"decoding {what}", total=total)
            tasks[what] = task
            bar.update(task, completed=done)

        yield advance


@contextmanager
def _stopping_on_signals(trainer: Trainer) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM ends the run with a checkpoint, the second at once."""

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(number, before[signal.Signals(number)])
        trainer.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _cache_root() -> Path:
    if configured := os.environ.get("NACBENCH_CACHE"):
        return Path(configured).expanduser() / "training"
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "nacbench" / "training"
