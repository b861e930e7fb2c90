"""MUSDB18-HQ and GTZAN, as their archives unpack."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from nacbench.core import ClipRef
from nacbench.errors import UserError
from nacbench.registry import did_you_mean
from nacbench.sources.public import Home, audio_files, part
from nacbench.sources.sampling import Sampling


class MUSDB18HQ:
    """MUSDB18-HQ: 150 songs and their stems, stereo, 44.1 kHz. Tags: title, artist, stem.

    The files are whole songs: set `excerpt_s`.

    Args:
        split: `test`, `train`, or `validation`, the 14 songs of `train` that torchaudio's and
            musdb's split sets apart; `train` then still has all 100.
        stem: `mixture`, `vocals`, `drums`, `bass` or `other`.
        path: the folder `musdb18hq` or the one it is in.
        limit, seed, excerpt_s, excerpts: see `sampling.Sampling`.

    Source: Rafii et al., 2019; doi.org/10.5281/zenodo.3338373.
    """

    argument = "split"
    HOME = Home("MUSDB18-HQ", ("musdb18hq",), "doi.org/10.5281/zenodo.3338373")
    missing = HOME.missing
    SPLITS = ("test", "train", "validation")
    STEMS = ("mixture", "vocals", "drums", "bass", "other")

    def __init__(
        self,
        split: str = "test",
        stem: str = "mixture",
        path: str | None = None,
        limit: int | None = None,
        seed: int = 0,
        excerpt_s: float | None = None,
        excerpts: int = 1,
    ) -> None:
        for name, value, known in (("split", split, self.SPLITS), ("stem", stem, self.STEMS)):
            if value not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}: {value!r}")
        self._split, self._stem, self._path = split, stem, path
        self._sampling = Sampling(limit, None, seed, None, excerpt_s, excerpts)

    def clips(self) -> list[ClipRef]:
        root = self.HOME.locate(self._path)
        songs: Collection[str] | None = None
        folder = part(
            "MUSDB18-HQ", root, "train" if self._split == "validation" else self._split, ()
        )
        if self._split == "validation":
            songs = _torchaudio_list("musdb_hq", "_VALIDATION_SET")
        refs = []
        for file in audio_files("MUSDB18-HQ", folder, f"*/{self._stem}.wav"):
            song = file.parent.name
            if songs is not None and song not in songs:
                continue
            artist, _, title = song.partition(" - ")
            tags = {"artist": artist, "title": title or artist, "stem": self._stem}
            refs.append(ClipRef(song, str(file), tags))
        return self._sampling.take(refs)


class GTZAN:
    """GTZAN: 30 s excerpts of ten genres, mono, 22.05 kHz. Tag: genre.

    Args:
        split: `all`, or `train`, `valid`, `test`: the fault-filtered split without the repeated,
            mislabelled and distorted files, as torchaudio carries it.
        genres: only these.
        path: the folder `genres` (`genres_original`), or the one it is in.
        limit, seed, excerpt_s, excerpts: see `sampling.Sampling`.

    Source: Tzanetakis & Cook, IEEE TSAP 10(5), 2002; faults: Sturm, arXiv:1306.1461.
    """

    argument = "split"
    HOME = Home(
        "GTZAN",
        ("genres", "genres_original", "Data/genres_original", "GTZAN/genres"),
        "huggingface.co/datasets/marsyas/gtzan",
    )
    missing = HOME.missing
    SPLITS = ("all", "train", "valid", "test")
    GENRES = (
        *("blues", "classical", "country", "disco", "hiphop"),
        *("jazz", "metal", "pop", "reggae", "rock"),
    )

    def __init__(
        self,
        split: str = "all",
        genres: list[str] | None = None,
        path: str | None = None,
        limit: int | None = None,
        seed: int = 0,
        excerpt_s: float | None = None,
        excerpts: int = 1,
    ) -> None:
        if split not in self.SPLITS:
            raise ValueError(f"split must be one of {', '.join(self.SPLITS)}: {split!r}")
        for genre in genres or ():
            if genre not in self.GENRES:
                raise ValueError(f"unknown genre '{genre}'.{did_you_mean(genre, self.GENRES)}")
        self._split, self._genres, self._path = split, genres, path
        self._sampling = Sampling(limit, None, seed, None, excerpt_s, excerpts)

    def clips(self) -> list[ClipRef]:
        root = self.HOME.locate(self._path)
        allowed = None
        if self._split != "all":
            allowed = _torchaudio_list("gtzan", f"filtered_{self._split}")
        refs = [
            ClipRef(file.stem, str(file), {"genre": file.parent.name})
            for file in audio_files("GTZAN", root, "*/*.wav")
            if (allowed is None or file.stem in allowed)
            and (self._genres is None or file.parent.name in self._genres)
        ]
        return self._sampling.take(refs)


def _torchaudio_list(module: str, name: str) -> Collection[str]:
    """A list of file names that torchaudio carries beside its data set classes.

    Raises:
        UserError: torchaudio is not installed.
    """
    import importlib

    from nacbench.torchaudio_cpu import import_torchaudio

    try:
        import_torchaudio()
        loaded: Any = importlib.import_module(f"torchaudio.datasets.{module}")
    except ImportError as error:
        raise UserError(
            "this split is a list that torchaudio carries: pip install torchaudio."
        ) from error
    return frozenset(getattr(loaded, name))
