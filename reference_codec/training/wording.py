"""Validation errors in the user's words."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from typing import Any

_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "dict_type": "'key: value' entries",
    "model_type": "'key: value' entries",
    "finite_number": "a finite number",
    "string_pattern_mismatch": "lower-case letters, digits, '-' and '_'",
}


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?`, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean '{close[0]}'?" if close else ""


def shown(place: Iterable[str | int]) -> str:
    """`adversarial.discriminators[0].channels`."""
    text = ""
    for step in place:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def in_words(
    place: tuple[str | int, ...], detail: dict[str, Any], known: Iterable[str] = ()
) -> str:
    """One of pydantic's errors as `place: expected …, found …`; `known` are keys at the place."""
    kind, value = detail["type"], detail["input"]
    if kind == "extra_forbidden":
        key = str(place[-1])
        where = f"{shown(place[:-1])}: " if place[:-1] else ""
        return f"{where}unknown key '{key}'.{did_you_mean(key, known)}"
    if kind == "union_tag_not_found":
        return f"{shown(place)}: 'kind' is missing."
    if kind == "missing":
        return f"{shown(place)}: is missing."
    if kind == "value_error":
        message = str(detail["ctx"]["error"])
        return f"{shown(place)}: {message}" if place else message
    if kind == "union_tag_invalid":
        kinds = [tag.strip(" '") for tag in detail["ctx"]["expected_tags"].split(",")]
        tag = detail["ctx"]["tag"]
        return (
            f"{shown(place)}.kind: unknown kind '{tag}'.{did_you_mean(tag, kinds)} "
            f"Known are: {', '.join(kinds)}."
        )
    expected = _EXPECTED.get(kind) or detail["msg"].removeprefix("Input should be ")
    text = json.dumps(value, ensure_ascii=False, default=str)
    text = text if len(text) <= 60 else text[:57] + "…"
    return f"{shown(place)}: expected {expected}, found {text}."
