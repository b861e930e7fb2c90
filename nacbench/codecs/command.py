"""Any codec that has a command line: EVS, a lab's own binary, a script.

    - command:
        label: EVS
        encode: [./EVS_cod, "{bps}", "16", "{input}", "{output}"]
        decode: [./EVS_dec, "16", "{input}", "{output}"]
        audio: raw
        sample_rate_hz: 16000
        kbps: [9.6, 13.2, 24.4]

or, where starting takes long and packages clash with ours, one program that stays:

    - command:
        label: Lab codec
        worker: [../lab-venv/bin/python, worker.py]
        sample_rate_hz: 24000
        kbps: [1.5, 3, 6]

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
from typing import Any, Literal

import numpy as np

from nacbench import audio as audio_files
from nacbench.codecs import persistent, shared_library
from nacbench.codecs.limits import limit_files
from nacbench.core import Bitstream, Clip
from nacbench.errors import CodecUnavailableError, DecodeError, UserError
from nacbench.registry import did_you_mean

PLACEHOLDER = re.compile(r"\{(\w+)\}")
IN_OUT = ("input", "output")


class Command:
    """An encoder and a decoder program, or one that stays and does both.

    The payload is the file that the encoder wrote, or what the worker answered. Programs get clips
    as files and write decoded audio to one: 16-bit WAV, or headerless 16-bit little-endian PCM.
    The decoder is given the payload and nothing else, so what it needs beyond it stands in its
    arguments, the same for every clip.

    Args:
        encode, decode: program and arguments. `{input}` and `{output}` stand for file names,
            `{kbps}`, `{bps}` (bit/s), `{sample_rate_hz}` and `{channels}` for numbers, `{NAME}` for
            an entry of `settings`. A program with a slash in it is looked up from the working
            directory, any other on the search path.
        worker: program and arguments of a process that stays, instead of the two; it speaks the
            protocol of `nacbench.codecs.persistent`. One process encodes and another decodes.
        kbps: the nominal rate, for placeholders and tables; the real one is measured.
        sample_rate_hz: the one rate that the programs take; raw audio needs it.
        channels: the one channel count that the programs take.
        audio: "wav" or "raw".
        suffix: of the coded file, for programs that go by it: ".evs".
        timeout_s: for each program and clip, each answer of a worker; then it and all it started
            are killed, and a worker is started anew for the next clip.
        settings: more values for placeholders.
    """

    name = "command"
    title = "Command"
    version = "1"

    def __init__(
        self,
        encode: list[str] | None = None,
        decode: list[str] | None = None,
        worker: list[str] | None = None,
        kbps: float | None = None,
        sample_rate_hz: int | None = None,
        channels: int = 1,
        audio: Literal["wav", "raw"] = "wav",
        suffix: str = ".bin",
        timeout_s: float = 60.0,
        settings: dict[str, str | int | float] | None = None,
    ) -> None:
        if (worker is None) == (encode is None and decode is None):
            raise ValueError("give encode and decode, or worker alone")
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
        self._values = values
        self._worker = None if worker is None else _command("worker", worker, values.keys())
        # The encoder sees the clip, so it may be told its rate; the decoder may not.
        if self._worker is None:
            self._encode = _command("encode", encode or [], {"sample_rate_hz", *values}, IN_OUT)
            self._decode = _command("decode", decode or [], values.keys(), IN_OUT)
        self._settings = dict(settings or {})
        self._audio_suffix = ".wav" if audio == "wav" else ".pcm"
        self._suffix = suffix
        self._timeout_s = timeout_s
        self.nominal_kbps = kbps
        self.sample_rates_hz: tuple[int, ...] = () if sample_rate_hz is None else (sample_rate_hz,)
        self.channels = (channels,)

    def encode(self, clip: Clip) -> Bitstream:
        if self._worker is not None:
            return self._ask_to_encode(clip)
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
        if self._worker is not None:
            return self._ask_to_decode(bitstream)
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

    def _ask_to_encode(self, clip: Clip) -> Bitstream:
        rate, channels = clip.sample_rate_hz, clip.channels
        samples = clip.samples.astype("<f4").tobytes()
        try:
            answer, payload = self._ask(
                "encode", {"sample_rate_hz": rate, "channels": channels}, samples
            )
            return Bitstream(payload, tuple(answer.get("packets") or ()))
        except (persistent.WorkerError, TypeError) as error:
            raise ValueError(str(error)) from error

    def _ask_to_decode(self, bitstream: Bitstream) -> Clip:
        told = {"packets": bitstream.packet_sizes}
        try:
            answer, body = self._ask("decode", told, bitstream.payload)
            rate, channels = int(answer["sample_rate_hz"]), int(answer["channels"])
            samples = np.frombuffer(body, "<f4").reshape(channels, -1)
            return Clip(samples.astype(np.float32), rate)
        except persistent.WorkerError as error:
            raise DecodeError(str(error)) from error
        except (KeyError, TypeError, ValueError) as error:
            raise DecodeError(f"the worker's audio is not as announced: {error}") from error

    def _ask(self, what: str, told: Mapping[str, object], body: bytes) -> tuple[Any, bytes]:
        header = {"ask": what, "kbps": self.nominal_kbps, "settings": self._settings, **told}
        return self._persistent(what).ask(header, body)

    def _persistent(self, role: str) -> persistent.Worker:
        assert self._worker is not None
        return persistent.worker(role, _filled(self._worker, self._values), self._timeout_s)

    def build_id(self) -> str:
        """The content of the programs, of any other file that an argument names, and the version
        that a worker gives itself.
        """
        if self._worker is None:
            return _digests((*self._encode, *self._decode))
        arguments = _filled(self._worker, self._values)
        try:
            version = self._persistent("encode").hello()
        except persistent.WorkerError as error:
            raise CodecUnavailableError(f"codec 'command': {error}") from error
        return f"{_digests(arguments)} {version}".strip()


def _digests(arguments: Sequence[str]) -> str:
    named = {Path(argument) for argument in arguments}
    return " ".join(shared_library.digest(p) for p in sorted(named) if p.is_file())


def _filled(arguments: Sequence[str], values: Mapping[str, object]) -> list[str]:
    return [PLACEHOLDER.sub(lambda match: str(values[match[1]]), text) for text in arguments]


def _command(
    option: str, arguments: Sequence[str], values: Collection[str], files: Sequence[str] = ()
) -> list[str]:
    """The arguments, checked, with the program's full path in front."""
    known = {*files, *values}
    if not arguments or not all(isinstance(argument, str) for argument in arguments):
        raise ValueError(f"{option} must be a list of texts: the program, then its arguments")
    used = {name for argument in arguments for name in PLACEHOLDER.findall(argument)}
    for name in sorted(used - known):
        raise ValueError(
            f"{option}: nothing is known for {{{name}}}.{did_you_mean(name, known)} "
            f"There is {', '.join(sorted(known))}"
        )
    for name in files:
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
    filled = _filled(arguments, {**values, "input": source, "output": target})
    program = Path(arguments[0]).name
    with tempfile.TemporaryFile() as chatter:
        process = subprocess.Popen(
            filled,
            stdin=subprocess.DEVNULL,
            stdout=chatter,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        limit_files(process.pid, math.ceil(timeout_s) + 1)
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
