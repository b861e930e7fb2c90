"""What names a piece of work, so that it is done once: content hashes, never names or dates."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nacbench.core import ClipRef


def digest(*parts: Any) -> str:
    """SHA-256 (hex) of JSON values, independent of the order of keys.

    Raises:
        TypeError: a part is not JSON.
    """
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def file_sha256(path: Path | str) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unchanged_file_sha256(path: Path | str) -> str:
    """`file_sha256`, read again only when the file's size or time has changed.

    For weights, whose hash every plan and every operating point of a run asks for.
    """
    path = Path(path)
    status = path.stat()
    return _of_file(path, status.st_size, status.st_mtime_ns)


@functools.cache
def _of_file(path: Path, size: int, modified_ns: int) -> str:
    return file_sha256(path)


def version_of(thing: Any) -> str:
    """Version and build of a codec or metric: `2+libopus 1.5.2`. Equal strings, equal output."""
    build_id = getattr(thing, "build_id", None)
    build = str(build_id()) if callable(build_id) else ""
    return f"{thing.version}+{build}" if build else str(thing.version)


class Sources:
    """Names what a ClipRef points at: the file's content and the part of it that is read.

    A hash that a manifest states is trusted here, because reading the clip verifies it. Files that
    were hashed before and have the same size and time since are not read again.

    Attributes:
        seen: path -> [size, time of change in ns, sha256], to be kept for the next session.
        changed: whether `seen` has grown since it was given.
    """

    def __init__(self, seen: Mapping[str, Any] | None = None) -> None:
        self.seen = dict(seen or {})
        self.changed = False

    def of(self, ref: ClipRef) -> str:
        return digest(ref.sha256 or self._sha256(ref.path), ref.start_s, ref.duration_s)

    def _sha256(self, path: str) -> str:
        try:
            status = Path(path).stat()
            size, time_ns, sha256 = self.seen.get(path, (None, None, None))
            if (size, time_ns) == (status.st_size, status.st_mtime_ns):
                return str(sha256)
            sha256 = file_sha256(path)
        except OSError as error:  # its records will say what is wrong
            return f"unreadable: {error.strerror}"
        self.seen[path] = [status.st_size, status.st_mtime_ns, sha256]
        self.changed = True
        return sha256
