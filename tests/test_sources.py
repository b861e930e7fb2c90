"""Folders, manifests and how some of their clips are drawn."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from nacbench import sources
from nacbench.core import ClipRef
from nacbench.errors import UserError
from nacbench.sources.sampling import choose


def put(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(160, np.float32), 16000)


def ids(spec: object) -> list[str]:
    return [ref.id for ref in sources.build(spec).clips()]  # type: ignore[arg-type]


def test_a_folder_lists_its_audio_sorted_and_named_by_path(tmp_path: Path) -> None:
    for name in ("b/2.flac", "b/1.WAV", "a.wav", ".hidden/x.wav"):
        put(tmp_path / name)
    (tmp_path / "readme.txt").write_text("no audio")
    assert ids({"folder": {"path": str(tmp_path)}}) == ["a.wav", "b/1.WAV", "b/2.flac"]
    assert ids(f"folder:{tmp_path}") == ["a.wav", "b/1.WAV", "b/2.flac"]
    assert ids({"folder": {"path": str(tmp_path), "glob": "b/*.flac"}}) == ["b/2.flac"]


def test_a_folder_without_audio_or_without_existence_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        ids({"folder": {"path": str(tmp_path / "x")}})
    with pytest.raises(UserError, match="no file in it is audio"):
        ids({"folder": {"path": str(tmp_path)}})


def test_a_csv_manifest_gives_parts_and_tags(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(
        "path,id,start_s,duration_s,speaker,tags\n"
        "x/a.wav,first,1.5,2,anna,language=de; genre=news\n"
        "/abs/b.wav,,,,,\n"
    )
    first, second = sources.build({"manifest": {"path": str(tmp_path / "m.csv")}}).clips()
    assert first == ClipRef(
        "first",
        str(tmp_path / "x/a.wav"),
        {"speaker": "anna", "language": "de", "genre": "news"},
        1.5,
        2.0,
    )
    assert second == ClipRef("/abs/b.wav", "/abs/b.wav")


def test_a_jsonl_manifest_gives_the_same_clips(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text(
        '{"path": "a.wav", "duration_s": 2, "tags": {"speaker": "anna"}, "take": 3}\n\n'
    )
    (ref,) = sources.build({"manifest": {"path": str(tmp_path / "m.jsonl")}}).clips()
    assert ref == ClipRef(
        "a.wav", str(tmp_path / "a.wav"), {"speaker": "anna", "take": "3"}, 0.0, 2.0
    )


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("m.csv", "file,id\na.wav,x\n", r"m\.csv:2: no 'path'"),
        ("m.csv", "Path\na.wav\n", r"Did you mean 'Path'\?"),
        ("m.csv", "path,start_s\na.wav,soon\n", r"m\.csv:2: start_s is 'soon'"),
        ("m.csv", "path,start_s\na.wav,nan\n", r"start_s is 'nan'"),
        ("m.csv", "path,tags\na.wav,loud\n", r"tags are 'loud'; expected"),
        ("m.csv", "path\na.wav,b,c\n", r"more cells than columns"),
        ("m.csv", "path\na.wav\na.wav\n", r"clips 1 and 2 share the id 'a\.wav'"),
        ("m.csv", "path\n", "lists no clips"),
        ("m.csv", b"path\n\xff\xfe.wav\n", "not UTF-8"),
        ("m.jsonl", '{"path": "a.wav"}\n{oops\n', r"m\.jsonl:2: not JSON"),
        ("m.jsonl", "[1]\n", r"m\.jsonl:1: expected an object"),
    ],
)
def test_a_faulty_manifest_is_refused_with_its_line(
    tmp_path: Path, name: str, text: str | bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=message):
        ids({"manifest": {"path": str(tmp_path / name)}})


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("foldr:x", "unknown source 'foldr:x'"),
        ({"foldr": {}}, r"unknown source 'foldr'. Did you mean 'folder'\?"),
        ({"folder": {"pth": "x"}}, r"unknown option 'pth'. Did you mean 'path'\?"),
        ({"folder": {}}, "option 'path' is missing"),
        ({"folder": "x"}, "expected options as a mapping"),
        ({"folder": {"path": "x"}, "manifest": {}}, "expected a name or one"),
        (7, "expected a name or one"),
    ],
)
def test_a_faulty_source_says_what_was_expected(spec: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        sources.build(spec)  # type: ignore[arg-type]


def clips_of(speakers: str) -> list[ClipRef]:
    return [ClipRef(f"{n}", f"{n}.wav", {"speaker": s}) for n, s in enumerate(speakers)]


def test_a_draw_keeps_the_order_and_a_smaller_one_is_part_of_it() -> None:
    refs = clips_of("a" * 50)
    ten, twenty = choose(refs, 10), choose(refs, 20)
    assert len(ten) == 10
    assert [ref for ref in twenty if ref in ten] == ten
    assert [int(ref.id) for ref in twenty] == sorted(int(ref.id) for ref in twenty)
    assert choose(refs, 10, seed=1) != ten
    assert choose(refs) == refs


def test_a_draw_per_speaker_takes_as_many_of_each() -> None:
    chosen = choose(clips_of("aaaaabbbc"), per_speaker=2)
    assert sorted(ref.tags["speaker"] for ref in chosen) == ["a", "a", "b", "b", "c"]
    assert len(choose(clips_of("aaaaabbbc"), limit=3, per_speaker=1)) == 3


@pytest.mark.parametrize("limit", [0, -1, 2.5])
def test_a_limit_below_one_is_refused(limit: float) -> None:
    with pytest.raises(ValueError, match="limit must be a whole number"):
        choose(clips_of("ab"), limit)  # type: ignore[arg-type]
