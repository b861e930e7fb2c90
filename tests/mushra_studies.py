"""Small studies for tests: as data alone, or with audio."""

from __future__ import annotations

from mushra_app.study import Condition, Item, Role, Stimulus, Study

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
