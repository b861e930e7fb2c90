"""What the store hands out: sessions and trials, where they stand, and what was rated."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b32encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class StoreError(Exception):
    """What was sent belongs to nobody, or says what cannot be; the message is for a log."""


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
        return code(self.secret, "withdrawal", 16)

    @property
    def completion_code(self) -> str:
        return code(self.secret, "completion", 8)


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


def sha256(text: str) -> str:
    """What is stored of a secret."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def code(secret: str, purpose: str, length: int) -> str:
    """`K7QW-2MNX`: follows from a secret and does not lead back to it."""
    digest = hmac.digest(secret.encode(), purpose.encode(), "sha256")
    letters = b32encode(digest).decode()[:length]
    return "-".join(letters[at : at + 4] for at in range(0, length, 4))
