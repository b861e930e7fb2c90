"""The tracked index: one CSV per collection, one row per file."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from nacbench.errors import UserError
from nacbench.registry import did_you_mean

FOLDER = Path(__file__).parent / "index"


@dataclass(frozen=True)
class Entry:
    """A file as it is published and as it is kept.

    Attributes:
        path: where it is kept, below a data folder.
        set: the set of recordings it belongs to, `speech_eval`; empty for weights.
        url, source_bytes, source_sha256: the public file.
        sha256: the kept file's, as made when the index was written.
        audio: how the kept file is made from the public one; None keeps it as it is.
        tags: speaker, language, content, licence, …
    """

    path: str
    set: str
    url: str
    source_bytes: int
    source_sha256: str
    sha256: str
    audio: Conversion | None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def recipe(self) -> str:
        """What decides the kept file: a file kept under another recipe is made again."""
        return f"{self.source_sha256} {self.audio}"

    @property
    def name(self) -> str:
        """`01_vctk48_nuwave2_12k2`: the file name without its suffix."""
        return Path(self.path).stem


@dataclass(frozen=True)
class Conversion:
    """How a kept recording is cut and stored, and the samples that must come out.

    Attributes:
        start_s, end_s: part of the source; None is its own start or end. Cut edges are faded.
        channels: 1 where the source has more averages them.
        subtype: of the FLAC file, PCM_16 or PCM_24.
        pcm_sha256: of the samples, see `convert.pcm_sha256`: FLAC files with the same samples
            differ in bytes from one encoder version to the next.
        exact: whether every decoder gives the same samples; false for Vorbis.
    """

    start_s: float | None
    end_s: float | None
    frames: int
    sample_rate_hz: int
    channels: int
    subtype: str
    pcm_sha256: str
    exact: bool


# Columns that say what a file is about become tags of its clip.
TAGS = ("speaker", "language", "variety", "content", "licence", "flags")


def collections() -> list[str]:
    """Names of everything that can be fetched: `lyra`, `real-speech`, …"""
    return sorted(path.stem for path in FOLDER.glob("*.csv"))


@cache
def collection(name: str) -> tuple[Entry, ...]:
    """The files of a collection.

    Raises:
        UserError: there is none of that name.
    """
    if name not in collections():
        raise UserError(
            f"unknown data '{name}'.{did_you_mean(name, collections())} "
            "'nacbench list data' shows all."
        )
    with (FOLDER / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return tuple(_entries(csv.DictReader(file)))


def members(set_name: str) -> tuple[str, tuple[Entry, ...]]:
    """The collection that holds a set, and the set's files.

    Raises:
        UserError: there is no such set.
    """
    known: dict[str, str] = {}
    for name in collections():
        known.update({entry.set: name for entry in collection(name) if entry.set})
    if set_name not in known:
        raise UserError(
            f"unknown set '{set_name}' of real recordings.{did_you_mean(set_name, known)} "
            f"There are: {', '.join(sorted(known))}."
        )
    name = known[set_name]
    return name, tuple(entry for entry in collection(name) if entry.set == set_name)


def _entries(rows: csv.DictReader[str]) -> Iterator[Entry]:
    for row in rows:
        yield Entry(
            path=row["path"],
            set=row["set"],
            url=row["url"],
            source_bytes=int(row["source_bytes"]),
            source_sha256=row["source_sha256"],
            sha256=row["sha256"],
            audio=_conversion(row),
            tags={name: row[name] for name in TAGS if row.get(name)},
        )


def _conversion(row: Mapping[str, str]) -> Conversion | None:
    if not row.get("subtype"):
        return None
    return Conversion(
        start_s=float(row["start_s"]) if row["start_s"] else None,
        end_s=float(row["end_s"]) if row["end_s"] else None,
        frames=int(row["frames"]),
        sample_rate_hz=int(row["sample_rate_hz"]),
        channels=int(row["channels"]),
        subtype=row["subtype"],
        pcm_sha256=row["pcm_sha256"],
        exact=row["exact"] == "yes",
    )
