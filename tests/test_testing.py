"""The conformance test catches each way of breaking the contract, and says so in a sentence."""

import os
import re
import sys
import time
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from nacbench import coding, registry
from nacbench.codecs import CODECS
from nacbench.codecs.pcm import Pcm
from nacbench.core import Bitstream, Clip, Codec
from nacbench.errors import CodecUnavailableError, DecodeError
from nacbench.testing import check_codec, fresh_process


class Good(Pcm):
    """Ten bits, and tokens to look at."""

    codebook_sizes = (1024,)

    def __init__(self) -> None:
        super().__init__(10)

    def tokens(self, bitstream: Bitstream) -> Any:
        samples = self.decode(bitstream).samples
        return np.round(samples[:1] * 512).astype(int) + 512


class Nameless(Good):
    name = ""


class Noisy(Good):
    """Another payload every time."""

    def encode(self, clip: Clip) -> Bitstream:
        stream = super().encode(clip)
        salt = os.urandom(4)
        sizes = (*stream.packet_sizes[:1], stream.packet_sizes[1] + 4)
        return Bitstream(stream.payload + salt, sizes)

    def decode(self, bitstream: Bitstream) -> Clip:
        header, *rest = bitstream.packets()
        parts = (header, b"".join(rest)[:-4])
        return super().decode(Bitstream(b"".join(parts), tuple(map(len, parts))))


class Telepath(Good):
    """Keeps the audio in the process and sends next to nothing."""

    kept: ClassVar[list[Clip]] = []

    def encode(self, clip: Clip) -> Bitstream:
        self.kept.append(clip)
        return Bitstream(bytes([len(self.kept) % 256]) * 20)

    def decode(self, bitstream: Bitstream) -> Clip:
        if not self.kept:
            raise DecodeError("nothing here")
        index = [i for i in range(len(self.kept)) if (i + 1) % 256 == bitstream.payload[0]]
        return self.kept[index[-1]]


class Remembering(Good):
    """An encoder whose state leaks from clip to clip."""

    count = 0

    def encode(self, clip: Clip) -> Bitstream:
        self.count += 1
        return super().encode(Clip(clip.samples / self.count, clip.sample_rate_hz))


class Short(Good):
    def decode(self, bitstream: Bitstream) -> Clip:
        decoded = super().decode(bitstream)
        return Clip(decoded.samples[:, : decoded.length // 3], decoded.sample_rate_hz)


class NotANumber(Good):
    """Falls over silence, as a gain normaliser does."""

    def decode(self, bitstream: Bitstream) -> Clip:
        decoded = super().decode(bitstream)
        with np.errstate(invalid="ignore"):
            peak = np.abs(decoded.samples).max()
            return Clip(decoded.samples / peak * peak, decoded.sample_rate_hz)


class Crashing(Good):
    def decode(self, bitstream: Bitstream) -> Clip:
        if len(bitstream.payload) == 1:
            os.abort()
        return super().decode(bitstream)


class Hanging(Good):
    def decode(self, bitstream: Bitstream) -> Clip:
        if not bitstream.payload:
            time.sleep(60)
        return super().decode(bitstream)


class Raising(Good):
    def decode(self, bitstream: Bitstream) -> Clip:
        if len(bitstream.payload) < 2:
            raise IndexError("list index out of range")
        return super().decode(bitstream)


class Mono(Good):
    """Says that it takes any channels, and drops all but one."""

    def encode(self, clip: Clip) -> Bitstream:
        return super().encode(Clip(clip.samples[:1], clip.sample_rate_hz))


class Refusing(Good):
    def encode(self, clip: Clip) -> Bitstream:
        if clip.length < 1000:
            raise ValueError("too short for this codec")
        return super().encode(clip)


class WrongTokens(Good):
    codebook_sizes = (300,)


class Absent(Good):
    @classmethod
    def missing(cls) -> str | None:
        return "not installed: pip install absent"


def test_a_good_codec_passes_and_is_described() -> None:
    report = check_codec(Good)
    assert report.measured["payload_kbps"] == pytest.approx(160, rel=0.01)
    assert report.measured["delay_ms"] == 0
    assert len(report.passed) == 8
    assert "Good(): 8 checks passed" in str(report)
    assert not report.notes


@pytest.mark.parametrize(
    ("codec", "sentence"),
    [
        (Nameless, "'name' must be a text that is not empty"),
        (Noisy, "the payload of the same clip differs when coded by another instance"),
        (Telepath, "decoding in a fresh process gives other audio than here"),
        (Remembering, "the payload of the same clip differs when coded after another clip"),
        (Short, "0.333 s of audio for a clip of 1.000 s"),
        (NotANumber, "digital silence: decode returned values that are not finite"),
        (Crashing, "'decode' of one byte crashed its process (signal 6)"),
        (Raising, "'decode' of an empty payload must raise DecodeError or give audio"),
        (Mono, "1 channels for a clip of 2"),
        (WrongTokens, "a token lies outside its codebook"),
    ],
)
def test_each_broken_promise_is_told(codec: type, sentence: str) -> None:
    with pytest.raises(AssertionError) as caught:
        check_codec(codec)
    assert sentence in str(caught.value)
    assert f"{codec.__name__}() breaks the contract" in str(caught.value)


def test_a_decoder_that_hangs_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    # On a busy machine the limit may strike while the process is still starting: which payload it
    # names is left open.
    monkeypatch.setattr(fresh_process, "LIMIT_S", 6.0)
    with pytest.raises(AssertionError, match=r"'decode' of .* hangs: stopped after 6 s"):
        check_codec(Hanging)


def test_short_clips_may_be_refused_with_a_reason() -> None:
    report = check_codec(Refusing)
    assert "too short for this codec" in " ".join(report.notes)


def test_a_codec_that_is_not_installed_is_not_judged() -> None:
    with pytest.raises(CodecUnavailableError, match="pip install absent"):
        check_codec(Absent)


def test_a_class_that_no_other_process_can_import_is_checked_here() -> None:
    class Local(Good):
        pass

    report = check_codec(Local)
    assert any("cannot be imported" in note for note in report.notes)


def test_a_nominal_rate_far_from_the_measured_one_is_pointed_out() -> None:
    class Boasting(Good):
        nominal_kbps = 6.0

    assert any("asked for 6 kbps" in note for note in check_codec(Boasting).notes)


# ---------------------------------------------------------------- docs/adding-a-codec.md

GUIDE = (Path(__file__).parents[1] / "docs" / "adding-a-codec.md").read_text(encoding="utf-8")


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`lab.py` of the guide, in a directory that can be imported from."""
    (source,) = re.findall(r"```python\n# lab\.py\n(.*?)```", GUIDE, re.S)
    (tmp_path / "lab.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "lab", raising=False)
    return tmp_path / "lab.py"


def test_the_guide_s_codec_fails_as_told_and_then_passes(lab: Path) -> None:
    told = re.search(r"^    (LogPcm\(\) breaks .*\n    - .*)$", GUIDE, re.M)
    assert told
    with pytest.raises(AssertionError) as caught:
        check_codec("lab:LogPcm")
    assert str(caught.value) == told[1].replace("\n    ", "\n").replace("LogPcm", "lab:LogPcm", 1)
    (fix,) = re.findall(r"```python\n(        if not bitstream.*?)```", GUIDE, re.S)
    marker = "    def decode(self, bitstream: Bitstream) -> Clip:\n"
    text = lab.read_text().replace(marker, marker + fix)
    lab.write_text("from nacbench.errors import DecodeError\n" + text)
    del sys.modules["lab"]
    report = check_codec("lab:LogPcm")
    assert report.measured["payload_kbps"] == 128
    assert report.measured["correlation"] > 0.99


def test_the_guide_s_codec_is_ten_lines_or_so(lab: Path) -> None:
    body = lab.read_text().split("class LogPcm:\n")[1]
    assert len([line for line in body.splitlines() if line.strip()]) <= 10


def test_the_guide_s_codec_is_found_by_its_entry_point(
    lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (line,) = re.findall(r'^log_pcm = "(.*)"$', GUIDE, re.M)
    group = re.search(r'\[project.entry-points."(.*?)"\]', GUIDE)
    assert group
    assert group[1] == CODECS.group
    point = EntryPoint("log_pcm", line, CODECS.group)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])
    assert coding.build("log_pcm", {}).name == "log_pcm"


def test_every_attribute_of_the_contract_is_in_the_guide() -> None:
    contract = set(re.findall(r"^        (\w+)(?::|\()", str(Codec.__doc__), re.M))
    assert {"name", "sweep", "build_id", "untrained"} <= contract
    for attribute in contract - {"declared_kbps"}:
        assert f"`{attribute}" in GUIDE or f"{attribute}," in GUIDE or f"{attribute} =" in GUIDE
