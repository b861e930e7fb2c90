"""What the field's public sets have in common: where they lie and how they say that they do not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nacbench import data
from nacbench.errors import UserError
from nacbench.registry import did_you_mean


@dataclass(frozen=True)
class Home:
    """A public set: its title, the folders that its archive unpacks to, and where to get it."""

    title: str
    folders: tuple[str, ...]
    site: str

    def locate(self, path: str | None) -> Path:
        """The set's folder: `path` itself, or one of the usual names in it or in a data folder.

        Raises:
            UserError: it is in none of these places.
        """
        if path is not None:
            root = Path(path).expanduser()
            if not root.is_dir():
                raise UserError(f"{self.title}: {path}: no such folder.")
            return self._within(root) or root
        for root in data.roots():
            if folder := self._within(root):
                return folder
        raise UserError(f"{self.title} is not here: {self.missing()}")

    def missing(self) -> str | None:
        """Why the set is in no data folder and how to get it; None where it is there."""
        roots = data.roots()
        if any(self._within(root) for root in roots):
            return None
        return (
            f"no folder '{self.folders[0]}' in {', '.join(map(str, roots))}. Get it from "
            f"{self.site} and name its folder with 'path', NACBENCH_DATA or --data."
        )

    def _within(self, root: Path) -> Path | None:
        found = (root / folder for folder in self.folders if (root / folder).is_dir())
        return next(found, None)


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
