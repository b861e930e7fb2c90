"""FLAC (RFC 9639): lossless, so the point to which a lossy codec's rate is compared."""

from __future__ import annotations

from nacbench.codecs import framing, libav
from nacbench.core import Bitstream, Clip
from nacbench.errors import DecodeError


class Flac:
    """FLAC of the clip rounded to whole bits; stored as a .flac file.

    The payload is the frames, which describe themselves, and a header of about 7 bytes. The file
    has 8 kB of padding in front for later tags, which FFmpeg and the flac tool both write.

    Args:
        bits: 16 or 24 per sample; the only loss.
        level: 0 (fast) to 12 (small).
    """

    name = "flac"
    title = "FLAC"
    version = "1"
    channels = (1, 2, 3, 4, 5, 6, 7, 8)
    sweep = ("bits",)

    def __init__(self, bits: int = 16, level: int = 8) -> None:
        if bits not in (16, 24):
            raise ValueError(f"bits must be 16 or 24, got {bits}")
        if not 0 <= level <= 12:
            raise ValueError(f"level must be from 0 to 12, got {level}")
        sample_format = "s16" if bits == 16 else "s32"
        options = {"compression_level": str(level)}
        self._encoder = libav.Encoder("flac", "flac", sample_format, options)

    def encode(self, clip: Clip) -> Bitstream:
        coded = self._encoder.encode(clip)
        numbers = (clip.length, clip.sample_rate_hz, clip.channels)
        return framing.bitstream(numbers, coded.packets, coded.container_bytes)

    def decode(self, bitstream: Bitstream) -> Clip:
        (length, rate, channels), packets = framing.parse(bitstream, 3)
        if channels not in self.channels or not 0 < rate < 1 << 20:
            raise DecodeError("the header is damaged: no such rate or channel count")
        return Clip(libav.Decoder("flac").decode(packets, rate, channels, length), rate)

    @classmethod
    def missing(cls) -> str | None:
        return libav.missing(("flac", "w"), ("flac", "r"))

    def build_id(self) -> str:
        return libav.build_id("flac")
