"""Training state on disk: written whole or not at all, so that a run survives being killed.

    DIRECTORY/checkpoints/00012345/tensors.safetensors      or .000, .001, … in parts
    DIRECTORY/checkpoints/00012345/state.json               everything that is no tensor

A checkpoint is written under another name, flushed to the disk and renamed. The last two stay.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes
from torch import Tensor

from reference_codec.errors import UserError

FOLDER = "checkpoints"
KEPT = 2
PART_BYTES = 16_000_000  # of `split`: stays below 16 MB, whichever megabyte is meant
_TENSORS, _STATE, _UNFINISHED = "tensors.safetensors", "state.json", ".unfinished"


def save(
    directory: Path,
    number: int,
    tensors: Mapping[str, Tensor],
    state: Mapping[str, Any],
    split: bool = False,
) -> Path:
    """Write checkpoint `number`, and remove all but the newest two.

    Args:
        state: JSON values.
        split: no file larger than 16 MB.
    """
    folder = directory / FOLDER
    final, unfinished = folder / f"{number:08d}", folder / f"{number:08d}{_UNFINISHED}"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    data = to_bytes({name: t.detach().cpu().contiguous() for name, t in tensors.items()})
    parts = [data]
    if split:
        parts = [data[at : at + PART_BYTES] for at in range(0, len(data), PART_BYTES)]
    for index, part in enumerate(parts):
        _write(unfinished / (f"{_TENSORS}.{index:03d}" if split else _TENSORS), part)
    record = {"sha256": hashlib.sha256(data).hexdigest(), "state": state}
    _write(unfinished / _STATE, json.dumps(record, indent=1).encode())
    _flush(unfinished)
    if final.exists():  # the same step again, after a resume from an older checkpoint
        shutil.rmtree(final)
    unfinished.rename(final)
    _flush(folder)
    for old in _finished(folder)[:-KEPT]:
        shutil.rmtree(old)
    return final


def latest(directory: Path) -> Path | None:
    """The newest checkpoint of a run; what a killed process left half-written is removed."""
    folder = directory / FOLDER
    for left in folder.glob(f"*{_UNFINISHED}"):
        shutil.rmtree(left, ignore_errors=True)  # another process may be at it too
    finished = _finished(folder)
    return finished[-1] if finished else None


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors, on the CPU, and state of one checkpoint.

    Raises:
        UserError: something is missing or damaged.
    """
    try:
        record = json.loads((path / _STATE).read_text(encoding="utf-8"))
        parts = sorted(path.glob(f"{_TENSORS}.*")) or [path / _TENSORS]
        data = b"".join(part.read_bytes() for part in parts)
        expected, state = record["sha256"], record["state"]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path}: not a readable checkpoint ({error}).") from error
    if hashlib.sha256(data).hexdigest() != expected:
        raise UserError(
            f"{path}: tensors and their hash differ; a part is missing or damaged. "
            "Remove this folder to resume from the checkpoint before it."
        )
    return from_bytes(data), state


def _finished(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("[0-9]*") if path.name.isdigit())


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _flush(folder: Path) -> None:
    """Make renames and new names within a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
