"""The wireline codecs of the ITU-T: G.711, G.722, G.726. Packets of 20 ms, as sent over RTP."""

from __future__ import annotations

from typing import ClassVar, Literal

from nacbench.codecs import libav

PACKET_S = 0.02


class G711(libav.LibavCodec):
    """G.711: 8 bits per sample at 8 kHz, companded. 64 kbps. Stored as WAV.

    Args:
        law: "mu" (North America, Japan) or "a" (elsewhere).
    """

    name = "g711"
    title = "G.711"
    version = "1"
    sample_rates_hz = (8000,)
    sweep = ()
    nominal_kbps = 64.0
    default_points: ClassVar = ({"law": "mu"}, {"law": "a"})

    def __init__(self, law: Literal["mu", "a"] = "mu") -> None:
        codec = {"mu": "pcm_mulaw", "a": "pcm_alaw"}.get(law)
        if codec is None:
            raise ValueError(f"law must be 'mu' or 'a', got '{law}'")
        self.encoder = libav.Encoder(codec, "wav", "s16")
        self.decoder = libav.Decoder(codec)

    def to_transport(self, coded: libav.Coded) -> tuple[list[bytes], list[bytes]]:
        return [], _split(coded.packets, 64)

    @classmethod
    def requires(cls) -> tuple[libav.Need, ...]:
        return ("pcm_mulaw", "w"), ("pcm_mulaw", "r"), ("pcm_alaw", "w"), ("pcm_alaw", "r")


class G722(libav.LibavCodec):
    """G.722: sub-band ADPCM at 16 kHz, 64 kbps. A raw stream. Delay: 22 samples of its filters."""

    name = "g722"
    title = "G.722"
    version = "1"
    sample_rates_hz = (16_000,)
    sweep = ()
    delay = tail = 22
    nominal_kbps = 64.0
    encoder = libav.Encoder("g722", "g722", "s16", bit_rate=64_000)
    decoder = libav.Decoder("g722")

    @classmethod
    def requires(cls) -> tuple[libav.Need, ...]:
        return ("g722", "w"), ("g722", "r")


class G726(libav.LibavCodec):
    """G.726: ADPCM with 2 to 5 bits per sample at 8 kHz. Stored as WAV.

    Args:
        kbps: 16, 24, 32 or 40.
    """

    name = "g726"
    title = "G.726"
    version = "1"
    sample_rates_hz = (8000,)
    default_points: ClassVar = tuple({"kbps": kbps} for kbps in (16, 24, 32, 40))

    def __init__(self, kbps: int = 32) -> None:
        if kbps not in (16, 24, 32, 40):
            raise ValueError(f"kbps must be 16, 24, 32 or 40, got {kbps:g}")
        self.nominal_kbps = float(kbps)
        self._kbps = kbps
        self.encoder = libav.Encoder("g726", "wav", "s16", bit_rate=kbps * 1000)
        self.decoder = libav.Decoder("g726", {"bits_per_coded_sample": str(kbps // 8)})

    def to_transport(self, coded: libav.Coded) -> tuple[list[bytes], list[bytes]]:
        return [], _split(coded.packets, self._kbps)

    @classmethod
    def requires(cls) -> tuple[libav.Need, ...]:
        return ("g726", "w"), ("g726", "r")


def _split(packets: list[bytes], kbps: int) -> list[bytes]:
    """FFmpeg's packets of a constant-rate stream, cut anew into packets of 20 ms."""
    stream = b"".join(packets)
    size = round(kbps * 1000 / 8 * PACKET_S)
    return [stream[start : start + size] for start in range(0, len(stream), size)]
