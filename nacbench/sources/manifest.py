"""A list of clips in a CSV or JSON Lines file: `{manifest: {path: clips.csv}}`."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nacbench.core import ClipRef
from nacbench.errors import UserError
from nacbench.registry import did_you_mean
from nacbench.sources.sampling import choose

COLUMNS = ("path", "id", "start_s", "duration_s", "sha256", "tags")


class Manifest:
    """Clips named by a table, one row (CSV) or one object (`.jsonl`) each.

    Columns: `path` (required; relative to the manifest), `id` (else the path), `start_s`,
    `duration_s`, `sha256`, `tags` (`speaker=anna; language=de`, or an object in JSON); every other
    column becomes a tag of its own.

    Args:
        path: the manifest.
        root: folder that the paths are relative to; the manifest's own by default.
        limit, per_speaker, seed: take fewer, see `sampling.choose`.
    """

    argument = "path"

    def __init__(
        self,
        path: str,
        root: str | None = None,
        limit: int | None = None,
        per_speaker: int | None = None,
        seed: int = 0,
    ) -> None:
        self._path = Path(path).expanduser()
        self._root = Path(root).expanduser() if root else self._path.parent
        self._limit, self._per_speaker, self._seed = limit, per_speaker, seed

    def clips(self) -> list[ClipRef]:
        read = _json_lines if self._path.suffix in (".jsonl", ".ndjson") else _csv_rows
        try:
            refs = [self._ref(line, row) for line, row in read(self._path)]
        except OSError as error:
            raise UserError(f"{self._path}: {error.strerror}.") from error
        except UnicodeDecodeError as error:
            raise UserError(f"{self._path}: not UTF-8 text. Save it as UTF-8.") from error
        if not refs:
            raise UserError(f"{self._path}: lists no clips.")
        lines: dict[str, int] = {}
        for number, ref in enumerate(refs, start=1):
            if ref.id in lines:
                raise UserError(
                    f"{self._path}: clips {lines[ref.id]} and {number} share the id '{ref.id}'. "
                    "Give the rows an 'id' column with unique values."
                )
            lines[ref.id] = number
        return choose(refs, self._limit, self._seed, self._per_speaker)

    def _ref(self, line: int, row: Mapping[str, Any]) -> ClipRef:
        where = f"{self._path}:{line}"
        path = row.get("path")
        if not isinstance(path, str) or not path:
            raise UserError(
                f"{where}: no 'path'.{did_you_mean('path', row)} "
                f"Expected columns: {', '.join(COLUMNS)}; others become tags."
            )
        others = {
            str(name): str(value)
            for name, value in row.items()
            if name not in COLUMNS and value not in ("", None)
        }
        return ClipRef(
            id=str(row.get("id") or path),
            path=str(self._root / path),
            tags={**others, **_tags(where, row.get("tags"))},
            start_s=_seconds(where, "start_s", row.get("start_s")) or 0.0,
            duration_s=_seconds(where, "duration_s", row.get("duration_s")),
            sha256=str(row["sha256"]) if row.get("sha256") else None,
        )


def _csv_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        for row in reader:
            if None in row:
                raise UserError(f"{path}:{reader.line_num}: more cells than columns in the header.")
            yield reader.line_num, row


def _json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open(encoding="utf-8-sig") as file:
        for line, text in enumerate(file, start=1):
            if not text.strip():
                continue
            try:
                row = json.loads(text)
            except ValueError as error:
                raise UserError(f"{path}:{line}: not JSON ({error}).") from error
            if not isinstance(row, dict):
                raise UserError(f"{path}:{line}: expected an object, got {text.strip()[:40]}.")
            yield line, row


def _tags(where: str, value: Any) -> dict[str, str]:
    if not value:
        return {}
    if isinstance(value, Mapping):
        return {str(name): str(content) for name, content in value.items()}
    pairs = [part.partition("=") for part in str(value).split(";") if part.strip()]
    if not all(name.strip() and equals for name, equals, _ in pairs):
        raise UserError(f"{where}: tags are {value!r}; expected 'speaker=anna; language=de'.")
    return {name.strip(): content.strip() for name, _, content in pairs}


def _seconds(where: str, column: str, value: Any) -> float | None:
    if value is None or value == "":
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise UserError(f"{where}: {column} is {value!r}; expected seconds of at least 0.")
    return seconds
