"""Small studies for tests: as data alone, or with audio."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from mushra_app.records import Session
from mushra_app.sessions import Plan
from mushra_app.store import Store
from mushra_app.study import Condition, Item, Role, Stimulus, Study
from mushra_app.trial import plan_session

ROLES: dict[str, Role] = {
    "reference": "reference",
    "anchor35": "low_anchor",
    "anchor70": "mid_anchor",
}


def study(
    items: int = 6, systems: tuple[str, ...] = ("a", "b"), slug: str = "test", training: int = 1
) -> Study:
    """A study without audio."""
    names = [*ROLES, *systems]
    return Study(
        slug=slug,
        title="A test",
        sample_rate_hz=48_000,
        created="2026-01-01T00:00:00+00:00",
        conditions=tuple(
            Condition(id=name, role=ROLES.get(name, "system"), title=name.upper()) for name in names
        ),
        items=tuple(_item(f"item{n}", names) for n in range(items)),
        training=tuple(_item(f"training{n}", names) for n in range(training)),
        run="run",
        seed=3,
    )


def _item(name: str, conditions: list[str]) -> Item:
    stimuli = tuple(
        Stimulus(
            condition=condition, role=ROLES.get(condition, "system"),
            file=f"audio/{name}/{condition}.wav", pcm_sha256="0" * 64, frames=480_000, lufs=-23.0,
        )
        for condition in conditions
    )  # fmt: skip
    return Item(id=name, reference=stimuli[0], conditions=stimuli, clip=name)


def listen(
    store: Store,
    study: Study,
    scores: Callable[[str, str, int], int],
    plan: Plan = plan_session,
    seed: int = 0,
    until: int | None = None,
) -> Session:
    """One listener, through the store as the app would: rates by (item, condition, turn).

    Args:
        until: leave after so many trials.
    """
    number = store.add_study(study)
    session = store.start_session(number, plan, seed=seed, consent_text="I agree.", language="en")
    for trial in store.trials(session)[:until]:
        graded = study.item(trial.item).conditions
        turn = int(trial.phase == "replicate")
        ratings = {
            str(slot): scores(trial.item, graded[index].condition, turn)
            for slot, index in enumerate(trial.permutation)
        }
        seq = trial.position
        nonce = f"{session.id[:12]}-{seq:03}"
        store.take(
            session.secret,
            [
                {
                    "seq": seq,
                    "nonce": nonce,
                    "type": "submit",
                    "trial": trial.key,
                    "ratings": ratings,
                }
            ],
        )
    if until is None:
        store.finish(session)
    return session


def panel(
    store: Store, study: Study, truth: Mapping[str, float], listeners: int = 15, seed: int = 0
) -> list[Session]:
    """Listeners with a bias and a spread of their own around the truth; the reference is found."""
    rng = np.random.default_rng(seed)
    hard = {(i.id, c): rng.normal(0, 4) for i in study.all_items for c in truth}
    sessions = []
    for number in range(listeners):
        bias = rng.normal(0, 4)

        def scores(item: str, condition: str, turn: int, bias: float = bias) -> int:
            if study.condition(condition).role == "reference":
                return 100
            score = truth[condition] + hard[item, condition] + bias + rng.normal(0, 5)
            return int(np.clip(round(score), 0, 100))

        sessions.append(listen(store, study, scores, seed=number))
    return sessions
