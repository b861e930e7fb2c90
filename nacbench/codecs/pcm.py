"""Codecs with known answers: nothing lost, N bits kept, a band kept.

They are anchors, rows that show what a score means, and the probes of the bench's self-test.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nacbench.codecs import framing
from nacbench.core import Bitstream, Clip, Samples
from nacbench.errors import DecodeError


class Identity:
    """The clip itself as 32-bit float PCM: the upper bound of every metric."""

    name = "identity"
    title = "Identity"
    version = "1"

    def encode(self, clip: Clip) -> Bitstream:
        body = np.ascontiguousarray(clip.samples.T, dtype="<f4").tobytes()
        return framing.bitstream((clip.length, clip.sample_rate_hz, clip.channels), [body])

    def decode(self, bitstream: Bitstream) -> Clip:
        (length, rate, channels), packets = framing.parse(bitstream, 3)
        body = b"".join(packets)
        if len(body) != 4 * length * channels or not body:
            raise DecodeError(f"{len(body)} bytes for {length} samples of {channels} channels")
        samples = np.frombuffer(body, "<f4").reshape(length, channels).T
        if not np.isfinite(samples).all():
            raise DecodeError("the payload holds values that are not finite")
        return _clip(samples, rate)


class Pcm:
    """Uniform N-bit PCM at the clip's own rate, packed to exactly N bits per sample.

    Mid-tread, without dither: `round(x · 2^(N-1))`, clipped. For a full-scale sine the
    signal-to-noise ratio is 6.02 N + 1.76 dB.

    Args:
        bits: per sample, 2 to 24.
    """

    name = "pcm"
    title = "PCM"
    version = "1"
    argument = "bits"
    sweep = ("bits",)
    default_points = ({"bits": 4}, {"bits": 8}, {"bits": 12}, {"bits": 16})

    def __init__(self, bits: int = 16) -> None:
        if not 2 <= bits <= 24:
            raise ValueError(f"bits must be from 2 to 24, got {bits}")
        self.bits = bits

    def encode(self, clip: Clip) -> Bitstream:
        scale = 2 ** (self.bits - 1)
        levels = np.clip(np.rint(clip.samples.T.astype(np.float64) * scale), -scale, scale - 1)
        body = _pack(levels.astype(np.int64).ravel() + scale, self.bits)
        numbers = (clip.length, clip.sample_rate_hz, clip.channels)
        return framing.bitstream(numbers, [body])

    def decode(self, bitstream: Bitstream) -> Clip:
        (length, rate, channels), packets = framing.parse(bitstream, 3)
        body = b"".join(packets)
        if len(body) != -(-length * channels * self.bits // 8) or not body:
            raise DecodeError(f"{len(body)} bytes for {length} samples of {channels} channels")
        scale = 2 ** (self.bits - 1)
        levels = _unpack(body, length * channels, self.bits) - scale
        return _clip((levels / scale).astype(np.float32).reshape(length, channels).T, rate)


class LowPass(Identity):
    """A linear-phase low-pass at zero lag: the anchors of listening tests (3500, 7000 Hz).

    Flat to ±0.1 dB up to `hz`, at least 60 dB down from 8/7 `hz` on, which for 3500 Hz lies inside
    the mask of ITU-R BS.1534-3 section 5.1 (25 dB at 4 kHz, 50 dB at 4.5 kHz). A clip without
    anything above 8/7 `hz` comes back as it is. Sent as 32-bit float: an anchor has no rate to
    be proud of.

    Args:
        hz: edge of the pass band, 100 to 100 000.
    """

    name = "lowpass"
    title = "Low-pass"
    argument = "hz"
    sweep = ("hz",)
    default_points = ({"hz": 3500}, {"hz": 7000})

    def __init__(self, hz: float = 3500) -> None:
        if not 100 <= hz <= 100_000:
            raise ValueError(f"hz must be from 100 to 100000, got {hz:g}")
        self.hz = hz

    def encode(self, clip: Clip) -> Bitstream:
        from scipy import signal

        stop_hz = self.hz * 8 / 7
        nyquist_hz = clip.sample_rate_hz / 2
        if stop_hz < nyquist_hz:
            taps, beta = signal.kaiserord(70, (stop_hz - self.hz) / nyquist_hz)
            middle_hz = (self.hz + stop_hz) / 2
            kernel = signal.firwin(
                taps | 1, middle_hz, window=("kaiser", beta), fs=clip.sample_rate_hz
            )
            # An odd symmetric kernel about its middle tap has no delay at all.
            full = signal.oaconvolve(clip.samples.astype(np.float64), kernel[np.newaxis], axes=1)
            start = len(kernel) // 2
            clip = Clip(full[:, start : start + clip.length], clip.sample_rate_hz, clip.id)
        return super().encode(clip)


def _clip(samples: Samples, rate: int) -> Clip:
    try:
        return Clip(samples, rate)
    except ValueError as error:
        raise DecodeError(f"the header is damaged: {error}") from error


def _pack(levels: NDArray[np.int64], bits: int) -> bytes:
    """Unsigned integers to `bits` bits each, most significant first."""
    planes = (levels[:, np.newaxis] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(planes.astype(np.uint8).ravel()).tobytes()


def _unpack(data: bytes, count: int, bits: int) -> NDArray[np.int64]:
    planes = np.unpackbits(np.frombuffer(data, np.uint8), count=count * bits).reshape(count, bits)
    return planes.astype(np.int64) @ (1 << np.arange(bits - 1, -1, -1, dtype=np.int64))
