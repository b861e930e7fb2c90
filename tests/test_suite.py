"""Suites: every problem at once, each with its file, its line and what to do about it."""

import contextlib
import time
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nacbench import suite as suites
from nacbench.codecs import CODECS
from nacbench.core import Bitstream, Clip, ClipRef
from nacbench.errors import UserError
from nacbench.metrics import METRICS
from nacbench.sources import SOURCES

# Processor time: the largest allowed text takes 1 s on one core, a loop without bounds minutes.
LONGEST_S = 10.0


class Tin:
    """A codec with everything that a suite looks at."""

    name = "tin"
    title = "Tin"
    version = "1"
    default_points = ({"kbps": 8}, {"kbps": 16})

    def __init__(self, kbps: float = 8, mode: Literal["talk", "sing"] = "talk", frames: int = 1):
        if kbps > 512:
            raise ValueError(f"kbps must be at most 512, got {kbps:g}")

    def encode(self, clip: Clip) -> Bitstream:
        raise NotImplementedError

    def decode(self, bitstream: Bitstream) -> Clip:
        raise NotImplementedError


class Bits(Tin):
    name = "bits"
    title = "Bits"
    argument = "bits"

    def __init__(self, bits: int = 16):
        pass


class Fixed(Tin):
    name = "fixed"
    nominal_kbps = 64.0
    default_points = ({},)

    def __init__(self) -> None:
        pass


class Model(Tin):
    """With an argument, and rates besides."""

    name = "model"
    argument = "file"

    def __init__(self, file: str = "none", kbps: float = 8):
        pass


class Absent(Tin):
    name = "absent"

    @classmethod
    def missing(cls) -> str | None:
        return "not installed: pip install absent"


class Likeness:
    name = "likeness"


class Rows:
    def __init__(self, count: int = 4, prefix: str = "clip"):
        self.count = count
        self.prefix = prefix

    def clips(self) -> list[ClipRef]:
        return [ClipRef(f"{self.prefix}{i:02}", "x.wav") for i in range(self.count)]


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    for registry, things in (
        (CODECS, {"tin": Tin, "bits": Bits, "fixed": Fixed, "model": Model, "absent": Absent}),
        (METRICS, {"likeness": Likeness, "likeness:b": Likeness, "mel:dac": Likeness}),
        (SOURCES, {"rows": Rows}),
    ):
        monkeypatch.setattr(registry, "_added", things)


GOOD = """\
name: small
version: 1
sources: [rows]
codecs:
  - tin: {kbps: [6, 12.0]}
  - bits:8
metrics: [likeness]
"""


def load(tmp_path: Path, text: str, **overrides: Any) -> suites.Suite:
    path = tmp_path / "s.yaml"
    path.write_text(text, encoding="utf-8")
    return suites.load(path, **overrides)


def problems(tmp_path: Path, text: str, **overrides: Any) -> list[str]:
    with pytest.raises(UserError) as caught:
        load(tmp_path, text, **overrides)
    return [line.replace(f"{tmp_path}/", "") for line in str(caught.value).split("\n")]


def test_a_list_valued_sweep_becomes_the_points_of_one_curve(tmp_path: Path) -> None:
    suite = load(tmp_path, GOOD)
    assert [(p.key, p.series, p.setting) for p in suite.points] == [
        ("tin(kbps=6)", "Tin", "6 kbps"),
        ("tin(kbps=12)", "Tin", "12 kbps"),
        ("bits(bits=8)", "Bits", "8 bit"),
    ]


def test_a_codec_named_alone_gets_its_default_points(tmp_path: Path) -> None:
    suite = load(tmp_path, GOOD.replace("tin: {kbps: [6, 12.0]}", "tin"))
    assert [p.setting for p in suite.points] == ["8 kbps", "16 kbps", "8 bit"]


def test_every_problem_is_reported_at_once_with_its_line(tmp_path: Path) -> None:
    text = """\
name: Small Suite
version: one
sources: [rowz, rows: {count: many}]
codec: []
conditions: [clean, {noize: {}}]
codecs:
  - tin: {kbps: [6, twelve], mood: sing}
  - tin: {mode: cry}
  - tinn
  - tin: {kbps: 600}
  - bits: {bits: [8]}
  - tin: {kbps: []}
metrics: [likenes, likeness, likeness]
limits: {second: 3}
"""
    assert problems(tmp_path, text) == [
        "s.yaml:1 name: expected lower-case letters, digits, '-' and '_', found \"Small Suite\".",
        's.yaml:2 version: expected a whole number, found "one".',
        "s.yaml:3 sources[0]: unknown source 'rowz'. Did you mean 'rows'? "
        "'nacbench list sources' shows all.",
        's.yaml:3 sources[1].rows.count: expected a whole number, found "many".',
        "s.yaml:4 codec: unknown key 'codec'. Did you mean 'codecs'?",
        "s.yaml:5 conditions[1]: unknown condition 'noize'. Did you mean 'noise'? "
        "'nacbench list conditions' shows all.",
        's.yaml:7 codecs[0].tin.kbps[1]: expected a number, found "twelve".',
        "s.yaml:7 codecs[0].tin.mood: codec 'tin' has no option 'mood'. Did you mean 'mode'? "
        "It takes kbps, mode, frames.",
        "s.yaml:8 codecs[1].tin.mode: expected 'talk' or 'sing', found \"cry\".",
        "s.yaml:9 codecs[2]: unknown codec 'tinn'. Did you mean 'tin'? "
        "'nacbench list codecs' shows all.",
        "s.yaml:10 codecs[3].tin: codec 'tin': kbps must be at most 512, got 600.",
        "s.yaml:11 codecs[4].bits.bits: expected a whole number, found [8].",
        "s.yaml:12 codecs[5].tin.kbps: is empty; at least one value is needed.",
        "s.yaml:13 metrics[0]: unknown metric 'likenes'. Did you mean 'likeness'? "
        "'nacbench list metrics' shows all.",
        "s.yaml:13 metrics[2]: 'likeness' is already listed. Remove one.",
        "s.yaml:14 limits.second: unknown key 'second'. Did you mean 'seconds'?",
    ]


def test_a_codec_that_is_not_installed_is_skipped_with_the_reason(tmp_path: Path) -> None:
    suite = load(tmp_path, GOOD.replace("bits:8", "absent: {kbps: 8}"))
    ((point, reason),) = suite.skipped
    assert (point.codec, reason) == ("absent", "not installed: pip install absent")


def test_what_is_installed_does_not_change_the_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = GOOD.replace("bits:8", "absent: {kbps: 8}")
    without = load(tmp_path, text).sha256
    monkeypatch.setattr(Absent, "missing", lambda: None)
    suite = load(tmp_path, text)
    assert suite.skipped == ()
    assert suite.sha256 == without


def test_a_larger_limit_contains_the_smaller_one(tmp_path: Path) -> None:
    suite = load(tmp_path, GOOD.replace("[rows]", "[rows: {count: 40}]"))
    chosen = [{ref.id for ref in suite.clips(limit)} for limit in (3, 10, 40, None)]
    assert [len(ids) for ids in chosen] == [3, 10, 40, 40]
    assert chosen[0] < chosen[1] < chosen[2] == chosen[3]


def test_the_same_point_written_twice_is_refused_even_when_a_default_is_spelt_out(
    tmp_path: Path,
) -> None:
    text = GOOD.replace("  - bits:8\n", "  - tin: {kbps: 12, mode: talk}\n")
    assert problems(tmp_path, text) == [
        "s.yaml:6 codecs[1].tin: 'Tin (mode talk) 12 kbps' is already a point in line 5. "
        "Remove one."
    ]


def test_two_points_shown_alike_ask_for_a_label(tmp_path: Path) -> None:
    text = GOOD.replace("  - bits:8\n", "  - tin: {kbps: 12, mode: sing, label: Tin}\n")
    assert problems(tmp_path, text) == [
        "s.yaml:6 codecs[1].tin: another point is already shown as 'Tin 12 kbps' in line 5. "
        "Give one a 'label'."
    ]
    mended = load(tmp_path, text.replace("label: Tin", "label: Singing tin"))
    assert (mended.points[-1].series, mended.points[-1].setting) == ("Singing tin", "12 kbps")


def test_lists_of_two_swept_options_are_multiplied_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tin, "sweep", ("kbps", "frames"), raising=False)
    suite = load(tmp_path, GOOD.replace("[6, 12.0]", "[6, 12], frames: [1, 2]"))
    settings = [point.setting for point in suite.points if point.codec == "tin"]
    assert settings == [f"{k} kbps, frames {f}" for k in (6, 12) for f in (1, 2)]


def test_a_metric_is_found_by_its_alias_and_by_the_suites_own(tmp_path: Path) -> None:
    text = GOOD.replace("[likeness]", "[mel_distance, alike]") + "aliases: {alike: likeness:b}\n"
    assert load(tmp_path, text).metrics == ("mel:dac", "likeness:b")
    wrong = problems(tmp_path, text.replace("likeness:b}", "likenes, likeness: mel:dac}"))
    assert wrong == [
        "s.yaml:7 metrics[1]: unknown metric 'likenes'. Did you mean 'likeness'? "
        "'nacbench list metrics' shows all.",
        "s.yaml:8 aliases.alike: unknown metric 'likenes'. Did you mean 'likeness'?",
        "s.yaml:8 aliases.likeness: 'likeness' is a recipe's own name. Take another.",
    ]


def test_options_under_a_name_that_were_not_indented_are_recognised(tmp_path: Path) -> None:
    text = GOOD.replace("tin: {kbps: [6, 12.0]}", "tin:\n    kbps: [6]")
    assert problems(tmp_path, text) == [
        "s.yaml:5 codecs[0]: expected one name, found 'tin', 'kbps'. "
        "Indent options further than the name they belong to."
    ]


def test_words_that_older_yaml_reads_as_truth_stay_words(tmp_path: Path) -> None:
    text = GOOD.replace("{kbps: [6, 12.0]}", "{kbps: 1e1, label: off}")
    suite = load(tmp_path, text)
    assert (suite.points[0].series, suite.points[0].setting) == ("off", "10 kbps")


# What the command line changes


def test_kbps_keeps_the_points_at_these_rates(tmp_path: Path) -> None:
    assert [p.key for p in load(tmp_path, GOOD, kbps=[12]).points] == ["tin(kbps=12)"]
    assert problems(tmp_path, GOOD, kbps=[13]) == [
        "--kbps: no codec of this suite has a point at 13 kbps; there are 6, 12. "
        "'--codec NAME --kbps 13' adds one."
    ]


def test_codec_selects_by_name_series_or_argument_and_adds_what_the_suite_lacks(
    tmp_path: Path,
) -> None:
    def keys(**overrides: Any) -> list[str]:
        suite = load(tmp_path, GOOD.replace("- tin: {", "- tin: {label: Old tin, "), **overrides)
        return [point.key for point in suite.points]

    assert keys(codecs=["tin"]) == ["tin(kbps=6)", "tin(kbps=12)"]
    assert keys(codecs=["old tin"]) == ["tin(kbps=6)", "tin(kbps=12)"]
    assert keys(codecs=["bits:8"]) == ["bits(bits=8)"]
    assert keys(codecs=["bits:4"]) == ["bits(bits=4)"]
    assert keys(codecs=["tin"], kbps=[12, 14]) == ["tin(kbps=12)", "tin(kbps=14)"]
    assert keys(codecs=["bits", "tin"], kbps=[6]) == ["bits(bits=8)", "tin(kbps=6)"]
    assert keys(codecs=["fixed"], kbps=[64]) == ["fixed()"]
    assert keys(codecs=["model:x"], kbps=[6]) == ['model(file="x",kbps=6)']
    assert load(tmp_path, GOOD, codecs=["fixed"]).points[0].setting == "64 kbps"
    assert problems(tmp_path, GOOD, codecs=["fixed"], kbps=[6, 8]) == [
        "--codec: codec 'fixed' runs at 64 kbps, not at 6, 8."
    ]
    assert problems(tmp_path, GOOD, codecs=["tinn"]) == [
        "--codec: unknown codec 'tinn'. Did you mean 'tin'? 'nacbench list codecs' shows all."
    ]


def test_a_codec_without_packaging_is_named_by_its_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mylab.py").write_text(
        "class Mine:\n    title = 'My lab'\n    def __init__(self, kbps=3): pass\n"
    )
    (tmp_path / "mypackage").mkdir()
    (tmp_path / "mypackage" / "codec.py").write_text("from mylab import Mine\n")
    suite = load(tmp_path, GOOD, codecs=["mypackage.codec:Mine"], kbps=[3])
    assert [(p.codec, p.series) for p in suite.points] == [("mypackage.codec:Mine", "My lab")]


def test_metric_and_audio_replace_the_suites_own(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.wav").touch()
    text = GOOD + "synthetic: true\n"
    suite = load(tmp_path, text, metrics=["mel:dac"], audio=tmp_path / "mine")
    assert suite.metrics == ("mel:dac",)
    assert not suite.synthetic
    assert [ref.id for ref in suite.clips()] == ["a.wav"]
    assert problems(tmp_path, GOOD, metrics=["likenes"]) == [
        "--metric: unknown metric 'likenes'. Did you mean 'likeness'? "
        "'nacbench list metrics' shows all."
    ]


# Files


def test_the_suites_of_the_project_are_those_of_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    package = Path(suites.__file__).parents[1]
    assert (package / "suites").samefile(package.parent / "suites")
    assert suites.find("speech").samefile(package.parent / "suites" / "speech.yaml")


def test_a_suite_that_extends_another_replaces_its_keys_and_keeps_the_others(
    tmp_path: Path,
) -> None:
    (tmp_path / "base.yaml").write_text(GOOD)
    (tmp_path / "real").mkdir()
    path = tmp_path / "real" / "s.yaml"
    path.write_text("extends: ../base.yaml\nname: real\nmetrics: [mel:dac]\n")
    suite = suites.load(path)
    assert (suite.name, len(suite.points), suite.metrics) == ("real", 3, ("mel:dac",))
    path.write_text("extends: ../base.yaml\nname: Real\n")
    (tmp_path / "base.yaml").write_text(GOOD.replace("- bits:8", "- bitz:8"))
    with pytest.raises(UserError) as caught:
        suites.load(path)
    assert [line.split(": ")[0] for line in str(caught.value).split("\n")] == [
        f"{tmp_path}/base.yaml:6 codecs[1]",
        f"{path}:2 name",
    ]


def test_extends_in_a_circle_or_to_nowhere_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("extends: s.yaml\n")
    assert "s.yaml:1 extends: 's.yaml' leads back here or too deep." in problems(
        tmp_path, "extends: s.yaml\n"
    )
    assert "leads back" in "".join(problems(tmp_path, "extends: a.yaml\n"))
    assert "there is no file" in problems(tmp_path, "extends: b.yaml\n" + GOOD)[0]
    assert "expected the path" in problems(tmp_path, "extends: [b.yaml]\n" + GOOD)[0]


def test_a_suite_is_found_by_name_and_a_misspelt_one_is_guessed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "suites" / "real").mkdir(parents=True)
    (tmp_path / "suites" / "real" / "whisper.yaml").write_text(GOOD)
    assert suites.load("real/whisper").name == "small"
    with pytest.raises(UserError, match=r"no such suite\. Did you mean 'real/whisper'"):
        suites.find("real/wisper")
    with pytest.raises(UserError, match="is a folder"):
        suites.find("suites")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: [", "s.yaml:1: not readable as YAML"),
        ("- a\n", "expected 'key: value' lines"),
        ("", "expected 'key: value' lines"),
        ("a: 1\n---\nb: 2\n", "not readable as YAML"),
        ("a: \x00", "not readable as YAML"),
        ("a: !!python/object/apply:os.system ['echo']\n" + GOOD, "'!!python/object/apply:os.syst"),
        ("a: !!python/name:os.system ''\n" + GOOD, "s.yaml:1: the tag"),
        ("a: &a [*a]\n" + GOOD, "aliases expand"),
        ("a: " + "[" * 30_000, "more than 24 levels"),
        ("a: " + "{" * 30_000, "more than 24 levels"),
        ("a: [" + "1," * 60_000 + "]", "more than 20000 values"),
        ("a: " + "x" * 300_000, "over 256 KiB"),
        ("name: a\nname: b\n" + GOOD, "s.yaml:2: 'name' is already set in line 1"),
        ("{a: b}: 1\n" + GOOD, "a key must be a word"),
        ("x: 1e999\n" + GOOD, "s.yaml:1 x: 1e999 is too large"),
        (GOOD.replace("[6, 12.0]", str([*range(1, 600)])), "asks for more than 500 points"),
    ],
)
def test_broken_or_hostile_yaml_is_refused_in_words(
    tmp_path: Path, text: str, expected: str
) -> None:
    started = time.process_time()
    assert expected in "\n".join(problems(tmp_path, text))
    assert time.process_time() - started < LONGEST_S


def test_an_alias_bomb_is_refused_before_it_is_expanded(tmp_path: Path) -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    assert "aliases expand to more" in problems(tmp_path, "\n".join(levels))[0]


def test_an_alias_within_bounds_is_followed(tmp_path: Path) -> None:
    text = GOOD.replace("[6, 12.0]", "&rates [6, 12]").replace(
        "bits:8", "tin: {kbps: *rates, mode: sing}"
    )
    assert len(load(tmp_path, text).points) == 4


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_bytes(b"name: caf\xe9\n")
    with pytest.raises(UserError, match="is not UTF-8"):
        suites.load(path)


def test_two_clips_with_one_id_are_refused(tmp_path: Path) -> None:
    suite = load(tmp_path, GOOD.replace("[rows]", "[rows, rows: {count: 2}]"))
    with pytest.raises(UserError, match="two clips have the id 'clip00'"):
        suite.clips()


# Whatever is written, the answer is a suite or a UserError, and it comes soon

WORDS = st.sampled_from(
    [
        *("name", "version", "sources", "codecs", "metrics", "conditions", "aliases", "limits"),
        *(
            "extends",
            "rows",
            "tin",
            "bits:8",
            "kbps",
            "mode",
            "label",
            "likeness",
            "clean",
            "noise",
        ),
        *(
            "off",
            "",
            "~",
            "a.b:C",
            "..a:B",
            "~no_such_user/x",
            "folder",
            "path",
            "\u0000",
            "é",
            "<<",
        ),
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(WORDS | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=25,
)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(changes=st.dictionaries(WORDS, VALUES, max_size=5))
def test_any_values_give_a_suite_or_a_user_error(tmp_path: Path, changes: dict[str, Any]) -> None:
    content = {**yaml.safe_load(GOOD), **changes}
    load_in_time(tmp_path, yaml.safe_dump(content, allow_unicode=True))


def load_in_time(tmp_path: Path, text: str) -> None:
    started = time.process_time()
    with contextlib.suppress(UserError):
        load(tmp_path, text)
    assert time.process_time() - started < LONGEST_S


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    pieces=st.lists(
        st.sampled_from([*GOOD.splitlines(keepends=True), *"[]{}&*!|>?-:,#'\"%@`\n \t", "<<: *a\n"])
        | st.text(max_size=6),
        max_size=30,
    )
)
def test_any_text_gives_a_suite_or_a_user_error(tmp_path: Path, pieces: list[str]) -> None:
    load_in_time(tmp_path, "".join(pieces).encode("utf-8", "replace").decode())
