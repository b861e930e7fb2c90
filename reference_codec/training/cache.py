"""Recordings decoded once: 16-bit samples in one memory-mapped file, and an index beside them.

A cache is a folder named by what it was made from and how, so it is never out of date: other files
or other options are another folder. It appears whole or not at all.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reference_codec.errors import UserError
from reference_codec.training.decoding import UnusableError, pieces, source_rate_hz
from reference_codec.training.recipe import DataOptions
from reference_codec.training.recordings import Recording

Samples = NDArray[np.float32]

VERSION = 1
BLOCKS_PER_S = 10  # activity is measured in blocks of 100 ms
FULL_SCALE = 32767


@dataclass(frozen=True)
class Entry:
    """A piece of a recording in the cache.

    Attributes:
        offset: of its first value in the file; the channels lie one after the other.
        scale: what a stored 1 stands for; each piece uses all 16 bits.
    """

    name: str
    speaker: str
    offset: int
    channels: int
    length: int
    scale: float
    source_rate_hz: int


@dataclass(frozen=True)
class LeftOut:
    """A recording that is not trained on, and why."""

    name: str
    reason: str


class Cache:
    """An open cache; cheap to pickle, so that worker processes can open it too.

    Attributes:
        entries: the pieces.
        active: `[n, 2]` int32: entry and number of each active block of 100 ms.
        left_out: recordings that could not be used.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        index = json.loads((directory / "index.json").read_text("utf-8"))
        self.sample_rate_hz: int = index["sample_rate_hz"]
        self.channels: int = index["channels"]
        self.entries = tuple(Entry(**entry) for entry in index["entries"])
        self.left_out = tuple(LeftOut(**entry) for entry in index["left_out"])

    def __reduce__(self) -> tuple[type[Cache], tuple[Path]]:
        return Cache, (self.directory,)

    @cached_property
    def active(self) -> NDArray[np.int32]:
        loaded: NDArray[np.int32] = np.load(self.directory / "active.npy", allow_pickle=False)
        return loaded

    @cached_property
    def _samples(self) -> NDArray[np.int16]:
        return np.memmap(self.directory / "samples.i16", np.int16, "r")

    @property
    def block(self) -> int:
        """Samples of a block."""
        return self.sample_rate_hz // BLOCKS_PER_S

    def seconds(self, entries: Sequence[int] | None = None) -> float:
        chosen = self.entries if entries is None else [self.entries[index] for index in entries]
        return sum(entry.length for entry in chosen) / self.sample_rate_hz

    def read(self, index: int, start: int, stop: int) -> Samples:
        """`[channels, stop - start]`; zeros where the piece does not reach."""
        entry = self.entries[index]
        out = np.zeros((self.channels, stop - start), np.float32)
        first, last = max(0, start), min(entry.length, stop)
        if first < last:
            for channel in range(self.channels):
                # Mono is stored once and read for both.
                at = entry.offset + (channel % entry.channels) * entry.length
                part = self._samples[at + first : at + last]
                out[channel, first - start : last - start] = part
        out *= np.float32(entry.scale)
        return out


def build(
    recordings: Sequence[Recording],
    sample_rate_hz: int,
    channels: int,
    options: DataOptions,
    root: Path,
    advance: Callable[[int], None] = lambda done: None,
    threads: int | None = None,
) -> Cache:
    """The cache of these recordings; made where it does not exist yet.

    Args:
        root: folder of caches.
        advance: called with 1 after each recording.
        threads: that decode; by default as many as this process may use, at most 8.
    Raises:
        UserError: nothing is left to train on; the message has the first reasons.
    """
    directory = root / _key(recordings, sample_rate_hz, channels, options)
    root.mkdir(parents=True, exist_ok=True)
    with _alone(root / f"{directory.name}.lock"):
        if not (directory / "index.json").is_file():
            partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=root))
            try:
                _decode_all(
                    recordings, sample_rate_hz, channels, options, partial, advance, threads
                )
                partial.rename(directory)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    cache = Cache(directory)
    if not cache.entries:
        reasons = "".join(f"\n  {left.name}: {left.reason}" for left in cache.left_out[:5])
        shutil.rmtree(directory)
        raise UserError(f"none of {len(recordings)} recordings can be trained on:{reasons}")
    return cache


def _key(
    recordings: Sequence[Recording], sample_rate_hz: int, channels: int, options: DataOptions
) -> str:
    """Hash of files (path, size and time of last change, as build tools do) and options."""
    digest = hashlib.sha256()
    used = (options.shortest_s, options.silent_below_db, options.active_within_db,
            options.lowest_rate_hz)  # fmt: skip
    digest.update(repr((VERSION, sample_rate_hz, channels, used)).encode())
    for recording in recordings:
        try:
            found = recording.path.stat()
            state: tuple[int, ...] = (found.st_size, found.st_mtime_ns)
        except OSError:
            state = ()
        part = (recording.start_s, recording.duration_s)
        digest.update(repr((recording.name, recording.speaker, state, part)).encode())
    return digest.hexdigest()[:24]


@dataclass
class _Decoded:
    recording: Recording
    rate_hz: int
    pieces: list[tuple[NDArray[np.int16], float, NDArray[np.float64]]]  # samples, scale, levels


def _decode(
    recording: Recording, sample_rate_hz: int, channels: int, options: DataOptions
) -> _Decoded | LeftOut:
    try:
        rate_hz = source_rate_hz(recording)
        if rate_hz < options.lowest_rate_hz:
            raise UnusableError(f"its rate, {rate_hz} Hz, is below data.lowest_rate_hz")
        decoded = _Decoded(recording, rate_hz, [])
        length = 0
        for piece in pieces(recording, sample_rate_hz, channels):
            length += piece.shape[1]
            decoded.pieces.append(_stored(piece, sample_rate_hz // BLOCKS_PER_S))
        seconds = length / sample_rate_hz
        if seconds < options.shortest_s:
            raise UnusableError(f"too short: {seconds:.2f} s, data.shortest_s is "
                                f"{options.shortest_s:g} s")  # fmt: skip
        loudest = max(levels.max(initial=-np.inf) for _, _, levels in decoded.pieces)
        if loudest <= options.silent_below_db:
            level = f"{loudest:.0f} dBFS" if np.isfinite(loudest) else "digital silence"
            raise UnusableError(f"silent: its loudest 100 ms have {level}")
    except UnusableError as error:
        return LeftOut(recording.name, str(error))
    return decoded


def _stored(piece: Samples, block: int) -> tuple[NDArray[np.int16], float, NDArray[np.float64]]:
    """16-bit samples, their scale, and the level of each whole block in dBFS."""
    peak = float(np.abs(piece).max())
    scale = max(peak, 1e-9) / FULL_SCALE
    whole = piece.shape[1] // block * block
    power = np.square(piece[:, :whole], dtype=np.float64).reshape(piece.shape[0], -1, block)
    with np.errstate(divide="ignore"):
        levels = 10 * np.log10(power.mean(axis=2).max(axis=0))
    return np.rint(piece / scale).astype(np.int16), scale, levels


def _decode_all(
    recordings: Sequence[Recording],
    sample_rate_hz: int,
    channels: int,
    options: DataOptions,
    directory: Path,
    advance: Callable[[int], None],
    threads: int | None,
) -> None:
    entries: list[Entry] = []
    active: list[NDArray[np.int32]] = []
    left_out: list[LeftOut] = []
    written = 0
    with (directory / "samples.i16").open("wb") as file:
        for decoded in _in_order(recordings, sample_rate_hz, channels, options, threads):
            advance(1)
            if isinstance(decoded, LeftOut):
                left_out.append(decoded)
                continue
            loudest = max(levels.max(initial=-np.inf) for _, _, levels in decoded.pieces)
            least_db = max(loudest - options.active_within_db, options.silent_below_db)
            for samples, scale, levels in decoded.pieces:
                (blocks,) = np.nonzero(levels >= least_db)
                if blocks.size == 0:
                    continue
                numbers = np.full(blocks.size, len(entries))
                active.append(np.stack([numbers, blocks], axis=1).astype(np.int32))
                entries.append(
                    Entry(decoded.recording.name, decoded.recording.speaker, written,
                          samples.shape[0], samples.shape[1], scale, decoded.rate_hz)
                )  # fmt: skip
                file.write(samples.tobytes())
                written += samples.size
        file.flush()
        os.fsync(file.fileno())
    np.save(directory / "active.npy", np.concatenate([np.zeros((0, 2), np.int32), *active]))
    with (directory / "left_out.csv").open("w", encoding="utf-8", newline="") as table:
        writer = csv.writer(table)
        writer.writerow(["recording", "reason"])
        writer.writerows((left.name, left.reason) for left in left_out)
    index = {
        "sample_rate_hz": sample_rate_hz,
        "channels": channels,
        "entries": [asdict(entry) for entry in entries],
        "left_out": [asdict(left) for left in left_out],
    }
    (directory / "index.json").write_text(json.dumps(index, ensure_ascii=False), "utf-8")


def _in_order(
    recordings: Sequence[Recording],
    sample_rate_hz: int,
    channels: int,
    options: DataOptions,
    threads: int | None,
) -> Iterator[_Decoded | LeftOut]:
    """Decoded by several threads, a few ahead, in the order given."""
    threads = threads or min(8, len(os.sched_getaffinity(0)))
    waiting: list[Future[_Decoded | LeftOut]] = []
    with ThreadPoolExecutor(threads) as pool:
        for recording in recordings:
            waiting.append(pool.submit(_decode, recording, sample_rate_hz, channels, options))
            if len(waiting) > 2 * threads:
                yield waiting.pop(0).result()
        for future in waiting:
            yield future.result()


@contextmanager
def _alone(path: Path) -> Iterator[Any]:
    """One process makes a cache; the others wait and find it."""
    import fcntl

    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file
