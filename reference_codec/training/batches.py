"""What the trainer needs of its data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from torch import Tensor


class Batch(Protocol):
    @property
    def audio(self) -> Tensor:
        """`[batch, channels, time]`, float32, full scale ±1, whole hops."""
        ...


class Batches(Protocol):
    """Crops of recordings, the same for a step whether or not the run was resumed."""

    def batches(self, first_step: int) -> Iterator[Batch]:
        """Batch `first_step` and those after it, endless."""
        ...

    def resized(self, segment: int, batch_size: int) -> Batches:
        """The same recordings and augmentation, in crops of `segment` samples."""
        ...
