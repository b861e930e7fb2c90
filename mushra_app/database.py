"""Where the answers lie: an engine for SQLite or PostgreSQL, its tables brought up to date."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, OperationalError

from nacbench.errors import UserError

if TYPE_CHECKING:
    from alembic.config import Config

URL_VARIABLE = "NACBENCH_MUSHRA_DB"
FILE = "ratings.sqlite"  # beside study.yaml, where no other database is named
BUSY_S = 30  # twenty listeners who submit at once wait for each other for less than two
RETRY_S = 0.02
# SQLite's writers do not queue: each looks now and then whether it is free, and of forty on a busy
# machine one may never be lucky. Those of one process queue here.
_WRITERS = threading.Lock()
MIGRATION_LOCK = 0x6D757368  # any number, the same in every process


def url_for(folder: Path, given: str | None = None) -> str:
    """`--db`, else `$NACBENCH_MUSHRA_DB`, else an SQLite file in the study's folder."""
    return given or os.environ.get(URL_VARIABLE) or f"sqlite:///{folder.resolve() / FILE}"


def connect(url: str) -> Engine:
    """An engine whose database has today's tables.

    Raises:
        UserError: not the address of an SQLite or PostgreSQL database, or it cannot be reached.
    """
    try:
        address = make_url(url)
        family = address.get_backend_name()
        if family not in ("sqlite", "postgresql"):
            raise ArgumentError(f"'{family}' is not supported")
        if family == "sqlite" and address.database in (None, "", ":memory:"):
            raise ArgumentError("answers kept in memory would be lost")
        if family == "postgresql" and address.drivername == "postgresql":
            address = address.set(drivername="postgresql+psycopg")
        engine = create_engine(address, pool_size=20, max_overflow=20, pool_timeout=BUSY_S)
    except (ArgumentError, ImportError) as error:
        raise UserError(
            f"--db {url}: {error}. Expected sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME."
        ) from error
    if family == "sqlite":
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    try:
        _migrate(engine)
    except UserError:
        engine.dispose()
        raise
    except OperationalError as error:
        engine.dispose()
        shown = address.render_as_string(hide_password=True)
        raise UserError(f"--db {shown}: {error.orig}. Is it running, and may you write?") from error
    return engine


def _set_up_sqlite(connection: Any, record: Any) -> None:
    connection.isolation_level = None  # transactions begin where `_begin_sqlite` says
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_S * 1000}")
    _write_ahead(cursor)
    cursor.execute("PRAGMA synchronous=FULL")  # what is acknowledged survives a power cut
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA secure_delete=ON")  # what is withdrawn is overwritten
    cursor.close()


def _write_ahead(cursor: Any) -> None:
    """Readers do not wait for writers; the file keeps the mode, so only the first one switches."""
    until = time.monotonic() + BUSY_S
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            # Of two that switch at once one is refused at once: SQLite heeds no time-out here.
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY  # of every kind
            if not busy or time.monotonic() > until:
                raise
            time.sleep(RETRY_S)


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later fails at once when another one wrote
    # meanwhile, whatever the time-out: take the write lock at the start.
    reads = connection.get_execution_options().get("reads", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection that sees one state of the database and waits for nobody."""
    with engine.connect().execution_options(reads=True) as connection, connection.begin():
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction; what it wrote is on the disk when it ends, or none of it ever was."""
    sqlite = engine.dialect.name == "sqlite"
    with _WRITERS if sqlite else nullcontext(), engine.begin() as connection:
        yield connection


def empty_log(engine: Engine) -> None:
    """Write SQLite's log into its file and cut it; not inside a transaction."""
    connection = engine.raw_connection()
    try:
        connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()


def migrations() -> Config:
    """Alembic's configuration; the scripts come with the package."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


def _migrate(engine: Engine) -> None:
    """Bring the tables up to date; of several processes that start at once, one does.

    Raises:
        UserError: the database was made by a newer nacbench.
    """
    from alembic import command
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    config = migrations()
    scripts = ScriptDirectory.from_config(config)
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
        current = MigrationContext.configure(connection).get_current_revision()
        if current == scripts.get_current_head():
            return
        if current is not None and current not in {s.revision for s in scripts.walk_revisions()}:
            raise UserError(
                f"{engine.url.render_as_string(hide_password=True)}: made by a newer nacbench "
                f"(revision {current}). Upgrade: pip install --upgrade 'nacbench[mushra]'"
            )
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
