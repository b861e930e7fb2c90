"""The store of answers, on SQLite and on a PostgreSQL that the test starts."""

from __future__ import annotations

import itertools
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mushra_studies
import postgres
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, inspect, select, text

from mushra_app.database import url_for
from mushra_app.records import Session, StoreError
from mushra_app.store import Store
from mushra_app.study import Study
from mushra_app.tables import METADATA, PARTICIPANT
from nacbench.errors import UserError

LISTENERS, TRIALS = 20, 20
HELD_S = 0.3  # how long another one holds a new database


@dataclass(frozen=True)
class Planned:
    item_id: str
    phase: str
    permutation: tuple[int, ...]


def in_order(study: Study, row: int, seed: int) -> list[Planned]:
    """A plan without chance: each item's signals, reversed."""
    backwards = tuple(reversed(range(len(study.items[0].conditions))))
    phases = [("training", study.training), ("test", study.items)]
    return [Planned(item.id, phase, backwards) for phase, items in phases for item in items]


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    with postgres.running() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ratings.sqlite'}"
    url: str = request.getfixturevalue("postgres_url")
    engine = create_engine(url)
    with engine.begin() as at:
        at.execute(text("DROP SCHEMA public CASCADE"))
        at.execute(text("CREATE SCHEMA public"))
    engine.dispose()
    return url


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    store = Store(url)
    yield store
    store.close()


def begin(store: Store, study_id: int, seed: int = 1) -> Session:
    return store.start_session(
        study_id, in_order, seed=seed, consent_text="I agree.", language="en"
    )


def events(*said: dict[str, Any], first: int = 0) -> list[dict[str, Any]]:
    return [
        {"seq": first + n, "nonce": f"nonce-{first + n:010d}", **event}
        for n, event in enumerate(said)
    ]


def submission(key: str, scores: Sequence[int]) -> dict[str, Any]:
    ratings = {str(slot): score for slot, score in enumerate(scores)}
    return {"type": "submit", "trial": key, "ratings": ratings, "client": {"ms": 1234}}


def test_the_migrations_build_the_tables_of_the_code(store: Store) -> None:
    with store.engine.connect() as at:
        context = MigrationContext.configure(at, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []
    assert set(inspect(store.engine).get_table_names()) == {*METADATA.tables, "alembic_version"}


def test_a_store_that_is_opened_by_many_at_once_is_built_once(url: str) -> None:
    with ThreadPoolExecutor(6) as pool:
        stores = list(pool.map(Store, [url] * 6))
    with stores[0].engine.connect() as at:
        assert at.execute(text("SELECT count(*) FROM alembic_version")).scalar_one() == 1
    for store in stores:
        store.close()


def test_a_new_database_that_another_writes_to_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "ratings.sqlite"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    other.execute("CREATE TABLE foreign_one (id INTEGER)")
    threading.Timer(HELD_S, other.execute, ["COMMIT"]).start()
    Store(f"sqlite:///{path}").close()
    assert other.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)
    other.close()


def test_a_database_of_a_newer_version_is_refused(store: Store, url: str) -> None:
    with store.engine.begin() as at:
        at.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(UserError, match="newer nacbench"):
        Store(url)


@pytest.mark.parametrize("address", ["mysql://x/y", "sqlite://", "nonsense", "oracle+what://"])
def test_other_databases_are_refused_in_a_sentence(address: str) -> None:
    with pytest.raises(UserError, match="Expected sqlite:///FILE or postgresql"):
        Store(address)


def test_the_address_is_the_option_then_the_environment_then_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NACBENCH_MUSHRA_DB", raising=False)
    assert url_for(tmp_path) == f"sqlite:///{tmp_path}/ratings.sqlite"
    monkeypatch.setenv("NACBENCH_MUSHRA_DB", "postgresql+psycopg://x")
    assert url_for(tmp_path) == "postgresql+psycopg://x"
    assert url_for(tmp_path, "sqlite:////a") == "sqlite:////a"


def test_a_session_resumes_at_the_same_trial_with_the_same_order_and_ratings(store: Store) -> None:
    number = store.add_study(mushra_studies.study())
    session = begin(store, number)
    first = store.state(session).trial
    assert first is not None and first.phase == "training" and first.permutation == (4, 3, 2, 1, 0)
    store.take(session.secret, events(submission(first.key, [50] * 5)))
    second = store.state(session).trial
    assert second is not None and second.item == "item0"
    moved = [{"type": "rating", "trial": second.key, "slot": s, "score": 10 + s} for s in (0, 3, 0)]
    store.take(session.secret, events(*moved, first=1))

    again = store.find_session(session.secret)
    assert again is not None and again.id == session.id and again.square_row == 0
    state = store.state(again)
    assert state.trial == second
    assert state.ratings == {0: 10, 3: 13}
    assert (state.done, state.total, state.next_seq) == (1, 7, 4)
    assert again.withdrawal_code == session.withdrawal_code
    assert store.find_session("another secret") is None


def test_events_sent_again_change_nothing(store: Store) -> None:
    session = begin(store, store.add_study(mushra_studies.study()))
    trial = store.state(session).trial
    assert trial is not None
    batch = events(
        {"type": "rating", "trial": trial.key, "slot": 1, "score": 20},
        {"type": "rating", "trial": trial.key, "slot": 1, "score": 70},
        submission(trial.key, [1, 2, 3, 4, 5]),
    )
    answers = [store.take(session.secret, batch) for _ in range(3)]
    assert answers[0]["taken"] == [event["nonce"] for event in batch]
    assert answers[0] == answers[1] == answers[2]
    rated = store.ratings(session.study_id)
    assert [r.score for r in rated] == [1, 2, 3, 4, 5]
    assert [r.moves for r in rated] == [0, 2, 0, 0, 0]
    assert [r.condition for r in rated] == ["b", "a", "anchor70", "anchor35", "reference"]


def test_an_older_event_that_arrives_late_does_not_undo_a_newer_one(store: Store) -> None:
    session = begin(store, store.add_study(mushra_studies.study()))
    trial = store.state(session).trial
    assert trial is not None
    older, newer = events(
        {"type": "rating", "trial": trial.key, "slot": 0, "score": 20},
        {"type": "rating", "trial": trial.key, "slot": 0, "score": 30},
    )
    store.take(session.secret, [newer])
    store.take(session.secret, [older])
    assert store.state(session).ratings == {0: 30}


def test_a_number_that_another_tab_used_is_given_back_to_be_drawn_again(store: Store) -> None:
    session = begin(store, store.add_study(mushra_studies.study()))
    here, there = ({"seq": 0, "nonce": name * 16, "type": "play"} for name in "ab")
    assert store.take(session.secret, [here]) == {"taken": ["a" * 16], "next": 1}
    assert store.take(session.secret, [there]) == {"taken": [], "next": 1}
    assert store.take(session.secret, [{**there, "seq": 1}]) == {"taken": ["b" * 16], "next": 2}


def test_what_follows_a_number_in_use_waits_for_it(store: Store) -> None:
    session = begin(store, store.add_study(mushra_studies.study()))
    trial = store.state(session).trial
    assert trial is not None
    moved = [{"type": "rating", "trial": trial.key, "slot": 0, "score": s} for s in (20, 30)]
    batch = events(*moved)
    other = {"seq": 0, "nonce": "a" * 16, "type": "play"}
    store.take(session.secret, [other])
    assert store.take(session.secret, batch) == {"taken": [], "next": 1}
    store.take(session.secret, [{**event, "seq": event["seq"] + 1} for event in batch])
    assert store.state(session).ratings == {0: 30}


def test_the_first_submission_of_a_trial_counts(store: Store) -> None:
    session = begin(store, store.add_study(mushra_studies.study()))
    trial = store.state(session).trial
    assert trial is not None
    store.take(session.secret, events(submission(trial.key, [1] * 5)))
    store.take(session.secret, events(submission(trial.key, [9] * 5), first=1))
    late = {"type": "rating", "trial": trial.key, "slot": 0, "score": 99}
    store.take(session.secret, events(late, first=2))
    assert [r.score for r in store.ratings(session.study_id)] == [1] * 5


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "rating", "slot": 5, "score": 50},
        {"type": "rating", "slot": -1, "score": 50},
        {"type": "rating", "slot": 0, "score": 101},
        {"type": "rating", "slot": 0, "score": 50.5},
        {"type": "rating", "slot": 0, "score": True},
        {"type": "submit", "ratings": {"0": 50}},
        {"type": "submit", "ratings": {str(n): 50 for n in range(6)}},
        {"type": "submit", "ratings": {str(n): None for n in range(5)}},
        {"type": "submit", "ratings": None},
        {"type": "rating", "slot": 0, "score": 50, "trial": "somebody else's"},
        {"type": "level", "db": "loud"},
        {"type": "note", "text": "x" * 70_000},
    ],
)
def test_what_cannot_be_is_refused_whole(store: Store, wrong: dict[str, Any]) -> None:
    session = begin(store, store.add_study(mushra_studies.study()))
    trial = store.state(session).trial
    assert trial is not None
    sound = {"type": "rating", "trial": trial.key, "slot": 1, "score": 20}
    with pytest.raises(StoreError):
        store.take(session.secret, events(sound, {"trial": trial.key, **wrong}))
    assert store.state(session).ratings == {}
    assert store.state(session).next_seq == 0


def test_a_trial_of_another_listener_cannot_be_rated(store: Store) -> None:
    number = store.add_study(mushra_studies.study())
    mine, theirs = begin(store, number), begin(store, number)
    trial = store.state(theirs).trial
    assert trial is not None
    with pytest.raises(StoreError, match="no such trial"):
        store.take(mine.secret, events(submission(trial.key, [50] * 5)))
    with pytest.raises(StoreError, match="no such session"):
        store.take("guessed", events(submission(trial.key, [50] * 5)))


def test_withdrawing_leaves_nothing_of_a_listener_and_nobody_else_loses(
    store: Store, url: str
) -> None:
    number = store.add_study(mushra_studies.study())
    sessions = [begin(store, number), begin(store, number)]
    for session in sessions:
        trial = store.state(session).trial
        assert trial is not None
        store.take(session.secret, events(submission(trial.key, [50] * 5)))
        store.answer(session, {"age": f"very own answer of {session.id}"})
        store.issue_tokens(session, [("item0", "a")])
        store.finish(session, comment="thanks")
    assert not store.withdraw("AAAA-AAAA-AAAA-AAAA")
    assert store.withdraw(f"  {sessions[0].withdrawal_code.lower()} ")
    assert not store.withdraw(sessions[0].withdrawal_code)
    assert store.find_session(sessions[0].secret) is None
    assert {r.session for r in store.ratings(number)} == {sessions[1].id}
    assert store.progress(number).withdrawn == 1 and store.progress(number).begun == 1
    with store.engine.connect() as at:
        for table in METADATA.sorted_tables:
            rows = at.execute(select(table)).all()
            assert sessions[0].id not in str(rows) and sessions[0].participant not in str(rows)
    if url.startswith("sqlite"):
        file = Path(url.removeprefix("sqlite:///"))
        for path in file.parent.iterdir():
            assert f"very own answer of {sessions[0].id}".encode() not in path.read_bytes()


def test_only_hashes_of_secrets_are_stored(store: Store) -> None:
    session = begin(store, store.add_study(mushra_studies.study()))
    [token] = store.issue_tokens(session, [("item0", None)])
    with store.engine.connect() as at:
        for table in METADATA.sorted_tables:
            rows = str(at.execute(select(table)).all())
            for secret in (session.secret, session.withdrawal_code, token):
                assert secret not in rows, table.name


def test_no_column_can_hold_who_a_listener_is() -> None:
    columns = {column.name for table in METADATA.sorted_tables for column in table.columns}
    assert not {c for c in columns if "mail" in c or c in ("ip", "address", "name", "user_agent")}


def test_tokens_stand_for_their_signal_until_they_expire(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = begin(store, store.add_study(mushra_studies.study()))
    tokens = store.issue_tokens(session, [("item0", None), ("item0", "reference")])
    found = [store.resolve_token(token) for token in tokens]
    assert [f and (f.session, f.item, f.condition) for f in found] == [
        (session.id, "item0", None),
        (session.id, "item0", "reference"),
    ]
    assert store.resolve_token("x" * 32) is None
    monkeypatch.setattr("mushra_app.store.TOKEN_LIFE_S", -1)
    [expired] = store.issue_tokens(session, [("item0", "a")])
    assert store.resolve_token(expired) is None


def test_a_closed_study_takes_no_new_listener_but_lets_others_finish(store: Store) -> None:
    number = store.add_study(mushra_studies.study())
    session = begin(store, number)
    store.set_closed(number, True)
    with pytest.raises(StoreError, match="closed"):
        begin(store, number)
    trial = store.state(session).trial
    assert trial is not None
    store.take(session.secret, events(submission(trial.key, [50] * 5)))
    assert store.progress(number).closed and store.progress(number).trials == 1
    store.set_closed(number, False)
    begin(store, number)


def test_a_study_that_listeners_have_begun_cannot_change_under_them(store: Store) -> None:
    study = mushra_studies.study()
    number = store.add_study(study)
    edited = study.model_copy(update={"title": "Another"})
    assert store.add_study(edited) == number  # nobody has begun
    assert store.study(number).title == "Another"
    begin(store, number)
    with pytest.raises(UserError, match="Raise its 'version'"):
        store.add_study(study)
    assert store.add_study(study.model_copy(update={"version": 2})) != number


def test_the_questionnaire_is_kept_apart_and_its_first_answers_stay(store: Store) -> None:
    session = begin(store, store.add_study(mushra_studies.study()))
    assert not store.state(session).answered
    store.answer(session, {"age": "30-39"})
    store.answer(session, {"age": "40-49"})
    assert store.state(session).answered
    assert store.answers(session.study_id) == {session.participant: {"age": "30-39"}}
    other = begin(store, session.study_id)
    store.answer(other, {})
    assert store.state(other).answered


def test_a_level_is_kept_with_the_session(store: Store) -> None:
    session = begin(store, store.add_study(mushra_studies.study()))
    store.take(session.secret, events({"type": "level", "db": -3.5}))
    assert store.state(session).level_db == -3.5


def test_twenty_listeners_who_submit_twice_at_once_are_stored_once(store: Store) -> None:
    number = store.add_study(mushra_studies.study(items=TRIALS, training=0))
    start = threading.Barrier(LISTENERS)

    def listen(listener: int) -> Session:
        start.wait()
        session = begin(store, number, seed=listener)
        for turn in range(TRIALS):
            trial = store.state(session).trial
            assert trial is not None
            scores = [(7 * listener + 3 * turn + slot) % 101 for slot in range(5)]
            [event] = events(submission(trial.key, scores), first=turn)
            with ThreadPoolExecutor(2) as both:
                sent = [both.submit(store.take, session.secret, [event]) for _ in range(2)]
                assert all(one.result()["taken"] == [event["nonce"]] for one in sent)
        store.finish(session)
        return session

    with ThreadPoolExecutor(LISTENERS) as pool:
        sessions = list(pool.map(listen, range(LISTENERS)))

    assert sorted(session.square_row for session in sessions) == list(range(LISTENERS))
    rated = store.ratings(number)
    listener = {session.id: n for n, session in enumerate(sessions)}
    expected = {
        (n, turn, slot): (7 * n + 3 * turn + slot) % 101
        for n, turn, slot in itertools.product(range(LISTENERS), range(TRIALS), range(5))
    }
    assert len(rated) == len(expected) == 2000
    assert {(listener[r.session], r.position, r.slot): r.score for r in rated} == expected
    progress = store.progress(number)
    assert (progress.begun, progress.finished, progress.trials) == (20, 20, 400)


def test_sqlite_keeps_what_is_acknowledged_and_does_not_block_readers(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'ratings.sqlite'}")
    with store.engine.connect() as at:
        settings = {
            name: at.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert settings == {
        "journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000,
    }  # fmt: skip
    number = store.add_study(mushra_studies.study())
    writer = sqlite3.connect(tmp_path / "ratings.sqlite", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    assert store.progress(number).begun == 0  # while somebody writes
    writer.close()
    store.close()


def test_participants_ids_are_random(store: Store) -> None:
    number = store.add_study(mushra_studies.study())
    for _ in range(3):
        begin(store, number)
    with store.engine.connect() as at:
        ids = at.execute(select(PARTICIPANT.c.id)).scalars().all()
    assert len(set(ids)) == 3 and all(len(i) == 32 and int(i, 16) >= 0 for i in ids)
