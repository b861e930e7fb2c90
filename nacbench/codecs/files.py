"""Audio that somebody else has decoded already: a folder takes part in a run as a codec.

For results that came by mail and codecs that run elsewhere. Nothing is coded here, so no rate can
be measured: the user declares one and every table marks it.
"""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

from nacbench import audio
from nacbench.core import Bitstream, Clip
from nacbench.errors import DecodeError, UserError

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff")
RATES_FILE = "rates.csv"


class Files:
    """The file named like the clip, from a folder of decoded audio.

    A clip `p225/001.wav` is answered by `p225/001.wav` (or .flac, .ogg, …) below the folder, a clip
    `001` by any one file of that name there; decoded from that very clip: same start, no added
    gain. The payload is the file's name, a key and not a coded signal; see `declared_kbps` in
    `nacbench.core.Codec`.

    Args:
        path: the folder.
        kbps: the rate of all files.
        rates: a CSV file with a rate per clip, instead of `kbps`; `rates.csv` in the folder if
            there is one.
        column: the CSV's column with the rate in kbps. Clips are named in the column `clip`.
    """

    name = "files"
    title = "Files"
    version = "1"
    argument = "path"

    def __init__(
        self,
        path: str,
        kbps: float | None = None,
        rates: str | None = None,
        column: str = "kbps",
    ) -> None:
        self._folder = Path(path)
        if not self._folder.is_dir():
            raise UserError(f"codec 'files': {path} is not a folder. Give one with decoded audio.")
        if kbps is not None and not kbps > 0:
            raise ValueError(f"kbps must be positive, got {kbps:g}")
        if kbps is not None and rates is not None:
            raise ValueError("kbps and rates exclude each other: one rate for all, or one per clip")
        table = Path(rates) if rates is not None else self._folder / RATES_FILE
        if kbps is None and rates is None and not table.is_file():
            raise ValueError(
                f"nobody can measure the rate of decoded files: give kbps, or {RATES_FILE} in "
                f"{path} with the columns 'clip' and '{column}'"
            )
        self._rates = {} if kbps is not None else _read_rates(table, column)
        self._files = _index(self._folder)
        self.nominal_kbps = kbps

    def encode(self, clip: Clip) -> Bitstream:
        name = _without_suffix(clip.id)
        if name not in self._files:
            raise ValueError(f"{self._folder} has no file named '{name}' (.wav, .flac, …)")
        if self.nominal_kbps is None and name not in self._rates:
            raise ValueError(f"the table of rates has no line for clip '{clip.id}'")
        return Bitstream(name.encode())

    def decode(self, bitstream: Bitstream) -> Clip:
        try:
            return audio.read(self._files[bitstream.payload.decode()])
        except (KeyError, UnicodeDecodeError, UserError) as error:
            raise DecodeError(f"no readable file for this key: {error}") from error

    def declared_kbps(self, bitstream: Bitstream) -> float:
        return self.nominal_kbps or self._rates[bitstream.payload.decode()]

    def build_id(self) -> str:
        """Names, sizes and times of the files: a changed file must not meet a cached score."""
        seen = hashlib.sha256()
        for name, file in sorted(self._files.items()):
            status = file.stat()
            seen.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
        return f"{len(self._files)} files {seen.hexdigest()[:12]}"


def _without_suffix(clip_id: str) -> str:
    """Clips from a folder carry the suffix of their file; decoded files may have another."""
    stem, dot, suffix = clip_id.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in AUDIO_SUFFIXES else clip_id


def _index(folder: Path) -> dict[str, Path]:
    """Name -> file: the path below the folder, and its last part where that is unambiguous."""
    found: dict[str, Path] = {}
    by_stem: dict[str, list[Path]] = {}
    for file in sorted(folder.rglob("*")):
        if file.suffix.lower() in AUDIO_SUFFIXES and file.is_file():
            name = _without_suffix(file.relative_to(folder).as_posix())
            found.setdefault(name, file)
            by_stem.setdefault(name.rpartition("/")[2], []).append(file)
    for stem, files in by_stem.items():
        if len(files) == 1:
            found.setdefault(stem, files[0])
    if not found:
        raise UserError(f"codec 'files': {folder} holds no audio ({', '.join(AUDIO_SUFFIXES)}).")
    return found


def _read_rates(path: Path, column: str) -> dict[str, float]:
    if not path.is_file():
        raise UserError(f"codec 'files': {path}: no such file.")
    with path.open(encoding="utf-8-sig", newline="") as file:
        table = csv.DictReader(file)
        names = table.fieldnames or []
        if "clip" not in names or column not in names:
            raise UserError(
                f"{path}: has the columns {', '.join(names) or 'none'}; "
                f"'clip' and '{column}' are needed."
            )
        rates = {}
        for line, row in enumerate(table, start=2):
            try:
                rate = float(row[column])
            except (TypeError, ValueError) as error:
                raise UserError(
                    f"{path}:{line}: '{row[column]}' in column '{column}' is not a rate in kbps."
                ) from error
            if not 0 < rate < float("inf"):
                raise UserError(f"{path}:{line}: a rate must be positive, found {row[column]}.")
            rates[_without_suffix(row["clip"] or "")] = rate
    return rates
