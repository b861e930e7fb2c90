"""YAML text -> plain values, with the file and line of each, and every problem noted.

The input may be hostile: size, depth and expanded size are bounded (an alias bomb is refused
before it is expanded), tags build nothing, and scalars follow YAML 1.2, so that `off` and `12:30`
are the words that were written.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from nacbench.errors import UserError

MAX_BYTES = 256 * 1024
MAX_DEPTH = 24
MAX_VALUES = 20_000
MAX_KEY = 200
MAX_PROBLEMS = 50  # shown; whoever has more begins with these

Place = tuple[str | int, ...]

_NULL = re.compile(r"~|null|Null|NULL|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


@dataclass(frozen=True, order=True)
class Problem:
    """One thing to mend: where it is, what was found and what was expected."""

    file: str
    line: int
    place: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        if self.place and self.line:  # the command line has no places
            where = f"{where} {self.place}"
        return f"{where}: {self.message}"


@dataclass
class Document:
    """What a YAML file says, where it says it, and what is wrong with it.

    Attributes:
        file: as the user named it.
        content: dicts, lists, strings, finite numbers, booleans, None.
        lines: place -> (file, line, from 1) of each key and list item.
        problems: all that were noted so far.
    """

    file: str
    content: dict[str, Any] = field(default_factory=dict)
    lines: dict[Place, tuple[str, int]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def note(self, place: Place, message: str) -> None:
        """Remember a problem with the value at `place`, or with the closest thing written down."""
        file, line = self._where(place)
        self.problems.append(Problem(file, line, shown(place), message))

    def note_line(self, line: int, message: str) -> None:
        self.problems.append(Problem(self.file, line, "", message))

    def line(self, place: Place) -> int:
        """From 1; 0 for what the command line gave."""
        return self._where(place)[1]

    def _where(self, place: Place) -> tuple[str, int]:
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, (self.file, 0))

    def stop_if_problems(self) -> None:
        """Raises:
        UserError: something was noted; one line for each problem, in the order of the file.
        """
        if self.problems:
            found = [str(problem) for problem in sorted(set(self.problems))]
            rest = len(found) - MAX_PROBLEMS
            more = [f"{self.file}: and {rest} more problems."] if rest > 0 else []
            raise UserError("\n".join(found[:MAX_PROBLEMS] + more))


def shown(place: Iterable[str | int]) -> str:
    """`codecs[0].opus.kbps[2]`."""
    text = ""
    for step in place:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def found(value: Any) -> str:
    """A value as the user would write it, shortened."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "…"


def parse(text: str, file: str) -> Document:
    """Read a YAML mapping; problems that leave it readable are noted in the document.

    Raises:
        UserError: there is nothing to go on with: not YAML, too large, or not a mapping.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise UserError(f"{file}: over {MAX_BYTES // 1024} KiB, which no suite needs.")
    document = Document(file)
    try:
        _check_events(text, document)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        what = " ".join(filter(None, (error.context, error.problem)))
        raise UserError(f"{file}{line}: not readable as YAML: {what}.") from error
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{file}: not readable as YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(root, yaml.MappingNode):
        raise UserError(f"{file}: expected 'key: value' lines. docs/suites.md has an example.")
    document.content = _Reader(document).read(root, ())
    return document


def _check_events(text: str, document: Document) -> None:
    """Bound depth and length on the event stream, before recursive code sees the text."""
    depth = 0
    for number, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH or number > 2 * MAX_VALUES:
            limit = f"{MAX_DEPTH} levels" if depth > MAX_DEPTH else f"{MAX_VALUES} values"
            raise UserError(f"{document.file}:{line}: more than {limit}, which no suite needs.")
        tag = getattr(event, "tag", None)
        if tag is not None:
            short = tag.replace("tag:yaml.org,2002:", "!!")[:60]
            document.note_line(line, f"the tag '{short}' is not allowed. Write the plain value.")


class _Reader:
    def __init__(self, document: Document) -> None:
        self._document = document
        self._values = 0

    def read(self, node: yaml.Node, place: Place) -> Any:
        line = node.start_mark.line + 1
        self._document.lines.setdefault(place, (self._document.file, line))
        self._values += 1
        if self._values > MAX_VALUES or len(place) > MAX_DEPTH:
            raise UserError(
                f"{self._document.file}:{line}: aliases expand to more than {MAX_VALUES} values "
                f"or {MAX_DEPTH} levels. Write the values out."
            )
        if isinstance(node, yaml.MappingNode):
            return dict(self._entries(node, place))
        if isinstance(node, yaml.SequenceNode):
            return [self.read(item, (*place, index)) for index, item in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode), "YAML has three kinds of nodes"
        return node.value if node.style else self._plain(node.value, place)

    def _entries(self, node: yaml.MappingNode, place: Place) -> Iterator[tuple[str, Any]]:
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self._document.note_line(line, "a key must be a word.")
                continue
            key = key_node.value
            if len(key) > MAX_KEY:
                self._document.note_line(line, f"the key '{key[:20]}…' is too long.")
                continue
            if key in seen:
                message = f"'{key}' is already set in line {seen[key]}. Keep one."
                self._document.note_line(line, message)
                continue
            seen[key] = line
            self._document.lines[*place, key] = (self._document.file, line)
            yield key, self.read(value_node, (*place, key))

    def _plain(self, text: str, place: Place) -> Any:
        """A scalar without quotes, by the core schema of YAML 1.2."""
        if _NULL.fullmatch(text):
            return None
        if _BOOL.fullmatch(text):
            return text.lower() == "true"
        if _INT.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text):
            number = float(text)
            if math.isfinite(number):
                return number
            self._document.note(place, f"{text[:40]} is too large a number.")
        return text
