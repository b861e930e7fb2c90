"""What there is to train on: the recordings of a folder or a manifest, and who speaks in them."""

from __future__ import annotations

import csv
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from reference_codec.errors import UserError
from reference_codec.training.wording import did_you_mean

BY_LIBSNDFILE = frozenset({".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff",
                           ".aifc", ".au", ".snd", ".caf", ".w64", ".rf64", ".sph"})  # fmt: skip
BY_FFMPEG = frozenset(
    {".m4a", ".mp4", ".aac", ".webm", ".mka", ".mkv", ".wma", ".ac3", ".amr", ".mov"}
)


@dataclass(frozen=True)
class Recording:
    """A file or a part of one.

    Attributes:
        name: path as the folder or the manifest gives it.
        speaker: who or what is heard; recordings of one speaker are never split over training
            and validation.
        start_s, duration_s: the part; None: to the end.
    """

    name: str
    path: Path
    speaker: str
    start_s: float = 0.0
    duration_s: float | None = None


def find(
    source: str | Path,
    where: Mapping[str, str | Collection[str]] | None = None,
    speaker_column: str | None = None,
) -> list[Recording]:
    """The recordings of a folder, searched recursively, or of a manifest in CSV.

    Args:
        where: manifest column -> the value it must have, or several.
        speaker_column: of the manifest; by default the first whose name begins with "speaker".
            Without one, and in a folder, files of one subfolder are by one speaker; files that
            lie in no subfolder are by one each.
    Raises:
        UserError: the source is missing, or holds nothing that could be audio.
    """
    source = Path(source).expanduser()
    if source.is_dir():
        if where or speaker_column:
            raise UserError(f"{source}: is a folder; data.where and speaker_column need a CSV.")
        recordings = _in_folder(source)
    elif source.suffix.lower() in (".csv", ".tsv"):
        recordings = _in_manifest(source, where or {}, speaker_column)
    elif source.exists():
        raise UserError(f"{source}: expected a folder or a manifest in CSV with a 'path' column.")
    else:
        raise UserError(f"{source}: no such folder or manifest.")
    if not recordings:
        raise UserError(f"{source}: no audio files. Looked for {', '.join(sorted(BY_LIBSNDFILE))} "
                        f"and {', '.join(sorted(BY_FFMPEG))}.")  # fmt: skip
    return recordings


def _in_folder(folder: Path) -> list[Recording]:
    paths: list[Path] = []
    for directory, subfolders, names in os.walk(folder, followlinks=False):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        paths += [
            Path(directory, name)
            for name in sorted(names)
            if not name.startswith(".") and Path(name).suffix.lower() in BY_LIBSNDFILE | BY_FFMPEG
        ]
    names = [path.relative_to(folder).as_posix() for path in paths]
    speakers = _speakers_by_folder(names)
    return [
        Recording(name, path, speaker)
        for name, path, speaker in zip(names, paths, speakers, strict=True)
    ]


def _speakers_by_folder(names: list[str]) -> list[str]:
    """The first folder in which the names differ, or the file where it lies in none."""
    parts = [name.split("/") for name in names]
    depth = 0
    while parts and all(len(path) > depth + 1 for path in parts):
        if len({path[depth] for path in parts}) > 1:
            return [path[depth] for path in parts]
        depth += 1
    return [path[depth] for path in parts]


def _in_manifest(
    manifest: Path, where: Mapping[str, str | Collection[str]], speaker_column: str | None
) -> list[Recording]:
    rows = _rows(manifest)
    columns = list(rows[0][1]) if rows else []
    for column in ["path", *where, *([speaker_column] if speaker_column else [])]:
        if column not in columns:
            raise UserError(
                f"{manifest}: has no column '{column}'.{did_you_mean(column, columns)} "
                f"Its columns: {', '.join(columns)}."
            )
    if speaker_column is None:
        speaker_column = next((name for name in columns if name.startswith("speaker")), None)
    wanted = {
        column: {values} if isinstance(values, str) else set(values)
        for column, values in where.items()
    }
    rows = [
        (line, row)
        for line, row in rows
        if all(row[column] in values for column, values in wanted.items())
    ]
    if where and not rows:
        raise UserError(f"{manifest}: no row has {dict(where)} (data.where).")
    fallback = _speakers_by_folder([row["path"] for _, row in rows])
    return [
        Recording(
            row["path"],
            manifest.parent / row["path"],
            (speaker_column and row[speaker_column]) or folder,
            _seconds(manifest, line, row, "start_s") or 0.0,
            _seconds(manifest, line, row, "duration_s"),
        )
        for (line, row), folder in zip(rows, fallback, strict=True)
    ]


def _rows(manifest: Path) -> list[tuple[int, dict[str, str]]]:
    try:
        with manifest.open(encoding="utf-8-sig", newline="") as file:
            delimiter = "\t" if manifest.suffix.lower() == ".tsv" else ","
            reader = csv.DictReader(file, delimiter=delimiter, restval="")
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{manifest}: not readable as CSV in UTF-8 ({error}).") from error
    for line, row in rows:
        if None in row:
            raise UserError(f"{manifest}:{line}: more cells than columns in the header.")
        if "path" in row and not row["path"]:
            raise UserError(f"{manifest}:{line}: the path is empty.")
    return rows


def _seconds(manifest: Path, line: int, row: Mapping[str, str], column: str) -> float | None:
    text = row.get(column)
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise UserError(f"{manifest}:{line}: {column} is '{text}'; expected seconds.")
    return value
