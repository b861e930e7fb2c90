"""Resampling a stream: soxr VHQ, as stated in docs/nac-format.md."""

from __future__ import annotations

import numpy as np

from reference_codec.backend import Samples


class StreamResampler:
    """Pieces of any length at one rate to pieces at another; the delay is compensated.

    Args:
        source_hz, target_hz: equal rates pass samples through untouched.
        channels: of every piece, `[channels, time]`.
    """

    def __init__(self, source_hz: int, target_hz: int, channels: int) -> None:
        self._channels = channels
        self._stream = None
        if source_hz != target_hz:
            import soxr

            self._stream = soxr.ResampleStream(
                source_hz, target_hz, channels, dtype="float32", quality="VHQ"
            )

    def push(self, samples: Samples) -> Samples:
        return self._run(samples, last=False)

    def finish(self) -> Samples:
        """What the filter still holds."""
        return self._run(np.zeros((self._channels, 0), np.float32), last=True)

    def _run(self, samples: Samples, last: bool) -> Samples:
        if self._stream is None:
            return samples
        piece = self._stream.resample_chunk(np.ascontiguousarray(samples.T), last=last)
        return np.ascontiguousarray(piece.reshape(-1, self._channels).T)
