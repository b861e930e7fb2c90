"""Suites: every problem at once, each with its file, its line and what to do about it."""

from pathlib import Path
from typing import Any, Literal

import pytest

from nacbench import suite as suites
from nacbench.codecs import CODECS
from nacbench.core import Bitstream, Clip, ClipRef
from nacbench.errors import UserError
from nacbench.metrics import METRICS
from nacbench.sources import SOURCES


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
    argument = "bits"

    def __init__(self, bits: int = 16):
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
        (CODECS, {"tin": Tin, "bits": Bits, "absent": Absent}),
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
        ("bits(bits=8)", "Tin", "8 bit"),
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
