"""A suite's document -> its points, metrics, sources and conditions, each looked up and checked."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from nacbench.conditions import Condition, build
from nacbench.errors import UserError
from nacbench.metrics import ALIASES, CORPUS_METRICS, METRICS, is_over_sets, lookup
from nacbench.registry import did_you_mean
from nacbench.sources import SOURCES, Source
from nacbench.suite.choice import choose
from nacbench.suite.document import Document, Place, found
from nacbench.suite.options import check_names, check_type
from nacbench.suite.points import expand, missing_reason
from nacbench.suite.schema import Entry, check, entry


@dataclass(frozen=True)
class Override:
    """What the command line changes in a suite."""

    codecs: tuple[str, ...] = ()
    kbps: tuple[float, ...] = ()
    metrics: tuple[str, ...] = ()
    audio: Path | None = None


def resolve(document: Document, override: Override) -> dict[str, Any]:
    """The fields of a Suite.

    Raises:
        UserError: one line for every problem found, in the file's order.
    """
    _replace(document, override)
    file = check(document)
    points = expand(_entries(document, "codecs"), document)
    points = choose(points, override.codecs, override.kbps, document)
    sources = [_source(e, place, document) for place, e in _entries(document, "sources")]
    metrics, over_sets = _metrics(document)
    conditions = _conditions(document)
    document.stop_if_problems()
    assert file is not None, "a shape that does not fit leaves a problem behind"
    runnable = [name for name, reason in metrics.items() if reason is None]
    return {
        **{name: getattr(file, name) for name in ("name", "version", "synthetic", "seed")},
        "title": file.title or file.name,
        "points": tuple(item.point for item in points if item.missing is None),
        "skipped": tuple((item.point, item.missing) for item in points if item.missing),
        "metrics": tuple(name for name in runnable if name not in over_sets),
        "set_metrics": tuple(name for name in runnable if name in over_sets),
        "skipped_metrics": tuple((name, reason) for name, reason in metrics.items() if reason),
        "aliases": {**ALIASES, **file.aliases},
        "conditions": tuple(conditions),
        "sources": tuple(sources),
        "specs": {
            "sources": [{e.name: e.options} for e in file.sources],
            "conditions": list(file.conditions),
        },
        "timing": file.timing,
        "limits": file.limits,
    }


def _replace(document: Document, override: Override) -> None:
    """Put what the command line gives in the place of the file's own."""
    if override.metrics:
        document.content["metrics"] = list(override.metrics)
        for index in range(len(override.metrics)):
            document.lines["metrics", index] = ("--metric", 0)
    if override.audio:
        document.content["sources"] = [{"folder": {"path": str(override.audio)}}]
        document.content["synthetic"] = False
        document.lines["sources", 0] = ("--audio", 0)


def _entries(document: Document, key: str) -> list[tuple[Place, Entry]]:
    """The well-formed entries of a list; the others were noted when the shape was checked."""
    items = document.content.get(key)
    entries: list[tuple[Place, Entry]] = []
    for index, item in enumerate(items if isinstance(items, list) else []):
        with contextlib.suppress(ValueError):
            entries.append(((key, index), entry(item)))
    return entries


def _source(item: Entry, place: Place, document: Document) -> Source | None:
    place_of_options = (*place, item.name) if item.options else place
    try:
        name, argument = SOURCES.split(item.name)
        cls = SOURCES.get(name)
    except UserError as error:
        document.note(place, str(error))
        return None
    options = {**argument, **item.options}
    fits = check_names(cls, options, f"source '{name}'", place_of_options, document)
    for option, value in options.items():
        fits &= check_type(cls, option, value, (*place_of_options, option), document)
    if not fits:
        return None
    try:
        return cast(Source, cls(**options))
    except Exception as error:  # a plug-in's own bug is the suite's problem, not a crash
        document.note(place_of_options, f"source '{name}': {str(error).rstrip('.')}.")
        return None


def _metrics(document: Document) -> tuple[dict[str, str | None], set[str]]:
    """Recipe -> why it cannot run here, aliases followed; and which of them are over a set."""
    own = document.content.get("aliases")
    given = own.items() if isinstance(own, dict) else ()
    aliases = ALIASES | {alias: recipe for alias, recipe in given if isinstance(recipe, str)}
    known = [*METRICS.names(), *CORPUS_METRICS.names()]
    for alias, recipe in aliases.items():
        if alias in known and alias not in ALIASES:
            document.note(("aliases", alias), f"'{alias}' is a recipe's own name. Take another.")
        if recipe not in known and alias not in ALIASES:
            hint = did_you_mean(recipe, known)
            document.note(("aliases", alias), f"unknown metric '{recipe}'.{hint}")
    listed = document.content.get("metrics")
    reasons: dict[str, str | None] = {}
    over_sets = set()
    for index, name in enumerate(listed if isinstance(listed, list) else []):
        if not isinstance(name, str):
            continue
        recipe = aliases.get(name, name)
        try:
            cls, argument = lookup(recipe)
        except UserError as error:
            alias = (
                did_you_mean(name, [*aliases, *known]) if "Did you mean" not in str(error) else ""
            )
            document.note(("metrics", index), f"{error}{alias}")
            continue
        if recipe in reasons:
            document.note(("metrics", index), f"'{name}' is already listed. Remove one.")
        reasons[recipe] = missing_reason(cls, argument)
        if is_over_sets(cls):
            over_sets.add(recipe)
    return reasons, over_sets


def _conditions(document: Document) -> list[Condition]:
    listed = document.content.get("conditions", ["clean"])
    built: dict[str, Condition] = {}
    for index, spec in enumerate(listed if isinstance(listed, list) else []):
        place = ("conditions", index)
        if not isinstance(spec, (str, dict, list)):
            document.note(
                place,
                f"expected 'clean', 'name: {{option: value}}' or a list, found {found(spec)}.",
            )
            continue
        try:
            condition = build(spec)
        except (UserError, ValueError) as error:
            document.note(place, str(error))
            continue
        if condition.name in built:
            document.note(place, f"'{condition.name}' is already listed. Remove one.")
        built[condition.name] = condition
    return list(built.values())
