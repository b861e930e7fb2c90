"""Any codec that has a command line: EVS, a lab's own binary, a script.

    - command:
        label: EVS
        encode: [./EVS_cod, "{bps}", "16", "{input}", "{output}"]
        decode: [./EVS_dec, "16", "{input}", "{output}"]
        audio: raw
        sample_rate_hz: 16000
        kbps: [9.6, 13.2, 24.4]

Arguments are lists and go to the programs as they are; no shell sees them.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from nacbench import audio as audio_files
from nacbench.codecs import shared_library
from nacbench.core import Bitstream, Clip
from nacbench.errors import CodecUnavailableError, DecodeError, UserError
from nacbench.registry import did_you_mean

PLACEHOLDER = re.compile(r"\{(\w+)\}")
MAX_FILE_BYTES = 1 << 30  # neither audio nor chatter of a program gone wild may fill the disk


class Command:
    """An encoder and a decoder program; the payload is the file that the encoder wrote.

    Clips are handed over as files and decoded audio is read from one: 16-bit WAV, or headerless
    16-bit little-endian PCM. The decoder is given the encoder's file and nothing else, so what it
    needs beyond it stands in its arguments, the same for every clip.

    Args:
        encode, decode: program and arguments. `{input}` and `{output}` stand for file names,
            `{kbps}`, `{bps}` (bit/s), `{sample_rate_hz}` and `{channels}` for numbers, `{NAME}` for
            an entry of `settings`. A program with a slash in it is looked up from the working
            directory, any other on the search path.
        kbps: the nominal rate, for placeholders and tables; the real one is measured.
        sample_rate_hz: the one rate that the programs take; raw audio needs it.
        channels: the one channel count that the programs take.
        audio: "wav" or "raw".
        suffix: of the coded file, for programs that go by it: ".evs".
        timeout_s: for each program and clip; then it and all it started are killed.
        settings: more values for placeholders.
    """

    name = "command"
    title = "Command"
    version = "1"

    def __init__(
        self,
        encode: list[str],
        decode: list[str],
        kbps: float | None = None,
        sample_rate_hz: int | None = None,
        channels: int = 1,
        audio: Literal["wav", "raw"] = "wav",
        suffix: str = ".bin",
        timeout_s: float = 60.0,
        settings: dict[str, str | int | float] | None = None,
    ) -> None:
        if audio not in ("wav", "raw"):
            raise ValueError(f"audio must be 'wav' or 'raw', got '{audio}'")
        if audio == "raw" and sample_rate_hz is None:
            raise ValueError("raw audio has no header: sample_rate_hz is needed")
        if (kbps is not None and kbps <= 0) or timeout_s <= 0 or channels < 1:
            raise ValueError("kbps, timeout_s and channels must be positive")
        if not re.fullmatch(r"[\w.-]*", suffix):
            raise ValueError(f"suffix must be letters, digits, dots and dashes, got '{suffix}'")
        values: dict[str, str | int | float] = {**(settings or {}), "channels": channels}
        if kbps is not None:
            values |= {"kbps": f"{kbps:g}", "bps": round(kbps * 1000)}
        if sample_rate_hz is not None:
            values["sample_rate_hz"] = sample_rate_hz
        # The encoder sees the clip, so it may be told its rate; the decoder may not.
        self._encode = _command("encode", encode, {"sample_rate_hz", *values})
        self._decode = _command("decode", decode, values.keys())
        self._values = values
        self._audio_suffix = ".wav" if audio == "wav" else ".pcm"
        self._suffix = suffix
        self._timeout_s = timeout_s
        self.nominal_kbps = kbps
        self.sample_rates_hz: tuple[int, ...] = () if sample_rate_hz is None else (sample_rate_hz,)
        self.channels = (channels,)

    def encode(self, clip: Clip) -> Bitstream:
        with tempfile.TemporaryDirectory(prefix="nacbench-") as folder:
            source = Path(folder, f"input{self._audio_suffix}")
            coded = Path(folder, f"coded{self._suffix}")
            if self._audio_suffix == ".wav":
                audio_files.write(source, clip, subtype="PCM_16")
            else:
                levels = np.clip(np.rint(clip.samples.T * 32768.0), -32768, 32767)
                source.write_bytes(levels.astype("<i2").tobytes())
            values = {**self._values, "sample_rate_hz": clip.sample_rate_hz}
            problem = _run(self._encode, values, source, coded, self._timeout_s)
            if problem is not None:
                raise ValueError(problem)
            return Bitstream(coded.read_bytes())

    def decode(self, bitstream: Bitstream) -> Clip:
        with tempfile.TemporaryDirectory(prefix="nacbench-") as folder:
            coded = Path(folder, f"coded{self._suffix}")
            decoded = Path(folder, f"output{self._audio_suffix}")
            coded.write_bytes(bitstream.payload)
            problem = _run(self._decode, self._values, coded, decoded, self._timeout_s)
            if problem is not None:
                raise DecodeError(problem)
            if self._audio_suffix == ".wav":
                try:
                    return audio_files.read(decoded)
                except UserError as error:
                    raise DecodeError(f"{self._decode[0]}: {error}") from error
            data = decoded.read_bytes()
        frame_bytes = 2 * self.channels[0]
        levels = np.frombuffer(data[: len(data) // frame_bytes * frame_bytes], "<i2")
        if not levels.size:
            raise DecodeError(f"{self._decode[0]} wrote no audio")
        samples = levels.reshape(-1, self.channels[0]).T / 32768
        return Clip(samples.astype(np.float32), self.sample_rates_hz[-1])

    def build_id(self) -> str:
        """The content of the programs, and of any other file that an argument names."""
        named = {Path(argument) for argument in (*self._encode, *self._decode)}
        return " ".join(shared_library.digest(p) for p in sorted(named) if p.is_file())


def _command(option: str, arguments: Sequence[str], values: Collection[str]) -> list[str]:
    """The arguments, checked, with the program's full path in front."""
    known = {"input", "output", *values}
    if not arguments or not all(isinstance(argument, str) for argument in arguments):
        raise ValueError(f"{option} must be a list of texts: the program, then its arguments")
    used = {name for argument in arguments for name in PLACEHOLDER.findall(argument)}
    for name in sorted(used - known):
        raise ValueError(
            f"{option}: nothing is known for {{{name}}}.{did_you_mean(name, known)} "
            f"There is {', '.join(sorted(known))}"
        )
    for name in ("input", "output"):
        if name not in used:
            raise ValueError(f"{option} must have an argument with {{{name}}}")
    program = arguments[0]
    found = shutil.which(program)
    if found is None:
        where = "in the working directory" if os.sep in program else "on the search path"
        raise CodecUnavailableError(
            f"codec 'command': the program '{program}' is not {where}, or may not be executed. "
            "Install it or give its full path."
        )
    return [str(Path(found).absolute()), *arguments[1:]]


def _run(
    arguments: Sequence[str],
    values: Mapping[str, object],
    source: Path,
    target: Path,
    timeout_s: float,
) -> str | None:
    """Run a program until it has written `target`; None, or what went wrong in one line."""
    known = {**values, "input": source, "output": target}
    filled = [PLACEHOLDER.sub(lambda m: str(known[m[1]]), argument) for argument in arguments]
    program = Path(arguments[0]).name
    with tempfile.TemporaryFile() as chatter:
        process = subprocess.Popen(
            filled,
            stdin=subprocess.DEVNULL,
            stdout=chatter,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        _limit(process.pid, timeout_s)
        try:
            status = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return f"{program} took longer than {timeout_s:g} s and was stopped"
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if status != 0:
            chatter.seek(max(chatter.seek(0, os.SEEK_END) - 2000, 0))
            lines = chatter.read().decode(errors="replace").split("\n")
            last = next((line.strip() for line in reversed(lines) if line.strip()), "no message")
            how = f"exit status {status}" if status > 0 else signal.Signals(-status).name
            return f"{program} failed ({how}): {last[:300]}"
    if not target.is_file():
        return f"{program} wrote no output file"
    return None


def _limit(pid: int, timeout_s: float) -> None:
    """Bound files and processor time by the system too, should the bench itself be killed."""
    try:
        import resource

        resource.prlimit(pid, resource.RLIMIT_FSIZE, (MAX_FILE_BYTES, MAX_FILE_BYTES))
        seconds = math.ceil(timeout_s) + 1
        resource.prlimit(pid, resource.RLIMIT_CPU, (seconds, seconds))
    except (ImportError, AttributeError, OSError):  # not Linux, or the process is gone already
        pass
