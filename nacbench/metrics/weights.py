"""Weights that a metric was given: file, origin, licence and hash, for its record."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

from nacbench.identity import unchanged_file_sha256

VARIABLE = "NACBENCH_WEIGHTS"


@dataclass(frozen=True)
class Weights:
    """One file of weights.

    Attributes:
        path: the file.     origin: where it comes from, so that another can get the same.
        licence: as its owner states it; "unknown" where nobody does.
    """

    path: Path
    origin: str
    licence: str

    @property
    def sha256(self) -> str:
        return unchanged_file_sha256(self.path)

    @property
    def about(self) -> dict[str, str]:
        """What goes into a run's manifest."""
        return {
            "file": self.path.name,
            "sha256": self.sha256,
            "origin": self.origin,
            "licence": self.licence,
        }


def folders() -> list[Path]:
    """Folders that are searched for weights: those that `--weights` or NACBENCH_WEIGHTS name."""
    return [Path(part) for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]


def find(file_name: str, *more: Path) -> Path | None:
    """The first file of this name in `folders()`, then in `more`."""
    paths = (folder / file_name for folder in (*folders(), *more))
    return next((path for path in paths if path.is_file()), None)


def build_id(weights: tuple[Weights, ...]) -> str:
    """The weights' part of a metric's version."""
    return " ".join(f"{one.path.name} {one.sha256[:8]}" for one in weights)


def missing_packages(*names: str) -> str | None:
    """What to install of what a learned metric needs, or None."""
    absent = [name for name in names if importlib.util.find_spec(name) is None]
    if not absent:
        return None
    return f"the package '{absent[0]}' is missing. 'pip install nacbench[learned]' installs it."
