"""A suite: which clips, under which conditions, through which codecs, scored by which metrics.

`load` reads YAML, checks all of it before anything runs, and reports every problem at once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nacbench.conditions import Condition
from nacbench.core import ClipRef, OperatingPoint
from nacbench.errors import UserError
from nacbench.sources import Source
from nacbench.sources.sampling import choose
from nacbench.suite.files import find, names, read
from nacbench.suite.resolve import Override, resolve
from nacbench.suite.schema import Limits, TimingSettings

__all__ = ["Limits", "Suite", "TimingSettings", "find", "load", "names"]


@dataclass(frozen=True, eq=False)
class Suite:
    """A checked suite. Everything in it exists and can be built.

    Attributes:
        points: what runs.            skipped: points that cannot run here, each with the reason.
        metrics: recipe names.        set_metrics: those of metrics over a set of clips.
        skipped_metrics: recipes that cannot run here, with reasons.
        aliases: other names of recipes, `mel_distance` -> `mel:dac`.
        conditions: of `nacbench.conditions`.        sources: of `nacbench.sources`.
        specs: the sources and conditions as they were written, for the manifest.
    """

    name: str
    version: int
    title: str
    synthetic: bool
    seed: int
    points: tuple[OperatingPoint, ...]
    skipped: tuple[tuple[OperatingPoint, str], ...]
    metrics: tuple[str, ...]
    set_metrics: tuple[str, ...]
    skipped_metrics: tuple[tuple[str, str], ...]
    aliases: Mapping[str, str]
    conditions: tuple[Condition, ...]
    sources: tuple[Source, ...]
    specs: Mapping[str, Any]
    timing: TimingSettings = field(default_factory=TimingSettings)
    limits: Limits = field(default_factory=Limits)

    def clips(self, limit: int | None = None) -> list[ClipRef]:
        """Every clip of every source, or `limit` of them.

        A limited choice is drawn by seed over all sources, is the same on every machine, and is
        part of every larger one.

        Raises:
            UserError: a source has no audio, or two clips have the same id.
        """
        refs = [ref for source in self.sources for ref in source.clips()]
        if not refs:
            raise UserError(f"suite '{self.name}': its sources hold no clips.")
        seen: set[str] = set()
        for ref in refs:
            if ref.id in seen:
                raise UserError(f"suite '{self.name}': two clips have the id '{ref.id}'.")
            seen.add(ref.id)
        return choose(refs, limit, self.seed)

    def describe(self) -> dict[str, Any]:
        """All that decides results and how they are shown, as JSON; not what is installed here."""
        points = [*self.points, *(point for point, _ in self.skipped)]
        metrics = [*self.metrics, *self.set_metrics, *(name for name, _ in self.skipped_metrics)]
        return {
            "name": self.name,
            "version": self.version,
            "title": self.title,
            "synthetic": self.synthetic,
            "seed": self.seed,
            **self.specs,
            "points": {
                point.key: [point.series, point.setting]
                for point in sorted(points, key=lambda point: point.key)
            },
            "metrics": sorted(metrics),
        }

    @property
    def sha256(self) -> str:
        """Of `describe()`: two suites with the same hash ask for the same results."""
        return hashlib.sha256(json.dumps(self.describe(), sort_keys=True).encode()).hexdigest()


def load(
    suite: str | Path,
    *,
    codecs: Sequence[str] = (),
    kbps: Sequence[float] = (),
    metrics: Sequence[str] = (),
    audio: str | Path | None = None,
) -> Suite:
    """Read and check a suite, narrowed or changed as the command line asks.

    Args:
        suite: a file, or the name of one in `suites/`: `speech`, `real/speech`.
        codecs: only these, by name or label; one that the suite does not have is added.
        kbps: only these rates; with `codecs`, also rates that the suite does not list.
        metrics: these recipes instead of the suite's.
        audio: a folder of audio instead of the suite's sources.
    Raises:
        UserError: one line for every problem in the file or in the changes.
    """
    document = read(find(suite))
    folder = None if audio is None else Path(audio)
    override = Override(tuple(codecs), tuple(kbps), tuple(metrics), folder)
    return Suite(**resolve(document, override))
