"""`nacbench mushra serve`: the app as a process, told by its environment what to serve."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from mushra_app import database, service
from mushra_app.store import Store
from mushra_app.study import Study

APP = Path(__file__).with_name("app.py")


def command(host: str, port: int) -> list[str]:
    """The words that start the server; everything else stands in `.streamlit/config.toml`."""
    words = [sys.executable, "-m", "streamlit", "run", str(APP)]
    return [*words, "--server.address", host, "--server.port", str(port)]


def environment(folder: Path, db: str | None = None) -> Mapping[str, str]:
    """What the server reads, on top of this process's own environment."""
    more = {service.STUDY_VARIABLE: str(folder.absolute())}
    if db:
        more[database.URL_VARIABLE] = db
    return {**os.environ, **more}


def serve(folder: Path, host: str = "127.0.0.1", port: int = 8502, db: str | None = None) -> None:
    """Say where listeners and the experimenter go, then become the server.

    Raises:
        UserError: no sound study, or its database is out of reach.
    """
    study = Study.load(folder)
    store = Store(database.url_for(study.folder, db))  # fails here, in words, not in the server
    store.add_study(study)
    store.close()
    named = socket.gethostname() if host in ("0.0.0.0", "::") else host
    address = f"http://{named}:{port}/"
    secret = service.experimenter_secret(study.folder)
    print(f"Listeners:     {address}")
    print(f"Experimenter:  {address}?experimenter={secret}   (keep this link to yourself)")
    print("Ctrl+C stops the server; answers stay, and sessions go on when it is back.", flush=True)
    words = command(host, port)
    os.execve(words[0], words, dict(environment(study.folder, db)))
