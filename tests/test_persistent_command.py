"""A codec in a process of its own, with packages of its own."""

import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from signals import noise, voice

from nacbench import coding
from nacbench.codecs import persistent
from nacbench.core import Bitstream
from nacbench.errors import CodecUnavailableError, DecodeError, UserError
from nacbench.testing import check_codec

GUIDE = Path(__file__).parents[1] / "docs" / "adding-a-codec.md"
EIGHT_BITS = 1 / 255 + 1e-6


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The worker that the guide shows."""
    (program,) = re.findall(r"```python\n# worker\.py\n(.*?)```", GUIDE.read_text("utf-8"), re.S)
    path = tmp_path_factory.mktemp("worker") / "worker.py"
    path.write_text(program, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def other_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A virtual environment without any package of ours."""
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return str(folder / "bin" / "python")


def make(program: Path | str, python: str = sys.executable, **options: Any) -> Any:
    return coding.build("command", {"worker": [python, "-I", str(program)], **options})


def misbehaving(folder: Path, example: Path, encode: str) -> Path:
    """The guide's worker with another way to encode."""
    text = example.read_text()
    start, end = text.index("def encode"), text.index("def decode")
    body = "\n".join(f"    {line}" for line in encode.strip().splitlines())
    path = folder / "worker.py"
    path.write_text(f"{text[:start]}def encode(ask, body):\n{body}\n\n\n{text[end:]}")
    return path


def test_the_guide_s_worker_keeps_the_contract_in_an_environment_of_its_own(
    example: Path, other_python: str
) -> None:
    for package in ("numpy", "nacbench"):
        done = subprocess.run([other_python, "-I", "-c", f"import {package}"], capture_output=True)
        assert b"ModuleNotFoundError" in done.stderr
    report = check_codec(
        "command", worker=[other_python, "-I", str(example)], sample_rate_hz=16_000, timeout_s=30.0
    )
    assert report.measured["payload_kbps"] == pytest.approx(128, rel=0.01)
    assert report.measured["correlation"] > 0.99


def test_samples_and_payload_arrive_as_they_were_sent(example: Path) -> None:
    clip = noise(0.1, 48_000, channels=2)
    codec = make(example, channels=2)
    (stream,) = coding.encode(codec, clip)
    assert len(stream.payload) == 5 + 2 * clip.length
    decoded = coding.decode(codec, (stream,), clip)
    assert np.abs(decoded.samples - clip.samples.clip(-1, 1)).max() <= EIGHT_BITS


def test_one_process_encodes_all_clips_and_another_decodes(
    tmp_path: Path, example: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = misbehaving(tmp_path, example, 'send({}, b"%d" % os.getpid())')
    text = program.read_text().replace(
        "    rate, channels",
        '    print(os.getpid(), file=open("decoder", "a"))\n    rate, channels',
    )
    program.write_text(text)
    encoders = {make(program, kbps=k).encode(voice(0.1)).payload for k in (3, 6, 3)}
    assert len(encoders) == 1
    monkeypatch.chdir(tmp_path)
    payload = b"\x80\x3e\0\0\x01" + bytes(8)
    for kbps in (3, 6):
        make(program, kbps=kbps).decode(Bitstream(payload))
    (decoder,) = set((tmp_path / "decoder").read_text().split())
    assert decoder.encode() not in encoders


def test_the_worker_hears_kbps_settings_and_rate(tmp_path: Path, example: Path) -> None:
    program = misbehaving(tmp_path, example, "send({}, json.dumps(ask).encode())")
    codec = make(program, kbps=6, settings={"checkpoint": "large"}, channels=1)
    heard = codec.encode(voice(0.1)).payload.decode()
    assert heard == (
        '{"ask": "encode", "kbps": 6, "settings": {"checkpoint": "large"}, '
        '"sample_rate_hz": 16000, "channels": 1}'
    )


def test_packets_travel_both_ways(tmp_path: Path, example: Path) -> None:
    program = misbehaving(tmp_path, example, 'send({"packets": [1, 2]}, b"abc")')
    program.write_text(
        program.read_text().replace(
            "rate, channels = ", 'raise ValueError(ask["packets"])\n    rate, channels = '
        )
    )
    codec = make(program)
    stream = codec.encode(voice(0.1))
    assert stream.packet_sizes == (1, 2)
    with pytest.raises(DecodeError, match=r"ValueError: \[1, 2\]"):
        codec.decode(stream)


@pytest.mark.parametrize(
    ("encode", "reason"),
    [
        ("raise MemoryError('no room')", r"MemoryError: no room"),
        ("import time; time.sleep(60)", r"took longer than 1\.5 s and was stopped"),
        ("sys.stderr.write('boom\\n'); os._exit(3)", r"ended in the middle of an answer: boom"),
        ("answers.write(b'Loading weights...'); answers.flush()", r"print to the standard output"),
        ("answers.write(struct.pack('>II', 2, 0) + b'[]'); answers.flush()", "not a JSON object"),
        ("answers.write(struct.pack('>II', 2, 0) + b'{{'); answers.flush()", "not JSON"),
        ("answers.write(struct.pack('>II', 9, 1 << 31)); answers.flush()", "more than any answer"),
        ("answers.write(struct.pack('>II', 2, 1 << 29) + b'{}'); answers.flush()", "took longer"),
        ("send({'packets': [7]}, b'abc')", "packet sizes add up to 7"),
        ("send({'packets': 7}, b'abc')", "not iterable"),
    ],
)
def test_what_goes_wrong_costs_one_clip_and_is_said(
    tmp_path: Path, example: Path, encode: str, reason: str
) -> None:
    """The first question goes wrong; the same worker, or a new one, then answers the second."""
    marker = tmp_path / "was here"
    wrong = f"if not os.path.exists({str(marker)!r}):\n    open({str(marker)!r}, 'w').close()\n"
    wrong += f"    {encode}\n    return\nsend({{}}, b'fine')"
    codec = make(misbehaving(tmp_path, example, wrong), timeout_s=1.5)
    with pytest.raises(ValueError, match=reason):
        codec.encode(voice(0.1))
    assert codec.encode(voice(0.1)).payload == b"fine"


def test_a_hanging_worker_is_killed_with_all_it_started(tmp_path: Path, example: Path) -> None:
    child = tmp_path / "child"
    hang = (
        "import subprocess, time\n"
        "one = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"open({str(child)!r}, 'w').write(str(one.pid))\n"
        "time.sleep(60)"
    )
    codec = make(misbehaving(tmp_path, example, hang), timeout_s=2.0)
    with pytest.raises(ValueError, match="took longer"):
        codec.encode(voice(0.1))
    state = Path("/proc") / child.read_text() / "stat"
    deadline = time.monotonic() + 5
    while state.exists() and state.read_text().split(")")[1].split()[0] != "Z":
        assert time.monotonic() < deadline, "the worker's child outlived it"
        time.sleep(0.02)


def test_a_worker_that_hears_nothing_is_no_deadlock(tmp_path: Path) -> None:
    """It reads `hello` and no more: the pipe fills while the bench still writes."""
    deaf = (
        "import json, os, struct, sys, time\n"
        "sizes = struct.unpack('>II', os.read(0, 8)); os.read(0, sizes[0])\n"
        "text = b'{\"protocol\": 1}'\n"
        "os.write(1, struct.pack('>II', len(text), 0) + text); time.sleep(60)\n"
    )
    (tmp_path / "deaf.py").write_text(deaf)
    codec = make(tmp_path / "deaf.py", timeout_s=1.0)
    with pytest.raises(ValueError, match="took longer than 1 s"):
        codec.encode(noise(2.0, 48_000))


def test_a_worker_ends_with_its_input(example: Path) -> None:
    one = persistent.Worker([sys.executable, str(example)], 20.0)
    assert one.hello() == "1.0"
    process: Any = one._process
    process.stdin.close()
    assert process.wait(10) == 0
    one.close()


def test_its_version_and_its_program_are_part_of_the_build(tmp_path: Path, example: Path) -> None:
    assert make(example).build_id().endswith(" 1.0")
    other = misbehaving(tmp_path, example, "pass")
    assert make(other).build_id() != make(example).build_id()


def test_a_worker_of_another_protocol_is_unavailable(tmp_path: Path, example: Path) -> None:
    later = tmp_path / "later.py"
    later.write_text(example.read_text().replace('"protocol": 1', '"protocol": 2'))
    with pytest.raises(CodecUnavailableError, match=r"speaks another protocol: .*2"):
        make(later).build_id()


@pytest.mark.parametrize(
    "options", [{}, {"worker": ["true"], "encode": ["true", "{input}", "{output}"]}]
)
def test_programs_and_worker_exclude_each_other(options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="give encode and decode, or worker alone"):
        coding.build("command", options)


def test_a_program_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(CodecUnavailableError, match="'no-such-python' is not on the search path"):
        coding.build("command", {"worker": ["no-such-python", "worker.py"]})
