"""Who hears what when: balanced orders, drawn from stored seeds, that tell a listener nothing.

A listener's session follows from the study, the listener's row and the session's seed alone, so
any session can be planned again and compared with what was stored.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mushra_app.study import Item, Study

Phase = Literal["training", "test", "replicate"]
NEAREST_REPLICATE = 2  # trials between an item and its replicate, where the test is long enough


@dataclass(frozen=True)
class PlannedTrial:
    """One page of a session.

    Attributes:
        item_id: of the study's item.
        phase: grades of "training" are never used; "replicate" is an item's second rating.
        permutation: `permutation[slot]` is the index into the item's conditions of the signal that
            the listener sees as number `slot + 1`.
    """

    item_id: str
    phase: Phase
    permutation: tuple[int, ...]


def williams_square(n: int) -> tuple[tuple[int, ...], ...]:
    """Orders of `n` treatments, balanced for position and for what comes before.

    Returns:
        `n` rows for even `n`, `2 n` rows for odd. Over all rows each treatment stands equally
        often at each position, and each ordered pair of treatments is adjacent equally often.
    Raises:
        ValueError: `n` is less than 1.
    Source: Williams, Aust. J. Sci. Res. A 2 (1949) 149-168.
    """
    if n < 1:
        raise ValueError(f"a Williams square needs at least one treatment, got {n}")
    zigzag = [0]  # 0, 1, n-1, 2, n-2, …: its neighbouring differences are all different
    low, high = 1, n - 1
    while len(zigzag) < n:
        zigzag.append(low)
        low += 1
        if len(zigzag) < n:
            zigzag.append(high)
            high -= 1
    rows = [tuple((step + row) % n for step in zigzag) for row in range(n)]
    if n % 2 and n > 1:
        rows += [row[::-1] for row in rows]
    return tuple(rows)


def block_length(trials: int, most: int) -> int:
    """Trials between two breaks: in blocks as equal as can be, or a last one might be one trial."""
    blocks = -(-trials // most)
    return -(-trials // blocks)


def plan_session(study: Study, row: int, seed: int) -> list[PlannedTrial]:
    """The trials of the `row`-th listener: training, then the test with its replicates.

    Items follow a Williams square over listeners. So do each item's signals, in rows that are
    shuffled per item, so that one trial tells nothing about the next. What stands for which
    treatment is drawn anew for each full pass through a square.

    Args:
        row: 0, 1, 2, … in the order in which listeners begin.
        seed: of this session; draws the training's orders and where replicates stand.
    """
    rng = random.Random(seed)
    plan = []
    for item in study.training:
        slots = list(range(len(item.conditions)))
        rng.shuffle(slots)
        plan.append(PlannedTrial(item.id, "training", tuple(slots)))
    order = _balanced(len(study.items), row, study.seed, "items")
    test = [_graded(study, study.items[index], row) for index in order]
    return plan + _with_replicates(study, test, row, rng)


def _graded(study: Study, item: Item, row: int, phase: Phase = "test") -> PlannedTrial:
    # A replicate comes half a square later, so that no signal is found where it was.
    n = len(item.conditions)
    ahead = max(1, n // 2) if phase == "replicate" else 0
    order = _balanced(n, row, study.seed, f"signals of {item.id}", ahead)
    return PlannedTrial(item.id, phase, order)


def _with_replicates(
    study: Study, test: Sequence[PlannedTrial], row: int, rng: random.Random
) -> list[PlannedTrial]:
    """A fixed share of the items a second time, each item equally often over listeners."""
    if not study.replicate_share:
        return list(test)
    count = max(1, round(study.replicate_share * len(study.items)))
    chosen = [study.items[(row * count + k) % len(study.items)] for k in range(count)]
    plan = list(test)
    for item in chosen:
        first = next(at for at, trial in enumerate(plan) if trial.item_id == item.id)
        earliest = first + 1 + NEAREST_REPLICATE
        if earliest > len(plan):  # its item came too late: bring the item forward
            moved = plan.pop(first)
            first = max(0, len(plan) - NEAREST_REPLICATE)
            plan.insert(first, moved)
            earliest = min(first + 1 + NEAREST_REPLICATE, len(plan))
        plan.insert(rng.randint(earliest, len(plan)), _graded(study, item, row, "replicate"))
    return plan


def _balanced(n: int, row: int, seed: int, what: str, ahead: int = 0) -> tuple[int, ...]:
    """Row `row` of an endless balanced sequence of orders of `n`.

    Args:
        ahead: take the row that many further on in the same pass through the square.
    """
    square = williams_square(n)
    cycle, within = divmod(row, len(square))
    names = list(range(n))
    random.Random(_hash(seed, what, str(cycle))).shuffle(names)
    rows = list(range(len(square)))  # neighbours in time shall not be neighbours in the square
    random.Random(_hash(seed, what + " rows", str(cycle))).shuffle(rows)
    return tuple(names[treatment] for treatment in square[rows[(within + ahead) % len(rows)]])


def _hash(seed: int, what: str, name: str) -> int:
    """The same on every machine and in every process, which Python's `hash` is not."""
    digest = hashlib.sha256(f"{seed}/{what}/{name}".encode()).digest()
    return int.from_bytes(digest[:6], "big")
