"""Checkpoints that the project trained itself and ships; each lies beside its model card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reference_codec.neural_prior import NeuralPrior

DIRECTORY = Path(__file__).parent
PRIOR_SUFFIX = ".prior.safetensors"
EXPORT_SUFFIX = ".onnx"  # a directory beside the checkpoint
EXPORTED_PRIOR = "prior.safetensors"


def shipped() -> dict[str, Path]:
    """Name -> file of every shipped checkpoint."""
    files = sorted(DIRECTORY.glob("*.safetensors"))
    return {file.stem: file for file in files if not file.name.endswith(PRIOR_SUFFIX)}


def prior_beside(path: Path) -> Path | None:
    """The neural prior of a checkpoint, or in the directory of an export, if there is one."""
    prior = path / EXPORTED_PRIOR if path.is_dir() else path.with_suffix(PRIOR_SUFFIX)
    return prior if prior.is_file() else None


def prior_of(name: str) -> NeuralPrior | None:
    """The neural prior of a shipped checkpoint, or None."""
    from reference_codec.neural_prior import load_prior

    path = DIRECTORY / f"{name}{PRIOR_SUFFIX}"
    return load_prior(path) if path.is_file() else None
