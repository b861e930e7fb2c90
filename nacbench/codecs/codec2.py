"""Codec 2: a sinusoidal speech vocoder for 0.7 to 3.2 kbps (D. Rowe).

Called through ctypes in a private copy of its library, for two reasons. The decoder draws the
phases of unvoiced speech from a generator that all decoders of a process share and nobody can
seed: in a fresh copy it starts anew, so a payload always decodes to the same audio. And the
`encode` of pycodec2 4.1, given more than one frame, does not code them one after the other.
"""

from __future__ import annotations

import _ctypes
import ctypes
import math
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nacbench.codecs import framing, shared_library
from nacbench.core import Bitstream, Clip
from nacbench.errors import DecodeError

MODES = {3.2: 0, 2.4: 1, 1.6: 2, 1.4: 3, 1.3: 4, 1.2: 5, 0.7: 8}
"""kbps -> mode of codec2.h; 0.7 is the mode 700C."""

TAIL = 320  # samples, 40 ms: more than the delay of any mode


class Codec2:
    """Codec 2 at 8 kHz. No container in common use.

    The payload is the frames' bits, packed without fill bits: modes with a broken number of bytes
    per frame (1.3 and 0.7 kbps) send two frames per packet, as FreeDV does. The `c2enc` tool rounds
    each frame up to bytes, which makes 1.4 and 0.8 kbps of them.

    The waveform is not kept, so delay is found by envelope: about 20 ms, 30 ms for 0.7 kbps.

    Args:
        kbps: 3.2, 2.4, 1.6, 1.4, 1.3, 1.2 or 0.7.
    """

    name = "codec2"
    title = "Codec 2"
    version = "1"
    sample_rates_hz = (8000,)
    channels = (1,)
    default_points: ClassVar = tuple({"kbps": kbps} for kbps in (0.7, 1.3, 2.4, 3.2))

    def __init__(self, kbps: float = 3.2) -> None:
        if kbps not in MODES:
            raise ValueError(f"kbps must be one of {', '.join(map(str, MODES))}; got {kbps:g}")
        self.nominal_kbps = kbps

    def encode(self, clip: Clip) -> Bitstream:
        with _vocoder(MODES[self.nominal_kbps]) as (library, state):
            hop, frame_bits, group = _geometry(library, state)
            frames = -(-(clip.length + TAIL) // (hop * group)) * group
            speech = np.zeros(frames * hop, np.int16)
            speech[: clip.length] = np.clip(np.rint(clip.samples[0] * 32768.0), -32768, 32767)
            coded = np.zeros((frames, -(-frame_bits // 8)), np.uint8)
            for bits, samples in zip(coded, speech.reshape(frames, hop), strict=True):
                library.codec2_encode(state, _at(bits), _at(samples))
        packed = np.unpackbits(coded, axis=1)[:, :frame_bits].reshape(frames // group, -1)
        packets = [row.tobytes() for row in np.packbits(packed, axis=1)]
        mode_index = list(MODES).index(self.nominal_kbps)
        return framing.bitstream((clip.length, mode_index), packets)

    def decode(self, bitstream: Bitstream) -> Clip:
        (length, mode_index), packets = framing.parse(bitstream, 2)
        if mode_index >= len(MODES):
            raise DecodeError("the header is damaged: no such mode")
        with _vocoder(list(MODES.values())[mode_index]) as (library, state):
            hop, frame_bits, group = _geometry(library, state)
            packet_bytes = group * frame_bits // 8
            if not all(packets):
                raise DecodeError("a packet is lost, and Codec 2 conceals no losses")
            if any(len(packet) != packet_bytes for packet in packets):
                raise DecodeError(f"a packet has other than {packet_bytes} bytes")
            if len(packets) * group * hop < length + TAIL:
                raise DecodeError(f"{len(packets)} packets are too few for {length} samples")
            bits = np.unpackbits(np.frombuffer(b"".join(packets), np.uint8))
            coded = np.packbits(bits.reshape(-1, frame_bits), axis=1)
            speech = np.zeros((len(coded), hop), np.int16)
            for samples, frame in zip(speech, coded, strict=True):
                library.codec2_decode(state, _at(samples), _at(frame))
        return Clip((speech.ravel()[: length + TAIL] / 32768).astype(np.float32), 8000)

    @classmethod
    def missing(cls) -> str | None:
        return None if _library_path() else "libcodec2 is not installed: pip install pycodec2"

    def build_id(self) -> str:
        path = _library_path()
        return shared_library.digest(path) if path else "unknown build"


@cache
def _library_path() -> Path | None:
    """The library that pycodec2 brings, or the system's."""
    package = find_spec("pycodec2")
    if package is not None and package.origin is not None:
        folder = Path(package.origin).parent
        for pattern in ("../pycodec2.libs/libcodec2*", ".dylibs/libcodec2*"):
            for path in sorted(folder.glob(pattern)):
                return path.resolve()
    library = shared_library.load("codec2")
    return shared_library.path_of(library, "codec2_create") if library else None


@contextmanager
def _vocoder(mode: int) -> Iterator[tuple[ctypes.CDLL, ctypes.c_void_p]]:
    """A codec2 state in a copy of the library that nobody has used before."""
    path = _library_path()
    assert path is not None, "missing() comes first"
    with tempfile.NamedTemporaryFile(suffix=path.suffix) as copy:
        shutil.copyfile(path, copy.name)
        library = ctypes.CDLL(copy.name)
    try:
        library.codec2_create.restype = ctypes.c_void_p
        state = ctypes.c_void_p(library.codec2_create(mode))
        if not state:
            raise ValueError(f"{path.name} has no mode {mode}")
        try:
            yield library, state
        finally:
            library.codec2_destroy(state)
    finally:
        _ctypes.dlclose(library._handle)


def _geometry(library: ctypes.CDLL, state: ctypes.c_void_p) -> tuple[int, int, int]:
    """Samples per frame, bits per frame, and how many frames fill whole bytes."""
    frame_bits = int(library.codec2_bits_per_frame(state))
    return int(library.codec2_samples_per_frame(state)), frame_bits, 8 // math.gcd(8, frame_bits)


def _at(array: NDArray[Any]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
