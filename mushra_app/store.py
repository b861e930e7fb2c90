"""Listeners' answers: nothing acknowledged is ever lost, nothing is ever stored twice.

A listener is known by a secret in their browser; the store keeps its hash. From it follow the two
codes they get: one to withdraw with, one to show that they finished. What the browser says comes
as numbered events, which may be sent any number of times, in batches, from several tabs.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from base64 import b32encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from mushra_app import database
from mushra_app.study import Study
from mushra_app.tables import (
    EVENT,
    PARTICIPANT,
    QUESTIONNAIRE,
    RATING,
    SESSION,
    STUDY,
    SUBMISSION,
    TOKEN,
    TRIAL,
)
from nacbench import __version__
from nacbench.errors import UserError

TOKEN_LIFE_S = 24 * 3600
MAX_PAYLOAD = 64 * 1024  # characters of one event


class StoreError(Exception):
    """What was sent belongs to nobody, or says what cannot be; the message is for a log."""


class Planned(Protocol):
    """A trial of `trial.plan_session`."""

    @property
    def item_id(self) -> str: ...
    @property
    def phase(self) -> str: ...
    @property
    def permutation(self) -> tuple[int, ...]: ...


Plan = Callable[[Study, int, int], Sequence[Planned]]


@dataclass(frozen=True)
class Session:
    """One listener's way through a study.

    Attributes:
        square_row: of the balanced orders.
        secret: known only when it was just given; the codes follow from it.
    """

    id: str
    participant: str
    study_id: int
    language: str
    seed: int
    square_row: int
    secret: str
    finished: bool = False

    @property
    def withdrawal_code(self) -> str:
        return _code(self.secret, "withdrawal", 16)

    @property
    def completion_code(self) -> str:
        return _code(self.secret, "completion", 8)


@dataclass(frozen=True)
class Trial:
    """A page of a session.

    Attributes:
        key: random; what the browser calls it by.
        permutation: slot -> index into the item's conditions.
    """

    key: str
    position: int
    item: str
    phase: str
    permutation: tuple[int, ...]
    submitted: bool


@dataclass(frozen=True)
class State:
    """Where a session resumes.

    Attributes:
        trial: the first that is not submitted; None when all are.
        ratings: slot -> score, as last moved on that trial.
        next_seq: the first event number that was never used.
        done, total: trials that were submitted, and of the session.
        answered: whether the questionnaire was answered or passed over.
    """

    trial: Trial | None
    ratings: Mapping[int, int]
    next_seq: int
    done: int
    total: int
    level_db: float | None
    answered: bool
    finished: bool


@dataclass(frozen=True)
class Signal:
    """What a token stands for; condition None is the open reference."""

    study_id: int
    session: str
    item: str
    condition: str | None


@dataclass(frozen=True)
class Rated:
    """One score of one submitted trial, with everything an export needs."""

    participant: str
    session: str
    finished: bool
    square_row: int
    trial: str
    position: int
    phase: str
    item: str
    slot: int
    condition: str
    role: str
    score: int
    moves: int
    started_ms: int
    submitted_ms: int
    client: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Progress:
    """How far a study is: numbers of sessions, and of trials submitted."""

    begun: int
    finished: int
    withdrawn: int
    trials: int
    closed: bool


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
        with self.engine.begin() as at:
            self._lock_studies(at)
            found = at.execute(select(STUDY).where(named)).first()
            if found is None:
                row = at.execute(
                    insert(STUDY)
                    .values(
                        slug=study.slug, version=study.version, sha256=study.sha256,
                        config=config, code_version=__version__, created_ms=_now_ms(),
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
        with self.engine.begin() as at:
            at.execute(
                update(STUDY)
                .where(STUDY.c.id == study_id)
                .values(closed_ms=_now_ms() if closed else None)
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
        secret, participant, session = secrets.token_urlsafe(24), _new_id(), _new_id()
        begun = Session(session, participant, study_id, language, seed, 0, secret)
        with self.engine.begin() as at:
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
            now = _now_ms()
            at.execute(
                insert(PARTICIPANT).values(
                    id=participant, study_id=study_id, secret_sha256=_sha256(secret),
                    withdrawal_sha256=_sha256(begun.withdrawal_code),
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

    def find_session(self, secret: str) -> Session | None:
        """The session of a listener who comes back."""
        with database.reading(self.engine) as at:
            row = self._session_row(at, secret)
        if row is None:
            return None
        return Session(
            row.id, row.participant_id, row.study_id, row.language, row.seed, row.square_row,
            secret, row.finished_ms is not None,
        )  # fmt: skip

    def _session_row(self, at: Connection, secret: str, lock: bool = False) -> Row[Any] | None:
        query = (
            select(SESSION, PARTICIPANT.c.study_id, PARTICIPANT.c.language)
            .join(PARTICIPANT)
            .where(PARTICIPANT.c.secret_sha256 == _sha256(secret))
        )
        return at.execute(query.with_for_update(of=SESSION) if lock else query).first()

    def trials(self, session: Session) -> list[Trial]:
        """In the order in which the listener meets them."""
        with database.reading(self.engine) as at:
            return self._trials(at, session.id)

    def _trials(self, at: Connection, session_id: str) -> list[Trial]:
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

    def state(self, session: Session) -> State:
        """Where the session stands, from what is stored alone.

        Raises:
            StoreError: it was withdrawn.
        """
        with database.reading(self.engine) as at:
            row = at.execute(select(SESSION).where(SESSION.c.id == session.id)).first()
            if row is None:
                raise StoreError("no such session")
            trials = self._trials(at, session.id)
            open_trials = [trial for trial in trials if not trial.submitted]
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
                next_seq=self._next_seq(at, session.id),
                done=len(trials) - len(open_trials),
                total=len(trials),
                level_db=row.level_db,
                answered=answered > 0,
                finished=row.finished_ms is not None,
            )

    def answer(self, session: Session, answers: Mapping[str, str]) -> None:
        """Store the questionnaire; {} for one that was passed over. The first answers stay."""
        kept = {**answers, "": ""}  # the empty question says that it was asked
        with self.engine.begin() as at:
            if self._session_row(at, session.secret, lock=True) is None:
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

    def describe_client(self, session: Session, client: Mapping[str, Any]) -> None:
        """Browser family, rate of the audio device; nothing that tells who it is."""
        self._set(session, client=json.dumps(client))

    def finish(self, session: Session, comment: str = "") -> None:
        """All is rated; the comment may be empty."""
        self._set(session, finished_ms=_now_ms(), comment=comment or None)

    def _set(self, session: Session, **values: Any) -> None:
        with self.engine.begin() as at:
            at.execute(update(SESSION).where(SESSION.c.id == session.id).values(**values))

    def withdraw(self, code: str) -> bool:
        """Delete everything a listener said; whether the code was anybody's."""
        digest = _sha256(code.strip().upper())
        with self.engine.begin() as at:
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
        now = _now_ms()
        with self.engine.begin() as at:
            old = (TOKEN.c.session_id == session.id) & (TOKEN.c.expires_ms < now)
            at.execute(delete(TOKEN).where(old))
            at.execute(
                insert(TOKEN),
                [
                    {
                        "sha256": _sha256(token),
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
                .where(TOKEN.c.sha256 == _sha256(token), TOKEN.c.expires_ms >= _now_ms())
            ).first()
        if row is None:
            return None
        return Signal(row.study_id, row.session_id, row.item, row.condition)

    # Answers

    def take(self, secret: str, events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Store a browser's events; what is said to be taken is on the disk.

        Args:
            events: each with "seq", "nonce", "type" and what it says: "rating" (trial, slot,
                score), "submit" (trial, ratings, client), "level" (db), or anything to be kept.
        Returns:
            "taken": nonces of events that are stored, now or before; "next": the first free seq.
            An event whose seq another one has is not taken: the browser numbers it anew.
        Raises:
            StoreError: the secret is nobody's, or an event says what cannot be; nothing is stored.
        """
        with self.engine.begin() as at:
            row = self._session_row(at, secret, lock=True)
            if row is None:
                raise StoreError("no such session")
            mine = EVENT.c.session_id == row.id
            nonces = [event["nonce"] for event in events]
            numbers = [event["seq"] for event in events]
            query = select(EVENT.c.nonce).where(mine, EVENT.c.nonce.in_(nonces))
            taken = set(at.execute(query).scalars())
            used = set(
                at.execute(select(EVENT.c.seq).where(mine, EVENT.c.seq.in_(numbers))).scalars()
            )
            for event in events:
                if event["nonce"] in taken or event["seq"] in used:
                    continue
                self._keep(at, row.id, event)
                self._apply(at, row.id, event)
                taken.add(event["nonce"])
                used.add(event["seq"])
            return {"taken": [n for n in nonces if n in taken], "next": self._next_seq(at, row.id)}

    def _next_seq(self, at: Connection, session_id: str) -> int:
        last = at.execute(select(func.max(EVENT.c.seq)).where(EVENT.c.session_id == session_id))
        highest = last.scalar_one()
        return 0 if highest is None else int(highest) + 1

    def _keep(self, at: Connection, session_id: str, event: Mapping[str, Any]) -> None:
        said = {k: v for k, v in event.items() if k not in ("seq", "nonce", "type")}
        payload = json.dumps(said)
        if len(payload) > MAX_PAYLOAD:
            raise StoreError("an event is too long")
        at.execute(
            insert(EVENT).values(
                session_id=session_id, seq=event["seq"], nonce=event["nonce"],
                type=event["type"], payload=payload, server_ms=_now_ms(),
            )
        )  # fmt: skip

    def _apply(self, at: Connection, session_id: str, event: Mapping[str, Any]) -> None:
        if event["type"] == "level":
            level = event.get("db")
            if not isinstance(level, (int, float)) or not -60 <= level <= 20:
                raise StoreError("a level that cannot be")
            at.execute(update(SESSION).where(SESSION.c.id == session_id).values(level_db=level))
        elif event["type"] in ("rating", "submit"):
            trial = at.execute(
                select(TRIAL, SUBMISSION.c.nonce)
                .outerjoin(SUBMISSION)
                .where(TRIAL.c.key == str(event.get("trial")), TRIAL.c.session_id == session_id)
            ).first()
            if trial is None:
                raise StoreError("no such trial")
            if trial.nonce is not None:
                return  # submitted by another tab; this stays among the events
            if event["type"] == "rating":
                self._rate(at, trial, {event.get("slot"): event.get("score")}, event["seq"])
            else:
                self._submit(at, trial, event)

    def _submit(self, at: Connection, trial: Row[Any], event: Mapping[str, Any]) -> None:
        ratings, client = event.get("ratings"), event.get("client", {})
        slots = len(json.loads(trial.permutation))
        if not isinstance(ratings, Mapping) or not isinstance(client, Mapping):
            raise StoreError("a submission without ratings")
        scores = {int(s): v for s, v in ratings.items() if str(s).isdecimal()}
        if sorted(scores) != list(range(slots)) or len(ratings) != slots:
            raise StoreError(f"a submission must rate all {slots} signals")
        self._rate(at, trial, scores, event["seq"], moved=False)
        at.execute(
            insert(SUBMISSION).values(
                nonce=event["nonce"], trial_id=trial.id, client=json.dumps(dict(client)),
                server_ms=_now_ms(),
            )
        )  # fmt: skip

    def _rate(
        self, at: Connection, trial: Row[Any], scores: Mapping[Any, Any], seq: int,
        moved: bool = True,
    ) -> None:  # fmt: skip
        slots = len(json.loads(trial.permutation))
        for slot, score in scores.items():
            sound = type(slot) is int and 0 <= slot < slots
            if not (sound and type(score) is int and 0 <= score <= 100):
                raise StoreError("a rating must be a whole number from 0 to 100 of a signal")
            here = (RATING.c.trial_id == trial.id) & (RATING.c.slot == slot)
            before = at.execute(select(RATING.c.seq).where(here)).scalar_one_or_none()
            if before is None:
                at.execute(
                    insert(RATING).values(
                        trial_id=trial.id, slot=slot, score=score, moves=int(moved),
                        first_ms=_now_ms(), seq=seq,
                    )
                )  # fmt: skip
            else:
                newer = {"score": score, "seq": seq} if seq > before else {}
                more = {"moves": RATING.c.moves + int(moved)}
                at.execute(update(RATING).where(here).values({**newer, **more}))

    # Export

    def ratings(self, study_id: int) -> list[Rated]:
        """Every score of every submitted trial, in the order of listeners and their trials."""
        study = self.study(study_id)
        conditions = {item.id: item.conditions for item in study.all_items}
        with database.reading(self.engine) as at:
            rows = at.execute(
                select(
                    PARTICIPANT.c.id.label("participant"), SESSION.c.id.label("session"),
                    SESSION.c.finished_ms, SESSION.c.square_row, SESSION.c.started_ms,
                    TRIAL.c.key, TRIAL.c.position, TRIAL.c.phase, TRIAL.c.item,
                    TRIAL.c.permutation, RATING.c.slot, RATING.c.score, RATING.c.moves,
                    SUBMISSION.c.server_ms, SUBMISSION.c.client,
                )
                .select_from(PARTICIPANT)
                .join(SESSION)
                .join(TRIAL)
                .join(SUBMISSION)
                .join(RATING, RATING.c.trial_id == TRIAL.c.id)
                .where(PARTICIPANT.c.study_id == study_id)
                .order_by(SESSION.c.square_row, TRIAL.c.position, RATING.c.slot)
            ).all()  # fmt: skip
        found = []
        for row in rows:
            graded = conditions[row.item][json.loads(row.permutation)[row.slot]]
            found.append(
                Rated(
                    participant=row.participant, session=row.session,
                    finished=row.finished_ms is not None, square_row=row.square_row,
                    trial=row.key, position=row.position, phase=row.phase, item=row.item,
                    slot=row.slot, condition=graded.condition, role=graded.role,
                    score=row.score, moves=row.moves, started_ms=row.started_ms,
                    submitted_ms=row.server_ms, client=json.loads(row.client),
                )
            )  # fmt: skip
        return found

    def answers(self, study_id: int) -> dict[str, dict[str, str]]:
        """Participant -> question -> answer; a table of its own, never part of the ratings."""
        with database.reading(self.engine) as at:
            rows = at.execute(
                select(QUESTIONNAIRE)
                .join(PARTICIPANT)
                .where(PARTICIPANT.c.study_id == study_id, QUESTIONNAIRE.c.question != "")
            ).all()
        found: dict[str, dict[str, str]] = {}
        for row in rows:
            found.setdefault(row.participant_id, {})[row.question] = row.answer
        return found

    def comments(self, study_id: int) -> list[str]:
        with database.reading(self.engine) as at:
            rows = at.execute(
                select(SESSION.c.comment)
                .join(PARTICIPANT)
                .where(PARTICIPANT.c.study_id == study_id, SESSION.c.comment.is_not(None))
                .order_by(SESSION.c.square_row)
            )
            return list(rows.scalars())


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _new_id() -> str:
    return secrets.token_hex(16)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _code(secret: str, purpose: str, length: int) -> str:
    """`K7QW-2MNX`: follows from a secret and does not lead back to it."""
    digest = hmac.digest(secret.encode(), purpose.encode(), "sha256")
    letters = b32encode(digest).decode()[:length]
    return "-".join(letters[at : at + 4] for at in range(0, length, 4))
