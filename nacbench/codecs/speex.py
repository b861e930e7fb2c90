"""Speex (J.-M. Valin, xiph.org) through libspeex."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, Literal

import numpy as np

from nacbench.codecs import framing, ogg, shared_library
from nacbench.core import Bitstream, Clip
from nacbench.errors import DecodeError

LIBRARY = ("speex", "libspeex.so.1")
BANDS = ("narrow", "wide", "ultra_wide")  # speex.h: SPEEX_MODEID_NB, _WB, _UWB
RATES_HZ = (8000, 16_000, 32_000)
DELAYS = (80, 223, 509)  # samples: SPEEX_GET_LOOKAHEAD of the encoder plus that of the decoder
SET_QUALITY, SET_COMPLEXITY = 4, 16  # speex.h
MAX_PACKET = 256  # bytes; the longest frame, ultra-wide-band at quality 10, has 110


class Speex:
    """Speex at a constant quality, one frame of 20 ms per packet; stored as Ogg.

    The payload is the frames and a header of 4 bytes. The delay stays: 10.0 ms narrow-band,
    13.9 ms wide-band, 15.9 ms ultra-wide-band.

    Args:
        quality: 0 to 10: 2.15 to 24.6 kbps narrow-band, 3.95 to 42.2 kbps wide-band.
        band: "narrow" (8 kHz), "wide" (16 kHz) or "ultra_wide" (32 kHz).
        complexity: 1 (fast) to 10 (best).
    """

    name = "speex"
    title = "Speex"
    version = "1"
    channels = (1,)
    sweep = ("quality",)
    default_points: ClassVar = tuple({"quality": quality} for quality in (2, 4, 6, 8, 10))

    def __init__(
        self,
        quality: int = 6,
        band: Literal["narrow", "wide", "ultra_wide"] = "wide",
        complexity: int = 4,
    ) -> None:
        if not 0 <= quality <= 10:
            raise ValueError(f"quality must be from 0 to 10, got {quality}")
        if not 1 <= complexity <= 10:
            raise ValueError(f"complexity must be from 1 to 10, got {complexity}")
        if band not in BANDS:
            raise ValueError(f"band must be 'narrow', 'wide' or 'ultra_wide', got '{band}'")
        self._mode = BANDS.index(band)
        self._settings = {SET_QUALITY: quality, SET_COMPLEXITY: complexity}
        self.sample_rates_hz = (RATES_HZ[self._mode],)

    def encode(self, clip: Clip) -> Bitstream:
        hop = RATES_HZ[self._mode] // 50
        frames = -(-(clip.length + DELAYS[self._mode]) // hop)
        speech = np.zeros(frames * hop, np.int16)
        speech[: clip.length] = np.clip(np.rint(clip.samples[0] * 32768.0), -32768, 32767)
        output = ctypes.create_string_buffer(MAX_PACKET)
        packets = []
        with _coder("encoder", self._mode) as (library, state, bits):
            for request, value in self._settings.items():
                library.speex_encoder_ctl(state, request, ctypes.byref(ctypes.c_int(value)))
            for frame in speech.reshape(frames, hop):
                library.speex_bits_reset(bits)
                library.speex_encode_int(state, ctypes.c_void_p(frame.ctypes.data), bits)
                size = library.speex_bits_write(bits, output, MAX_PACKET)
                packets.append(output.raw[:size])
        file = ogg.mux([self._file_header(hop), bytes(8)], packets, hop)
        return framing.bitstream((clip.length, self._mode), packets, len(file))

    def decode(self, bitstream: Bitstream) -> Clip:
        (length, mode), packets = framing.parse(bitstream, 2)
        if mode >= len(BANDS):
            raise DecodeError("the header is damaged: no such band")
        hop = RATES_HZ[mode] // 50
        wanted = length + DELAYS[mode]
        if len(packets) * hop < wanted:
            raise DecodeError(f"{len(packets)} packets are too few for {length} samples")
        speech = np.zeros((len(packets), hop), np.int16)
        with _coder("decoder", mode) as (library, state, bits):
            for index, (packet, frame) in enumerate(zip(packets, speech, strict=True)):
                if len(packet) > MAX_PACKET:
                    raise DecodeError(f"packet {index} has {len(packet)} bytes")
                library.speex_bits_read_from(bits, packet, len(packet))
                samples = ctypes.c_void_p(frame.ctypes.data)
                received = bits if packet else None  # without bits, Speex conceals a loss
                if library.speex_decode_int(state, received, samples) != 0:
                    raise DecodeError(f"packet {index} is not a Speex frame")
        return Clip((speech.ravel()[:wanted] / 32768).astype(np.float32), RATES_HZ[mode])

    def _file_header(self, hop: int) -> bytes:
        """`SpeexHeader` of speex_header.h: version 1, 4th bit-stream, mono, no VBR."""
        rate = RATES_HZ[self._mode]
        numbers = (1, 80, rate, self._mode, 4, 1, -1, hop, 0, 1, 0, 0, 0)
        return struct.pack("<8s20s13i", b"Speex   ", b"1.2", *numbers)

    @classmethod
    def missing(cls) -> str | None:
        if shared_library.load(*LIBRARY) is None:
            return (
                "libspeex is not installed. Debian, Ubuntu: apt-get install libspeex1; "
                "macOS: brew install speex"
            )
        return None

    def build_id(self) -> str:
        library = shared_library.load(*LIBRARY)
        assert library is not None, "missing() comes first"
        return shared_library.build_id(library, "speex_encode_int")


class _Bits(ctypes.Structure):
    """`SpeexBits` of speex_bits.h."""

    _fields_ = (
        ("chars", ctypes.c_void_p),
        ("bit_count", ctypes.c_int),
        ("char_position", ctypes.c_int),
        ("bit_position", ctypes.c_int),
        ("owner", ctypes.c_int),
        ("overflow", ctypes.c_int),
        ("buffer_size", ctypes.c_int),
        ("reserved_1", ctypes.c_int),
        ("reserved_2", ctypes.c_void_p),
    )


@contextmanager
def _coder(side: str, mode: int) -> Iterator[tuple[ctypes.CDLL, ctypes.c_void_p, object]]:
    """libspeex, an encoder or decoder state, and a bit buffer; freed at the end."""
    library = shared_library.load(*LIBRARY)
    assert library is not None, "missing() comes first"
    library.speex_lib_get_mode.restype = ctypes.c_void_p
    create = getattr(library, f"speex_{side}_init")
    create.restype = ctypes.c_void_p
    state = ctypes.c_void_p(create(ctypes.c_void_p(library.speex_lib_get_mode(mode))))
    bits = _Bits()
    library.speex_bits_init(ctypes.byref(bits))
    try:
        yield library, state, ctypes.byref(bits)
    finally:
        library.speex_bits_destroy(ctypes.byref(bits))
        getattr(library, f"speex_{side}_destroy")(state)
