"""AAC-LC through FFmpeg's own encoder (ISO/IEC 14496-3)."""

from __future__ import annotations

from nacbench.codecs import libav
from nacbench.errors import DecodeError


class Aac(libav.LibavCodec):
    """AAC-LC; stored as MP4.

    The payload is the raw access units, the decoder's 5 bytes of set-up (AudioSpecificConfig) and
    a header of about 5 bytes. The encoder's priming of 1024 samples stays; MP4's edit list would
    trim it.

    Args:
        kbps: 8 to 512 per stream, both channels of a stereo clip together; an average that the
            encoder aims at.
    """

    name = "aac"
    title = "AAC-LC"
    version = "1"
    sample_rates_hz = (8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
    channels = (1, 2)
    delay = 1024
    default_points = tuple({"kbps": kbps} for kbps in (24, 48, 64, 128))
    decoder = libav.Decoder("aac")

    def __init__(self, kbps: float = 64) -> None:
        if not 8 <= kbps <= 512:
            raise ValueError(f"kbps must be from 8 to 512, got {kbps:g}")
        self.nominal_kbps = kbps
        self.encoder = libav.Encoder("aac", "ipod", "fltp", bit_rate=round(kbps * 1000))

    def to_transport(self, coded: libav.Coded) -> tuple[list[bytes], list[bytes]]:
        return [coded.extradata], coded.packets

    def from_transport(self, packets: list[bytes]) -> tuple[bytes, list[bytes]]:
        if not packets:
            raise DecodeError("the set-up of the decoder is lost")
        return packets[0], packets[1:]

    @classmethod
    def requires(cls) -> tuple[libav.Need, ...]:
        return ("aac", "w"), ("aac", "r")
