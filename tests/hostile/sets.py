"""Metrics over a set that write down what is asked of them."""

import os

import numpy as np

from hostile.codecs import log
from nacbench.core import Clip
from nacbench.errors import UnscorableError

VERSION_VARIABLE = "HOSTILE_SET_VERSION"


class Shift:
    """Squared distance of mean amplitudes: its value is known in closed form."""

    argument = "offset"
    unit = ""
    bounds = (0.0, float("inf"))
    higher_is_better = False
    sample_rate_hz = None
    mono = True
    domain = "any"
    source = "here"

    def __init__(self, offset: float = 0.0) -> None:
        self.offset = offset
        self.name = "hostile.sets:Shift"
        self.version = os.environ.get(VERSION_VARIABLE, "1")

    def embed(self, clip: Clip) -> np.ndarray:
        log("embed")
        return np.abs(clip.samples).mean(axis=1, keepdims=True).astype(np.float64)

    def compare(self, references: np.ndarray, decoded: np.ndarray) -> float:
        log("compare")
        return float((references.mean() - decoded.mean()) ** 2) + self.offset

    def uncorrected(self, references: np.ndarray, decoded: np.ndarray) -> float:
        return float((references.mean() - decoded.mean()) ** 2)


class Picky(Shift):
    """Takes no clip but the first."""

    def embed(self, clip: Clip) -> np.ndarray:
        if "clip0" not in clip.id:
            raise UnscorableError("not the first")
        return super().embed(clip)


class Broken(Shift):
    """Is right until it is asked for a value."""

    def compare(self, references: np.ndarray, decoded: np.ndarray) -> float:
        raise RuntimeError("no root")
