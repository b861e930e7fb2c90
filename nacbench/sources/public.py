"""What the field's public sets have in common: where they lie and how they say that they do not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from nacbench import data
from nacbench.errors import UserError
from nacbench.registry import did_you_mean


def locate(title: str, path: str | None, folders: Sequence[str], homepage: str) -> Path:
    """The folder of a set: `path` itself, or one of its usual names in it or in a data folder.

    Args:
        folders: the usual names, as the set's archive unpacks.

    Raises:
        UserError: it is in none of these places.
    """
    roots = data.roots() if path is None else [Path(path).expanduser()]
    if path is not None and not roots[0].is_dir():
        raise UserError(f"{title}: {path}: no such folder.")
    for root in roots:
        if path is not None and root.name in folders:
            return root
        for folder in folders:
            if (root / folder).is_dir():
                return root / folder
    if path is not None:
        return roots[0]
    raise UserError(
        f"{title} is not here: no folder '{folders[0]}' in {', '.join(map(str, roots))}. "
        f"Get it from {homepage} and name its folder with 'path', NACBENCH_DATA or --data."
    )


def part(title: str, root: Path, name: str, known: Sequence[str]) -> Path:
    """A part of a set that lies in a folder of its own.

    Raises:
        UserError: the set has no such part, or it was not downloaded.
    """
    if known and name not in known:
        raise UserError(
            f"{title} has no '{name}'.{did_you_mean(name, known)} It has: {', '.join(known)}."
        )
    if not (root / name).is_dir():
        there = sorted(folder.name for folder in root.iterdir() if folder.is_dir())
        raise UserError(
            f"{title}: '{name}' is not in {root}. There: {', '.join(there) or 'nothing'}."
        )
    return root / name


def audio_files(title: str, folder: Path, pattern: str) -> list[Path]:
    """Files by glob, sorted by path; the `._` files that macOS leaves in archives are not audio.

    Raises:
        UserError: there is none.
    """
    files = sorted(file for file in folder.glob(pattern) if not file.name.startswith("."))
    if not files:
        raise UserError(f"{title}: no '{pattern}' in {folder}. Was it unpacked completely?")
    return files


def text_lines(path: Path) -> Iterator[str]:
    """Lines of a metadata file; none where the file is missing. Foreign bytes do not stop it."""
    if path.is_file():
        with path.open(encoding="utf-8", errors="replace") as file:
            yield from (line.rstrip("\r\n") for line in file)
