"""Opus through libopus (RFC 6716)."""

from __future__ import annotations

from typing import Literal

from nacbench.codecs import framing, libav
from nacbench.core import Bitstream, Clip
from nacbench.errors import DecodeError

FRAMES_MS = (2.5, 5, 10, 20, 40, 60)
DECODER_RATE_HZ = 48_000  # Opus always decodes to 48 kHz; lower rates are its bands


class Opus:
    """Opus, in packets of one frame each; stored as Ogg (RFC 7845).

    The payload is the packets and a header of about 5 bytes (length, rate, channels). The pre-skip
    that Ogg would trim stays, and shows as the codec's delay: 6.5 ms, 2.5 ms in low-delay mode.
    Lost packets are concealed by libopus; there is no in-band FEC.

    Args:
        kbps: 6 to 510 per stream, both channels of a stereo clip together.
        application: what the encoder tunes for; "lowdelay" leaves out the speech coder.
        vbr: "on" is libopus' own default, "constrained" bounds the buffer, "off" is CBR.
        frame_ms: 2.5, 5, 10, 20, 40 or 60. Below 10 ms there is no speech coder.
        complexity: 0 (fast) to 10 (best, the default of opusenc).
    """

    name = "opus"
    title = "Opus"
    version = "1"
    sample_rates_hz = (8000, 12_000, 16_000, 24_000, 48_000)
    channels = (1, 2)
    default_points = tuple({"kbps": kbps} for kbps in (6, 12, 24, 64, 128))

    def __init__(
        self,
        kbps: float = 24,
        application: Literal["voip", "audio", "lowdelay"] = "audio",
        vbr: Literal["on", "constrained", "off"] = "on",
        frame_ms: float = 20,
        complexity: int = 10,
    ) -> None:
        if not 6 <= kbps <= 510:
            raise ValueError(f"kbps must be from 6 to 510, got {kbps:g}")
        if frame_ms not in FRAMES_MS:
            raise ValueError(f"frame_ms must be one of {FRAMES_MS}, got {frame_ms:g}")
        if not 0 <= complexity <= 10:
            raise ValueError(f"complexity must be from 0 to 10, got {complexity}")
        self.nominal_kbps = kbps
        self._encoder = libav.Encoder(
            "libopus",
            "ogg",
            "flt",
            {
                "application": application,
                "vbr": vbr,
                "frame_duration": f"{frame_ms:g}",
                "compression_level": str(complexity),
            },
            round(kbps * 1000),
        )

    def encode(self, clip: Clip) -> Bitstream:
        coded = self._encoder.encode(clip)
        rate_index = self.sample_rates_hz.index(clip.sample_rate_hz)
        # OpusHead bytes 10-11: the pre-skip at 48 kHz (RFC 7845 section 5.1).
        pre_skip = int.from_bytes(coded.extradata[10:12], "little")
        numbers = (clip.length, rate_index, clip.channels, pre_skip)
        return framing.bitstream(numbers, coded.packets, coded.container_bytes)

    def decode(self, bitstream: Bitstream) -> Clip:
        (length, rate_index, channels, pre_skip), packets = framing.parse(bitstream, 4)
        if rate_index >= len(self.sample_rates_hz) or channels not in self.channels:
            raise DecodeError("the header is damaged: no such rate or channel count")
        ratio = DECODER_RATE_HZ // self.sample_rates_hz[rate_index]
        decoder = libav.Decoder("libopus", {"request_sample_fmt": "flt"})
        wanted = length * ratio + pre_skip
        packets = _concealing(packets)
        return Clip(decoder.decode(packets, DECODER_RATE_HZ, channels, wanted), DECODER_RATE_HZ)

    @classmethod
    def missing(cls) -> str | None:
        return libav.missing(("libopus", "w"), ("libopus", "r"))

    def build_id(self) -> str:
        return libav.build_id("libopus")


def _concealing(packets: list[bytes]) -> list[bytes]:
    """Each lost packet as one of empty frames, which libopus takes as lost and conceals.

    It has the TOC byte of the packet before, so that the decoder stays in its mode and makes audio
    of the same duration; before the first one that arrived, of that one. RFC 6716 section 3.2.
    """
    if all(packets):
        return packets
    toc = next(filter(None, packets), b"")
    if not toc:
        raise DecodeError("no packet arrived at all")
    filled = []
    for packet in packets:
        toc = packet or toc
        filled.append(packet or _empty(toc))
    return filled


def _empty(like: bytes) -> bytes:
    """A packet of as many frames as `like`, all of them empty."""
    code = like[0] & 3
    frames = (1, 2, 2, like[1] & 63 if len(like) > 1 else 1)[code]
    if frames == 1:
        return bytes([like[0] & ~3])
    return bytes([like[0] | 3, frames])
