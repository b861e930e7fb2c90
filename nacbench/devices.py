"""Where networks run: on the processor, or on a GPU that PyTorch reaches.

`nacbench run --device --batch-size` put the choice into the environment, as NACBENCH_DEVICE and
NACBENCH_BATCH, where every worker process finds it. Nothing here imports PyTorch before a GPU is
asked for.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

from nacbench.errors import UserError

DEVICE, BATCH = "NACBENCH_DEVICE", "NACBENCH_BATCH"
CHOICES = ("cpu", "cuda", "auto")
OUT_OF_MEMORY = "out of memory on the GPU"
T = TypeVar("T")


def chosen() -> str:
    """ "cpu" or "cuda"; `auto` is a GPU where there is one.

    Raises:
        UserError: no such choice, or no GPU where one was asked for.
    """
    asked = os.environ.get(DEVICE) or "cpu"
    if asked not in CHOICES:
        raise UserError(f"{DEVICE}: '{asked}' is none of {', '.join(CHOICES)}.")
    if asked == "cpu":
        return "cpu"
    if gpu() is not None:
        return "cuda"
    if asked == "cuda":
        raise UserError("device 'cuda': PyTorch finds no GPU here. Use 'cpu' or 'auto'.")
    return "cpu"


@cache
def gpu() -> str | None:
    """The name of the GPU; None without one, or without PyTorch."""
    try:
        import torch
    except ImportError:
        return None
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def batch_size() -> int:
    """Pieces that go through a network together; 1 unless asked.

    Raises:
        UserError: not a whole number from 1 on.
    """
    asked = os.environ.get(BATCH) or "1"
    if not asked.isdecimal() or int(asked) < 1:
        raise UserError(f"{BATCH}: '{asked}' is not a whole number from 1 on.")
    return int(asked)


def described() -> str:
    """What decides the output beside the weights: empty for one piece at a time on the processor.

    Sums are taken in another order on another device or in larger batches, and a token near a tie
    then falls on its other side. So this belongs into `build_id`.
    """
    parts = []
    if chosen() == "cuda":
        parts.append(f"on {gpu()}")
    if batch_size() > 1:
        parts.append(f"batch {batch_size()}")
    return " ".join(parts)


def run(work: Callable[[str, int], T]) -> tuple[T, tuple[str, ...]]:
    """`work(device, batch)` on the chosen device, and notes on what had to give way.

    When the GPU's memory is not enough, the batch is halved down to one piece, and then the
    processor does it.
    """
    device, batch = chosen(), batch_size()
    notes: tuple[str, ...] = ()
    while True:
        try:
            return work(device, batch), notes
        except Exception as error:
            if device == "cpu" or not is_out_of_memory(error):
                raise
        free_memory()
        if batch > 1:
            batch //= 2
            notes = (f"{OUT_OF_MEMORY}: batch {batch}",)
        else:
            device = "cpu"
            notes = (f"{OUT_OF_MEMORY}: done on the processor",)


def is_out_of_memory(error: Exception) -> bool:
    """PyTorch has a class for it, and libraries below raise a RuntimeError that says so."""
    return type(error).__name__ == "OutOfMemoryError" or (
        isinstance(error, RuntimeError) and "out of memory" in str(error).lower()
    )


def free_memory() -> None:
    """Give back what PyTorch keeps for later on the GPU."""
    if torch := _torch_on_gpu():
        torch.cuda.empty_cache()


def synchronise() -> None:
    """Wait until the GPU has done what it was given; a clock read before that tells nothing."""
    if torch := _torch_on_gpu():
        torch.cuda.synchronize()


def _torch_on_gpu() -> Any:
    """PyTorch, if this process has a GPU at work; importing it for this would be a waste."""
    torch = sys.modules.get("torch")
    return torch if torch is not None and torch.cuda.is_initialized() else None
