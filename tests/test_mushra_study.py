"""From signals to a study: prepare, check, webMUSHRA's files, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mushra_studies
import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from mushra_app import lint, materials, prepare, ratings, selection, webmushra
from mushra_app.analysis import read_metrics
from mushra_app.commands import mushra
from mushra_app.prepare import Settings
from mushra_app.store import Store
from mushra_app.study import Item, Question, Study
from nacbench import audio
from nacbench.core import Clip, Score
from nacbench.errors import UserError
from nacbench.records import Record
from nacbench.results import ResultTable
from nacbench.runner import run as run_suite

RATE = 16_000
SETTINGS = Settings(slug="small", title="Small", length_s=2.0)
ONE_LU = 1.0
STEP_24_BITS = 2.0**-23
GAIN_ROUNDING = 10 ** (0.0005 / 20) - 1  # a study gives gains to 0.001 dB


def noise(seed: int, seconds: float = 2.5, level: float = 0.05) -> Clip:
    rng = np.random.default_rng(seed)
    samples = level * rng.standard_normal((1, round(seconds * RATE)))
    return Clip(samples.astype(np.float32), RATE)


def late(clip: Clip, by: int, gain: float) -> Clip:
    """A system: late, at another level, and coarse."""
    moved = np.pad(clip.samples, [(0, 0), (by, 0)])
    return Clip((np.round(moved * gain * 64) / 64).astype(np.float32), RATE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven references and two systems, as WAVs."""
    root = tmp_path_factory.mktemp("wavs")
    for name in ("reference", "near", "far"):
        (root / name).mkdir()
    for n in range(7):
        clip = noise(n)
        audio.write(root / "reference" / f"clip{n}.wav", clip)
        audio.write(root / "near" / f"clip{n}.wav", late(clip, 40, 1.0))
        audio.write(root / "far" / f"clip{n}.wav", late(clip, 0, 0.5))
    return root


@pytest.fixture(scope="module")
def study(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    out = tmp_path_factory.mktemp("study")
    return materials.from_folder(folder, SETTINGS, out)


def test_a_folder_becomes_a_study_that_reads_back_the_same(study: Study) -> None:
    again = Study.load(study.folder)
    assert again == study and again.sha256 == study.sha256
    assert [len(study.items), len(study.training)] == [6, 1]
    assert [c.id for c in study.conditions] == ["reference", "anchor35", "anchor70", "far", "near"]


def test_every_file_is_what_the_study_says_and_of_one_length(study: Study) -> None:
    for item in study.all_items:
        clips = [audio.read(study.audio_path(s)) for s in item.stimuli]
        assert {c.length for c in clips} == {2 * RATE} == {s.frames for s in item.stimuli}
        assert [audio.sha256(c) for c in clips] == [s.pcm_sha256 for s in item.stimuli]


def test_systems_are_in_time_and_as_loud_as_their_reference(study: Study) -> None:
    for item in study.items:
        reference = audio.read(study.audio_path(item.reference))
        for stimulus in item.conditions:
            heard = audio.read(study.audio_path(stimulus))
            lags = np.correlate(heard.samples[0, 200:2200], reference.samples[0, :2400])
            assert np.argmax(lags) == 200  # no lag
            if stimulus.role != "system":
                continue
            assert abs(audio.loudness_lufs(heard) - audio.loudness_lufs(reference)) < 0.1
        assert audio.loudness_lufs(reference) == pytest.approx(-23, abs=0.1)


def test_the_hidden_reference_is_the_reference(study: Study) -> None:
    for item in study.all_items:
        [hidden] = [s for s in item.conditions if s.role == "reference"]
        assert hidden == item.reference


def test_a_loud_item_is_lowered_as_a_whole(folder: Path, tmp_path: Path) -> None:
    loud = materials.from_folder(folder, Settings("x", "X", length_s=2, lufs=-3), tmp_path)
    peaks = [np.abs(audio.read(loud.audio_path(s)).samples).max() for s in loud.items[0].conditions]
    assert max(peaks) == pytest.approx(prepare.PEAK, abs=STEP_24_BITS)
    assert any("would clip" in note for note in loud.notes)


def test_a_long_clip_is_cut_where_it_is_loudest() -> None:
    samples = np.zeros((1, 20 * RATE), np.float32)
    samples[0, 7 * RATE : 9 * RATE] = 0.5
    part = prepare._part(Clip(samples, RATE), 2.0)
    assert (part.start, part.stop) == (7 * RATE, 9 * RATE)


def test_longer_than_12_s_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at most 12 s"):
        materials.from_folder(folder, Settings("x", "X", length_s=12.5), tmp_path)


def test_a_folder_per_item_works_as_well(tmp_path: Path) -> None:
    for n in range(5):
        (tmp_path / "in" / f"i{n}").mkdir(parents=True)
        audio.write(tmp_path / "in" / f"i{n}" / "reference.wav", noise(n))
        audio.write(tmp_path / "in" / f"i{n}" / "mine.wav", late(noise(n), 0, 1))
    study = materials.from_folder(tmp_path / "in", SETTINGS, tmp_path / "out")
    assert len(study.items) == 5 and not study.training
    assert [c.id for c in study.conditions if c.role == "system"] == ["mine"]


def test_what_is_not_a_folder_of_signals_is_refused(tmp_path: Path, folder: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UserError, match="no references"):
        materials.from_folder(empty, SETTINGS, tmp_path / "out")
    (empty / "reference").mkdir()
    audio.write(empty / "reference" / "a.wav", noise(0))
    with pytest.raises(UserError, match="no system beside them"):
        materials.from_folder(empty, SETTINGS, tmp_path / "out")
    (empty / "x").mkdir()
    audio.write(empty / "reference" / "b.wav", noise(1))
    audio.write(empty / "x" / "a.wav", noise(0))
    with pytest.raises(UserError, match="item 'b' has no file of the system 'x'"):
        materials.from_folder(empty, SETTINGS, tmp_path / "out")


def test_another_study_is_never_overwritten_nor_one_with_ratings(
    folder: Path, tmp_path: Path
) -> None:
    materials.from_folder(folder, SETTINGS, tmp_path / "a")
    materials.from_folder(folder, SETTINGS, tmp_path / "a")  # once more is fine
    with pytest.raises(UserError, match="holds the study 'small'"):
        materials.from_folder(folder, Settings("other", "X"), tmp_path / "a")
    (tmp_path / "a" / "ratings.sqlite").touch()
    with pytest.raises(UserError, match="listeners have rated"):
        materials.from_folder(folder, SETTINGS, tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.tex").touch()
    with pytest.raises(UserError, match="is not empty"):
        materials.from_folder(folder, SETTINGS, tmp_path / "b")


# A run


def record(clip: str, codec: str, kbps: float, mos: float, failure: str | None = None) -> Record:
    return Record(
        run="run", suite="suite", clip=clip, condition="clean", tags={}, seed=0, duration_s=4.0,
        sample_rate_hz=RATE, channels=1, codec=codec, options={"kbps": kbps},
        series=codec.upper(), setting=f"{kbps:g} kbps", scores={"mos": Score(value=mos)},
        versions={}, failure=failure, payload_bytes=None if failure else round(kbps * 500),
    )  # fmt: skip


@pytest.fixture
def table() -> ResultTable:
    return ResultTable(
        [
            record(f"clip{n}", codec, kbps, 3 + spread * n * (kbps - 12) / 100)
            for n in range(9)
            for codec, spread in (("opus", 1.0), ("mp3", 1.0))
            for kbps in (6, 12, 24)
        ]
    )


def test_codecs_are_chosen_by_name_by_rate_and_as_rows(table: ResultTable) -> None:
    def names(*codecs: str, kbps: float | None = None) -> list[str]:
        chosen = selection.choose(table, codecs=codecs, kbps=kbps, items=5)
        return [system.name for system in chosen.systems]

    assert names("opus") == ["OPUS 6 kbps", "OPUS 12 kbps", "OPUS 24 kbps"]
    assert names("opus@11", "mp3@20") == ["OPUS 12 kbps", "MP3 24 kbps"]
    assert names("Opus 24 kbps") == ["OPUS 24 kbps"]
    assert names(kbps=12) == ["OPUS 12 kbps", "MP3 12 kbps"]
    assert len(names()) == 6


@pytest.mark.parametrize(
    ("codecs", "message"),
    [
        (("opos",), "Did you mean 'opus'"),
        (("opus@100",), "within a factor of 1.5 of 100"),
        (("opus@fast",), "expected a rate"),
    ],
)
def test_codecs_that_are_not_there_are_named(
    table: ResultTable, codecs: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        selection.choose(table, codecs=codecs)


def test_the_most_telling_items_are_those_on_which_metrics_spread(table: ResultTable) -> None:
    chosen = selection.choose(table, codecs=["opus"], items=5, training=2)
    assert set(chosen.items) == {"clip8", "clip7", "clip6", "clip5", "clip4"}
    assert chosen.items == tuple(sorted(chosen.items))  # in the run's order
    assert chosen.training == ("clip3", "clip2")


def test_there_are_items_enough_that_one_slip_excludes_nobody(table: ResultTable) -> None:
    assert len(selection.choose(table, codecs=["opus"]).items) == 7  # 1.5 for each were 5
    assert len(selection.choose(table).items) == 9  # 1.5 for each
    few = ResultTable([r for r in table.records if r.clip < "clip6"])
    chosen = selection.choose(few, codecs=["opus"])
    assert (len(chosen.items), len(chosen.training)) == (5, 1)


def test_items_are_chosen_by_hand_and_by_chance(table: ResultTable) -> None:
    by_hand = selection.choose(table, clips=["clip2", "clip0"])
    assert by_hand.items == ("clip2", "clip0")
    assert not set(by_hand.training) & set(by_hand.items)
    drawn = [selection.choose(table, items=5, by="random", seed=s).items for s in range(4)]
    assert len(set(drawn)) > 1
    assert drawn[0] == selection.choose(table, items=5, by="random", seed=0).items
    with pytest.raises(UserError, match=r"not among the 9 clips.*Did you mean 'clip8'"):
        selection.choose(table, clips=["clip88"])


def test_a_clip_that_a_system_failed_on_is_no_item(table: ResultTable) -> None:
    broken = ResultTable([*table.records, record("clip8", "opus", 24, 3, failure="crashed")])
    assert "clip8" not in selection.choose(broken, codecs=["opus"], items=5).items
    with pytest.raises(UserError, match="8 clips were coded by all 3 systems, 9 items"):
        selection.choose(broken, codecs=["opus"], items=9)


SUITE = """
name: small
version: 1
synthetic: true
sources: [embedded: {set: speech, limit: 6}]
codecs: [g711, mp3: {kbps: [24, 64]}]
metrics: [si_sdr]
"""


def test_a_run_becomes_a_study_with_its_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NACBENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "small.yaml").write_text(SUITE)
    table = run_suite(tmp_path / "small.yaml", out=tmp_path / "runs", workers=1, timing=False)
    assert not table.failures
    done = CliRunner().invoke(
        mushra,
        ["prepare", str(tmp_path / "runs" / "small"), "--kbps", "60", "--items", "5",
         "--seconds", "3", "--out", str(tmp_path / "study")],
    )  # fmt: skip
    assert done.exit_code == 0, done.output + repr(done.exception)
    study = Study.load(tmp_path / "study")
    systems = {c.title: c for c in study.conditions if c.role == "system"}
    assert "MP3 64 kbps" in systems and "MP3 24 kbps" not in systems
    assert all(40 < (c.payload_kbps or 0) < 90 for c in systems.values())
    assert len(study.items) == 5 and len(study.training) == 1
    points = {r.point_key for r in table.records}
    assert all(c.point in points for c in systems.values())
    names = [i.id for i in study.items]
    found = read_metrics(
        study.folder / prepare.METRICS_FILE, names, [c.id for c in systems.values()]
    )
    scores = {(r.clip, r.point_key): r.scores["si_sdr"].value for r in table.records}
    for i, item in enumerate(study.items):
        for s, system in enumerate(systems.values()):
            assert found["si_sdr"][2][i, s] == scores[item.clip, system.point]
    assert not [f for f in lint.check(study) if f.level == "error"]


# BS.1534-3


def findings(study: Study) -> str:
    return "\n".join(map(str, lint.check(study)))


def test_a_sound_study_passes_but_for_its_six_items(study: Study) -> None:
    found = lint.check(study)
    assert [f.clause for f in found] == ["BS.1534-3 p. 5"]  # 6 items: one slip excludes
    assert "1 of 6 is over 15 %" in found[0].message


def changed(study: Study, **update: Any) -> Study:
    """With other content at the same place."""
    other = study.model_copy(update=update)
    other._folder = study.folder
    return other


def without(item: Item, role: str) -> Item:
    kept = tuple(s for s in item.conditions if s.role != role)
    return item.model_copy(update={"conditions": kept})


def test_each_rule_is_seen_broken(study: Study) -> None:
    bare = changed(
        study,
        conditions=tuple(c for c in study.conditions if c.role != "mid_anchor"),
        items=tuple(without(item, "mid_anchor") for item in study.items[:2]),
        training=(),
        replicate_share=0.0,
        block_trials=40,
    )
    text = findings(bare)
    for part in ("no 7 kHz anchor", "2 items for 2 systems; 5 are wanted", "no training page",
                 "no trial is repeated", "40 trials without a break"):  # fmt: skip
        assert part in text
    many = study.items[0].conditions[3:] * 5
    crowded = changed(
        study,
        items=(study.items[0].model_copy(update={"conditions": many + study.items[0].conditions}),),
    )
    assert "15 graded signals, recommended are at most 12" in findings(crowded)
    assert "is graded as well" in findings(changed(study, training=(study.items[0],)))
    assert "not graded on the same systems" in findings(
        changed(study, items=(without(study.items[0], "system"), *study.items[1:]))
    )


def test_signals_that_do_not_fit_are_found(study: Study, folder: Path, tmp_path: Path) -> None:
    own = materials.from_folder(folder, SETTINGS, tmp_path / "s")
    first, second, third = own.items[:3]
    audio.write(own.audio_path(first.conditions[3]), noise(1, 1.0), subtype="PCM_24")
    loud = audio.read(own.audio_path(second.conditions[4]))
    audio.write(own.audio_path(second.conditions[4]), Clip(loud.samples * 0.25, RATE), "PCM_24")
    own.audio_path(third.conditions[3]).unlink()
    quiet = second.model_copy(
        update={
            "conditions": tuple(
                prepare.stimulus(own.audio_path(s), own.folder, s.condition, s.role, 0)
                for s in second.conditions
            )
        }
    )
    text = findings(changed(own, items=(first, quiet, *own.items[2:])))
    assert "lengths or channels differ" in text
    assert "not the audio that study.yaml tells of" in text
    assert "loudness spreads over 12.0 LU, from near to" in text
    assert "no such file" in text


def test_an_item_without_treble_has_no_mid_anchor(tmp_path: Path) -> None:
    from scipy import signal

    (tmp_path / "in" / "reference").mkdir(parents=True)
    (tmp_path / "in" / "x").mkdir()
    low = signal.sosfilt(signal.butter(12, 3000, fs=RATE, output="sos"), noise(0).samples)
    for name in ("reference", "x"):
        audio.write(tmp_path / "in" / name / "a.wav", Clip(low.astype(np.float32), RATE))
    study = materials.from_folder(tmp_path / "in", SETTINGS, tmp_path / "out")
    assert "anchor70 sounds as reference does" in findings(study)


def test_check_exits_1_on_errors_alone(study: Study, tmp_path: Path) -> None:
    run = CliRunner()
    assert run.invoke(mushra, ["check", str(study.folder)]).exit_code == 0
    bare = changed(study, training=())
    bare.save(tmp_path)
    result = run.invoke(mushra, ["check", str(tmp_path)])
    assert result.exit_code == 1 and "there is no training page" in result.output


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &x [1]\nb: *x", "an alias"),
        ("- 1", "valid dictionary"),
        ("{}", "slug: field required"),
        ("a: [", "not readable as YAML"),
        ("[" * 40 + "]" * 40, "more than 16 levels"),
        ("a: " + "x" * (4 * 2**20), "over 4 MiB"),
    ],
)
def test_what_is_no_study_is_refused_in_a_sentence(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "study.yaml").write_text(text)
    with pytest.raises(UserError, match=message):
        Study.load(tmp_path)


@pytest.mark.parametrize("file", ["../x.wav", "/etc/x.wav", "a/../../x.wav", "a/.b/x.wav"])
def test_audio_outside_the_study_is_refused(study: Study, tmp_path: Path, file: str) -> None:
    content = study.model_dump(mode="json")
    content["items"][0]["reference"]["file"] = file
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(UserError, match=r"items\[0\].reference.file"):
        Study.load(tmp_path)


# webMUSHRA

HEADER = (
    "session_test_id,age,session_uuid,trial_id,rating_stimulus,rating_score,rating_time,"
    "rating_comment"
)


def test_the_webmushra_csv_has_its_exact_header_and_comes_back(tmp_path: Path) -> None:
    study = mushra_studies.study()
    store = Store(f"sqlite:///{tmp_path / 'r.sqlite'}")
    for n in range(2):
        session = mushra_studies.listen(
            store, study, lambda item, c, turn: len(item + c) + turn, seed=n
        )
        store.answer(session, {"age": 'a "quoted", one'})
    frame = ratings.frame(store.ratings(session.study_id))
    text = webmushra.to_csv(frame, study, store.answers(session.study_id))
    store.close()
    assert text.splitlines()[0] == HEADER
    assert text.splitlines()[1].startswith('test,"a ""quoted"", one",')
    path = tmp_path / "mushra.csv"
    path.write_text(text)
    back = webmushra.from_csv(path, study)
    same = ["participant", "phase", "item", "condition", "role", "score", "position"]
    assert back[same].to_dict("records") == frame[same].to_dict("records")
    assert set(frame["phase"]) == {"training", "test", "replicate"}
    assert webmushra.to_csv(back, study, None) == webmushra.to_csv(frame, study, None)


def test_the_csv_of_old_webmushra_is_grouped_by_its_answers(tmp_path: Path) -> None:
    path = tmp_path / "mushra.csv"
    path.write_text(
        "session_test_id,name,trial_id,rating_stimulus,rating_score,rating_time,rating_comment\n"
        "t,ann,p1,reference,100,900,\nt,ann,p1,C1,40,900,\nt,bob,p1,C1,50,700,\n"
    )
    frame = webmushra.from_csv(path)
    assert frame["participant"].tolist() == ["listener1", "listener1", "listener2"]
    assert frame["score"].tolist() == [100, 40, 50]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("t,30,u,p1,reference,55,1234", ":2: 7 columns, the header has 8"),
        ("t,30,u,p1,reference,155,1234,", ":2: score '155'"),
        ("t,30,u,p1,reference,,1234,", ":2: score ''"),
    ],
)
def test_shifted_and_damaged_results_are_refused_not_guessed(
    tmp_path: Path, line: str, message: str
) -> None:
    path = tmp_path / "mushra.csv"
    path.write_text(f"{HEADER}\n{line}\n")
    with pytest.raises(UserError, match=message):
        webmushra.from_csv(path)


def test_names_that_the_study_does_not_hold_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mushra.csv"
    path.write_text(f"{HEADER}\nt,30,u,item0,nobody,55,1234,\n")
    with pytest.raises(UserError, match="'nobody' is not in the study"):
        webmushra.from_csv(path, mushra_studies.study())


def test_a_study_goes_to_webmushra_and_comes_back(study: Study, tmp_path: Path) -> None:
    asked = Question(id="age", kind="choice", label={"en": "Age?"}, choices={"1": {"en": "< 30"}})
    study = changed(study, questionnaire=(asked,), consent={"en": "I agree."})
    config = webmushra.export(study, tmp_path / "configs" / "mine")
    page = yaml.safe_load(config.read_text())["pages"][2][1]
    assert page["createAnchor35"] is page["createAnchor70"] is True
    assert set(page["stimuli"]) == {"near", "far"}
    settings = Settings("x", "X", length_s=2.0, lufs=None)
    back = webmushra.import_config(config, tmp_path, settings, tmp_path / "back")
    assert back.slug == study.slug and back.title == study.title
    assert back.questionnaire == study.questionnaire and back.consent == study.consent
    assert [i.id for i in back.all_items] == [i.id for i in study.all_items]
    for ours, theirs in zip(study.all_items, back.all_items, strict=True):
        conditions = {s.condition: s for s in theirs.conditions}
        for stimulus in ours.conditions:
            other = conditions[stimulus.condition]
            a, b = (audio.read(s.audio_path(x)).samples
                    for s, x in ((study, stimulus), (back, other)))  # fmt: skip
            inside = slice(500, -500) if "anchor" in stimulus.role else slice(None)  # made anew
            error = np.abs(a * 10 ** (other.gain_db / 20) - b)[:, inside]
            assert error.max() <= STEP_24_BITS + GAIN_ROUNDING * np.abs(a).max()
            assert abs(other.gain_db) < 0.1


WEBMUSHRA = """
testname: Their test
testId: their_test
bufferSize: 2048
pages:
  - - random
    - type: mushra
      id: page1
      name: P
      content: text
      reference: wav/reference.wav
      createAnchor35: true
      createAnchor70: true
      stimuli: {C1: wav/c1.wav, C2: wav/c2.wav}
  - type: finish
    name: Thanks
    questionnaire: [{type: text, label: Age, name: age}]
"""


def test_a_configuration_of_webmushra_is_imported(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "wav").mkdir()
    (tmp_path / "configs" / "their.yaml").write_text(WEBMUSHRA)
    for name in ("reference", "c1", "c2"):
        audio.write(tmp_path / "wav" / f"{name}.wav", noise(1))
    out = tmp_path / "out"
    result = CliRunner().invoke(
        mushra, ["import", str(tmp_path / "configs" / "their.yaml"), "--out", str(out)]
    )
    assert result.exit_code == 0, result.output
    study = Study.load(out)
    assert [c.title for c in study.conditions if c.role == "system"] == ["C1", "C2"]
    assert study.items[0].id == "page1" and study.questionnaire[0].id == "age"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("wav/c1.wav", "../../c1.wav", "leads out of"),
        ("wav/c1.wav", "wav/none.wav", "no file"),
        ("type: mushra", "type: bs1116", "no page of the type 'mushra'"),
        ("stimuli: {C1: wav/c1.wav, C2: wav/c2.wav}", "stimuli: []", "has no stimuli"),
        ("type: text", "type: telepathy", "a question of the type 'telepathy'"),
    ],
)
def test_a_configuration_that_cannot_be_followed_is_refused(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    root = tmp_path / "webmushra"
    (root / "wav").mkdir(parents=True)
    for name in ("reference", "c1", "c2"):
        audio.write(root / "wav" / f"{name}.wav", noise(1))
    config = root / "their.yaml"
    config.write_text(WEBMUSHRA.replace(old, new))
    with pytest.raises(UserError, match=message):
        webmushra.import_config(config, root, SETTINGS, tmp_path / "out")
