"""Many listeners at once, and a server that is killed: every acknowledged answer is there, once."""

from __future__ import annotations

import json
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import postgres
import pytest
from listening import ROLES, Server, served, write_study

from mushra_app import database
from mushra_app.records import Rated, Session
from mushra_app.store import Store
from mushra_app.study import Study
from mushra_app.trial import plan_session

LISTENERS = 20
TRIALS = 20
KILLS = 20
PATIENCE_S = 60
SIGNALS = len(ROLES)


def post(url: str, secret: str, events: list[dict[str, Any]]) -> list[str]:
    """Nonces that the server says are stored."""
    content = json.dumps({"participant": secret, "events": events}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url + "api/answers", content, headers)
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        taken: list[str] = json.load(answer)["taken"]
        return taken


def submission(seq: int, trial: str) -> dict[str, Any]:
    """A trial's grades, which follow from its random key so that any mix-up shows."""
    ratings = {str(slot): grade(trial, slot) for slot in range(SIGNALS)}
    event = {"seq": seq, "nonce": secrets.token_hex(16), "type": "submit", "trial": trial}
    return {**event, "ratings": ratings, "client": {"duration_ms": seq}}


def grade(trial: str, slot: int) -> int:
    return (int(trial, 16) >> (7 * slot)) % 101


@contextmanager
def opened(study: Study, db: str | None) -> Iterator[tuple[Store, int]]:
    store = Store(database.url_for(study.folder, db))
    try:
        yield store, store.add_study(study)
    finally:
        store.close()


def begin(store: Store, number: int, listeners: int) -> list[tuple[Session, list[str]]]:
    sessions = []
    for seed in range(listeners):
        session = store.start_session(
            number, plan_session, seed=seed, consent_text="yes", language="en"
        )
        sessions.append((session, [trial.key for trial in store.trials(session)]))
    return sessions


def hold(found: list[Rated], expected: set[str]) -> None:
    """Each expected trial is there with all its grades, once; no other is."""
    places = [(rated.trial, rated.slot) for rated in found]
    assert len(places) == len(set(places))
    assert {trial for trial, _ in places} == expected
    assert len(places) == len(expected) * SIGNALS
    assert all(rated.score == grade(rated.trial, rated.slot) for rated in found)


def large_study(folder: Path) -> Study:
    items = tuple(f"zw-{k}" for k in range(TRIALS))
    return write_study(folder, items=items, training=(), replicate_share=0, seconds=0.5)


def crowd(study: Study, db: str | None) -> float:
    """Everybody submits everything twice at the same time; how long it took, in seconds."""
    with served(study.folder, db) as server, opened(study, db) as (store, number):
        sessions = begin(store, number, LISTENERS)

        def listen(session: Session, trials: list[str]) -> int:
            taken = 0
            for seq, trial in enumerate(trials):
                event = submission(seq, trial)
                with ThreadPoolExecutor(2) as twice:  # a double click, or two tabs
                    both = [twice.submit(post, server.url, session.secret, [event])
                            for _ in range(2)]  # fmt: skip
                    taken += sum(len(answer.result()) for answer in both)
            return taken

        began = time.monotonic()
        with ThreadPoolExecutor(LISTENERS) as pool:
            taken = list(pool.map(listen, *zip(*sessions, strict=True)))
        took = time.monotonic() - began
        assert taken == [2 * TRIALS] * LISTENERS
        hold(store.ratings(number), {trial for _, trials in sessions for trial in trials})
        return took


@pytest.mark.parametrize("family", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def test_twenty_listeners_at_once_each_submitting_twice_are_stored_once(
    tmp_path: Path, family: str
) -> None:
    study = large_study(tmp_path)
    if family == "sqlite":
        crowd(study, None)
        return
    with postgres.running() as url:
        crowd(study, url)


@pytest.mark.slow  # starts the server twenty-one times
def test_twenty_kills_of_the_server_lose_no_acknowledged_answer(tmp_path: Path) -> None:
    study = large_study(tmp_path)
    acknowledged: set[str] = set()
    with opened(study, None) as (store, number), served(study.folder) as server:
        sessions = begin(store, number, 1 + KILLS)
        for session, trials in sessions:
            numbers = count()
            for at, trial in enumerate(trials):
                event = submission(next(numbers), trial)
                if at == TRIALS // 2 and session is not sessions[-1][0]:
                    _kill_while_posting(server, session, event)
                if post(server.url, session.secret, [event]):
                    acknowledged.add(trial)
        assert len(acknowledged) == (1 + KILLS) * TRIALS
        hold(store.ratings(number), acknowledged)


def _kill_while_posting(server: Server, session: Session, event: dict[str, Any]) -> None:
    """The answer may arrive or not; the browser, which cannot know, will send it again."""
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(post, server.url, session.secret, [event])
        time.sleep(int(event["nonce"][:2], 16) / 255 * 0.02)
        server.kill()
        if answer.exception() is not None:
            assert isinstance(answer.exception(), OSError | urllib.error.URLError)
    server.start()


def test_answers_that_make_no_sense_are_refused_in_words(tmp_path: Path) -> None:
    study = large_study(tmp_path)
    with served(study.folder) as server, opened(study, None) as (store, number):
        ((session, trials),) = begin(store, number, 1)

        def status(body: bytes) -> int:
            request = urllib.request.Request(server.url + "api/answers", body)
            try:
                with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                    return int(answer.status)
            except urllib.error.HTTPError as error:
                with error:
                    assert set(json.load(error)) == {"error"}
                return error.code

        def told(**changes: Any) -> bytes:
            event = {**submission(0, trials[0]), **changes}
            return json.dumps({"participant": session.secret, "events": [event]}).encode()

        assert status(b"") == 400
        assert status(b"[" * 100_000) == 400
        assert status(b'{"participant": 3, "events": []}') == 400
        assert status(told(seq=-1)) == 400
        assert status(told(nonce="short")) == 400
        assert status(b" " * 600_000) == 413
        assert status(told(trial="of somebody else")) == 403
        assert status(told(ratings={"0": 50})) == 403
        assert status(told(ratings={str(slot): 101 for slot in range(SIGNALS)})) == 403
        assert status(json.dumps({"participant": "nobody", "events": []}).encode()) == 403
        assert store.ratings(number) == []
        assert status(told()) == 200
        hold(store.ratings(number), {trials[0]})


def test_an_address_that_was_not_given_out_is_not_there(tmp_path: Path) -> None:
    study = write_study(tmp_path, seconds=0.5)
    with served(study.folder) as server:
        for path in ("api/signal/" + "A" * 32, "player/..%2Fapp.py", "player/app.py", "study.yaml"):
            try:
                with urllib.request.urlopen(server.url + path, timeout=PATIENCE_S) as answer:
                    content = answer.read()
            except urllib.error.HTTPError as error:
                with error:
                    content = error.read()
            assert b"import" not in content
            assert b"xq-" not in content
