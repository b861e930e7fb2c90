"""One file from a URL, of a known size and sha256: resumed, bounded, refused when it differs."""

from __future__ import annotations

import hashlib
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import urlsplit

from nacbench.errors import UserError

CHUNK_BYTES = 1 << 16
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server.

    Attributes:
        silence_s: without a byte before the connection counts as dead.
        attempts: connections in a row that bring nothing new before giving up.
        pause_s: before the second attempt; doubles with each further one.
        slowest_bytes_per_s: a file that takes longer than at this rate is given up; what came
            stays.
    """

    silence_s: float = 30.0
    attempts: int = 5
    pause_s: float = 0.5
    slowest_bytes_per_s: float = 10_000.0


class Stopped(Exception):  # noqa: N818 - not an error: the user asked for it
    """The download was told to stop; what it has stays for the next time."""


def download(
    url: str,
    target: Path,
    size: int,
    sha256: str,
    *,
    patience: Patience | None = None,
    progress: Callable[[int], None] = lambda fetched: None,
    stop: Event | None = None,
) -> None:
    """Fetch `url` into `target`, which appears only when it is whole and verified.

    What arrives is kept in `target.part` and continued from there, in this call after a broken
    connection and in the next call after anything else.

    Args:
        size, sha256: of the file; a server that sends more is cut off.
        progress: told the bytes of this file that are there.
        stop: when set, the download ends with Stopped.

    Raises:
        UserError: not https, refused by the server, unreachable, or not the file expected.
    """
    patience = patience or Patience()
    stop = stop or Event()
    part = target.with_name(target.name + ".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    began_with = _size(part)
    _fill(url, part, size, patience, progress, stop)
    if _sha256(part) != sha256 and began_with:
        part.unlink()  # what an earlier call had left may be what is wrong: once from the start
        _fill(url, part, size, patience, progress, stop)
    found = _sha256(part)
    if found != sha256:
        part.unlink()
        raise UserError(
            f"{url}: refused: sha256 is {found[:12]}…, the index expects {sha256[:12]}…. The file "
            "was changed at its source or on the way; nothing was kept."
        )
    part.replace(target)


def _fill(
    url: str,
    part: Path,
    size: int,
    patience: Patience,
    progress: Callable[[int], None],
    stop: Event,
) -> None:
    """Append to `part` until it has `size` bytes."""
    patience_s = patience.attempts * patience.silence_s + size / patience.slowest_bytes_per_s
    deadline = time.monotonic() + patience_s
    failures, best = 0, _size(part)
    while (have := _size(part)) < size:
        progress(have)
        try:
            _receive(url, part, size, patience.silence_s, deadline, progress, stop)
            trouble: Exception = ConnectionError("the connection ended early")
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416:  # what we have is not a beginning of what the server has
                part.unlink(missing_ok=True)
            elif error.code < 500 and error.code not in (408, 429):
                raise UserError(
                    f"{url}: the server answers {error.code} {error.reason}."
                ) from error
            trouble = error
        except (OSError, http.client.HTTPException) as error:
            trouble = error
        failures = 0 if _size(part) > best else failures + 1
        best = max(best, _size(part))
        if failures >= patience.attempts or time.monotonic() > deadline:
            raise UserError(
                f"{url}: stopped at {_size(part):,} of {size:,} bytes ({_reason(trouble)}). "
                "Check the network; the same command goes on from there."
            ) from trouble
        if failures and stop.wait(patience.pause_s * 2 ** (failures - 1)):
            raise Stopped
    progress(size)


def _receive(
    url: str,
    part: Path,
    size: int,
    silence_s: float,
    deadline: float,
    progress: Callable[[int], None],
    stop: Event,
) -> None:
    """One connection: append what it brings, as far as it comes."""
    have = _size(part)
    headers = {"User-Agent": "nacbench", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    request = urllib.request.Request(_checked(url), headers=headers)
    with _OPENER.open(request, timeout=silence_s) as answer:
        if have and not _continues(answer, have):
            have = 0  # the server has no ranges and sends all of it again
        announced = answer.length  # of what follows; None where the server does not say
        if announced is not None and have + announced != size:
            raise UserError(
                f"{url}: refused: the server's file has {have + announced:,} bytes, the index "
                f"expects {size:,}. The file was changed at its source."
            )
        with part.open("ab" if have else "wb") as file:
            while chunk := answer.read1(CHUNK_BYTES):
                if have + len(chunk) > size:
                    file.truncate(0)
                    raise UserError(
                        f"{url}: refused: the server sends more than the {size:,} bytes that the "
                        "index expects. The file was changed at its source."
                    )
                file.write(chunk)
                have += len(chunk)
                progress(have)
                if stop.is_set():
                    raise Stopped
                if time.monotonic() > deadline:
                    raise TimeoutError("too slow")


def _continues(answer: Any, have: int) -> bool:
    """Whether the answer begins at byte `have`."""
    given = str(answer.headers.get("Content-Range", ""))
    return bool(answer.status == 206) and given.startswith(f"bytes {have}-")


def _checked(url: str) -> str:
    """The URL, if its connection cannot be tampered with.

    Raises:
        UserError: neither https nor this machine.
    """
    parts = urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK):
        return url
    raise UserError(f"{url}: refused: only https addresses are fetched.")


class _OnlySafeRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any) -> urllib.request.Request | None:
        _checked(args[-1])
        return super().redirect_request(*args)


_OPENER = urllib.request.build_opener(_OnlySafeRedirects)


def _reason(trouble: Exception) -> str:
    reason = getattr(trouble, "reason", None) or trouble
    return str(reason).strip() or type(trouble).__name__


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
