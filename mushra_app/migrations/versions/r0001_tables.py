"""The first tables: studies, participants, sessions, trials, ratings, events."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

MS = sa.BigInteger
ID = sa.String(32)


def upgrade() -> None:
    op.create_table(
        "study",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("slug", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("config", sa.Text, nullable=False),
        sa.Column("code_version", sa.String(64), nullable=False),
        sa.Column("created_ms", MS, nullable=False),
        sa.Column("closed_ms", MS),
        sa.Column("next_row", sa.Integer, nullable=False),
        sa.Column("withdrawn", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_study"),
        sa.UniqueConstraint("slug", "version", name="uq_study_slug_version"),
    )
    op.create_table(
        "participant",
        sa.Column("id", ID, nullable=False),
        sa.Column("study_id", sa.Integer, nullable=False),
        sa.Column("secret_sha256", sa.String(64), nullable=False),
        sa.Column("withdrawal_sha256", sa.String(64), nullable=False),
        sa.Column("consent_version", sa.String(40), nullable=False),
        sa.Column("consent_text", sa.Text, nullable=False),
        sa.Column("language", sa.String(12), nullable=False),
        sa.Column("created_ms", MS, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_participant"),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_participant_study_id"),
        sa.UniqueConstraint("secret_sha256", name="uq_participant_secret_sha256"),
        sa.UniqueConstraint("withdrawal_sha256", name="uq_participant_withdrawal_sha256"),
    )
    op.create_index("ix_participant_study_id", "participant", ["study_id"])
    op.create_table(
        "questionnaire",
        sa.Column("participant_id", ID, nullable=False),
        sa.Column("question", sa.String(64), nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("participant_id", "question", name="pk_questionnaire"),
        _belongs("questionnaire", "participant"),
    )
    op.create_table(
        "session",
        sa.Column("id", ID, nullable=False),
        sa.Column("participant_id", ID, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("square_row", sa.Integer, nullable=False),
        sa.Column("completion_code", sa.String(20), nullable=False),
        sa.Column("level_db", sa.Float),
        sa.Column("comment", sa.Text),
        sa.Column("client", sa.Text),
        sa.Column("started_ms", MS, nullable=False),
        sa.Column("finished_ms", MS),
        sa.PrimaryKeyConstraint("id", name="pk_session"),
        _belongs("session", "participant"),
    )
    op.create_index("ix_session_participant_id", "session", ["participant_id"])
    op.create_table(
        "trial",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("key", sa.String(16), nullable=False),
        sa.Column("session_id", ID, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("item", sa.String(64), nullable=False),
        sa.Column("phase", sa.String(10), nullable=False),
        sa.Column("permutation", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_trial"),
        _belongs("trial", "session"),
        sa.UniqueConstraint("key", name="uq_trial_key"),
        sa.UniqueConstraint("session_id", "position", name="uq_trial_session_id_position"),
        sa.CheckConstraint("phase IN ('training', 'test', 'replicate')", name="ck_trial_phase"),
    )
    op.create_table(
        "rating",
        sa.Column("trial_id", sa.Integer, nullable=False),
        sa.Column("slot", sa.Integer, nullable=False),
        sa.Column("score", sa.Integer, nullable=False),
        sa.Column("moves", sa.Integer, nullable=False),
        sa.Column("first_ms", MS, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("trial_id", "slot", name="pk_rating"),
        _belongs("rating", "trial"),
        sa.CheckConstraint("score BETWEEN 0 AND 100", name="ck_rating_score"),
    )
    op.create_table(
        "submission",
        sa.Column("trial_id", sa.Integer, nullable=False),
        sa.Column("nonce", sa.String(64), nullable=False),
        sa.Column("client", sa.Text, nullable=False),
        sa.Column("server_ms", MS, nullable=False),
        sa.PrimaryKeyConstraint("trial_id", name="pk_submission"),
        _belongs("submission", "trial"),
    )
    op.create_table(
        "event",
        sa.Column("session_id", ID, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("nonce", sa.String(64), nullable=False),
        sa.Column("type", sa.String(20), nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("server_ms", MS, nullable=False),
        sa.PrimaryKeyConstraint("session_id", "seq", name="pk_event"),
        _belongs("event", "session"),
        sa.UniqueConstraint("session_id", "nonce", name="uq_event_session_id_nonce"),
    )
    op.create_table(
        "token",
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("session_id", ID, nullable=False),
        sa.Column("item", sa.String(64), nullable=False),
        sa.Column("condition", sa.String(64)),
        sa.Column("expires_ms", MS, nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="pk_token"),
        _belongs("token", "session"),
    )
    op.create_index("ix_token_session_id_expires_ms", "token", ["session_id", "expires_ms"])


def _belongs(table: str, parent: str) -> sa.ForeignKeyConstraint:
    column = f"{parent}_id"
    name = f"fk_{table}_{column}"
    return sa.ForeignKeyConstraint([column], [f"{parent}.id"], name=name, ondelete="CASCADE")


def downgrade() -> None:
    raise NotImplementedError("answers are never thrown away")
