"""LC3, the codec of Bluetooth LE Audio, through Google's liblc3 and its Python binding."""

from __future__ import annotations

import array
from importlib.metadata import version
from importlib.util import find_spec
from typing import ClassVar

import numpy as np

from nacbench.codecs import framing
from nacbench.core import Bitstream, Clip
from nacbench.errors import DecodeError

FRAMES_MS = (2.5, 5, 7.5, 10)
FRAME_BYTES = range(20, 401)  # LC3 specification v1.0, section 3.2.5
# Ones claim a last spectral line beyond the spectrum, in every band and frame duration, so the
# decoder conceals the frame as lost. The binding has no other way to say so.
LOST = b"\xff" * FRAME_BYTES[0]


class Lc3:
    """LC3 at constant rate, one frame per packet. No container in common use.

    Lost frames are concealed by liblc3.
    Delay: 2.5 ms of window overlap beside the frame itself (4 ms of overlap at 7.5 ms frames).

    Args:
        kbps: 16 to 320 at 10 ms; a frame has 20 to 400 whole bytes, so short frames start higher
            (64 kbps at 2.5 ms).
        frame_ms: 2.5, 5, 7.5 or 10.
    """

    name = "lc3"
    title = "LC3"
    version = "1"
    sample_rates_hz = (8000, 16_000, 24_000, 32_000, 48_000)
    channels = (1,)
    default_points: ClassVar = tuple({"kbps": kbps} for kbps in (16, 24, 32, 64, 96))

    def __init__(self, kbps: float = 32, frame_ms: float = 10) -> None:
        if frame_ms not in FRAMES_MS:
            raise ValueError(f"frame_ms must be one of {FRAMES_MS}, got {frame_ms:g}")
        self._frame_bytes = int(kbps * frame_ms / 8)
        if self._frame_bytes not in FRAME_BYTES:
            low, high = (8 * size / frame_ms for size in (FRAME_BYTES[0], FRAME_BYTES[-1]))
            raise ValueError(
                f"kbps must be from {low:g} to {high:g} at frames of {frame_ms:g} ms, got {kbps:g}"
            )
        self.nominal_kbps = kbps
        self._frame_ms = frame_ms

    def encode(self, clip: Clip) -> Bitstream:
        import lc3

        encoder = lc3.Encoder(round(self._frame_ms * 1000), clip.sample_rate_hz)
        hop = encoder.get_frame_samples()
        frames = -(-(clip.length + _delay(encoder)) // hop)
        samples = np.zeros(frames * hop, np.float32)
        samples[: clip.length] = np.clip(clip.samples[0], -1, 1)
        packets = [
            encoder.encode(array.array("f", frame.tobytes()), self._frame_bytes)
            for frame in samples.reshape(frames, hop)
        ]
        rate_index = self.sample_rates_hz.index(clip.sample_rate_hz)
        frame_index = FRAMES_MS.index(self._frame_ms)
        return framing.bitstream((clip.length, rate_index, frame_index), packets)

    def decode(self, bitstream: Bitstream) -> Clip:
        import lc3

        (length, rate_index, frame_index), packets = framing.parse(bitstream, 3)
        if rate_index >= len(self.sample_rates_hz) or frame_index >= len(FRAMES_MS):
            raise DecodeError("the header is damaged: no such rate or frame duration")
        rate = self.sample_rates_hz[rate_index]
        decoder = lc3.Decoder(round(FRAMES_MS[frame_index] * 1000), rate)
        wanted = length + _delay(decoder)
        if len(packets) * decoder.get_frame_samples() < wanted:
            raise DecodeError(f"{len(packets)} packets are too few for {length} samples")
        parts = []
        for index, packet in enumerate(packets):
            packet = packet or LOST
            if len(packet) not in FRAME_BYTES:
                raise DecodeError(f"packet {index} has {len(packet)} bytes, not 20 to 400")
            parts.append(np.asarray(decoder.decode(packet), np.float32))
        return Clip(np.concatenate(parts)[:wanted], rate)

    @classmethod
    def missing(cls) -> str | None:
        return None if find_spec("lc3") else "lc3py is not installed: pip install lc3py"

    def build_id(self) -> str:
        return f"lc3py {version('lc3py')}"


def _delay(coder: object) -> int:
    """Samples by which the decoded audio is late: the library's figure is encoder and decoder's."""
    return int(coder.get_delay_samples())  # type: ignore[attr-defined]
