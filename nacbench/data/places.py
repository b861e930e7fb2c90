"""Where recordings and weights lie, and whether a file is the one that the index means."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nacbench.data.index import Entry
from nacbench.errors import UserError

VARIABLE = "NACBENCH_DATA"


def store() -> Path:
    """Where fetched files are kept: `$NACBENCH_CACHE/data`, else `~/.cache/nacbench/data`."""
    if configured := os.environ.get("NACBENCH_CACHE"):
        return Path(configured).expanduser() / "data"
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "nacbench" / "data"


def roots() -> list[Path]:
    """Folders that are searched, in order: those of NACBENCH_DATA, a folder `weights` beside each
    of them, then the store.

    Raises:
        UserError: NACBENCH_DATA names a folder that is not there.
    """
    named = [part for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]
    for part in named:
        if not Path(part).expanduser().is_dir():
            raise UserError(f"{VARIABLE}: no folder '{part}'. Correct it or unset it.")
    folders = [Path(part).expanduser() for part in named]
    beside = [folder.resolve().parent / "weights" for folder in folders]
    return [*folders, *(folder for folder in beside if folder.is_dir()), store()]


@dataclass(frozen=True)
class Kept:
    """A file that is what the index means, and the sha256 of its bytes."""

    path: Path
    sha256: str


def find(entry: Entry, folders: Sequence[Path] | None = None) -> Kept | None:
    """The first verified file of an entry in `folders` (`roots()` by default).

    It is verified when its bytes are those of the index, or those of the receipt that `fetch`
    left beside it after it had verified source and samples: FLAC encoders differ in bytes, not
    in samples.
    """
    for path in present(entry, folders):
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found == entry.sha256 or _receipt(path) == {"sha256": found, "recipe": entry.recipe}:
            return Kept(path, found)
    return None


def present(entry: Entry, folders: Sequence[Path] | None = None) -> list[Path]:
    """Files in the place of an entry, whatever they hold."""
    searched = roots() if folders is None else folders
    return [root / entry.path for root in searched if (root / entry.path).is_file()]


def _receipt(path: Path) -> Any:
    try:
        return json.loads(receipt_path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def receipt_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.receipt.json")
