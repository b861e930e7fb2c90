"""What was rated, answered and commented, read for those who look at it later."""

from __future__ import annotations

import json

from sqlalchemy import Connection, select

from mushra_app.records import Rated
from mushra_app.study import Study
from mushra_app.tables import PARTICIPANT, QUESTIONNAIRE, RATING, SESSION, SUBMISSION, TRIAL


def ratings(at: Connection, study_id: int, study: Study) -> list[Rated]:
    """Every score of every submitted trial, in the order of listeners and their trials."""
    conditions = {item.id: item.conditions for item in study.all_items}
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


def answers(at: Connection, study_id: int) -> dict[str, dict[str, str]]:
    """Participant -> question -> answer; a table of its own, never part of the ratings."""
    rows = at.execute(
        select(QUESTIONNAIRE)
        .join(PARTICIPANT)
        .where(PARTICIPANT.c.study_id == study_id, QUESTIONNAIRE.c.question != "")
    ).all()
    found: dict[str, dict[str, str]] = {}
    for row in rows:
        found.setdefault(row.participant_id, {})[row.question] = row.answer
    return found


def comments(at: Connection, study_id: int) -> list[str]:
    rows = at.execute(
        select(SESSION.c.comment)
        .join(PARTICIPANT)
        .where(PARTICIPANT.c.study_id == study_id, SESSION.c.comment.is_not(None))
        .order_by(SESSION.c.square_row)
    )
    return list(rows.scalars())
