"""Content-addressed store of finished work: bitstreams, decoded audio, scores, embeddings, timings.

A key is a hash of everything that decides the content, so nothing is ever updated in meaning, only
added; deleting any part of the store costs time and nothing else. An entry is one file:

    sha256 of the rest (32 bytes) | length of the header (4) | header (JSON) | body

and a file that is damaged, half written or foreign counts as absent.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nacbench.core import Bitstream, Clip
from nacbench.errors import UserError

KINDS = ("bitstream", "decoded", "scores", "embedding", "timing", "pace", "files")
LIMIT_VARIABLE = "NACBENCH_CACHE_LIMIT_GB"
DEFAULT_LIMIT_GB = 20.0


def default_root() -> Path:
    """`$NACBENCH_CACHE`; else `.cache/nacbench` of the project around the working directory; else
    `$XDG_CACHE_HOME/nacbench`. A project is a folder with `suites/` or `pyproject.toml`.
    """
    if configured := os.environ.get("NACBENCH_CACHE"):
        return Path(configured).expanduser()
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "suites").is_dir() or (folder / "pyproject.toml").is_file():
            return folder / ".cache" / "nacbench"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nacbench"


def limit_bytes() -> int:
    """`$NACBENCH_CACHE_LIMIT_GB`, to which every run prunes when it is done; 20 by default.

    Raises:
        UserError: not a positive number.
    """
    text = os.environ.get(LIMIT_VARIABLE, str(DEFAULT_LIMIT_GB))
    try:
        limit_gb = float(text)
    except ValueError:
        limit_gb = -1.0
    if not 0 < limit_gb < float("inf"):
        raise UserError(f"{LIMIT_VARIABLE}={text}: expected gigabytes, a positive number.")
    return int(limit_gb * 1e9)


@dataclass(frozen=True)
class Entry:
    """One file of the store, as `nacbench cache` sees it."""

    path: Path
    kind: str
    size_bytes: int
    used_s: float  # seconds since the epoch at which it was written or last read


class Cache:
    """The store under one folder.

    Args:
        root: made when first written to.
        reads: False to recompute everything and store it again, for `--fresh`.
    """

    def __init__(self, root: Path | str, reads: bool = True) -> None:
        self.root = Path(root)
        self.reads = reads
        self._written: set[Path] = set()  # what this process stored may be read in any case

    # Typed entries

    def get_streams(self, key: str) -> tuple[Bitstream, ...] | None:
        found = self._get("bitstream", key)
        if found is None:
            return None
        header, body = found
        streams, start = [], 0
        for item in header["streams"]:
            stop = start + item["bytes"]
            streams.append(
                Bitstream(body[start:stop], tuple(item["packets"]), item["container_bytes"])
            )
            start = stop
        return tuple(streams)

    def put_streams(self, key: str, streams: Sequence[Bitstream], about: Mapping[str, Any]) -> None:
        items = [
            {
                "bytes": len(stream.payload),
                "packets": stream.packet_sizes,
                "container_bytes": stream.container_bytes,
            }
            for stream in streams
        ]
        body = b"".join(stream.payload for stream in streams)
        self._put("bitstream", key, {**about, "streams": items}, body)

    def get_audio(self, key: str) -> Clip | None:
        """Decoded audio, bit for bit as it was stored."""
        found = self._get("decoded", key)
        if found is None:
            return None
        header, body = found
        if header["coding"] == "flac16":
            import soundfile

            samples = soundfile.read(io.BytesIO(body), dtype="float32", always_2d=True)[0].T
        else:
            samples = np.frombuffer(body, dtype="<f4").reshape(header["shape"])
        return Clip(samples, header["sample_rate_hz"])

    def put_audio(self, key: str, clip: Clip, about: Mapping[str, Any]) -> None:
        """FLAC where 16 bits hold the samples exactly (a quarter of the size), else float32.

        Lossless packing of float samples saves a quarter at a twentieth of the speed.
        """
        header = {**about, "sample_rate_hz": clip.sample_rate_hz, "shape": clip.samples.shape}
        body = _flac16(clip)
        if body is not None:
            self._put("decoded", key, {**header, "coding": "flac16"}, body)
        else:
            content = clip.samples.astype("<f4").tobytes()
            self._put("decoded", key, {**header, "coding": "float32"}, content)

    def get_array(self, kind: str, key: str) -> NDArray[np.float64] | None:
        found = self._get(kind, key)
        if found is None:
            return None
        header, body = found
        return np.frombuffer(body, dtype="<f8").reshape(header["shape"])

    def put_array(self, kind: str, key: str, array: NDArray[np.float64]) -> None:
        self._put(kind, key, {"shape": array.shape}, array.astype("<f8").tobytes())

    def get_json(self, kind: str, key: str) -> dict[str, Any] | None:
        found = self._get(kind, key)
        return None if found is None else found[0]

    def put_json(self, kind: str, key: str, content: Mapping[str, Any]) -> None:
        self._put(kind, key, content, b"")

    # Files

    def path(self, kind: str, key: str) -> Path:
        return self.root / kind / key[:2] / key[2:]

    def _get(self, kind: str, key: str) -> tuple[dict[str, Any], bytes] | None:
        path = self.path(kind, key)
        if not self.reads and path not in self._written:
            return None
        found = _read(path)
        if found is not None:
            with contextlib.suppress(OSError):
                os.utime(path)  # pruning goes by the last use
        return found

    def _put(self, kind: str, key: str, header: Mapping[str, Any], body: bytes) -> None:
        path = self.path(kind, key)
        text = json.dumps(header, allow_nan=False).encode()
        rest = len(text).to_bytes(4) + text + body
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Written aside and renamed: another process sees all of it or nothing.
            handle, aside = tempfile.mkstemp(prefix=".", dir=path.parent)
        except OSError:  # a full or read-only disk costs time later, not the result now
            return
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(rest).digest() + rest)
            Path(aside).replace(path)
            self._written.add(path)
        except OSError:
            Path(aside).unlink(missing_ok=True)
        except BaseException:
            Path(aside).unlink(missing_ok=True)
            raise

    # Housekeeping

    def entries(self) -> Iterator[Entry]:
        for kind in KINDS:
            for path in (self.root / kind).glob("??/*"):
                try:
                    stat = path.stat()
                except OSError:
                    continue  # another process pruned it
                yield Entry(path, kind, stat.st_size, stat.st_mtime)

    def header(self, entry: Entry) -> dict[str, Any] | None:
        """What an entry says of itself (codec, version, …); None where it is damaged."""
        found = _read(entry.path)
        return None if found is None else found[0]

    def usage(self) -> dict[str, tuple[int, int]]:
        """Kind -> number of entries, bytes."""
        sums = dict.fromkeys(KINDS, (0, 0))
        for entry in self.entries():
            count, size = sums[entry.kind]
            sums[entry.kind] = (count + 1, size + entry.size_bytes)
        return sums

    def prune(
        self,
        older_than_days: float | None = None,
        limit_bytes: int | None = None,
        stale: Callable[[Mapping[str, Any]], bool] | None = None,
    ) -> tuple[int, int]:
        """Delete what is unused for long, what is stale, then the longest unused beyond a size.

        Args:
            stale: given what an entry says of itself, whether nothing will ask for it again.
        Returns:
            number of entries deleted, and their bytes.
        """
        kept, doomed = [], []
        horizon = None if older_than_days is None else time.time() - older_than_days * 86400
        for entry in self.entries():
            old = horizon is not None and entry.used_s < horizon
            half_written = entry.path.name.startswith(".") and entry.used_s < time.time() - 3600
            if old or half_written or (stale is not None and self._is_stale(entry, stale)):
                doomed.append(entry)
            else:
                kept.append(entry)
        if limit_bytes is not None:
            excess = sum(entry.size_bytes for entry in kept) - limit_bytes
            # Decoded audio is most of the size and the cheapest to make again.
            for entry in sorted(kept, key=lambda e: (e.kind != "decoded", e.used_s)):
                if excess <= 0:
                    break
                doomed.append(entry)
                excess -= entry.size_bytes
        for entry in doomed:
            entry.path.unlink(missing_ok=True)
        return len(doomed), sum(entry.size_bytes for entry in doomed)

    def _is_stale(self, entry: Entry, stale: Callable[[Mapping[str, Any]], bool]) -> bool:
        header = self.header(entry)
        return header is None or stale(header)


def _read(path: Path) -> tuple[dict[str, Any], bytes] | None:
    """Header and body of an entry; None where there is none or it is damaged."""
    try:
        data = path.read_bytes()
        if hashlib.sha256(data[32:]).digest() != data[:32]:
            return None
        start = 36 + int.from_bytes(data[32:36])
        return json.loads(data[36:start]), data[start:]
    except (OSError, ValueError):
        return None


def _flac16(clip: Clip) -> bytes | None:
    """The clip as 16-bit FLAC if that loses nothing, else None."""
    if clip.channels > 8 or clip.sample_rate_hz > 655350 or clip.length < 16:
        return None
    scaled = clip.samples * np.float32(32768)
    integers = scaled.astype(np.int16) if np.abs(scaled).max(initial=0) < 32767.5 else None
    if integers is None or not np.array_equal(integers, scaled):
        return None
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, integers.T, clip.sample_rate_hz, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()
