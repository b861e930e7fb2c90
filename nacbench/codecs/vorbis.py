"""Ogg Vorbis through libvorbis, as libsndfile carries it.

FFmpeg's own Vorbis encoder ignores the bit rate (204.7 kbps at any setting), so the file comes from
libsndfile and is taken apart into its packets.
"""

from __future__ import annotations

import io
from typing import ClassVar

from nacbench.codecs import framing, libav
from nacbench.core import Bitstream, Clip
from nacbench.errors import DecodeError

BLOCK = 65_536  # samples; libsndfile 1.2.2 crashes when it is handed minutes at once
EMPTY_COMMENT = b"\x03vorbis" + bytes(8) + b"\x01"  # no vendor, no comments, framing bit


class Vorbis:
    """Vorbis at a quality; variable rate. Stored as Ogg.

    A Vorbis decoder needs the encoder's codebooks. They are sent once in a set-up header of about
    4 kB, which counts: on a clip of 5 s that is 6 kbps, on a song nothing. The comment header does
    not count, for it does not matter to the decoder. No delay.

    Args:
        quality: 0 to 10, the scale of oggenc; about 64 to 500 kbps for stereo at 44.1 kHz.
    """

    name = "vorbis"
    title = "Vorbis"
    version = "2"
    sample_rates_hz = (8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
    channels = (1, 2)
    sweep = ("quality",)
    default_points: ClassVar = tuple({"quality": quality} for quality in (0, 2, 5, 8))

    def __init__(self, quality: float = 3) -> None:
        if not 0 <= quality <= 10:
            raise ValueError(f"quality must be from 0 to 10, got {quality:g}")
        self.quality = quality

    def encode(self, clip: Clip) -> Bitstream:
        import soundfile

        file = io.BytesIO()
        with soundfile.SoundFile(
            file,
            "w",
            clip.sample_rate_hz,
            clip.channels,
            format="OGG",
            subtype="VORBIS",
            compression_level=1 - self.quality / 10,
        ) as stored:
            for start in range(0, clip.length, BLOCK):
                stored.write(clip.samples[:, start : start + BLOCK].T)
        extradata, packets = libav.demux(file.getvalue())
        identification, _, setup = _xiph_split(extradata)
        return framing.bitstream(
            [clip.length], [identification, setup, *packets], len(file.getvalue())
        )

    def decode(self, bitstream: Bitstream) -> Clip:
        (length,), packets = framing.parse(bitstream, 1)
        if len(packets) < 2 or len(packets[0]) != 30:
            raise DecodeError("the set-up of the decoder is lost")
        identification, setup, *packets = packets
        # Vorbis I section 4.2.2: channels in byte 11, rate in bytes 12-15.
        channels = identification[11]
        rate = int.from_bytes(identification[12:16], "little")
        if channels not in self.channels or rate not in self.sample_rates_hz:
            raise DecodeError("the header is damaged: no such rate or channel count")
        extradata = _xiph_join(identification, EMPTY_COMMENT, setup)
        decoder = libav.Decoder("vorbis")
        return Clip(decoder.decode(packets, rate, channels, length, extradata), rate)

    @classmethod
    def missing(cls) -> str | None:
        import soundfile

        if "VORBIS" not in soundfile.available_subtypes("OGG"):
            return "this libsndfile has no Vorbis. Install a newer one: pip install -U soundfile"
        return libav.missing(("vorbis", "r"))

    def build_id(self) -> str:
        import soundfile

        return f"libsndfile {soundfile.__libsndfile_version__} {libav.build_id('vorbis')}"


def _xiph_split(extradata: bytes) -> list[bytes]:
    """The three headers of FFmpeg's extradata: 2, two lengths in runs of 255, then the headers."""
    position = 1
    sizes = []
    for _ in range(2):
        size = 0
        while True:
            size += extradata[position]
            position += 1
            if extradata[position - 1] < 255:
                break
        sizes.append(size)
    first, second = position + sizes[0], position + sum(sizes)
    return [extradata[position:first], extradata[first:second], extradata[second:]]


def _xiph_join(*headers: bytes) -> bytes:
    lacing = b"".join(b"\xff" * (len(h) // 255) + bytes([len(h) % 255]) for h in headers[:-1])
    return bytes([len(headers) - 1]) + lacing + b"".join(headers)
