"""Debian's PostgreSQL for one test: its own cluster on loopback, gone afterwards."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from browser import REQUIRED

NOBODY_TO_RUN_IT = "PostgreSQL refuses to run as root, and there is no user 'postgres'"
START_S = 60


def binaries() -> Path | None:
    """Where initdb and postgres lie: on the PATH, or in Debian's folder of the newest version."""
    if found := shutil.which("initdb"):
        return Path(found).parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return versions[-1].parent if versions else None


def _why_not() -> str | None:
    """Why it cannot be started here."""
    if binaries() is None:
        return "PostgreSQL is not installed: .ci/system-packages installs it"
    if os.geteuid() == 0 and "postgres" not in {entry.pw_name for entry in pwd.getpwall()}:
        return NOBODY_TO_RUN_IT
    return None


@contextmanager
def running() -> Iterator[str]:
    """The address of an empty database; skips where none can be had and none is required."""
    if reason := _why_not():
        assert not os.environ.get(REQUIRED), reason
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    as_user: list[str] = []
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]
    bin_ = binaries()
    assert bin_ is not None
    password = secrets.token_urlsafe(12)
    word = folder / "password"
    word.write_text(password)
    if as_user:
        shutil.chown(word, "postgres", "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = None
    try:
        subprocess.run(
            [*as_user, bin_ / "initdb", "--pgdata", folder / "data", "--username", "bench",
             "--auth", "scram-sha-256", "--pwfile", word, "--no-sync", "--encoding", "UTF8",
             "--locale", "C"],
            check=True, capture_output=True, cwd="/",
        )  # fmt: skip
        log = (folder / "log").open("wb")
        server = subprocess.Popen(
            [*as_user, bin_ / "postgres", "-D", folder / "data", "-p", str(port),
             "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}"],
            stdout=log, stderr=log, cwd="/",
        )  # fmt: skip
        log.close()
        address = f"postgresql+psycopg://bench:{password}@127.0.0.1:{port}/postgres"
        _wait(address, server, folder / "log")
        yield address
    finally:
        if server is not None:
            server.send_signal(signal.SIGINT)  # disconnects whoever is left
            server.wait(START_S)
        shutil.rmtree(folder, ignore_errors=True)


def _wait(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    import psycopg

    end = time.monotonic() + START_S
    while True:
        try:
            psycopg.connect(address.replace("+psycopg", "")).close()
            return
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > end:
                raise RuntimeError(log.read_text(errors="replace")) from None
            time.sleep(0.1)
