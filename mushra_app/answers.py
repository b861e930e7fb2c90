"""What a browser says, event by event: taken once, in its order, or refused whole.

Everything here writes within the transaction that it is given.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from mushra_app import sessions
from mushra_app.records import StoreError
from mushra_app.tables import EVENT, RATING, SESSION, SUBMISSION, TRIAL

MAX_PAYLOAD = 64 * 1024  # characters of one event


def take(at: Connection, secret: str, events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Store a browser's events; what is said to be taken is on the disk.

    Args:
        events: each with "seq", "nonce", "type" and what it says: "rating" (trial, slot,
            score), "submit" (trial, ratings, client), "level" (db), or anything to be kept.
    Returns:
        "taken": nonces of events that are stored, now or before; "next": the first free seq.
        An event whose seq another one has is not taken, nor is any after it: an older
        grade, numbered anew, would else count more than a newer one.
    Raises:
        StoreError: the secret is nobody's, or an event says what cannot be; nothing is stored.
    """
    row = sessions.row_of(at, secret, lock=True)
    if row is None:
        raise StoreError("no such session")
    mine = EVENT.c.session_id == row.id
    nonces = [event["nonce"] for event in events]
    numbers = [event["seq"] for event in events]
    query = select(EVENT.c.nonce).where(mine, EVENT.c.nonce.in_(nonces))
    taken = set(at.execute(query).scalars())
    used = set(at.execute(select(EVENT.c.seq).where(mine, EVENT.c.seq.in_(numbers))).scalars())
    for event in events:
        if event["nonce"] in taken:
            continue
        if event["seq"] in used:
            break
        _keep(at, row.id, event)
        _apply(at, row.id, event)
        taken.add(event["nonce"])
        used.add(event["seq"])
    return {"taken": [n for n in nonces if n in taken], "next": sessions.next_seq(at, row.id)}


def _keep(at: Connection, session_id: str, event: Mapping[str, Any]) -> None:
    said = {k: v for k, v in event.items() if k not in ("seq", "nonce", "type")}
    payload = json.dumps(said)
    if len(payload) > MAX_PAYLOAD:
        raise StoreError("an event is too long")
    at.execute(
        insert(EVENT).values(
            session_id=session_id, seq=event["seq"], nonce=event["nonce"],
            type=event["type"], payload=payload, server_ms=sessions.now_ms(),
        )
    )  # fmt: skip


def _apply(at: Connection, session_id: str, event: Mapping[str, Any]) -> None:
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
            _rate(at, trial, {event.get("slot"): event.get("score")}, event["seq"])
        else:
            _submit(at, trial, event)


def _submit(at: Connection, trial: Row[Any], event: Mapping[str, Any]) -> None:
    ratings, client = event.get("ratings"), event.get("client", {})
    slots = len(json.loads(trial.permutation))
    if not isinstance(ratings, Mapping) or not isinstance(client, Mapping):
        raise StoreError("a submission without ratings")
    named = {str(slot): score for slot, score in ratings.items()}
    if named.keys() != {str(slot) for slot in range(slots)}:
        raise StoreError(f"a submission must rate all {slots} signals")
    scores = {slot: named[str(slot)] for slot in range(slots)}
    _rate(at, trial, scores, event["seq"], moved=False)
    at.execute(
        insert(SUBMISSION).values(
            nonce=event["nonce"], trial_id=trial.id, client=json.dumps(dict(client)),
            server_ms=sessions.now_ms(),
        )
    )  # fmt: skip


def _rate(
    at: Connection, trial: Row[Any], scores: Mapping[Any, Any], seq: int, moved: bool = True
) -> None:
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
                    first_ms=sessions.now_ms(), seq=seq,
                )
            )  # fmt: skip
        else:
            newer = {"score": score, "seq": seq} if seq > before else {}
            more = {"moves": RATING.c.moves + int(moved)}
            at.execute(update(RATING).where(here).values({**newer, **more}))
