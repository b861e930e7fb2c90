"""MPEG-1, -2 and -2.5 Audio Layer III through LAME (ISO/IEC 11172-3, 13818-3)."""

from __future__ import annotations

from typing import Literal

from nacbench.codecs import libav

MPEG_1_HZ = (32_000, 44_100, 48_000)
MPEG_2_HZ = (8000, 11_025, 12_000, 16_000, 22_050, 24_000)
MPEG_1_KBPS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
MPEG_2_KBPS = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)


class Mp3(libav.LibavCodec):
    """MP3; stored as a file with LAME's info frame.

    The payload is the frames without that info frame, and a header of about 5 bytes. The delay of
    encoder and decoder together, 1105 samples, stays: the info frame lets players trim it. LAME
    scales its input by 0.95 (-0.45 dB), which shows as the codec's gain.

    Args:
        kbps: one that the standard has: 32 to 320 at 32-48 kHz, 8 to 160 at 8-24 kHz. It decides
            the rates at which clips are coded, so 24 kbps codes a 48 kHz clip at 24 kHz.
        mode: constant or average bit rate.
    """

    name = "mp3"
    title = "MP3"
    version = "1"
    channels = (1, 2)
    delay = 1105  # 576 + 1 + 528: encoder look-ahead and the decoder's filter bank
    default_points = tuple({"kbps": kbps} for kbps in (32, 64, 128))
    decoder = libav.Decoder("mp3float")

    def __init__(self, kbps: int = 64, mode: Literal["cbr", "abr"] = "cbr") -> None:
        rates = MPEG_2_HZ * (kbps in MPEG_2_KBPS) + MPEG_1_HZ * (kbps in MPEG_1_KBPS)
        if not rates:
            known = sorted({*MPEG_1_KBPS, *MPEG_2_KBPS})
            raise ValueError(f"kbps must be one of {', '.join(map(str, known))}; got {kbps}")
        self.sample_rates_hz = rates
        self.nominal_kbps = kbps
        options = {"abr": "1"} if mode == "abr" else {}
        self.encoder = libav.Encoder("libmp3lame", "mp3", "fltp", options, kbps * 1000)

    @classmethod
    def requires(cls) -> tuple[libav.Need, ...]:
        return ("libmp3lame", "w"), ("mp3float", "r")
