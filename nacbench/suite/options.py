"""Options against the `__init__` of the class that they are for, without calling it."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from inspect import Parameter
from typing import Any

from nacbench.registry import did_you_mean
from nacbench.suite.document import Document, Place, found


def parameters(cls: type) -> dict[str, Parameter]:
    """The keyword options of a class: name -> parameter, annotations evaluated if they can be."""
    for evaluated in (True, False):
        try:
            return dict(inspect.signature(cls, eval_str=evaluated).parameters)
        except (NameError, TypeError, ValueError, AttributeError, SyntaxError):
            continue
    return {}


def check_names(
    cls: type, options: Mapping[str, Any], what: str, place: Place, document: Document
) -> bool:
    """Whether the class has every option given and is given every one that it needs."""
    before = len(document.problems)
    known = parameters(cls)
    kinds = {parameter.kind for parameter in known.values()}
    if Parameter.VAR_KEYWORD not in kinds:
        takes = f"It takes {', '.join(known)}." if known else "It takes none."
        for name in options.keys() - known.keys():
            message = f"{what} has no option '{name}'.{did_you_mean(name, known)} {takes}"
            document.note((*place, name), message)
    for name, parameter in known.items():
        variadic = parameter.kind in (Parameter.VAR_KEYWORD, Parameter.VAR_POSITIONAL)
        if parameter.default is Parameter.empty and not variadic and name not in options:
            document.note(place, f"{what} needs the option '{name}'.")
    return len(document.problems) == before


def check_type(cls: type, name: str, value: Any, place: Place, document: Document) -> bool:
    """Whether a value fits the option's annotation; if not, a problem is noted."""
    from pydantic import TypeAdapter, ValidationError
    from pydantic.errors import PydanticUserError

    parameter = parameters(cls).get(name)
    if parameter is None or parameter.annotation is Parameter.empty:
        return True
    try:
        TypeAdapter(parameter.annotation).validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        expected = " or ".join(dict.fromkeys(_expected(dict(detail)) for detail in error.errors()))
        document.note(place, f"expected {expected}, found {found(value)}.")
        return False
    except (PydanticUserError, TypeError, NameError):
        return True  # an annotation that says nothing about JSON values
    return True


def _expected(detail: dict[str, Any]) -> str:
    if detail["type"] == "literal_error":
        return str(detail["ctx"]["expected"])
    return IN_WORDS.get(detail["type"]) or detail["msg"].removeprefix("Input should be ")


IN_WORDS = {
    "bool_type": "true or false",
    "dict_type": "'key: value' lines",
    "float_type": "a number",
    "int_from_float": "a whole number",
    "int_type": "a whole number",
    "list_type": "a list",
    "model_type": "'key: value' lines",
    "none_required": "nothing",
    "string_type": "text",
    "tuple_type": "a list",
}
"""What pydantic expected, by its type of error."""
