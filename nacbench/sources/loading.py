"""From a reference to samples: read the part, verify the file, keep id and tags."""

from __future__ import annotations

import hashlib
from pathlib import Path

from nacbench import audio
from nacbench.core import Clip, ClipRef
from nacbench.errors import UserError


def load(ref: ClipRef) -> Clip:
    """The clip a reference points at.

    Raises:
        UserError: the file is missing, differs from the reference's sha256, or `audio.read`
            refuses it (not audio, truncated, empty, not finite, too long).
    """
    if ref.sha256 is not None:
        found = file_sha256(Path(ref.path))
        if found != ref.sha256.lower():
            raise UserError(
                f"{ref.path}: sha256 is {found[:12]}…, expected {ref.sha256[:12]}…: the file was "
                "changed or is damaged. Fetch or copy it again."
            )
    clip = audio.read(ref.path, ref.id, ref.start_s, ref.duration_s)
    return Clip(clip.samples, clip.sample_rate_hz, ref.id, ref.tags)


def file_sha256(path: Path) -> str:
    """Hexadecimal sha256 of a file's bytes.

    Raises:
        UserError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}.") from error
