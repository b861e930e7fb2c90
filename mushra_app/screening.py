"""Post-screening after BS.1534-3, page 5: whose ratings count, with a sentence for each who is out.

Raw ratings stay; this only says which to leave out, and is computed anew every time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

SHARE = 0.15  # of a listener's items
GUARD_SHARE = 0.25  # of the listeners
GOOD = 90  # hidden reference below it, mid anchor above it


@dataclass(frozen=True)
class Excluded:
    """A listener whose ratings do not count.

    Attributes:
        rule: "unfinished", "hidden reference" or "mid anchor"; the first that applies.
    """

    participant: str
    rule: str
    sentence: str


@dataclass(frozen=True)
class Screening:
    """Attributes:
    listeners: everybody who submitted anything, in the order in which they began.
    valid, excluded: in the same order.
    guarded: items on which so many rate the mid anchor above 90 that it excludes nobody.
    """

    listeners: tuple[str, ...]
    valid: tuple[str, ...]
    excluded: tuple[Excluded, ...]
    guarded: tuple[str, ...]

    def name(self, participant: str) -> str:
        """As reports call a listener: a number by the order of beginning, and some of the id."""
        return _name(self.listeners, participant)


def _name(listeners: Sequence[str], participant: str) -> str:
    return f"{listeners.index(participant) + 1} ({participant[:8]})"


def screen(ratings: pd.DataFrame, items: int) -> Screening:
    """Who counts.

    A listener is out who rates the hidden reference below 90 on more than 15 % of the items, or
    the mid anchor above 90 on more than 15 % of them, where items do not count on which more than
    25 % of the listeners rate the mid anchor above 90. Shares are of all items that a listener
    rated. Training and replicates have no say. Listeners who did not rate all items are out.

    Args:
        ratings: `ratings.frame`.     items: of the study.
    Source: ITU-R BS.1534-3 (10/2015), p. 5.
    """
    test = ratings[ratings["phase"] == "test"]
    everybody = list(dict.fromkeys(ratings["participant"]))
    rated = {p: len(set(test["item"][test["participant"] == p])) for p in everybody}
    complete = [p for p in everybody if rated[p] >= items]
    guarded = _guarded(test[test["participant"].isin(complete)])
    excluded, valid = [], []
    for participant in everybody:
        own = test[test["participant"] == participant]
        reason = _reason(own, rated[participant], items, guarded)
        if reason is None:
            valid.append(participant)
            continue
        rule, why = reason
        sentence = f"Listener {_name(everybody, participant)} is excluded: {why}"
        excluded.append(Excluded(participant, rule, sentence))
    return Screening(tuple(everybody), tuple(valid), tuple(excluded), tuple(guarded))


def _guarded(test: pd.DataFrame) -> list[str]:
    mid = test[test["role"] == "mid_anchor"]
    if mid.empty:
        return []
    shares = (mid["score"] > GOOD).groupby(mid["item"], sort=False).mean()
    return [str(item) for item in shares.index[shares > GUARD_SHARE]]


def _reason(
    own: pd.DataFrame, rated: int, items: int, guarded: list[str]
) -> tuple[str, str] | None:
    if rated < items:
        return "unfinished", f"{rated or 'none'} of {items} items were rated."
    hidden = own[(own["role"] == "reference") & (own["score"] < GOOD)]
    if len(hidden) > SHARE * rated:
        return "hidden reference", (
            f"the hidden reference was rated below {GOOD} on {len(hidden)} of {rated} items "
            f"({_percent(len(hidden), rated)}, allowed are {SHARE:.0%}): "
            f"{_listed(hidden)}."
        )
    mid = own[(own["role"] == "mid_anchor") & (own["score"] > GOOD)]
    counted = mid[~mid["item"].isin(guarded)]
    if len(counted) > SHARE * rated:
        spared = len(mid) - len(counted)
        more = f"; {spared} more do not count, as many listeners did so there" if spared else ""
        return "mid anchor", (
            f"the 7 kHz anchor was rated above {GOOD} on {len(counted)} of {rated} items "
            f"({_percent(len(counted), rated)}, allowed are {SHARE:.0%}): "
            f"{_listed(counted)}{more}."
        )
    return None


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.0%}"


def _listed(rows: pd.DataFrame) -> str:
    pairs = zip(rows["item"], rows["score"], strict=True)
    return ", ".join(f"{item} {score}" for item, score in pairs)
