"""Orders are balanced, replayable, and tell nothing."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from scipy import stats

from mushra_app.study import Condition, Item, Stimulus, Study
from mushra_app.trial import NEAREST_REPLICATE, block_length, plan_session, williams_square

P_TOO_SMALL = 1e-4  # of a uniform position, under a fixed seed
ROLES = {"original": "reference", "muffled": "low_anchor", "dull": "mid_anchor"}


def study(items: int = 6, systems: int = 3, share: float = 0.25, training: int = 1) -> Study:
    names = [*ROLES, *(f"system{k}" for k in range(systems))]

    def item(name: str) -> Item:
        def stimulus(condition: str) -> Stimulus:
            return Stimulus(
                condition=condition,
                role=ROLES.get(condition, "system"),
                file=f"audio/{name}/{condition}.wav",
                pcm_sha256="0" * 64,
                frames=48000,
            )

        return Item(
            id=name,
            reference=stimulus("original"),
            conditions=tuple(stimulus(condition) for condition in names),
        )

    return Study(
        slug="orders",
        title="Orders",
        sample_rate_hz=48000,
        created="2026-01-01",
        replicate_share=share,
        seed=5,
        conditions=tuple(
            Condition(id=name, role=ROLES.get(name, "system"), title=name) for name in names
        ),
        items=tuple(item(f"item{k}") for k in range(items)),
        training=tuple(item(f"warm{k}") for k in range(training)),
    )


@pytest.mark.parametrize("n", range(1, 15))
def test_a_williams_square_balances_positions_and_neighbours(n: int) -> None:
    rows = williams_square(n)
    assert len(rows) == (n if n % 2 == 0 or n == 1 else 2 * n)
    assert all(sorted(row) == list(range(n)) for row in rows)
    for position in range(n):
        assert set(Counter(row[position] for row in rows).values()) == {len(rows) // n}
    follows = Counter(pair for row in rows for pair in pairwise(row))
    if n > 1:
        assert len(follows) == n * (n - 1)
        assert len(set(follows.values())) == 1


def test_a_square_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        williams_square(0)


def test_a_session_is_the_same_whenever_it_is_planned_again() -> None:
    assert plan_session(study(), 7, 123) == plan_session(study(), 7, 123)
    assert plan_session(study(), 7, 123) != plan_session(study(), 8, 123)


@pytest.mark.parametrize("systems", [2, 3])  # five and six signals: an odd and an even square
def test_each_full_pass_shows_every_signal_equally_often_at_every_place(systems: int) -> None:
    tried = study(systems=systems)
    n = systems + len(ROLES)
    rows = len(williams_square(n))
    for start in (0, 3 * rows):
        places: Counter[tuple[str, int, int]] = Counter()
        follows: Counter[tuple[str, int, int]] = Counter()
        for row in range(start, start + rows):
            for trial in plan_session(tried, row, row):
                if trial.phase == "test":
                    places.update((trial.item_id, *e) for e in enumerate(trial.permutation))
                    follows.update((trial.item_id, *e) for e in pairwise(trial.permutation))
        assert set(places.values()) == {rows // n}
        assert len(set(follows.values())) == 1


def test_items_are_balanced_over_listeners_too() -> None:
    tried = study(items=6, share=0)
    first = Counter(plan_session(tried, row, 0)[1].item_id for row in range(6))
    assert set(first.values()) == {1}


def test_the_hidden_reference_is_anywhere_with_equal_chance() -> None:
    tried = study(items=5, systems=4, share=0.2)
    n = 7
    seen: Counter[int] = Counter()
    training: Counter[int] = Counter()
    for row in range(1000):
        for trial in plan_session(tried, row, 40_000 + row):
            place = trial.permutation.index(0)
            (training if trial.phase == "training" else seen)[place] += 1
    for counts in (seen, training):
        assert stats.chisquare([counts[place] for place in range(n)]).pvalue > P_TOO_SMALL


def test_knowing_one_trial_does_not_tell_the_next() -> None:
    """The places of the hidden reference in neighbouring trials are unrelated."""
    tried = study(items=6, systems=3, share=0)
    table = [[0] * 6 for _ in range(6)]
    for row in range(600):
        for one, two in pairwise(plan_session(tried, row, row)[1:]):
            table[one.permutation.index(0)][two.permutation.index(0)] += 1
    assert stats.chi2_contingency(table).pvalue > P_TOO_SMALL


def test_a_fixed_share_of_items_comes_twice_and_not_at_once() -> None:
    tried = study(items=8, share=0.25)
    chosen: Counter[str] = Counter()
    for row in range(80):
        plan = [trial for trial in plan_session(tried, row, row) if trial.phase != "training"]
        assert len(plan) == 10
        replicates = [trial for trial in plan if trial.phase == "replicate"]
        assert len(replicates) == 2
        for replicate in replicates:
            chosen[replicate.item_id] += 1
            both = [at for at, trial in enumerate(plan) if trial.item_id == replicate.item_id]
            original, again = (plan[at] for at in both)
            assert (original.phase, again.phase) == ("test", "replicate")
            assert both[1] - both[0] > NEAREST_REPLICATE
            assert original.permutation != again.permutation
    assert set(chosen.values()) == {20}


def test_training_comes_first_and_every_item_once() -> None:
    plan = plan_session(study(training=2), 3, 9)
    assert [trial.phase for trial in plan[:2]] == ["training", "training"]
    items = [trial.item_id for trial in plan if trial.phase == "test"]
    assert sorted(items) == [f"item{k}" for k in range(6)]


@pytest.mark.parametrize(
    ("trials", "most", "expected"),
    [(1, 8, 1), (8, 8, 8), (9, 8, 5), (16, 8, 8), (20, 8, 7), (3, 2, 2), (5, 1, 1)],
)
def test_blocks_are_as_equal_as_can_be(trials: int, most: int, expected: int) -> None:
    assert block_length(trials, most) == expected
