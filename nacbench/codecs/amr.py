"""AMR-NB and AMR-WB (3GPP TS 26.071, 26.171), the speech codecs of mobile networks.

The payload is the octet-aligned speech bits of each 20 ms frame, without the header byte that the
storage format puts before every frame (RFC 4867 section 5.3): in a call the mode is negotiated, and
here it follows from the size of the packet, which no two modes share. That is 4.8 kbps for 4.75
and 24.0 for 23.85, the fill bits up to the next byte included.
"""

from __future__ import annotations

import ctypes
from typing import ClassVar

import numpy as np

from nacbench.codecs import framing, libav, shared_library
from nacbench.core import Bitstream, Clip
from nacbench.errors import DecodeError

NB_BYTES = {4.75: 12, 5.15: 13, 5.9: 15, 6.7: 17, 7.4: 19, 7.95: 20, 10.2: 26, 12.2: 31}
WB_BYTES = {6.6: 17, 8.85: 23, 12.65: 32, 14.25: 36, 15.85: 40, 18.25: 46, 19.85: 50}
WB_BYTES |= {23.05: 58, 23.85: 60}
"""Mode in kbps -> bytes of speech per frame, ordered by frame type (TS 26.101, TS 26.201)."""

NO_DATA = 15  # frame type, TS 26.101 and TS 26.201

AMRWB_ENCODER = ("vo-amrwbenc", "libvo-amrwbenc.so.0")


class AmrNb(libav.LibavCodec):
    """AMR at 8 kHz, without DTX; stored as .amr.

    Delay: 5 ms of look-ahead. An 80 Hz high-pass in the encoder turns the phase of low voices: over
    the full band they correlate at -0.8, nine samples too late, as if the codec inverted polarity.
    It does not.

    Args:
        kbps: 4.75, 5.15, 5.9, 6.7, 7.4, 7.95, 10.2 or 12.2.
    """

    name = "amr_nb"
    title = "AMR-NB"
    version = "1"
    sample_rates_hz = (8000,)
    delay = 40
    default_points: ClassVar = tuple({"kbps": kbps} for kbps in (4.75, 7.4, 12.2))
    decoder = libav.Decoder("libopencore_amrnb")

    def __init__(self, kbps: float = 12.2) -> None:
        self.nominal_kbps = _known(kbps, NB_BYTES)
        self.encoder = libav.Encoder(
            "libopencore_amrnb", "amr", "s16", bit_rate=round(self.nominal_kbps * 1000)
        )

    def to_transport(self, coded: libav.Coded) -> tuple[list[bytes], list[bytes]]:
        return [], [packet[1:] for packet in coded.packets]

    def from_transport(self, packets: list[bytes]) -> tuple[bytes, list[bytes]]:
        return b"", _with_headers(packets, NB_BYTES)

    @classmethod
    def requires(cls) -> tuple[libav.Need, ...]:
        return ("libopencore_amrnb", "w"), ("libopencore_amrnb", "r")


class AmrWb:
    """AMR-WB (G.722.2) at 16 kHz through VisualOn's encoder, without DTX; stored as .awb.

    Delay: 95 samples, 5.9 ms: look-ahead and resampling filters.

    Args:
        kbps: 6.6, 8.85, 12.65, 14.25, 15.85, 18.25, 19.85, 23.05 or 23.85.
    """

    name = "amr_wb"
    title = "AMR-WB"
    version = "1"
    sample_rates_hz = (16_000,)
    channels = (1,)
    delay = 95
    default_points: ClassVar = tuple({"kbps": kbps} for kbps in WB_BYTES)

    def __init__(self, kbps: float = 12.65) -> None:
        self.nominal_kbps = _known(kbps, WB_BYTES)

    def encode(self, clip: Clip) -> Bitstream:
        library = shared_library.load(*AMRWB_ENCODER)
        assert library is not None, "missing() comes first"
        library.E_IF_init.restype = ctypes.c_void_p
        mode = list(WB_BYTES).index(self.nominal_kbps)
        frames = -(-(clip.length + self.delay) // 320)
        speech = np.zeros(frames * 320, np.int16)
        speech[: clip.length] = np.clip(np.rint(clip.samples[0] * 32768.0), -32768, 32767)
        packets = []
        state = ctypes.c_void_p(library.E_IF_init())
        output = ctypes.create_string_buffer(64)
        try:
            for frame in speech.reshape(frames, 320):
                samples = frame.ctypes.data_as(ctypes.c_void_p)
                size = library.E_IF_encode(state, ctypes.c_short(mode), samples, output, 0)
                packets.append(output.raw[1:size])
        finally:
            library.E_IF_exit(state)
        stored = len(b"#!AMR-WB\n") + sum(1 + len(packet) for packet in packets)
        return framing.bitstream([clip.length], packets, stored)

    def decode(self, bitstream: Bitstream) -> Clip:
        (length,), packets = framing.parse(bitstream, 1)
        decoder = libav.Decoder("libopencore_amrwb")
        frames = _with_headers(packets, WB_BYTES)
        return Clip(decoder.decode(frames, 16_000, 1, length + self.delay), 16_000)

    @classmethod
    def missing(cls) -> str | None:
        if shared_library.load(*AMRWB_ENCODER) is None:
            return (
                "the library vo-amrwbenc is not installed. Debian, Ubuntu: "
                "apt-get install libvo-amrwbenc0; macOS: brew install libvo-amrwbenc"
            )
        return libav.missing(("libopencore_amrwb", "r"))

    def build_id(self) -> str:
        library = shared_library.load(*AMRWB_ENCODER)
        assert library is not None, "missing() comes first"
        encoder = shared_library.build_id(library, "E_IF_encode")
        return f"{encoder} {libav.build_id('libopencore_amrwb')}"


def _known(kbps: float, modes: dict[float, int]) -> float:
    if kbps not in modes:
        raise ValueError(f"kbps must be one of {', '.join(map(str, modes))}; got {kbps:g}")
    return float(kbps)


def _with_headers(packets: list[bytes], modes: dict[float, int]) -> list[bytes]:
    """Storage frames: frame type in bits 3-6 and the quality bit before the speech bits.

    A lost one is a frame of the type NO_DATA, which the decoder conceals (TS 26.091, 26.191).
    """
    types = {size: index for index, size in enumerate(modes.values())}
    for index, packet in enumerate(packets):
        if packet and len(packet) not in types:
            raise DecodeError(f"packet {index} has {len(packet)} bytes, which no mode has")
    return [
        bytes([types[len(packet)] << 3 | 4]) + packet if packet else bytes([NO_DATA << 3 | 4])
        for packet in packets
    ]
