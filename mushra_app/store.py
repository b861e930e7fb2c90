"""Listeners' answers: nothing acknowledged is ever lost, nothing is ever stored twice.

A listener is known by a secret in their browser; the store keeps its hash. From it follow the two
codes they get: one to withdraw with, one to show that they finished. What the browser says comes
as numbered events, which may be sent any number of times, in batches, from several tabs.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from mushra_app import answers, database, exports, sessions
from mushra_app.records import Progress, Rated, Session, Signal, State, StoreError, Trial, sha256
from mushra_app.sessions import Plan, now_ms
from mushra_app.study import Study
from mushra_app.tables import PARTICIPANT, QUESTIONNAIRE, SESSION, STUDY, SUBMISSION, TOKEN, TRIAL
from nacbench import __version__
from nacbench.errors import UserError

TOKEN_LIFE_S = 24 * 3600


class Store:
    """All answers to all studies of one database; safe to use from many threads.

    Raises:
        UserError: see `database.connect`.
    """

    def __init__(self, url: str) -> None:
        self.engine = database.connect(url)

    def close(self) -> None:
        self.engine.dispose()

    # Studies

    def add_study(self, study: Study) -> int:
        """The study's number here; the same for the same study.

        Raises:
            UserError: listeners have begun another study of this name and version.
        """
        config = study.model_dump_json()
        named = (STUDY.c.slug == study.slug) & (STUDY.c.version == study.version)
        with database.writing(self.engine) as at:
            self._lock_studies(at)
            found = at.execute(select(STUDY).where(named)).first()
            if found is None:
                row = at.execute(
                    insert(STUDY)
                    .values(
                        slug=study.slug, version=study.version, sha256=study.sha256,
                        config=config, code_version=__version__, created_ms=now_ms(),
                        next_row=0, withdrawn=0,
                    )
                    .returning(STUDY.c.id)
                )  # fmt: skip
                return int(row.scalar_one())
            if found.sha256 != study.sha256:
                if found.next_row:
                    raise UserError(
                        f"{study.folder}: '{study.slug}' version {study.version} has changed since "
                        "listeners began it. Raise its 'version' in study.yaml, or undo the change."
                    )
                changed = {"sha256": study.sha256, "config": config, "code_version": __version__}
                at.execute(update(STUDY).where(STUDY.c.id == found.id).values(changed))
            return int(found.id)

    def _lock_studies(self, at: Connection) -> None:
        if self.engine.dialect.name == "postgresql":
            at.exec_driver_sql("LOCK TABLE study IN SHARE ROW EXCLUSIVE MODE")

    def study(self, study_id: int) -> Study:
        """As it was when it was added."""
        with database.reading(self.engine) as at:
            config = at.execute(select(STUDY.c.config).where(STUDY.c.id == study_id)).scalar_one()
        return Study.model_validate_json(config)

    def find_study(self, study: Study) -> int | None:
        """The number of a study that was added before, unchanged or not."""
        named = (STUDY.c.slug == study.slug) & (STUDY.c.version == study.version)
        with database.reading(self.engine) as at:
            return at.execute(select(STUDY.c.id).where(named)).scalar_one_or_none()

    def set_closed(self, study_id: int, closed: bool) -> None:
        """A closed study takes no new listeners; those who have begun may finish."""
        with database.writing(self.engine) as at:
            at.execute(
                update(STUDY)
                .where(STUDY.c.id == study_id)
                .values(closed_ms=now_ms() if closed else None)
            )

    def progress(self, study_id: int) -> Progress:
        with database.reading(self.engine) as at:
            study = at.execute(select(STUDY).where(STUDY.c.id == study_id)).one()
            sessions = (
                select(SESSION.c.id, SESSION.c.finished_ms)
                .join(PARTICIPANT)
                .where(PARTICIPANT.c.study_id == study_id)
                .subquery()
            )
            begun, finished = at.execute(
                select(func.count(), func.count(sessions.c.finished_ms)).select_from(sessions)
            ).one()
            trials = at.execute(
                select(func.count())
                .select_from(SUBMISSION)
                .join(TRIAL)
                .where(TRIAL.c.session_id.in_(select(sessions.c.id)))
            ).scalar_one()
        return Progress(begun, finished, study.withdrawn, trials, study.closed_ms is not None)

    # Sessions

    def start_session(
        self, study_id: int, plan: Plan, *, seed: int, consent_text: str, language: str
    ) -> Session:
        """Store a consent and the trials that follow from it; all of it or nothing.

        Args:
            plan: makes the trials of (study, row, seed); `trial.plan_session`.
        Raises:
            StoreError: the study is closed.
        """
        with database.writing(self.engine) as at:
            return sessions.start(
                at, study_id, plan, seed=seed, consent_text=consent_text, language=language
            )

    def find_session(self, secret: str) -> Session | None:
        """The session of a listener who comes back."""
        with database.reading(self.engine) as at:
            return sessions.find(at, secret)

    def trials(self, session: Session) -> list[Trial]:
        """In the order in which the listener meets them."""
        with database.reading(self.engine) as at:
            return sessions.trials(at, session.id)

    def state(self, session: Session) -> State:
        """Where the session stands, from what is stored alone.

        Raises:
            StoreError: it was withdrawn.
        """
        with database.reading(self.engine) as at:
            return sessions.state(at, session)

    def answer(self, session: Session, answers: Mapping[str, str]) -> None:
        """Store the questionnaire; {} for one that was passed over. The first answers stay."""
        kept = {**answers, "": ""}  # the empty question says that it was asked
        with database.writing(self.engine) as at:
            if sessions.row_of(at, session.secret, lock=True) is None:
                raise StoreError("no such session")
            theirs = QUESTIONNAIRE.c.participant_id == session.participant
            if at.execute(select(QUESTIONNAIRE.c.question).where(theirs)).first():
                return
            at.execute(
                insert(QUESTIONNAIRE),
                [
                    {"participant_id": session.participant, "question": q, "answer": str(a)}
                    for q, a in kept.items()
                ],
            )

    def finish(self, session: Session, comment: str = "") -> None:
        """All is rated; the comment may be empty."""
        self._set(session, finished_ms=now_ms(), comment=comment or None)

    def _set(self, session: Session, **values: Any) -> None:
        with database.writing(self.engine) as at:
            at.execute(update(SESSION).where(SESSION.c.id == session.id).values(**values))

    def withdraw(self, code: str) -> bool:
        """Delete everything a listener said; whether the code was anybody's."""
        digest = sha256(code.strip().upper())
        with database.writing(self.engine) as at:
            row = at.execute(
                delete(PARTICIPANT)
                .where(PARTICIPANT.c.withdrawal_sha256 == digest)
                .returning(PARTICIPANT.c.study_id)
            ).first()
            if row is None:
                return False
            at.execute(
                update(STUDY)
                .where(STUDY.c.id == row.study_id)
                .values(withdrawn=STUDY.c.withdrawn + 1)
            )
        if self.engine.dialect.name == "sqlite":  # the log must not keep what was deleted
            database.empty_log(self.engine)
        return True

    # Tokens

    def issue_tokens(
        self, session: Session, signals: Sequence[tuple[str, str | None]]
    ) -> list[str]:
        """Fresh addresses for signals, given as (item, condition); None is the open reference."""
        tokens = [secrets.token_urlsafe(24) for _ in signals]
        now = now_ms()
        with database.writing(self.engine) as at:
            old = (TOKEN.c.session_id == session.id) & (TOKEN.c.expires_ms < now)
            at.execute(delete(TOKEN).where(old))
            at.execute(
                insert(TOKEN),
                [
                    {
                        "sha256": sha256(token),
                        "session_id": session.id,
                        "item": item,
                        "condition": condition,
                        "expires_ms": now + TOKEN_LIFE_S * 1000,
                    }
                    for token, (item, condition) in zip(tokens, signals, strict=True)
                ],
            )
        return tokens

    def resolve_token(self, token: str) -> Signal | None:
        """What an address stands for; None where it never did, or no longer does."""
        with database.reading(self.engine) as at:
            row = at.execute(
                select(TOKEN, PARTICIPANT.c.study_id)
                .join(SESSION, SESSION.c.id == TOKEN.c.session_id)
                .join(PARTICIPANT)
                .where(TOKEN.c.sha256 == sha256(token), TOKEN.c.expires_ms >= now_ms())
            ).first()
        if row is None:
            return None
        return Signal(row.study_id, row.session_id, row.item, row.condition)

    # Answers

    def take(self, secret: str, events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Store a browser's events; what is said to be taken is on the disk. See `answers.take`."""
        with database.writing(self.engine) as at:
            return answers.take(at, secret, events)

    def ratings(self, study_id: int) -> list[Rated]:
        """Every score of every submitted trial, in the order of listeners and their trials."""
        study = self.study(study_id)
        with database.reading(self.engine) as at:
            return exports.ratings(at, study_id, study)

    def answers(self, study_id: int) -> dict[str, dict[str, str]]:
        """Participant -> question -> answer; a table of its own, never part of the ratings."""
        with database.reading(self.engine) as at:
            return exports.answers(at, study_id)

    def comments(self, study_id: int) -> list[str]:
        with database.reading(self.engine) as at:
            return exports.comments(at, study_id)
