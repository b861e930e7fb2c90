"""Reads recipes: packaged ones by name, the user's by path, with changes from the command line.

The input may be hostile: size is bounded, tags build nothing, aliases are not expanded. Every
problem is reported at once, with its line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from reference_codec.errors import UserError
from reference_codec.training import recipe as recipe_module
from reference_codec.training.model_changes import changed_config
from reference_codec.training.recipe import ModelChoice, Recipe
from reference_codec.training.wording import did_you_mean, in_words

PACKAGED = Path(__file__).parents[1] / "recipes"
MAX_BYTES = 64 * 1024
MAX_DEPTH = 12

Place = tuple[str | int, ...]

_KEY = re.compile(r"[a-z][a-z0-9_]*(\.[A-Za-z0-9_]+)*")


class _Loader(yaml.SafeLoader):
    """Scalars as in YAML 1.2: `3e-4` is a number, `off` is a word."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, rule) for tag, rule in rules if not tag.endswith((":bool", ":float", ":int",
                                                                    ":timestamp"))]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}  # fmt: skip
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(true|false)$"), list("tf"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^[-+]?(0|[1-9][0-9]{0,17})$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]{1,3})?$"),
    list("-+.0123456789"),
)


def packaged() -> dict[str, Path]:
    """Name -> file of the recipes that come with the package."""
    return {path.stem: path for path in sorted(PACKAGED.glob("*.yaml"))}


def load(name: str | Path, changes: Sequence[str] = ()) -> Recipe:
    """The recipe of that name or file.

    Args:
        changes: `key.key=value`, the value as in YAML; `discriminators.0` is a list's first.
    Raises:
        UserError: no such recipe, or something in it is wrong: one line per problem.
    """
    path = packaged().get(str(name), Path(name))
    try:
        raw = path.read_bytes()[: MAX_BYTES + 1]
        text = raw.decode("utf-8")
    except OSError as error:
        hint = did_you_mean(str(name), packaged())
        raise UserError(
            f"{name}: no such recipe.{hint} Give a file, or one of: {', '.join(packaged())}."
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(f"{name}: not UTF-8 text.") from error
    if len(raw) > MAX_BYTES:
        raise UserError(f"{name}: over {MAX_BYTES // 1024} KiB, which no recipe needs.")
    content, lines = _parsed(text, str(name))
    return from_mapping(content, str(name), changes, lines)


def from_mapping(
    content: Mapping[str, Any],
    origin: str,
    changes: Sequence[str] = (),
    lines: Mapping[Place, int] | None = None,
) -> Recipe:
    """A recipe from plain values, as `Recipe.to_dict` gives them.

    Raises:
        UserError: one line per problem, each beginning with `origin`.
    """
    lines = lines or {}
    tree: dict[str, Any] = json.loads(json.dumps(content))
    problems = [problem for change in changes if (problem := _change(tree, change))]
    changed = {tuple(_steps(change)) for change in changes if "=" in change}
    try:
        recipe = Recipe.model_validate_json(json.dumps(tree))
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            place = _without_tags(detail["loc"])
            said = in_words(place, dict(detail), _keys(place[:-1]))
            where = _where(origin, place, lines, changed)
            problems += [f"{where}: {line}" for line in said.splitlines()]
        if not any(detail["loc"][:1] in ((), ("model",)) for detail in error.errors()):
            model = ModelChoice.model_validate_json(json.dumps(tree["model"]))
            where = _where(origin, ("model",), lines, changed)
            problems += [f"{where}: {line}" for line in changed_config("", model)[1]]
    if problems:
        raise UserError("\n".join(dict.fromkeys(problems)))
    return recipe


def _parsed(text: str, file: str) -> tuple[dict[str, Any], dict[Place, int]]:
    """Plain values and the line of each.

    Raises:
        UserError: not YAML, not a mapping, or more than plain values.
    """
    lines: dict[Place, int] = {}
    problems: list[str] = []
    try:
        root = yaml.compose(text, Loader=_Loader)
        if not isinstance(root, yaml.MappingNode):
            raise UserError(f"{file}: expected 'key: value' lines. See docs/training.md.")
        content = _plain(root, (), lines, problems, file)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        said = getattr(error, "problem", None) or "not text that YAML allows"
        raise UserError(f"{file}{line}: not YAML ({said}).") from error
    except RecursionError as error:
        raise UserError(f"{file}: nested too deep.") from error
    if problems:
        raise UserError("\n".join(problems))
    return content, lines


def _plain(node: Any, place: Place, lines: dict[Place, int], problems: list[str], file: str) -> Any:
    """Built by hand, so that an alias, a repeated key or a tag is a sentence and not a surprise."""
    line = node.start_mark.line + 1
    if place in lines or len(place) > MAX_DEPTH:
        problems.append(f"{file}:{line}: nested too deep, or an alias, which recipes do not need.")
        return None
    lines[place] = line
    if isinstance(node, yaml.SequenceNode):
        return [_plain(v, (*place, i), lines, problems, file) for i, v in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        mapping = {}
        for key, value in node.value:
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else "?"
            if name in mapping:
                problems.append(f"{file}:{key.start_mark.line + 1}: '{name}' is given twice.")
                continue
            mapping[name] = _plain(value, (*place, name), lines, problems, file)
        return mapping
    loader = _Loader("")
    try:
        return loader.construct_object(node)
    except (yaml.YAMLError, ValueError):
        problems.append(f"{file}:{line}: {node.value!r} is no plain value.")
        return None
    finally:
        loader.dispose()


def _steps(change: str) -> list[str | int]:
    key = change.partition("=")[0].strip()
    return [int(step) if step.isdecimal() else step for step in key.split(".")]


def _change(tree: dict[str, Any], change: str) -> str | None:
    """Set one value; the problem with it, or None."""
    key, equals, text = change.partition("=")
    key = key.strip()
    if not equals or not _KEY.fullmatch(key):
        return f"'{change}': expected key=value, such as 'optimiser.learning_rate=3e-4'."
    try:
        value = yaml.load(text, Loader=_Loader)
        json.dumps(value)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError):
        return f"'{change}': the value is not YAML."
    *parents, last = _steps(change)
    at: Any = tree
    for step in parents:
        if isinstance(at, list) and isinstance(step, int) and step < len(at):
            at = at[step]
        elif isinstance(at, dict):
            at = at.setdefault(str(step), {})
        else:
            at = None
    if isinstance(at, list) and isinstance(last, int) and last < len(at):
        at[last] = value
    elif isinstance(at, dict):
        at[str(last)] = value
    else:
        return f"'{change}': there is no such place in this recipe."
    return None


def _where(origin: str, place: Place, lines: Mapping[Place, int], changed: set[Place]) -> str:
    if any(place[: len(key)] == key for key in changed):
        return "command line"
    while place and place not in lines:
        place = place[:-1]
    return f"{origin}:{lines[place]}" if place in lines else origin


def _without_tags(loc: tuple[str | int, ...]) -> Place:
    """pydantic puts the kind of a discriminator behind its index; the user's file does not."""
    if loc[:2] == ("adversarial", "discriminators") and len(loc) > 3:
        return (*loc[:3], *loc[4:])
    return loc


def _keys(place: Place) -> list[str]:
    """Keys that may stand at a place of a recipe."""
    at: Any = Recipe
    for step in place:
        if isinstance(step, int):
            kinds = get_args(get_args(recipe_module.Discriminator)[0])
            return sorted({name for kind in kinds for name in kind.model_fields})
        if step == "discriminators":
            continue
        at = at.model_fields[step].annotation if step in at.model_fields else None
        if not (isinstance(at, type) and issubclass(at, BaseModel)):
            return []
    return list(at.model_fields)


def written(recipe: Recipe) -> str:
    """The recipe as YAML, every key with its value."""
    return yaml.safe_dump(recipe.to_dict(), sort_keys=False, allow_unicode=True)
