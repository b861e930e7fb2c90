"""Checkpoints that the project trained itself and ships; each lies beside its model card."""

from __future__ import annotations

from pathlib import Path

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
