"""A folder of recordings: `{folder: {path: recordings}}`, or `--audio recordings`."""

from __future__ import annotations

from pathlib import Path

from nacbench.core import ClipRef
from nacbench.errors import UserError
from nacbench.sources.sampling import choose

EXTENSIONS = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".w64", ".caf")


class Folder:
    """Every audio file below a folder, sorted by path. A clip's id is its path within the folder.

    Args:
        path: the folder.
        glob: which files, relative to the folder (`**/*_clean.wav`); by default every file with
            an audio extension.
        tags: given to every clip.
        limit: how many clips, drawn by `seed`; None takes all.
    """

    argument = "path"

    def __init__(
        self,
        path: str,
        glob: str | None = None,
        tags: dict[str, str] | None = None,
        limit: int | None = None,
        seed: int = 0,
    ) -> None:
        self._path = Path(path).expanduser()
        self._glob = glob
        self._tags = {name: str(value) for name, value in (tags or {}).items()}
        self._limit = limit
        self._seed = seed

    def clips(self) -> list[ClipRef]:
        if not self._path.is_dir():
            raise UserError(f"{self._path}: no such folder.")
        files = sorted(
            file for file in self._path.glob(self._glob or "**/*") if self._is_wanted(file)
        )
        if not files:
            wanted = f"matches '{self._glob}'" if self._glob else "is audio (.wav, .flac, .mp3, …)"
            raise UserError(f"{self._path}: no file in it {wanted}.")
        refs = [
            ClipRef(file.relative_to(self._path).as_posix(), str(file), self._tags)
            for file in files
        ]
        return choose(refs, self._limit, self._seed)

    def _is_wanted(self, file: Path) -> bool:
        hidden = any(part.startswith(".") for part in file.relative_to(self._path).parts)
        named = self._glob is not None or file.suffix.lower() in EXTENSIONS
        return named and not hidden and file.is_file()
