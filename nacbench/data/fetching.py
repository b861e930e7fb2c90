"""Fetch a collection: what is missing is downloaded, verified, converted and kept."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from threading import Event, Lock

from nacbench.data.convert import convert
from nacbench.data.download import Patience, Stopped, download
from nacbench.data.index import Entry, collection
from nacbench.data.places import find, receipt_path, roots, store
from nacbench.errors import UserError

Progress = Callable[[str, int, int, int], None]
"""`progress(collection, fetched_bytes, total_bytes, failed_files)`."""


def fetch(
    name: str,
    folder: Path | None = None,
    *,
    jobs: int = 4,
    progress: Progress | None = None,
    patience: Patience | None = None,
) -> list[Path]:
    """Make sure that every file of a collection is there, and return where.

    A file that a folder of NACBENCH_DATA already has is not fetched again. Interrupt at any time:
    finished files stay, a half file is continued.

    Args:
        folder: where to keep them; the store of `places.store` by default.
        jobs: downloads at a time.

    Raises:
        UserError: no such collection, or files that could not be fetched, each with its reason;
            all others are there.
    """
    keep = store() if folder is None else folder
    searched = [keep, *roots()]
    entries = collection(name)
    if any(find(entry, searched) is None for entry in entries):
        with _alone(keep):  # another process may have fetched them while this one waited
            missing = [entry for entry in entries if find(entry, searched) is None]
            _fetch_all(name, missing, keep, jobs, progress, patience)
    return [kept.path for entry in entries if (kept := find(entry, searched)) is not None]


def _fetch_all(
    name: str,
    entries: Sequence[Entry],
    keep: Path,
    jobs: int,
    progress: Progress | None,
    patience: Patience | None,
) -> None:
    stop = Event()
    count = _Count(name, entries, progress)
    problems: list[str] = []
    with ThreadPoolExecutor(jobs) as pool:
        futures: dict[Future[None], Entry] = {
            pool.submit(_fetch_one, entry, keep, count, patience, stop): entry for entry in entries
        }
        try:
            running = set(futures)
            while running:
                # A wait without end would keep Ctrl-C from being seen.
                finished, running = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
                for future in finished:
                    error = future.exception()
                    if isinstance(error, (UserError, OSError)):
                        problems.append(str(error))
                        count.fail()
                    elif error is not None:
                        raise error
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    if problems:
        raise UserError(
            f"{name}: {len(problems)} of {len(entries)} files could not be fetched; the others "
            f"are in {keep}. Run the same command again to go on.\n  " + "\n  ".join(problems)
        )


def _fetch_one(
    entry: Entry, keep: Path, count: _Count, patience: Patience | None, stop: Event
) -> None:
    """Download, verify, convert, and let the file appear in one step."""
    if stop.is_set():
        raise Stopped
    target = keep / entry.path
    target.parent.mkdir(parents=True, exist_ok=True)
    source = keep / ".sources" / f"{entry.name}-{entry.source_sha256[:16]}"
    if not source.exists():
        download(
            entry.url,
            source,
            entry.source_bytes,
            entry.source_sha256,
            patience=patience,
            progress=lambda fetched: count.update(entry, fetched),
            stop=stop,
        )
    count.update(entry, entry.source_bytes)
    if entry.audio is None:
        source.replace(target)
        return
    made = target.with_name(f".{target.name}.made")
    convert(source, made, entry.audio)
    _leave_receipt(made, target, entry)
    made.replace(target)
    source.unlink()


def _leave_receipt(made: Path, target: Path, entry: Entry) -> None:
    """Beside the target, before it appears: a receipt without its file is harmless."""
    receipt = {"sha256": hashlib.sha256(made.read_bytes()).hexdigest(), "recipe": entry.recipe}
    path = receipt_path(target)
    half = path.with_name(f".{path.name}.made")
    half.write_text(json.dumps(receipt), encoding="utf-8")
    half.replace(path)


class _Count:
    """Bytes over all files, reported from whichever thread brings them."""

    def __init__(self, name: str, entries: Sequence[Entry], progress: Progress | None) -> None:
        self._name = name
        self._progress = progress
        self._total = sum(entry.source_bytes for entry in entries)
        self._fetched = {entry.path: 0 for entry in entries}
        self._failed = 0
        self._lock = Lock()

    def update(self, entry: Entry, fetched: int) -> None:
        with self._lock:
            self._fetched[entry.path] = fetched
            self._report()

    def fail(self) -> None:
        with self._lock:
            self._failed += 1
            self._report()

    def _report(self) -> None:
        if self._progress is not None:
            done = sum(self._fetched.values())
            self._progress(self._name, done, self._total, self._failed)


@contextlib.contextmanager
def _alone(keep: Path) -> Iterator[None]:
    """One fetch at a time per folder; a second one waits, then finds the files there.

    Raises:
        UserError: the folder cannot be written.
    """
    import fcntl

    try:
        keep.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(keep / ".fetching", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise UserError(
            f"{keep}: cannot be written ({error.strerror}). Name another folder with --data."
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
