"""The tables that answers are kept in. `migrations/` builds the same ones, and a test compares.

Times are milliseconds since 1970 in UTC. No table has a place for a name, an address or an IP.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

METADATA = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


def _of(parent: str) -> ForeignKey:
    """A row that goes when its parent is withdrawn."""
    return ForeignKey(f"{parent}.id", ondelete="CASCADE")


STUDY = Table(
    "study",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("slug", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("config", Text, nullable=False),  # the whole study as JSON
    Column("code_version", String(64), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("closed_ms", BigInteger),
    Column("next_row", Integer, nullable=False),  # of the balanced orders, for the next listener
    Column("withdrawn", Integer, nullable=False),
    UniqueConstraint("slug", "version"),
)

PARTICIPANT = Table(
    "participant",
    METADATA,
    Column("id", String(32), primary_key=True),  # random, the only name a listener has
    Column("study_id", Integer, ForeignKey("study.id"), nullable=False, index=True),
    Column("secret_sha256", String(64), nullable=False, unique=True),
    Column("withdrawal_sha256", String(64), nullable=False, unique=True),
    Column("consent_version", String(40), nullable=False),
    Column("consent_text", Text, nullable=False),
    Column("language", String(12), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)

QUESTIONNAIRE = Table(  # apart from the ratings, so that an export can leave it out
    "questionnaire",
    METADATA,
    Column("participant_id", String(32), _of("participant"), primary_key=True),
    Column("question", String(64), primary_key=True),
    Column("answer", Text, nullable=False),
)

SESSION = Table(
    "session",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("participant_id", String(32), _of("participant"), nullable=False, index=True),
    Column("seed", BigInteger, nullable=False),
    Column("square_row", Integer, nullable=False),
    Column("completion_code", String(20), nullable=False),
    Column("level_db", Float),  # what the listener chose before the test
    Column("comment", Text),
    Column("client", Text),  # JSON: browser family, rate of the audio device, …
    Column("started_ms", BigInteger, nullable=False),
    Column("finished_ms", BigInteger),
)

TRIAL = Table(
    "trial",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("key", String(16), nullable=False, unique=True),  # random, what the browser says
    Column("session_id", String(32), _of("session"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("item", String(64), nullable=False),
    Column("phase", String(10), nullable=False),
    Column("permutation", Text, nullable=False),  # JSON: slot -> index into the item's conditions
    UniqueConstraint("session_id", "position"),
    CheckConstraint("phase IN ('training', 'test', 'replicate')", name="phase"),
)

RATING = Table(
    "rating",
    METADATA,
    Column("trial_id", Integer, _of("trial"), primary_key=True),
    Column("slot", Integer, primary_key=True),
    Column("score", Integer, nullable=False),
    Column("moves", Integer, nullable=False),
    Column("first_ms", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),  # of the event that set it; the latest counts
    CheckConstraint("score BETWEEN 0 AND 100", name="score"),
)

SUBMISSION = Table(
    "submission",
    METADATA,
    Column("trial_id", Integer, _of("trial"), primary_key=True),
    Column("nonce", String(64), nullable=False),
    Column("client", Text, nullable=False),  # JSON: listening times, switches, underruns, …
    Column("server_ms", BigInteger, nullable=False),
)

EVENT = Table(  # all the browser ever said, as it said it
    "event",
    METADATA,
    Column("session_id", String(32), _of("session"), primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("nonce", String(64), nullable=False),
    Column("type", String(20), nullable=False),
    Column("payload", Text, nullable=False),
    Column("server_ms", BigInteger, nullable=False),
    UniqueConstraint("session_id", "nonce"),
)

TOKEN = Table(
    "token",
    METADATA,
    Column("sha256", String(64), primary_key=True),
    Column("session_id", String(32), _of("session"), nullable=False),
    Column("item", String(64), nullable=False),
    Column("condition", String(64)),  # NULL: the open reference
    Column("expires_ms", BigInteger, nullable=False),
    Index(None, "session_id", "expires_ms"),
)
