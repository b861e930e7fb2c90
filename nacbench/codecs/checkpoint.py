"""Checkpoints as `save_pretrained` writes them: found, verified to be harmless, and named.

A checkpoint is a folder with `config.json` and `model.safetensors`, or an id on the Hugging Face
hub, which stands for such a folder in the hub's cache. Nothing is downloaded in the middle of a
run: what is not there is said, with the command that gets it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from nacbench.errors import CodecUnavailableError, UserError
from nacbench.identity import unchanged_file_sha256

WEIGHTS = "model.safetensors"
NEEDED = ("config.json", WEIGHTS)
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.th")
MAX_CONFIG_BYTES = 1 << 20
LICENCE = re.compile(r"^licen[sc]e:\s*[\"']?([\w.+-]+)", re.MULTILINE)
COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Published:
    """A checkpoint on the hub.

    Attributes:
        hub: its id.
        licence: of the weights, as their authors state it.
        revision: the commit that is meant.
    """

    hub: str
    licence: str
    revision: str


@dataclass(frozen=True)
class Checkpoint:
    """A folder with a network.

    Attributes:
        folder: as described above.
        origin: `facebook/encodec_24khz@c1dbe2a`, with a note where no commit was asked for; or the
            folder's name.
        licence: from the model card beside it, else as published, else "licence not stated".
    """

    folder: Path
    origin: str
    licence: str

    @property
    def config(self) -> Mapping[str, Any]:
        """Raises UserError: `config.json` is not a JSON object."""
        return _config(self.folder / "config.json")

    def sha256(self) -> str:
        """Of the weights; read again only when the file has changed."""
        return unchanged_file_sha256(self.folder / WEIGHTS)

    def described(self) -> str:
        return f"weights {self.sha256()[:12]} ({self.origin}, {self.licence})"


def find(
    codec: str, model: str, revision: str | None, known: Mapping[str, Published]
) -> Checkpoint:
    """The checkpoint that a codec's options mean.

    Args:
        codec: for messages.
        model: a short name in `known`, a hub id `owner/name`, or a folder.
        revision: branch, tag or commit on the hub; None is the commit of the published
            ones, "main" of others.

    Raises:
        CodecUnavailableError: it is not here; the message says how to get it.
        UserError: it holds pickled weights only, or a revision is given for a folder.
    """
    published = known.get(model) or next((p for p in known.values() if p.hub == model), None)
    folder = Path(model).expanduser()
    if published is None and folder.is_dir():
        if revision is not None:
            raise UserError(f"codec '{codec}': {model} is a folder and has no revision.")
        missing = [name for name in NEEDED if not (folder / name).is_file()]
        if missing:
            raise UserError(_incomplete(codec, folder, missing))
        return Checkpoint(folder, folder.resolve().name, _licence(folder, published))
    hub = published.hub if published else model
    if published is None and not re.fullmatch(r"[\w.-]+/[\w.-]+", hub):
        raise CodecUnavailableError(
            f"codec '{codec}': {model} is neither a folder, nor a hub id, nor one of "
            f"{', '.join(known)}."
        )
    wanted = revision or (published.revision if published else "main")
    cached = _in_hub_cache(hub, wanted)
    if cached is None:
        raise CodecUnavailableError(
            f"codec '{codec}': {hub} at '{_short(wanted)}' is not in the hub's cache. Get it with "
            f"'hf download {hub} {' '.join(NEEDED)} --revision {wanted}', or name a folder that "
            "has it: model: DIR."
        )
    pinned = "" if COMMIT.fullmatch(wanted) else f", revision {wanted}: not pinned"
    return Checkpoint(cached, f"{hub}@{_short(cached.name)}{pinned}", _licence(cached, published))


def _short(revision: str) -> str:
    return revision[:7] if COMMIT.fullmatch(revision) else revision


def _in_hub_cache(hub: str, revision: str) -> Path | None:
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return None
    folder: Path | None = None
    for name in NEEDED:
        found = try_to_load_from_cache(hub, name, revision=revision)
        if not isinstance(found, str):
            return None
        folder = Path(found).parent
    return folder


def _incomplete(codec: str, folder: Path, missing: list[str]) -> str:
    pickled = sorted(file.name for pattern in PICKLES for file in folder.glob(pattern))
    if WEIGHTS in missing and pickled:
        return (
            f"codec '{codec}': {folder} has its weights in {pickled[0]} only, which can run code "
            f"when it is read, and is refused. Save the model again as {WEIGHTS} "
            "(save_pretrained does)."
        )
    return (
        f"codec '{codec}': {folder} has no {' and no '.join(missing)}. "
        "Name a folder that save_pretrained wrote."
    )


def _licence(folder: Path, published: Published | None) -> str:
    card = folder / "README.md"
    if card.is_file():
        found = LICENCE.search(card.read_text("utf-8", errors="replace")[:4000])
        if found:
            return found[1]
    return published.licence if published else "licence not stated"


@cache
def _config(path: Path) -> Mapping[str, Any]:
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise ValueError("it is too large")
        content = json.loads(path.read_text("utf-8"))
        if not isinstance(content, dict):
            raise ValueError("it is not an object")
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not the description of a model ({error}).") from error
    return content
