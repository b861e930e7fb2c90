"""Records on disk: nothing is lost on the way, damage is named, other schemas are understood."""

import dataclasses
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nacbench import results
from nacbench.core import Alignment, Score
from nacbench.errors import UserError
from nacbench.records import Record, SetScore, Timing, TokenUse
from nacbench.results import RecordWriter, ResultTable, from_json, to_json

FINITE = st.floats(allow_nan=False, allow_infinity=False)
ROOT = Path(__file__).parents[1]


def record(**over: object) -> Record:
    fields: dict[str, object] = {
        "run": "r",
        "suite": "s",
        "clip": "c",
        "condition": "clean",
        "tags": {"speaker": "a"},
        "seed": 1,
        "duration_s": 2.0,
        "sample_rate_hz": 16000,
        "channels": 1,
        "codec": "opus",
        "options": {"kbps": 6, "flags": ["a", "b"]},
        "series": "Opus",
        "setting": "6 kbps",
        "scores": {"pesq:wb": Score(value=2.5), "stoi": Score(reason="too short")},
        "versions": {"codec": "1"},
        "payload_bytes": 1500,
        "alignment": Alignment(6.5, -0.1, -1, 0.97),
        "notes": ("coded at 16000 Hz",),
    }
    return Record(**(fields | over))  # type: ignore[arg-type]


TIMING = Timing(
    run="r", suite="s", codec="opus", options={"kbps": 6}, series="Opus", setting="6 kbps",
    machine="m", threads=1, repeats=3, audio_s=6.0, encode_rtf=0.01, version="1 timing:1",
)  # fmt: skip
TOKENS = TokenUse(
    run="r", suite="s", codec="nac", options={}, series="NAC", setting="", frames=10,
    codebook_sizes=(4, 4), usage=(0.5, 1.0), entropy_bits=(1.0, 2.0), entropy_kbps=0.15,
)  # fmt: skip


@pytest.mark.parametrize("entry", [record(), record(failure="decode: crashed"), TIMING, TOKENS])
def test_an_entry_comes_back_as_it_was_written(entry: Record | Timing | TokenUse) -> None:
    assert from_json(to_json(entry)) == entry
    assert "\n" not in to_json(entry)


@given(
    st.dictionaries(
        st.text(), st.floats(allow_nan=False, allow_infinity=False) | st.text("ab", min_size=1)
    ),
    st.dictionaries(st.text(), st.text()),
)
def test_any_score_and_any_tag_survive_the_disk(scores: dict, tags: dict) -> None:
    entry = record(
        scores={
            name: Score(reason=found) if isinstance(found, str) else Score(value=found)
            for name, found in scores.items()
        },
        tags=tags,
    )
    assert from_json(to_json(entry)) == entry


def write(folder: Path, *entries: Record | Timing | TokenUse) -> Path:
    with RecordWriter(folder) as writer:
        for entry in entries:
            writer.write(entry)
    return folder


def test_a_file_name_that_is_not_unicode_can_be_recorded(tmp_path: Path) -> None:
    odd = record(clip=b"caf\xe9.wav".decode("utf-8", "surrogateescape"))
    write(tmp_path, odd)
    assert ResultTable.load(tmp_path).records == [odd]


def test_the_last_line_counts_where_two_tell_of_the_same_work(tmp_path: Path) -> None:
    write(tmp_path, record(payload_bytes=1), TIMING, TOKENS, record(payload_bytes=2))
    table = ResultTable.load(tmp_path)
    assert [r.payload_bytes for r in table.records] == [2]
    assert (table.timings, table.token_uses) == ([TIMING], [TOKENS])


def test_half_a_line_at_the_end_is_forgotten_and_not_appended_to(tmp_path: Path) -> None:
    write(tmp_path, record(clip="a"))
    path = tmp_path / "records.jsonl"
    path.write_text(path.read_text() + to_json(record(clip="b"))[:70])
    assert [r.clip for r in ResultTable.load(tmp_path).records] == ["a"]
    write(tmp_path, record(clip="c"))
    assert [r.clip for r in ResultTable.load(tmp_path).records] == ["a", "c"]


def test_two_sessions_do_not_write_into_one_run(tmp_path: Path) -> None:
    with RecordWriter(tmp_path) as writer:
        writer.write(record())
        with pytest.raises(UserError, match="another nacbench is writing here"):
            RecordWriter(tmp_path)
    RecordWriter(tmp_path).close()


@pytest.mark.parametrize(
    "line", ["{", "[]", "7", "{}", '{"schema": 1}', '{"schema": 1, "kind": "song"}',
             '{"schema": 1, "kind": "record", "scores": {}}', '{"schema": "1"}',
             '{"schema": 1, "kind": "record", "scores": [], "alignment": 3}'],
)  # fmt: skip
def test_a_damaged_line_is_named_by_file_and_number(tmp_path: Path, line: str) -> None:
    write(tmp_path, record(clip="a"))
    path = tmp_path / "records.jsonl"
    path.write_text(path.read_text() + line + "\n" + to_json(record(clip="b")) + "\n")
    with pytest.raises(UserError, match=re.escape(f"{path}:2: damaged record")):
        ResultTable.load(tmp_path)


def test_records_of_a_newer_schema_are_refused_with_what_to_do(tmp_path: Path) -> None:
    write(tmp_path, record())
    path = tmp_path / "records.jsonl"
    path.write_text(
        path.read_text().replace('"schema": 1', f'"schema": {results.SCHEMA_VERSION + 1}')
    )
    with pytest.raises(UserError, match=r"newer nacbench .* Upgrade: pip install"):
        ResultTable.load(tmp_path)


def test_records_of_older_schemas_are_upgraded_step_by_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, record())
    path = tmp_path / "records.jsonl"
    fields = json.loads(path.read_text())
    fields["bytes"] = fields.pop("payload_bytes")
    path.write_text(json.dumps(fields) + "\n")

    def to_2(old: dict) -> dict:
        old["size_bytes"] = old.pop("bytes")
        return old

    def to_3(old: dict) -> dict:
        old["payload_bytes"] = old.pop("size_bytes")
        return old

    oldest = fields["schema"]
    monkeypatch.setattr(results, "SCHEMA_VERSION", oldest + 2)
    monkeypatch.setattr(results, "UPGRADES", {oldest: to_2, oldest + 1: to_3})
    assert ResultTable.load(tmp_path).records == [record()]


def test_every_schema_before_this_one_has_an_upgrade() -> None:
    assert set(results.UPGRADES) == set(range(1, results.SCHEMA_VERSION))


def test_entries_stand_in_the_order_of_the_suite_and_not_of_the_workers(tmp_path: Path) -> None:
    points = [record(options={"kbps": kbps}) for kbps in (12, 6)]
    order = {
        "points": [p.point_key for p in points],
        "conditions": ["clean", "noisy"],
        "clips": ["b", "a"],
    }
    wanted = [
        dataclasses.replace(point, clip=clip, condition=condition)
        for clip in order["clips"]
        for condition in order["conditions"]
        for point in points
    ]
    stranger = record(clip="z")
    write(tmp_path, stranger, *sorted(wanted, key=lambda r: r.clip))
    (tmp_path / "manifest.json").write_text(json.dumps({"run": "r", "order": order}))
    assert ResultTable.load(tmp_path).records == [*wanted, stranger]


def test_runs_merge_and_keep_their_manifests(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(tmp_path / name, record(run=name))
        (tmp_path / name / "manifest.json").write_text(json.dumps({"run": name}))
    table = ResultTable.load(tmp_path / "two", tmp_path / "one")
    assert [r.run for r in table.records] == ["two", "one"]
    assert list(table.manifests) == ["two", "one"]


def test_a_folder_without_a_run_and_a_damaged_manifest_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no records\.jsonl here"):
        ResultTable.load(tmp_path)
    write(tmp_path, record())
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(UserError, match=r"manifest\.json: damaged"):
        ResultTable.load(tmp_path)


def test_long_form_has_a_row_per_record_and_metric(tmp_path: Path) -> None:
    frame = ResultTable([record()]).to_pandas()
    assert list(frame["metric"]) == ["pesq:wb", "stoi"]
    assert frame["value"].isna().tolist() == [False, True]
    assert frame["reason"].isna().tolist() == [True, False]
    assert frame["reason"][1] == "too short"
    pytest.importorskip("pyarrow")
    import pandas as pd

    ResultTable([record()]).to_parquet(tmp_path / "records.parquet")
    assert pd.read_parquet(tmp_path / "records.parquet")["value"][0] == 2.5


@pytest.mark.parametrize("cls", [Record, Timing, TokenUse, SetScore, Alignment])
def test_every_field_of_the_schema_is_documented(cls: type) -> None:
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    _, _, section = text.partition(f"### {cls.__name__}\n")
    section = section.partition("\n### ")[0].partition("\n## ")[0]
    documented = set(re.findall(r"^\| `(\w+)`", section, re.MULTILINE))
    assert documented == {field.name for field in dataclasses.fields(cls)}


def test_every_key_of_a_manifest_is_documented() -> None:
    from nacbench.runner import manifest

    source = Path(manifest.__file__).read_text(encoding="utf-8")
    keys = set(re.findall(r'^        "(\w+)":', source, re.MULTILINE))
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    section = text.partition("## manifest.json\n")[2].partition("\n## ")[0]
    assert keys <= set(re.findall(r"`(\w+)`", section))
