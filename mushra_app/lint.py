"""Is a study what ITU-R BS.1534-3 calls a MUSHRA test? Each finding says by which page, and what
to do. Page numbers are those of the 10/2015 edition.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from mushra_app.study import Item, Stimulus, Study
from nacbench import audio
from nacbench.core import Clip
from nacbench.errors import UserError

MAX_GRADED = 12
MAX_S = 12.0
MIN_LOOP_S = 0.5
MIN_ITEMS = 5
ITEMS_PER_SYSTEM = 1.5
EXCLUDING_SHARE = 0.15
LOUDNESS_SPREAD_LU = 1.0
SESSION_TRIALS = 15
FULL_SCALE = 0.9999
EQUAL_DB = -50.0  # an anchor that differs by less than this is no anchor


@dataclass(frozen=True)
class Finding:
    """Attributes:
    level: "error": not a MUSHRA test, or not playable; "warning": justify it in the report.
    clause: where the rule is from.
    """

    level: Literal["error", "warning"]
    clause: str
    message: str
    action: str

    def __str__(self) -> str:
        return f"{self.level}: {self.message} [{self.clause}] {self.action}"


def check(study: Study) -> list[Finding]:
    """Errors first; empty for a study without fault."""
    found = [*_design(study), *_signals(study)]
    return sorted(found, key=lambda finding: finding.level != "error")


def _itu(page: str) -> str:
    return f"BS.1534-3 p. {page}"


def _design(study: Study) -> Iterator[Finding]:
    roles = [condition.role for condition in study.conditions]
    names = {"reference": "hidden reference", "low_anchor": "3.5 kHz anchor",
             "mid_anchor": "7 kHz anchor"}  # fmt: skip
    for role, name in names.items():
        if role not in roles:
            yield Finding(
                "error", _itu("1, 7"), f"there is no {name}; without it the test is not MUSHRA.",
                "Prepare the study again; for webMUSHRA, set createAnchor35 and createAnchor70.",
            )  # fmt: skip
    for item in study.items:
        if len(item.conditions) > MAX_GRADED:
            yield Finding(
                "warning", _itu("8"),
                f"item '{item.id}' has {len(item.conditions)} graded signals, recommended are at "
                f"most {MAX_GRADED}.",
                "Take fewer systems, or split them over two studies with a system in common.",
            )  # fmt: skip
            break
    systems = roles.count("system")
    wanted = max(MIN_ITEMS, math.ceil(ITEMS_PER_SYSTEM * systems))
    if len(study.items) < wanted:
        yield Finding(
            "warning", _itu("13"),
            f"{len(study.items)} items for {systems} systems; {wanted} are wanted "
            f"(1.5 for each system, at least {MIN_ITEMS}).",
            f"Prepare it with '--items {wanted}'.",
        )  # fmt: skip
    fewest = math.floor(1 / EXCLUDING_SHARE) + 1
    if len(study.items) < fewest:
        yield Finding(
            "warning", _itu("5"),
            f"with {len(study.items)} items a single slip excludes a listener: 1 of "
            f"{len(study.items)} is over 15 %.",
            f"Take at least {fewest} items.",
        )  # fmt: skip
    if not study.training:
        yield Finding(
            "error", _itu("7, 21"), "there is no training page.",
            "Prepare it with '--training 1' or more.",
        )  # fmt: skip
    graded = {item.clip or item.id for item in study.items}
    for item in study.training:
        if (item.clip or item.id) in graded:
            yield Finding(
                "warning", _itu("21"), f"training item '{item.id}' is graded as well.",
                "Train with an item of its own.",
            )  # fmt: skip
    sets = {frozenset(s.condition for s in item.conditions) for item in study.items}
    if len(sets) > 1:
        yield Finding(
            "warning", _itu("13"), "items are not graded on the same systems.",
            "Give every system every item; the analysis leaves incomplete systems out of tests.",
        )  # fmt: skip
    if any({s.condition for s in item.conditions} != _all(study) for item in study.training):
        yield Finding(
            "warning", _itu("21"), "training does not let listeners hear all systems.",
            "Train with every system that is graded.",
        )  # fmt: skip
    if study.block_trials > SESSION_TRIALS:
        yield Finding(
            "warning", "BS.1116-3", f"{study.block_trials} trials without a break.",
            f"Set block_trials to {SESSION_TRIALS} or fewer.",
        )  # fmt: skip
    if not study.replicate_share:
        yield Finding(
            "warning", _itu("5"), "no trial is repeated, so reliability cannot be told.",
            "Set replicate_share, to 0.25 for example.",
        )  # fmt: skip


def _all(study: Study) -> set[str]:
    return {condition.id for condition in study.conditions}


def _signals(study: Study) -> Iterator[Finding]:
    equal: dict[tuple[str, str], list[str]] = {}
    for item in study.all_items:
        heard: dict[str, Clip] = {}
        for stimulus in item.stimuli:
            try:
                heard.setdefault(stimulus.file, audio.read(study.audio_path(stimulus)))
            except UserError as error:
                yield Finding("error", "study", str(error), "Prepare the study again.")
        if all(stimulus.file in heard for stimulus in item.stimuli):
            yield from _item(study, item, heard)
            if len({heard[stimulus.file].samples.shape for stimulus in item.stimuli}) == 1:
                for pair in _equal(item, heard):
                    equal.setdefault(pair, []).append(item.id)
    yield from _anchors(equal)


def _item(study: Study, item: Item, heard: dict[str, Clip]) -> Iterator[Finding]:
    clips = [(stimulus, heard[stimulus.file]) for stimulus in item.stimuli]
    for stimulus, clip in clips:
        if audio.sha256(clip) != stimulus.pcm_sha256:
            yield Finding(
                "error", "study", f"{stimulus.file}: not the audio that study.yaml tells of.",
                "Prepare the study again.",
            )  # fmt: skip
        if clip.sample_rate_hz != study.sample_rate_hz:
            yield Finding(
                "error", "study",
                f"{stimulus.file}: {clip.sample_rate_hz} Hz, the study says "
                f"{study.sample_rate_hz} Hz.",
                "Bring all signals to one rate.",
            )  # fmt: skip
        if float(np.abs(clip.samples).max()) > FULL_SCALE:
            yield Finding(
                "error", "study", f"{stimulus.file}: reaches full scale; it may clip.",
                "Lower all signals of the item alike.",
            )  # fmt: skip
    if len({(clip.length, clip.channels) for _, clip in clips}) > 1:
        sizes = ", ".join(f"{s.condition} {c.channels} × {c.length}" for s, c in clips)
        yield Finding(
            "error", _itu("8"), f"item '{item.id}': lengths or channels differ ({sizes}).",
            "Switching needs equal lengths: cut or pad them.",
        )  # fmt: skip
        return
    seconds = clips[0][1].duration_s
    if seconds > MAX_S:
        yield Finding(
            "warning", _itu("7"), f"item '{item.id}' lasts {seconds:.1f} s, preferred are at "
            f"most {MAX_S:g} s.", "Cut it, or justify its length in the report.",
        )  # fmt: skip
    if seconds < 2 * MIN_LOOP_S:
        yield Finding(
            "warning", _itu("8"), f"item '{item.id}' is {seconds:.2f} s short; a loop of "
            f"{MIN_LOOP_S} s hardly fits.", "Choose a longer excerpt.",
        )  # fmt: skip
    yield from _loudness(item)


def _loudness(item: Item) -> Iterator[Finding]:
    compared = [s for s in item.conditions if s.role in ("reference", "system")]
    silent = [s.condition for s in compared if s.lufs is None]
    if silent:
        yield Finding(
            "warning", _itu("12"), f"item '{item.id}': {', '.join(silent)} is silent.",
            "Look into the codec; a silent signal says nothing of its quality.",
        )  # fmt: skip
    levels = sorted((s.lufs, s.condition) for s in compared if s.lufs is not None)
    if levels and levels[-1][0] - levels[0][0] > LOUDNESS_SPREAD_LU:
        yield Finding(
            "warning", _itu("12"),
            f"item '{item.id}': loudness spreads over {levels[-1][0] - levels[0][0]:.1f} LU, from "
            f"{levels[0][1]} to {levels[-1][1]}.",
            f"Align it to within {LOUDNESS_SPREAD_LU:g} LU; 'prepare' does.",
        )  # fmt: skip


def _anchors(equal: Mapping[tuple[str, str], Sequence[str]]) -> Iterator[Finding]:
    """Anchors that are no worse than what they are compared with anchor nothing."""
    for (below, above), items in equal.items():
        yield Finding(
            "warning", _itu("34"),
            f"{below} sounds as {above} does on {', '.join(items)}: nothing is above its cut-off.",
            "Choose items of a wider band, or expect the anchor to be rated as high there.",
        )  # fmt: skip


def _equal(item: Item, heard: dict[str, Clip]) -> Iterator[tuple[str, str]]:
    """(anchor, what it equals) of an item."""
    order: list[Stimulus] = [
        stimulus
        for role in ("reference", "mid_anchor", "low_anchor")
        for stimulus in item.conditions
        if stimulus.role == role
    ]
    for above, below in pairwise(order):
        difference = heard[above.file].samples - heard[below.file].samples
        power = float(np.square(heard[above.file].samples, dtype=np.float64).sum())
        residue = float(np.square(difference, dtype=np.float64).sum())
        if power and 10 * np.log10(max(residue, 1e-30) / power) < EQUAL_DB:
            yield below.condition, above.condition
