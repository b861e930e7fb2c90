"""The field's public sets, on tiny trees in the layout that their archives unpack to.

Where torchaudio has the set, its own listing of the same tree is the independent oracle.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from nacbench import sources
from nacbench.core import ClipRef
from nacbench.errors import UserError
from nacbench.sources.loading import load
from nacbench.torchaudio_cpu import import_torchaudio

RATE = 8000


def put(path: Path, seconds: float = 0.1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    suffix = {".opus": {"format": "OGG", "subtype": "OPUS"}}.get(path.suffix, {})
    soundfile.write(path, np.full(round(seconds * RATE), 0.1, np.float32), RATE, **suffix)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def clips(name: str, **options: object) -> list[ClipRef]:
    return sources.build({name: options}).clips()


@pytest.fixture(autouse=True)
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("NACBENCH_DATA", str(tmp_path))
    monkeypatch.setenv("NACBENCH_CACHE", str(tmp_path / "cache"))
    yield tmp_path


def librispeech(root: Path) -> Path:
    split = root / "LibriSpeech" / "test-clean"
    for speaker, chapter, count in (("1089", "134686", 3), ("121", "121726", 2)):
        folder = split / speaker / chapter
        lines = []
        for number in range(count):
            name = f"{speaker}-{chapter}-{number:04}"
            put(folder / f"{name}.flac")
            lines.append(f"{name} HE HOPED NUMBER {number}")
        write(folder / f"{speaker}-{chapter}.trans.txt", "\n".join(lines) + "\n")
    write(
        root / "LibriSpeech" / "SPEAKERS.TXT",
        ";ID  |SEX| SUBSET           |MINUTES| NAME\n"
        "121  | F | test-clean       | 8.00  | Nikolle Doolin\n"
        "1089 | M | test-clean       | 8.00  | Peter Bobbe\n",
    )
    return root


def test_librispeech_equals_torchaudios_listing(tmp_path: Path) -> None:
    librispeech(tmp_path)
    import_torchaudio()
    from torchaudio.datasets import LIBRISPEECH

    theirs = LIBRISPEECH(tmp_path, url="test-clean")
    ours = clips("librispeech", split="test-clean")
    assert len(ours) == len(theirs) == 5
    for index, ref in enumerate(ours):
        path, _, transcript, speaker, chapter, _ = theirs.get_metadata(index)
        assert Path(ref.path) == tmp_path / "LibriSpeech" / path
        assert ref.tags["transcript"] == transcript
        assert (ref.tags["speaker"], ref.tags["chapter"]) == (str(speaker), str(chapter))
    assert {ref.tags["speaker"]: ref.tags["gender"] for ref in ours} == {
        "1089": "male",
        "121": "female",
    }
    assert load(ours[0]).length == 800


def test_a_set_is_found_by_its_own_folder_or_the_one_around_it(tmp_path: Path) -> None:
    librispeech(tmp_path / "elsewhere")
    for path in (tmp_path / "elsewhere", tmp_path / "elsewhere" / "LibriSpeech"):
        assert len(clips("librispeech", path=str(path))) == 5
    with pytest.raises(UserError, match=r"LibriSpeech is not here.*openslr\.org/12.*NACBENCH_DATA"):
        clips("librispeech")
    with pytest.raises(UserError, match="no such folder"):
        clips("librispeech", path=str(tmp_path / "nowhere"))


def test_a_split_that_is_misspelt_or_not_downloaded_is_named(tmp_path: Path) -> None:
    librispeech(tmp_path)
    with pytest.raises(UserError, match=r"no 'test-claen'. Did you mean 'test-clean'\?"):
        clips("librispeech", split="test-claen")
    with pytest.raises(UserError, match=r"'dev-other' is not in .*There: test-clean"):
        clips("librispeech", split="dev-other")
    (tmp_path / "LibriSpeech" / "dev-other").mkdir()
    with pytest.raises(UserError, match="Was it unpacked completely"):
        clips("librispeech", split="dev-other")


def test_speakers_numbers_and_excerpts_are_taken(tmp_path: Path) -> None:
    librispeech(tmp_path)
    assert len(clips("librispeech", per_speaker=1)) == 2
    assert len(clips("librispeech", limit=3)) == 3
    assert {ref.tags["speaker"] for ref in clips("librispeech", speakers=["121"])} == {"121"}
    assert {ref.tags["speaker"] for ref in clips("librispeech", speakers=[121])} == {"121"}
    with pytest.raises(UserError, match=r"no speaker '1098' in this set. Did you mean '1089'\?"):
        clips("librispeech", speakers=["1098"])
    put(tmp_path / "LibriSpeech/test-clean/121/121726/121-121726-0000.flac", seconds=1.0)
    parts = clips("librispeech", speakers=["121"], excerpt_s=0.2, excerpts=2)
    assert [(ref.id, ref.start_s, ref.duration_s) for ref in parts[:2]] == [
        ("121-121726-0000@0.15s", 0.15, 0.2),
        ("121-121726-0000@0.65s", 0.65, 0.2),
    ]
    assert parts[2].duration_s is None  # shorter than an excerpt: whole
    assert load(parts[1]).length == 0.2 * RATE
    assert parts[0].tags["transcript"].startswith("HE HOPED")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": 0}, "limit must be"),
        ({"excerpt_s": -1}, "excerpt_s must lie"),
        ({"excerpts": 3}, "excerpts needs excerpt_s"),
        ({"speakers": "121"}, "speakers must be a list"),
        ({"spilt": "x"}, r"Did you mean 'split'\?"),
    ],
)
def test_a_faulty_option_is_refused_before_anything_is_read(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        sources.build({"librispeech": options})


def test_vctk_equals_torchaudios_listing_except_for_speakers_it_skips(tmp_path: Path) -> None:
    root = tmp_path / "VCTK-Corpus-0.92"
    for speaker, numbers in (("p225", ("001", "002")), ("p362", ("001",)), ("s5", ("001",))):
        for number in numbers:
            write(root / f"txt/{speaker}/{speaker}_{number}.txt", f"Please call {number}.\n")
            for mic in (1, 2):
                put(root / f"wav48_silence_trimmed/{speaker}/{speaker}_{number}_mic{mic}.flac")
    put(root / "wav48_silence_trimmed/p315/p315_001_mic1.flac")  # the one without texts
    write(
        root / "speaker-info.txt",
        "ID  AGE  GENDER  ACCENTS  REGION COMMENTS \n"
        "p225  23  F    English    Southern  England\n"
        "p362  29  F    American\n"
        "s5    24  M    British\n",
    )
    import_torchaudio()
    from torchaudio.datasets import VCTK_092

    ours = clips("vctk")
    theirs = VCTK_092(str(tmp_path), mic_id="mic1", audio_ext=".flac")
    assert [ref.id for ref in ours if ref.tags["speaker"] != "p315"] == [
        f"{speaker}_{number}_mic1" for speaker, number in theirs._sample_ids
    ]
    first = ours[0]
    assert dict(first.tags) == {
        "speaker": "p225",
        "gender": "female",
        "accent": "English",
        "language": "en",
        "licence": "CC BY 4.0",
        "transcript": "Please call 001.",
    }
    assert [ref.id for ref in clips("vctk", microphone=2, speakers=["s5"])] == ["s5_001_mic2"]
    assert "transcript" not in clips("vctk", speakers=["p315"])[0].tags
    with pytest.raises(UserError, match="microphone must be 1 or 2"):
        sources.build({"vctk": {"microphone": 3}})


def test_the_older_vctk_has_wav_files_and_numbers_without_p(tmp_path: Path) -> None:
    root = tmp_path / "VCTK-Corpus"
    put(root / "wav48/p225/p225_001.wav")
    write(root / "txt/p225/p225_001.txt", "Please call Stella.")
    write(root / "speaker-info.txt", "ID  AGE  GENDER  ACCENTS\n225  23  F    English\n")
    (ref,) = clips("vctk")
    assert ref.tags["gender"] == "female"
    assert ref.tags["transcript"] == "Please call Stella."


def test_daps_has_speakers_scripts_and_recordings(tmp_path: Path) -> None:
    for recording in ("clean", "ipad_office1"):
        for speaker in ("f1", "f10", "m10"):
            for script in (1, 2):
                name = f"{speaker}_script{script}_{recording}.wav"
                put(tmp_path / "daps" / recording / name)
        put(tmp_path / "daps" / recording / f"._f1_script1_{recording}.wav")  # left by macOS
    assert len(clips("daps")) == 6
    pair = clips("daps", speakers=["f10", "m10"])
    assert {ref.tags["speaker"]: ref.tags["gender"] for ref in pair} == {
        "f10": "female",
        "m10": "male",
    }
    assert pair[0].tags["script"] == "script1"
    assert clips("daps", recording="ipad_office1")[0].id == "f10_script1_ipad_office1"
    with pytest.raises(UserError, match=r"'ipad_office2' is not in .*There: clean, ipad_office1"):
        clips("daps", recording="ipad_office2")
    put(tmp_path / "daps" / "clean" / "readme.wav")
    with pytest.raises(UserError, match="expected a name like"):
        clips("daps")


@pytest.mark.parametrize(
    ("folder", "suffix"), [("mls_german", "flac"), ("mls_german_opus", "opus")]
)
def test_mls_has_languages_books_and_transcripts(tmp_path: Path, folder: str, suffix: str) -> None:
    root = tmp_path / folder
    names = ["1054_1599_000000", "1054_1599_000001", "252_1900_000000"]
    for name in names:
        speaker, book, _ = name.split("_")
        put(root / "test" / "audio" / speaker / book / f"{name}.{suffix}")
    lines = "".join(f"{name}\tmein sohn ihr möget {n}\n" for n, name in enumerate(names))
    write(root / "test" / "transcripts.txt", lines)
    write(
        root / "metainfo.txt",
        " SPEAKER   |   GENDER   | PARTITION  |  MINUTES   |  BOOK ID   | TITLE | CHAPTER \n"
        "   1054    |     M      |    test    |   27.123   |   1599     | Faust | I\n"
        "    252    |     F      |    test    |    9.000   |   1900     | Emma  | I\n",
    )
    refs = clips("mls", language="german")
    assert [ref.id for ref in refs] == names
    assert dict(refs[2].tags) == {
        "speaker": "252",
        "book": "1900",
        "language": "de",
        "gender": "female",
        "licence": "CC BY 4.0",
        "transcript": "mein sohn ihr möget 2",
    }
    assert len(clips("mls", language="german", per_speaker=1)) == 2
    with pytest.raises(UserError, match="language must be one of"):
        sources.build({"mls": {"language": "klingon"}})
    with pytest.raises(UserError, match="'dev' is not in"):
        clips("mls", language="german", split="dev")
    with pytest.raises(UserError, match=r"MLS is not here: no folder 'mls_polish'"):
        clips("mls", language="polish")


def test_musdb_equals_torchaudios_listing(tmp_path: Path) -> None:
    root = tmp_path / "musdb18hq"
    train = ["ANiMAL - Rockshow", "Music Delta - Rock", "Triviul - Angelsaint"]
    for split, songs in (("train", train), ("test", ["AM Contra - Heart Peripheral"])):
        for song in songs:
            for stem in ("mixture", "drums", "bass", "other", "vocals"):
                put(root / split / song / f"{stem}.wav")
    import_torchaudio()
    from torchaudio.datasets import MUSDB_HQ

    for split in ("train", "test"):
        theirs = MUSDB_HQ(tmp_path, split)
        assert [ref.id for ref in clips("musdb18hq", split=split)] == theirs.names
    validation = clips("musdb18hq", split="validation")
    assert [ref.id for ref in validation] == ["ANiMAL - Rockshow", "Triviul - Angelsaint"]
    assert {ref.id for ref in validation} <= set(
        MUSDB_HQ(tmp_path, "train", split="validation").names
    )
    (ref,) = clips("musdb18hq", stem="vocals")
    assert Path(ref.path).name == "vocals.wav"
    assert dict(ref.tags) == {"artist": "AM Contra", "title": "Heart Peripheral", "stem": "vocals"}
    with pytest.raises(UserError, match="stem must be one of"):
        sources.build({"musdb18hq": {"stem": "guitar"}})


@pytest.mark.parametrize("folder", ["genres", "Data/genres_original", "GTZAN/genres"])
def test_gtzan_equals_torchaudios_listing(tmp_path: Path, folder: str) -> None:
    root = tmp_path / folder
    names = ["blues.00000", "blues.00012", "jazz.00054", "rock.00040", "rock.00099"]
    for name in names:
        put(root / name.split(".")[0] / f"{name}.wav")
    assert [ref.id for ref in clips("gtzan")] == names
    assert clips("gtzan")[2].tags["genre"] == "jazz"
    assert [ref.id for ref in clips("gtzan", genres=["rock"])] == ["rock.00040", "rock.00099"]
    import_torchaudio()
    from torchaudio.datasets import gtzan

    for split in ("train", "valid", "test"):
        allowed = set(getattr(gtzan, f"filtered_{split}")) & set(names)
        if allowed:
            assert {ref.id for ref in clips("gtzan", split=split)} == allowed
    assert clips("gtzan", split="test")
    with pytest.raises(UserError, match=r"unknown genre 'jaz'. Did you mean 'jazz'\?"):
        sources.build({"gtzan": {"genres": ["jaz"]}})


@pytest.mark.parametrize("folder", ["datasets_fullband/noise_fullband", "datasets/noise"])
def test_dns_noise_is_found_in_both_of_its_layouts(tmp_path: Path, folder: str) -> None:
    put(tmp_path / folder / "door_Freesound_validated_392617_0.wav")
    put(tmp_path / folder / "--1yq2QUTPw.wav")
    assert [(ref.id, dict(ref.tags)) for ref in clips("dns_noise")] == [
        ("--1yq2QUTPw", {}),
        ("door_Freesound_validated_392617_0", {"content": "door"}),
    ]
    assert len(clips("dns_noise", path=str(tmp_path / folder))) == 2


def test_every_source_has_a_class_that_says_what_it_is() -> None:
    for name in sources.SOURCES.names():
        cls = sources.SOURCES.get(name)
        assert cls.__doc__, name
        assert callable(cls.clips), name


PUBLIC = [name for name in sources.SOURCES.names() if hasattr(sources.SOURCES.get(name), "HOME")]


def test_the_seven_public_sets_are_there() -> None:
    assert PUBLIC == ["daps", "dns_noise", "gtzan", "librispeech", "mls", "musdb18hq", "vctk"]


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_set_says_how_to_get_it_until_it_is_there(tmp_path: Path, name: str) -> None:
    cls: Any = sources.SOURCES.get(name)
    assert cls.HOME.site in cls.missing()
    (tmp_path / cls.HOME.folders[-1]).mkdir(parents=True)
    assert cls.missing() is None
