"""Promises, kept and broken, and what was measured on the way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from nacbench.errors import CodecUnavailableError


class BrokenError(Exception):
    """A promise that was not kept; the message is the sentence to show."""


def require(kept: bool, sentence: str) -> None:
    if not kept:
        raise BrokenError(sentence)


@dataclass
class Report:
    """What a check saw. `print` it.

    Attributes:
        subject: name and options of what was checked.
        measured: facts about a second of audio: payload_kbps, delay_ms, correlation, …
        notes: what is allowed but worth knowing.
        passed: promises that were kept, in order.
        broken: a sentence for each that was not.
    """

    subject: str
    measured: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    passed: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    @contextmanager
    def promise(self, title: str) -> Iterator[None]:
        """Whatever is raised inside breaks the promise, except that something is not installed."""
        try:
            yield
        except CodecUnavailableError:
            raise
        except BrokenError as error:
            self.broken.append(str(error))
        except Exception as error:
            self.broken.append(f"{title}: raised {type(error).__name__}: {error}")
        else:
            self.passed.append(title)

    def verdict(self, kind: str) -> Report:
        """The report itself; AssertionError where a promise was broken."""
        if self.broken:
            listed = "\n".join(f"- {sentence}" for sentence in self.broken)
            raise AssertionError(f"{self.subject} breaks the contract of a {kind}:\n{listed}")
        return self

    def __str__(self) -> str:
        facts = [f"  {name}: {value}" for name, value in self.measured.items()]
        notes = [f"  note: {note}" for note in self.notes]
        return "\n".join([f"{self.subject}: {len(self.passed)} checks passed", *facts, *notes])
