"""Audio to `.nac` bytes in pieces of any size, in memory that does not grow.

Causal models keep their state from hop to hop, so a stream gives the codes of the whole clip.
Models that work in segments (48 kHz stereo) code each segment as one block. Other models that
look ahead see windows with context on both sides, more than they can see, which is cut off again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

from reference_codec.backend import Backend, Samples
from reference_codec.bitstream import (
    UNKNOWN_LENGTH,
    Block,
    Coding,
    StreamInfo,
    write_block,
    write_header,
)
from reference_codec.block_coding import BlockCoder
from reference_codec.entropy import Ints
from reference_codec.neural_prior import NeuralPrior
from reference_codec.receptive_field import context_frames
from reference_codec.resampling import StreamResampler

WINDOW_S = 4.0


class StreamEncoder:
    """Push samples, get bytes; `finish` gives the rest.

    Args:
        backend: the model.
        sample_rate_hz, channels: of the audio that will come.
        n_codebooks, coding, prior: see `block_coding.BlockCoder`.
        sample_count: where it is known; otherwise the last block carries it.
        block_s: longest block; the delay of the entropy coder.
    """

    def __init__(
        self,
        backend: Backend,
        sample_rate_hz: int,
        channels: int,
        n_codebooks: int,
        coding: Coding,
        prior: NeuralPrior | None = None,
        sample_count: int = UNKNOWN_LENGTH,
        block_s: float = 1.0,
    ) -> None:
        config = backend.config
        streams = -(-channels // config.channels)
        self.info = StreamInfo(
            model=config.name,
            weights=bytes.fromhex(backend.weights_sha256)[:4],
            kbps=min(255, math.ceil(config.nominal_kbps(n_codebooks) * streams)),
            coded_rate_hz=config.sample_rate_hz,
            hop_length=config.hop_length,
            sample_rate_hz=sample_rate_hz,
            channels=channels,
            sample_count=sample_count,
            streams=streams,
            codebook_sizes=config.codebook_sizes[:n_codebooks],
            coding=coding,
        )
        self._missing_channels = streams * config.channels - channels
        self._coder = BlockCoder(self.info.codebook_sizes, streams, coding, prior)
        self._resampler = StreamResampler(
            sample_rate_hz, config.sample_rate_hz, streams * config.channels
        )
        self._frames = _frames_source(backend, streams, n_codebooks)
        self._block_frames = max(1, round(block_s * config.frame_rate_hz))
        self._held: list[Ints] = []
        self._first_frame = self._pushed = 0
        self._header: bytes = write_header(self.info)

    def push(self, samples: Samples) -> bytes:
        """Bytes of the blocks that these samples complete; often none.

        Args:
            samples: `[channels, time]`, full scale ±1, any length.
        Raises:
            ValueError: another number of channels, or samples that are not finite.
        """
        samples = np.atleast_2d(np.asarray(samples, np.float32))
        if samples.shape[0] != self.info.channels:
            raise ValueError(f"{samples.shape[0]} channels pushed, {self.info.channels} announced")
        if not np.isfinite(samples).all():
            raise ValueError("samples that are not finite cannot be coded")
        self._pushed += samples.shape[1]
        return self._take(self._resampler.push(self._fanned(samples)), last=False)

    def finish(self) -> bytes:
        """The remaining blocks. Nothing can be pushed afterwards."""
        data = self._take(self._resampler.finish(), last=True)
        count = self.info.sample_count
        if count == UNKNOWN_LENGTH:
            closing = Block(
                self._first_frame, 0, Coding.PACKED, b"", last=True, sample_count=self._pushed
            )
            return data + write_block(closing)
        if count != self._pushed:
            raise ValueError(f"{self._pushed} samples pushed, {count} announced")
        return data

    def _take(self, samples: Samples, last: bool) -> bytes:
        out, self._header = self._header, b""
        for codes, scales in self._frames.take(samples, last):
            if scales is not None:  # a segment is a block of its own
                out += self._block(codes, tuple(scales.tolist()))
                continue
            self._held.append(codes)
            while sum(part.shape[2] for part in self._held) >= self._block_frames:
                joined = np.concatenate(self._held, axis=2)
                out += self._block(joined[:, :, : self._block_frames])
                self._held = [joined[:, :, self._block_frames :]]
        if last and sum(part.shape[2] for part in self._held):
            out += self._block(np.concatenate(self._held, axis=2))
        return out

    def _block(self, codes: Ints, scales: tuple[float, ...] = ()) -> bytes:
        block = self._coder.encode(codes, self._first_frame, scales)
        self._first_frame += block.frames
        return write_block(block)

    def _fanned(self, samples: Samples) -> Samples:
        """Channels in the model's number: the last one is repeated to fill a stereo pair."""
        return np.concatenate([samples, *[samples[-1:]] * self._missing_channels])


class _FrameSource(Protocol):
    def take(self, samples: Samples, last: bool) -> Iterator[tuple[Ints, Samples | None]]:
        """Codes of the frames that `samples` complete, with the level of a segment if it has one.

        Args:
            samples: `[streams · channels, time]` at the model's rate.
        """
        ...


class _CausalFrames:
    """Hop by hop with carried state."""

    def __init__(self, backend: Backend, streams: int, n_codebooks: int) -> None:
        self._backend, self._streams, self._n = backend, streams, n_codebooks
        self._buffer = np.zeros((streams * backend.config.channels, 0), np.float32)
        self._state: Any = ()
        self._started = False

    def take(self, samples: Samples, last: bool) -> Iterator[tuple[Ints, None]]:
        hop = self._backend.config.hop_length
        ending = self._backend.config.delay_length if last else 0
        samples = np.pad(samples, ((0, 0), (0, ending)))
        self._buffer = np.concatenate([self._buffer, samples], axis=1)
        most = max(1, round(WINDOW_S * self._backend.config.frame_rate_hz)) * hop
        while True:
            fewest = 1 if self._started else self._backend.start_frames
            whole = self._buffer.shape[1] // hop * hop
            if whole >= fewest * hop and not (last and whole <= most):
                piece, self._buffer = np.split(self._buffer, [min(whole, most)], axis=1)
                yield self._step(piece, last=False), None
            elif last and self._buffer.shape[1]:
                piece, self._buffer = self._buffer, self._buffer[:, :0]
                yield self._step(piece, last=True), None
                return
            else:
                return

    def _step(self, piece: Samples, last: bool) -> Ints:
        self._started = True
        audio = piece.reshape(self._streams, self._backend.config.channels, -1)
        codes, self._state = self._backend.encode_step(audio, self._state, self._n, last)
        return codes


class _SegmentFrames:
    """One segment after the other, each normalised and coded on its own."""

    def __init__(self, backend: Backend, streams: int, n_codebooks: int) -> None:
        self._backend, self._streams, self._n = backend, streams, n_codebooks
        self._buffer = np.zeros((streams * backend.config.channels, 0), np.float32)

    def take(self, samples: Samples, last: bool) -> Iterator[tuple[Ints, Samples]]:
        config = self._backend.config
        length, stride = config.segment_length, config.segment_stride
        assert length is not None and stride is not None
        self._buffer = np.concatenate([self._buffer, samples], axis=1)
        while self._buffer.shape[1] >= length or (last and self._buffer.shape[1]):
            audio = self._buffer[:, :length].reshape(self._streams, config.channels, -1)
            self._buffer = self._buffer[:, stride:]
            codes, scale = self._backend.encode_segment(audio, self._n)
            yield codes, np.ones(self._streams, np.float32) if scale is None else scale


class _WindowFrames:
    """Windows with context on both sides, for models that look ahead a bounded way."""

    def __init__(self, backend: Backend, streams: int, n_codebooks: int) -> None:
        self._backend, self._streams, self._n = backend, streams, n_codebooks
        self._buffer = np.zeros((streams * backend.config.channels, 0), np.float32)
        self._before = 0  # frames of context at the front of the buffer
        self._context, _ = context_frames(backend.config)

    def take(self, samples: Samples, last: bool) -> Iterator[tuple[Ints, None]]:
        config = self._backend.config
        hop, body = config.hop_length, max(1, round(WINDOW_S * config.frame_rate_hz))
        self._buffer = np.concatenate([self._buffer, samples], axis=1)
        while self._buffer.shape[1] > (self._before + body + self._context) * hop:
            window = self._buffer[:, : (self._before + body + self._context) * hop]
            yield self._codes(window)[:, :, self._before : self._before + body], None
            keep = min(self._before + body, self._context)
            self._buffer = self._buffer[:, (self._before + body - keep) * hop :]
            self._before = keep
        if last and self._buffer.shape[1] > self._before * hop:
            yield self._codes(self._buffer)[:, :, self._before :], None
            self._buffer = self._buffer[:, :0]

    def _codes(self, window: Samples) -> Ints:
        audio = window.reshape(self._streams, self._backend.config.channels, -1)
        return self._backend.encode_segment(audio, self._n)[0]


def _frames_source(backend: Backend, streams: int, n_codebooks: int) -> _FrameSource:
    if backend.config.segment_length is not None:
        return _SegmentFrames(backend, streams, n_codebooks)
    if backend.config.network.causal:
        return _CausalFrames(backend, streams, n_codebooks)
    return _WindowFrames(backend, streams, n_codebooks)
