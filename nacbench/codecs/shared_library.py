"""Codecs that exist as C libraries only: finding, naming and calling them through ctypes."""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import hashlib
from pathlib import Path


@functools.cache
def load(name: str, *sonames: str) -> ctypes.CDLL | None:
    """The system's library `name` (without "lib"), or None where it is not installed."""
    for candidate in (*sonames, ctypes.util.find_library(name)):
        if candidate is None:
            continue
        try:
            return ctypes.CDLL(candidate)
        except OSError:
            continue
    return None


def path_of(library: ctypes.CDLL, function: str) -> Path | None:
    """The file from which a loaded library's function comes, as the dynamic linker tells it."""

    class DlInfo(ctypes.Structure):
        _fields_ = (
            ("file", ctypes.c_char_p),
            ("base", ctypes.c_void_p),
            ("symbol", ctypes.c_char_p),
            ("address", ctypes.c_void_p),
        )

    info = DlInfo()
    address = ctypes.cast(getattr(library, function), ctypes.c_void_p)
    try:
        known = ctypes.CDLL(None).dladdr(address, ctypes.byref(info))
    except (AttributeError, TypeError):  # Windows
        return None
    return Path(info.file.decode()) if known and info.file else None


def build_id(library: ctypes.CDLL, function: str) -> str:
    """Name and content of a loaded library: such libraries seldom tell their version."""
    path = path_of(library, function)
    return digest(path) if path is not None and path.is_file() else "unknown build"


def digest(path: Path) -> str:
    """Name and content of a file; read again only when it has changed."""
    status = path.stat()
    return f"{path.name} {_content_hash(path, status.st_size, status.st_mtime_ns)}"


@functools.cache
def _content_hash(path: Path, size: int, modified_ns: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
