"""Codecs that are programs, and codecs that are folders of decoded files."""

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from signals import noise, voice

from nacbench import audio, coding
from nacbench.alignment import align
from nacbench.core import Bitstream, Clip
from nacbench.errors import CodecUnavailableError, DecodeError, UserError
from nacbench.testing import check_codec

COPY = "import shutil, sys; shutil.copyfile(sys.argv[1], sys.argv[2])"
HALVE = """
import sys
data = open(sys.argv[1], "rb").read()
data = data[: len(data) // 2 * 2]
open(sys.argv[2], "wb").write(data[1::2])  # the high byte of each sample
"""
DOUBLE = """
import sys
high = open(sys.argv[1], "rb").read()
open(sys.argv[2], "wb").write(b"".join(b"\\x80" + high[i : i + 1] for i in range(len(high))))
"""


def program(text: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", text, *(arguments or ("{input}", "{output}"))]


def eight_bit(**options: Any) -> dict[str, Any]:
    """A codec of two programs that keeps the high byte of 16-bit samples."""
    return {
        "encode": program(HALVE),
        "decode": program(DOUBLE),
        "audio": "raw",
        "sample_rate_hz": 16_000,
        **options,
    }


def test_the_payload_of_a_program_is_the_file_that_it_wrote() -> None:
    clip = voice(1.0)
    codec = coding.build("command", eight_bit(kbps=128))
    (stream,) = coding.encode(codec, clip)
    assert len(stream.payload) == stream.container_bytes == 16_000
    decoded = coding.decode(coding.build("command", eight_bit()), (stream,), clip)
    assert np.abs(decoded.samples - clip.samples).max() <= 1 / 256 + 1 / 32768
    assert align(clip, decoded)[1].delay_ms == pytest.approx(0, abs=0.01)


def test_wav_goes_through_programs_at_any_rate() -> None:
    clip = noise(0.5, 44_100)
    options = {"encode": program(COPY), "decode": program(COPY)}
    (stream,) = coding.encode(coding.build("command", options), clip)
    assert stream.payload[:4] == b"RIFF"
    decoded = coding.decode(coding.build("command", options), (stream,), clip)
    assert np.abs(decoded.samples - clip.samples).max() <= 1 / 32768


def test_a_program_of_one_rate_gets_each_channel_at_that_rate() -> None:
    clip = noise(0.5, 48_000, channels=2)
    codec = coding.build("command", eight_bit())
    streams = coding.encode(codec, clip)
    assert [len(stream.payload) for stream in streams] == [8000, 8000]
    assert coding.decode(codec, streams, clip).samples.shape == clip.samples.shape


def test_a_codec_of_programs_keeps_the_contract() -> None:
    options = {**eight_bit(kbps=128), "timeout_s": 20.0}
    report = check_codec("command", **options)
    assert report.measured["payload_kbps"] == pytest.approx(128, rel=0.01)


def test_placeholders_are_filled_and_nothing_passes_through_a_shell() -> None:
    write = "import sys; open(sys.argv[2], 'w').write(repr(sys.argv[3:]))"
    extra = ["{kbps}", "{bps}k", "{sample_rate_hz}/{channels}", "{mode}", "$HOME; rm -rf *", "a b"]
    codec = coding.build(
        "command",
        {
            "encode": program(write, "{input}", "{output}", *extra),
            "decode": program(COPY),
            "kbps": 9.6,
            "settings": {"mode": "wb"},
        },
    )
    stream = codec.encode(noise(0.1, 22_050))
    expected = ["9.6", "9600k", "22050/1", "wb", "$HOME; rm -rf *", "a b"]
    assert stream.payload.decode() == repr(expected)


def test_a_program_that_fails_is_quoted_and_one_that_hangs_is_stopped() -> None:
    fail = program("import sys; print('bad rate 7'); sys.exit(3)", "{input}", "{output}")
    silent = program("pass", "{input}", "{output}")
    crash = program("import os; os.abort()", "{input}", "{output}")
    forks = (
        "import subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(30)'])\n"
        "time.sleep(30)"
    )
    clip = noise(0.1)
    for encode, reason in (
        (fail, r"failed \(exit status 3\): bad rate 7"),
        (silent, "wrote no output file"),
        (crash, r"failed \(SIGABRT\)"),
    ):
        codec = coding.build("command", {"encode": encode, "decode": program(COPY)})
        with pytest.raises(ValueError, match=reason):
            codec.encode(clip)
        codec = coding.build("command", {"encode": program(COPY), "decode": encode})
        with pytest.raises(DecodeError, match=reason):
            codec.decode(codec.encode(clip))
    hanging = {
        "encode": program(forks, "{input}", "{output}"),
        "decode": program(COPY),
        "timeout_s": 0.5,
    }
    started = time.monotonic()
    with pytest.raises(ValueError, match=r"took longer than 0.5 s and was stopped"):
        coding.build("command", hanging).encode(clip)
    assert time.monotonic() - started < 10


def test_a_decoder_s_rubbish_is_refused() -> None:
    write = program("import sys; open(sys.argv[2], 'w').write('no audio')")
    codec = coding.build("command", {"encode": program(COPY), "decode": write})
    with pytest.raises(DecodeError, match="not readable as audio"):
        codec.decode(Bitstream(b"x"))
    empty = program("import sys; open(sys.argv[2], 'w').close()")
    codec = coding.build("command", eight_bit(decode=empty))
    with pytest.raises(DecodeError, match="wrote no audio"):
        codec.decode(Bitstream(b"x"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encode": []}, "encode must be a list of texts"),
        ({"encode": program(COPY, "{input}")}, "encode must have an argument with {output}"),
        (
            {"kbps": 8, "decode": program(COPY, "{input}", "{output}", "{kpbs}")},
            "decode: nothing is known for {kpbs}. Did you mean 'kbps'? There is bps, channels",
        ),
        (
            {"decode": program(COPY, "{input}", "{output}", "{sample_rate_hz}")},
            "decode: nothing is known for {sample_rate_hz}",
        ),
        ({"audio": "mp3"}, "audio must be 'wav' or 'raw'"),
        ({"audio": "raw"}, "sample_rate_hz is needed"),
        ({"suffix": "/../x"}, "suffix must be letters"),
        ({"timeout_s": 0}, "must be positive"),
    ],
)
def test_a_command_that_cannot_work_says_why(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        coding.build("command", {"encode": program(COPY), "decode": program(COPY), **options})
    assert message in str(caught.value)


def test_a_program_that_is_not_there_makes_the_codec_unavailable() -> None:
    for name, where in (("no-such-coder", "search path"), ("./no-such", "working directory")):
        with pytest.raises(CodecUnavailableError, match=where):
            coding.build("command", {"encode": [name, "{input}", "{output}"], "decode": []})


def test_a_rebuilt_program_is_another_codec(tmp_path: Path) -> None:
    script = tmp_path / "coder.py"
    builds = []
    for text in ("pass", "pass  # faster"):
        script.write_text(text)
        command = [sys.executable, str(script), "{input}", "{output}"]
        builds.append(coding.build("command", {"encode": command, "decode": command}).build_id())
    assert builds[0] != builds[1]


# ---------------------------------------------------------------- files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    for name, seed in (("a.wav", 1), ("sub/b.flac", 2)):
        audio.write(tmp_path / name, noise(0.5, seed=seed), subtype="PCM_16")
    return tmp_path


def named(clip_id: str, seed: int) -> Clip:
    clip = noise(0.5, seed=seed)
    return Clip(clip.samples, clip.sample_rate_hz, clip_id)


def test_decoded_files_answer_the_clips_of_their_name(folder: Path) -> None:
    for clip in (named("a", 1), named("b", 2), named("sub/b.wav", 2)):
        codec: Any = coding.build("files", {"path": str(folder), "kbps": 6})
        streams = coding.encode(codec, clip)
        decoded = coding.decode(codec, streams, clip)
        assert np.abs(decoded.samples - clip.samples).max() <= 1 / 32768
        assert codec.declared_kbps(streams[0]) == 6
        assert codec.nominal_kbps == 6


def test_the_declared_rate_comes_from_a_column(folder: Path) -> None:
    (folder / "rates.csv").write_text("clip,mean kbps\na,5.5\nb,7\n")
    codec: Any = coding.build("files", {"path": str(folder), "column": "mean kbps"})
    rates = [codec.declared_kbps(codec.encode(named(name, 1))) for name in ("a", "b")]
    assert rates == [5.5, 7]
    with pytest.raises(ValueError, match="no line for clip 'sub/b'"):
        codec.encode(named("sub/b", 2))


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        (None, {}, "nobody can measure the rate of decoded files: give kbps"),
        (None, {"kbps": -1}, "kbps must be positive"),
        (None, {"rates": "no.csv"}, "no such file"),
        ("clip,rate\na,5\n", {}, "has the columns clip, rate; 'clip' and 'kbps' are needed"),
        ("clip,kbps\na,five\n", {}, "rates.csv:2: 'five' in column 'kbps' is not a rate"),
        ("clip,kbps\na,0\n", {}, "rates.csv:2: a rate must be positive"),
        ("clip,kbps\na,nan\n", {}, "rates.csv:2: a rate must be positive"),
        ("clip,kbps\na,5\n", {"kbps": 6, "rates": "x"}, "exclude each other"),
    ],
)
def test_a_rate_that_is_not_declared_well_is_refused(
    folder: Path, table: str | None, options: dict[str, Any], message: str
) -> None:
    if table is not None:
        (folder / "rates.csv").write_text(table)
    with pytest.raises(UserError) as caught:
        coding.build("files", {"path": str(folder), **options})
    assert message in str(caught.value)


def test_a_missing_folder_or_file_is_named(folder: Path, tmp_path_factory: Any) -> None:
    with pytest.raises(UserError, match="no-such is not a folder"):
        coding.build("files", {"path": "no-such", "kbps": 6})
    with pytest.raises(UserError, match="holds no audio"):
        coding.build("files", {"path": str(tmp_path_factory.mktemp("empty")), "kbps": 6})
    codec = coding.build("files", {"path": str(folder), "kbps": 6})
    with pytest.raises(ValueError, match="no file named 'c'"):
        codec.encode(named("c", 1))
    for key in (b"../../etc/passwd", b"\xff", b""):
        with pytest.raises(DecodeError):
            codec.decode(Bitstream(key))


def test_a_changed_file_changes_the_build(folder: Path) -> None:
    builds = []
    for seconds in (0.5, 0.6):
        audio.write(folder / "a.wav", noise(seconds), subtype="PCM_16")
        codec: Any = coding.build("files", {"path": str(folder), "kbps": 6})
        builds.append(codec.build_id())
    assert builds[0] != builds[1]


def test_a_file_of_other_length_is_refused(folder: Path) -> None:
    codec = coding.build("files", {"path": str(folder), "kbps": 6})
    clip = Clip(noise(3.0).samples, 16_000, "a")
    with pytest.raises(ValueError, match=r"0\.500 s of audio for a clip of 3\.000 s"):
        coding.decode(codec, coding.encode(codec, clip), clip)


def test_a_run_marks_declared_rates_and_skips_absent_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import nacbench
    from nacbench import leaderboard

    monkeypatch.chdir(tmp_path)
    for folder, seed in (("clips", 1), ("lab", 1)):
        Path(folder).mkdir()
        audio.write(Path(folder, "a.wav"), voice(1.0, seed=seed), subtype="PCM_16")
    Path("suite.yaml").write_text(
        "name: lab\nversion: 1\nsources: [{folder: {path: clips}}]\nmetrics: [si_sdr]\ncodecs:\n"
        "  - files: {label: Lab, path: lab, kbps: 6.5}\n"
        "  - command: {label: EVS, kbps: 9.6,\n"
        "      encode: [no-such-coder, '{input}', '{output}'],\n"
        "      decode: [no-such-coder, '{input}', '{output}']}\n"
        "  - pcm:12\n"
    )
    table = nacbench.run("suite.yaml", workers=1, timing=False)
    (record,) = (r for r in table.records if r.series == "Lab")
    assert (record.payload_bytes, record.container_bytes) == (None, None)
    assert record.nominal_kbps == 6.5
    assert record.notes == ("rate declared, not measured",)
    assert record.scores["si_sdr"].value is not None
    (manifest,) = table.manifests.values()
    assert "no-such-coder" in str(manifest["skipped"])
    (section,) = leaderboard.leaderboard(table).sections
    rows = {row.series: row for row in section.rows}
    assert rows["Lab"].rate_declared
    assert rows["Lab"].payload_kbps == 6.5
    assert not rows["PCM"].rate_declared
