"""LibriSpeech, VCTK, DAPS and MLS, as their archives unpack."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from nacbench.core import ClipRef
from nacbench.errors import UserError
from nacbench.sources.public import Home, audio_files, part, text_lines
from nacbench.sources.sampling import Sampling

LICENCE = "CC BY 4.0"


class LibriSpeech:
    """LibriSpeech: English audiobooks, 16 kHz. Tags: speaker, gender, chapter, transcript.

    Args:
        split: `test-clean`, `dev-other`, `train-clean-100`, …
        path: the folder `LibriSpeech` or the one it is in.
        limit, per_speaker, seed, speakers, excerpt_s, excerpts: see `sampling.Sampling`.

    Source: Panayotov et al., ICASSP 2015; openslr.org/12.
    """

    argument = "split"
    HOME = Home("LibriSpeech", ("LibriSpeech",), "openslr.org/12")
    missing = HOME.missing
    SPLITS = (
        *("dev-clean", "dev-other", "test-clean", "test-other"),
        *("train-clean-100", "train-clean-360", "train-other-500"),
    )

    def __init__(
        self,
        split: str = "test-clean",
        path: str | None = None,
        limit: int | None = None,
        per_speaker: int | None = None,
        seed: int = 0,
        speakers: list[str] | None = None,
        excerpt_s: float | None = None,
        excerpts: int = 1,
    ) -> None:
        self._split, self._path = split, path
        self._sampling = Sampling(limit, per_speaker, seed, speakers, excerpt_s, excerpts)

    def clips(self) -> list[ClipRef]:
        root = self.HOME.locate(self._path)
        folder = part("LibriSpeech", root, self._split, self.SPLITS)
        genders = _librispeech_genders(root)
        refs = []
        for file in audio_files("LibriSpeech", folder, "*/*/*.flac"):
            speaker, chapter = file.parts[-3:-1]
            tags = {"speaker": speaker, "chapter": chapter, "language": "en", "licence": LICENCE}
            if speaker in genders:
                tags["gender"] = genders[speaker]
            refs.append(ClipRef(file.stem, str(file), tags))
        return _with_transcripts(self._sampling.take(refs), _librispeech_transcript)


class VCTK:
    """VCTK: read English of 110 speakers with many accents, 48 kHz.

    Tags: speaker, gender, accent, transcript. Release 0.92 (`VCTK-Corpus-0.92`) and the older
    `VCTK-Corpus`, which has one microphone.

    Args:
        microphone: 1 or 2, of release 0.92.
        path: the folder of the corpus or the one it is in.
        limit, per_speaker, seed, speakers, excerpt_s, excerpts: see `sampling.Sampling`.

    Source: Yamagishi, Veaux, MacDonald, 2019; doi.org/10.7488/ds/2645.
    """

    HOME = Home("VCTK", ("VCTK-Corpus-0.92", "VCTK-Corpus"), "doi.org/10.7488/ds/2645")
    missing = HOME.missing

    def __init__(
        self,
        microphone: int = 1,
        path: str | None = None,
        limit: int | None = None,
        per_speaker: int | None = None,
        seed: int = 0,
        speakers: list[str] | None = None,
        excerpt_s: float | None = None,
        excerpts: int = 1,
    ) -> None:
        if microphone not in (1, 2):
            raise ValueError(f"microphone must be 1 or 2, got {microphone!r}")
        self._microphone, self._path = microphone, path
        self._sampling = Sampling(limit, per_speaker, seed, speakers, excerpt_s, excerpts)

    def clips(self) -> list[ClipRef]:
        root = self.HOME.locate(self._path)
        about = _vctk_speakers(root)
        refs = []
        for file in self._files(root):
            speaker = file.parent.name
            tags = {"speaker": speaker, "language": "en", "licence": LICENCE}
            refs.append(ClipRef(file.stem, str(file), {**tags, **about.get(speaker, {})}))
        return _with_transcripts(self._sampling.take(refs), _vctk_transcript)

    def _files(self, root: Path) -> list[Path]:
        if (root / "wav48_silence_trimmed").is_dir():
            folder = root / "wav48_silence_trimmed"
            return audio_files("VCTK", folder, f"*/*_mic{self._microphone}.flac")
        return audio_files("VCTK", part("VCTK", root, "wav48", ()), "*/*.wav")


class DAPS:
    """DAPS: 20 speakers reading five scripts in a studio, 44.1 kHz, and device versions of it.

    Tags: speaker (`f1`…`f10`, `m1`…`m10`), gender, script, recording. The files are minutes long:
    set `excerpt_s`.

    Args:
        recording: `clean`, `cleanraw`, `produced`, or a device and room, `ipad_office1`.
        path: the folder `daps` or the one it is in.
        limit, per_speaker, seed, speakers, excerpt_s, excerpts: see `sampling.Sampling`.

    Source: Mysore, IEEE Signal Processing Letters 22(8), 2015; doi.org/10.5281/zenodo.4660670.
    """

    argument = "recording"
    HOME = Home("DAPS", ("daps",), "doi.org/10.5281/zenodo.4660670")
    missing = HOME.missing

    def __init__(
        self,
        recording: str = "clean",
        path: str | None = None,
        limit: int | None = None,
        per_speaker: int | None = None,
        seed: int = 0,
        speakers: list[str] | None = None,
        excerpt_s: float | None = None,
        excerpts: int = 1,
    ) -> None:
        self._recording, self._path = recording, path
        self._sampling = Sampling(limit, per_speaker, seed, speakers, excerpt_s, excerpts)

    def clips(self) -> list[ClipRef]:
        root = self.HOME.locate(self._path)
        folder = part("DAPS", root, self._recording, ())
        refs = []
        for file in audio_files("DAPS", folder, "*.wav"):
            speaker, _, rest = file.stem.partition("_")
            if not rest or speaker[:1] not in ("f", "m"):
                raise UserError(f"{file}: expected a name like f1_script1_clean.wav.")
            tags = {
                "speaker": speaker,
                "gender": {"f": "female", "m": "male"}[speaker[0]],
                "script": rest.partition("_")[0],
                "recording": self._recording,
                "language": "en",
            }
            refs.append(ClipRef(file.stem, str(file), tags))
        return self._sampling.take(refs)


class MLS:
    """Multilingual LibriSpeech: audiobooks in eight languages, 16 kHz.

    Tags: speaker, gender, book, language, transcript.

    Args:
        language: `german`, `dutch`, `french`, `spanish`, `italian`, `portuguese`, `polish`,
            `english`.
        split: `test`, `dev` or `train`.
        path: the folder `mls_german` (or `mls_german_opus`), or the one it is in.
        limit, per_speaker, seed, speakers, excerpt_s, excerpts: see `sampling.Sampling`.

    Source: Pratap et al., Interspeech 2020, arXiv:2012.03411; openslr.org/94.
    """

    argument = "language"
    LANGUAGES = {  # noqa: RUF012 - a constant, not an instance's state
        "dutch": "nl",
        "english": "en",
        "french": "fr",
        "german": "de",
        "italian": "it",
        "polish": "pl",
        "portuguese": "pt",
        "spanish": "es",
    }
    HOME = Home(
        "MLS",
        tuple(f"mls_{name}{end}" for name in LANGUAGES for end in ("", "_opus")),
        "openslr.org/94",
    )
    missing = HOME.missing

    def __init__(
        self,
        language: str,
        split: str = "test",
        path: str | None = None,
        limit: int | None = None,
        per_speaker: int | None = None,
        seed: int = 0,
        speakers: list[str] | None = None,
        excerpt_s: float | None = None,
        excerpts: int = 1,
    ) -> None:
        if language not in self.LANGUAGES:
            raise ValueError(f"language must be one of {', '.join(self.LANGUAGES)}: {language!r}")
        self._language, self._split, self._path = language, split, path
        self._home = replace(self.HOME, folders=(f"mls_{language}", f"mls_{language}_opus"))
        self._sampling = Sampling(limit, per_speaker, seed, speakers, excerpt_s, excerpts)

    def clips(self) -> list[ClipRef]:
        root = self._home.locate(self._path)
        folder = part("MLS", root, self._split, ("test", "dev", "train"))
        suffix = "opus" if root.name.endswith("_opus") else "flac"
        genders = _mls_genders(root)
        refs = []
        for file in audio_files("MLS", folder, f"audio/*/*/*.{suffix}"):
            speaker, book = file.parts[-3:-1]
            tags = {"speaker": speaker, "book": book, "language": self.LANGUAGES[self._language]}
            if speaker in genders:
                tags["gender"] = genders[speaker]
            refs.append(ClipRef(file.stem, str(file), {**tags, "licence": LICENCE}))
        transcripts = _tabular(folder / "transcripts.txt", "\t")
        return _with_transcripts(self._sampling.take(refs), lambda path: transcripts.get(path.stem))


GENDERS = {"F": "female", "M": "male"}


def _with_transcripts(
    refs: Sequence[ClipRef], transcript: Callable[[Path], str | None]
) -> list[ClipRef]:
    """Transcripts are read for what was taken only: VCTK has a file for each of 44,000."""
    found = ((ref, transcript(Path(ref.path))) for ref in refs)
    return [
        replace(ref, tags={**ref.tags, "transcript": text}) if text else ref for ref, text in found
    ]


def _tabular(path: Path, separator: str) -> dict[str, str]:
    """First column -> the rest of the line."""
    rows = (line.partition(separator) for line in text_lines(path))
    return {name.strip(): rest.strip() for name, _, rest in rows if rest.strip()}


def _librispeech_genders(root: Path) -> dict[str, str]:
    rows = _tabular(root / "SPEAKERS.TXT", "|")  # `14   | F | train-clean-360 | 25.03 | Name`
    return {name: GENDERS[row[0]] for name, row in rows.items() if row[0] in GENDERS}


def _librispeech_transcript(path: Path) -> str | None:
    chapter = path.with_name(f"{'-'.join(path.parts[-3:-1])}.trans.txt")
    return _chapter(chapter).get(path.stem)


@cache
def _chapter(path: Path) -> dict[str, str]:
    return _tabular(path, " ")


def _vctk_transcript(path: Path) -> str | None:
    speaker, number = path.stem.split("_")[:2]
    text = path.parents[2] / "txt" / speaker / f"{speaker}_{number}.txt"
    return " ".join(line.strip() for line in text_lines(text)) or None


def _vctk_speakers(root: Path) -> dict[str, dict[str, str]]:
    """`p225  23  F    English    Southern  England`; the older release writes `225`."""
    speakers = {}
    for line in text_lines(root / "speaker-info.txt"):
        cells = line.split()
        if len(cells) >= 3 and cells[2] in GENDERS:
            name = f"p{cells[0]}" if cells[0].isdigit() else cells[0]
            tags = {"gender": GENDERS[cells[2]]}
            speakers[name] = {**tags, "accent": cells[3]} if len(cells) > 3 else tags
    return speakers


def _mls_genders(root: Path) -> dict[str, str]:
    """`10148 | M | test | 27.123 | 10119 | title | chapter`."""
    rows = _tabular(root / "metainfo.txt", "|")
    return {name: GENDERS[row[0]] for name, row in rows.items() if row[0] in GENDERS}
