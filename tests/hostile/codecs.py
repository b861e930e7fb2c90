"""Codecs and metrics for tests of the runner: some count what they do, some misbehave.

They leave a line in the file that `LOG_VARIABLE` names for everything they do, so that a test can
tell work from what came out of a cache.
"""

import ctypes
import os
import sys
import time
from pathlib import Path
from typing import ClassVar

import numpy as np

from nacbench.core import Bitstream, Clip
from nacbench.errors import DecodeError, UnscorableError

LOG_VARIABLE = "NACBENCH_TEST_LOG"
VERSION_VARIABLE = "NACBENCH_TEST_VERSION"
PARENT_VARIABLE = "NACBENCH_TEST_PARENT"  # where a suite is checked: nothing may die there


def log(what: str) -> None:
    if path := os.environ.get(LOG_VARIABLE):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(what + "\n")


class Quantised:
    """PCM at `bits` per sample in bytes; slow on request."""

    name = "quantised"
    title = "Quantised"
    sample_rates_hz = (16000,)
    channels = (1,)
    sweep = ("bits",)

    def __init__(self, bits: int = 8, seconds: float = 0.0):
        self.steps = 2 ** (bits - 1) - 1
        self.nominal_kbps = 128.0
        self.seconds = seconds
        self.version = os.environ.get(VERSION_VARIABLE, "1")

    def encode(self, clip: Clip) -> Bitstream:
        log(f"encode {clip.id} {self.steps}")
        time.sleep(self.seconds)
        return Bitstream(np.round(clip.samples[0] * self.steps).astype(np.int8).tobytes())

    def decode(self, bitstream: Bitstream) -> Clip:
        log(f"decode {self.steps}")
        return Clip(np.frombuffer(bitstream.payload, np.int8) / np.float32(self.steps), 16000)


class Hostile(Quantised):
    """Does a deed while it encodes or decodes the clip `on`, or every clip."""

    name = "hostile"
    title = "Hostile"
    sweep = ("deed", "at")

    def __init__(self, deed: str = "refuse", at: str = "decode"):
        super().__init__()
        self.deed = deed
        self.at = at
        if at == "build" and str(os.getpid()) != os.environ.get(PARENT_VARIABLE):
            self.act()

    def encode(self, clip: Clip) -> Bitstream:
        found = self.act() if self.at == "encode" else None
        return super().encode(clip) if found is None else found

    def decode(self, bitstream: Bitstream) -> Clip:
        decoded = super().decode(bitstream)
        found = self.act(decoded) if self.at == "decode" else None
        return decoded if found is None else found

    def act(self, decoded: Clip | None = None):
        return getattr(self, self.deed)(decoded)

    def segfault(self, decoded):
        ctypes.string_at(0)

    def abort(self, decoded):
        os.abort()

    def hang(self, decoded):
        while True:
            pass

    def eat(self, decoded):
        hoard = []
        while True:
            hoard.append(b"x" * 10_000_000)
            time.sleep(0.001)

    def refuse(self, decoded):
        raise DecodeError("the payload is damaged")

    def shout(self, decoded):
        for _ in range(1000):
            os.write(1, b"noise " * 100)
            print("noise", file=sys.stderr)

    def nan(self, decoded):
        samples = decoded.samples.copy()
        samples[0, 5] = np.nan
        return Clip(samples, decoded.sample_rate_hz)

    def half(self, decoded):
        return Clip(decoded.samples[:, : decoded.length // 3], decoded.sample_rate_hz)

    def nothing(self, decoded):
        return Clip(np.zeros((1, 0), np.float32), 16000)

    def text(self, decoded):
        return "audio"


class Telepath(Quantised):
    """Keeps the clip in the process and sends one byte: works if decode shares a process."""

    name = "telepath"
    title = "Telepath"
    version = "1"
    kept: ClassVar[dict[int, Clip]] = {}

    def __init__(self):
        super().__init__()

    def encode(self, clip: Clip) -> Bitstream:
        self.kept[0] = clip
        return Bitstream(b"\0")

    def decode(self, bitstream: Bitstream) -> Clip:
        return self.kept[bitstream.payload[0]]


class Glutton(Quantised):
    """Holds 200 MB while it encodes."""

    name = "glutton"
    title = "Glutton"

    def __init__(self):
        super().__init__()

    def encode(self, clip: Clip) -> Bitstream:
        held = np.ones(25_000_000)
        held[::512] = 2.0
        return super().encode(clip)


class Tokens(Quantised):
    """Two codebooks of 4: the first says 0, 1, 0, 1, …, the second always 3."""

    name = "tokens"
    title = "Tokens"
    codebook_sizes = (4, 4)

    def __init__(self, largest: int = 3):
        super().__init__()
        self.largest = largest

    def tokens(self, bitstream: Bitstream):
        frames = len(bitstream.payload) // 100
        return np.stack([np.arange(frames) % 2, np.full(frames, self.largest)])


class Forgetful(Tokens):
    """Cannot say what the tokens of the first clip were."""

    title = "Forgetful"
    asked = 0

    def tokens(self, bitstream: Bitstream):
        Forgetful.asked += 1
        if Forgetful.asked == 1:
            raise RuntimeError("forgotten")
        return super().tokens(bitstream)


class EntropyCoded(Tokens):
    """Tokens whose payload its own entropy coder wrote, or so it says."""

    title = "Entropy coded"
    entropy_coded = True


class _Likeness:
    version = "1"
    unit = ""
    bounds = (0.0, 1.0)
    higher_is_better = True
    sample_rate_hz = None
    mono = True
    domain = "any"
    source = "tests"

    def prepare(self, reference: Clip):
        log(f"prepare {self.name} {reference.id}")
        return reference.samples

    def score(self, prepared, decoded: Clip) -> float:
        log(f"score {self.name}")
        return float(1 / (1 + np.abs(prepared - decoded.samples).max()))


class Likeness(_Likeness):
    name = "hostile.codecs:Likeness"


class Likeness2(_Likeness):
    name = "hostile.codecs:Likeness2"


class Segfaulting(_Likeness):
    name = "hostile.codecs:Segfaulting"

    def score(self, prepared, decoded: Clip) -> float:
        ctypes.string_at(0)
        return 0.0


class Hanging(_Likeness):
    name = "hostile.codecs:Hanging"

    def score(self, prepared, decoded: Clip) -> float:
        while True:
            pass


class Unscorable(_Likeness):
    name = "hostile.codecs:Unscorable"

    def score(self, prepared, decoded: Clip) -> float:
        raise UnscorableError("nobody speaks")
