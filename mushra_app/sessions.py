"""Sessions: how one begins, how its listener is known again, and where it stands.

Everything here reads or writes within the transaction that it is given.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from sqlalchemy import Connection, Row, func, insert, select, update

from mushra_app.records import Session, State, StoreError, Trial, sha256
from mushra_app.study import Study
from mushra_app.tables import (
    EVENT,
    PARTICIPANT,
    QUESTIONNAIRE,
    RATING,
    SESSION,
    STUDY,
    SUBMISSION,
    TRIAL,
)


class Planned(Protocol):
    """A trial of `trial.plan_session`."""

    @property
    def item_id(self) -> str: ...
    @property
    def phase(self) -> str: ...
    @property
    def permutation(self) -> tuple[int, ...]: ...


Plan = Callable[[Study, int, int], Sequence[Planned]]


def start(
    at: Connection, study_id: int, plan: Plan, *, seed: int, consent_text: str, language: str
) -> Session:
    """Store a consent and the trials that follow from it; all of it or nothing.

    Args:
        plan: makes the trials of (study, row, seed); `trial.plan_session`.
    Raises:
        StoreError: the study is closed.
    """
    secret, participant, session = secrets.token_urlsafe(24), new_id(), new_id()
    begun = Session(session, participant, study_id, language, seed, 0, secret)
    row = at.execute(
        update(STUDY)
        .where(STUDY.c.id == study_id, STUDY.c.closed_ms.is_(None))
        .values(next_row=STUDY.c.next_row + 1)
        .returning(STUDY.c.next_row, STUDY.c.config)
    ).first()
    if row is None:
        raise StoreError("the study is closed")
    study = Study.model_validate_json(row.config)
    square_row = row.next_row - 1
    now = now_ms()
    at.execute(
        insert(PARTICIPANT).values(
            id=participant, study_id=study_id, secret_sha256=sha256(secret),
            withdrawal_sha256=sha256(begun.withdrawal_code),
            consent_version=study.consent_version, consent_text=consent_text,
            language=language, created_ms=now,
        )
    )  # fmt: skip
    at.execute(
        insert(SESSION).values(
            id=session, participant_id=participant, seed=seed, square_row=square_row,
            completion_code=begun.completion_code, started_ms=now,
        )
    )  # fmt: skip
    trials = [
        {
            "key": secrets.token_hex(8),
            "session_id": session,
            "position": position,
            "item": planned.item_id,
            "phase": planned.phase,
            "permutation": json.dumps(planned.permutation),
        }
        for position, planned in enumerate(plan(study, square_row, seed))
    ]
    at.execute(insert(TRIAL), trials)
    return Session(session, participant, study_id, language, seed, square_row, secret)


def find(at: Connection, secret: str) -> Session | None:
    """The session of a listener who comes back."""
    row = row_of(at, secret)
    if row is None:
        return None
    return Session(
        row.id, row.participant_id, row.study_id, row.language, row.seed, row.square_row,
        secret, row.finished_ms is not None,
    )  # fmt: skip


def row_of(at: Connection, secret: str, lock: bool = False) -> Row[Any] | None:
    """What is stored of the session whose listener knows `secret`."""
    query = (
        select(SESSION, PARTICIPANT.c.study_id, PARTICIPANT.c.language)
        .join(PARTICIPANT)
        .where(PARTICIPANT.c.secret_sha256 == sha256(secret))
    )
    return at.execute(query.with_for_update(of=SESSION) if lock else query).first()


def trials(at: Connection, session_id: str) -> list[Trial]:
    """In the order in which the listener meets them."""
    rows = at.execute(
        select(TRIAL, SUBMISSION.c.nonce)
        .outerjoin(SUBMISSION)
        .where(TRIAL.c.session_id == session_id)
        .order_by(TRIAL.c.position)
    )
    return [
        Trial(r.key, r.position, r.item, r.phase, tuple(json.loads(r.permutation)),
              r.nonce is not None)
        for r in rows
    ]  # fmt: skip


def state(at: Connection, session: Session) -> State:
    """Where the session stands, from what is stored alone.

    Raises:
        StoreError: it was withdrawn.
    """
    row = at.execute(select(SESSION).where(SESSION.c.id == session.id)).first()
    if row is None:
        raise StoreError("no such session")
    planned = trials(at, session.id)
    open_trials = [trial for trial in planned if not trial.submitted]
    ratings: dict[int, int] = {}
    if open_trials:
        found = at.execute(
            select(RATING.c.slot, RATING.c.score)
            .join(TRIAL)
            .where(TRIAL.c.key == open_trials[0].key)
        )
        ratings = {row.slot: row.score for row in found}
    answered = at.execute(
        select(func.count())
        .select_from(QUESTIONNAIRE)
        .where(QUESTIONNAIRE.c.participant_id == row.participant_id)
    ).scalar_one()
    return State(
        trial=open_trials[0] if open_trials else None,
        ratings=ratings,
        next_seq=next_seq(at, session.id),
        done=len(planned) - len(open_trials),
        total=len(planned),
        level_db=row.level_db,
        answered=answered > 0,
        finished=row.finished_ms is not None,
    )


def next_seq(at: Connection, session_id: str) -> int:
    """The first number that no event of the session has."""
    last = at.execute(select(func.max(EVENT.c.seq)).where(EVENT.c.session_id == session_id))
    highest = last.scalar_one()
    return 0 if highest is None else int(highest) + 1


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def new_id() -> str:
    return secrets.token_hex(16)
