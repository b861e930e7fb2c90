"""The keys of a suite file: what each holds, in pydantic, and its errors in the user's words.

docs/suites.md is checked against this file.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from nacbench.registry import did_you_mean
from nacbench.suite.document import MAX_KEY, Document, Place, found
from nacbench.suite.options import IN_WORDS


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Entry(_Strict):
    """`opus`, or `opus: {kbps: 12}`: something by name, with options."""

    name: str
    options: dict[str, Any] = {}


def entry(value: Any) -> Entry:
    """Raises:
    ValueError: it is neither a name nor a name with its options.
    """
    if isinstance(value, str) and 0 < len(value) <= MAX_KEY:
        return Entry(name=value)
    if isinstance(value, dict) and len(value) == 1:
        name, options = next(iter(value.items()))
        if options is None or isinstance(options, dict):
            return Entry(name=name, options=options or {})
        raise ValueError(f"the options of '{name}' must be 'key: value', found {found(options)}.")
    if isinstance(value, dict) and len(value) > 1:
        raise ValueError(
            f"expected one name, found {', '.join(map(repr, value))}. "
            "Indent options further than the name they belong to."
        )
    raise ValueError(f"expected a name or 'name: {{option: value}}', found {found(value)}.")


Named = Annotated[Entry, BeforeValidator(entry)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]


class TimingSettings(_Strict):
    """The serial timing pass: encoder and decoder speed, apart from the scoring."""

    repeats: int = Field(default=3, ge=1, le=100, description="repeats per clip; the median counts")
    seconds: float = Field(
        default=6, gt=0, le=600, description="audio that is timed per operating point"
    )
    threads: int = Field(default=1, ge=1, le=256, description="threads that a codec may use")


class Limits(_Strict):
    """What one clip at one operating point may take before it is stopped and recorded as failed."""

    seconds: float = Field(
        default=120, gt=0, le=86400, description="wall time of a stage: encode, decode, a metric"
    )
    memory_mb: int = Field(default=4000, ge=100, description="memory of the worker process")


class SuiteFile(_Strict):
    """A suite as it is written in YAML, after `extends` was followed."""

    name: Name = Field(description="names the results folder: lower case, digits, `-` and `_`")
    version: int = Field(ge=1, description="raise it when results stop being comparable")
    title: str = Field(default="", max_length=200, description="headline of tables and curves")
    synthetic: bool = Field(
        default=False, description="say beside every result that the audio is made"
    )
    seed: int = Field(default=0, ge=0, lt=2**32, description="of every random draw")
    sources: list[Named] = Field(min_length=1, description="where the clips come from")
    conditions: list[Any] = Field(
        default=["clean"], min_length=1, description="what is done to clips"
    )
    codecs: list[Named] = Field(min_length=1, description="codecs and their operating points")
    metrics: list[Annotated[str, Field(max_length=MAX_KEY)]] = Field(
        min_length=1, description="metric recipes, by name"
    )
    aliases: dict[str, Annotated[str, Field(max_length=MAX_KEY)]] = Field(
        default={}, description="other names for recipes"
    )
    timing: TimingSettings = Field(default=TimingSettings(), description="the timing pass")
    limits: Limits = Field(default=Limits(), description="per clip and operating point")


def check(document: Document) -> SuiteFile | None:
    """The document as a SuiteFile, or None with every mistake in its shape noted."""
    try:
        return SuiteFile.model_validate(document.content)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            document.note(detail["loc"], _in_words(detail["loc"], dict(detail)))
        return None


def _in_words(place: Place, detail: dict[str, Any]) -> str:
    kind, value = detail["type"], detail["input"]
    if kind == "missing":
        return "is missing. docs/suites.md lists every key."
    if kind == "extra_forbidden":
        return f"unknown key '{place[-1]}'.{did_you_mean(str(place[-1]), _keys(place[:-1]))}"
    if kind == "too_short":
        return "is empty; at least one is needed."
    if kind == "string_pattern_mismatch":
        return f"expected lower-case letters, digits, '-' and '_', found {found(value)}."
    if kind == "value_error":
        return str(detail["ctx"]["error"])
    expected = IN_WORDS.get(kind) or detail["msg"].removeprefix("Input should be ")
    return f"expected {expected}, found {found(value)}."


def _keys(place: Place) -> list[str]:
    models: dict[Place, type[BaseModel]] = {("timing",): TimingSettings, ("limits",): Limits}
    return [*models.get(place, SuiteFile).model_fields, *(() if place else ("extends",))]
