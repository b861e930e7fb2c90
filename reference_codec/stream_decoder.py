"""`.nac` bytes to audio in pieces of any size, over lost and damaged blocks if asked."""

from __future__ import annotations

import io
from typing import Protocol

import numpy as np

from reference_codec.backend import Backend, Samples
from reference_codec.bitstream import (
    HEADER,
    UNKNOWN_LENGTH,
    BitstreamError,
    Block,
    BlockParser,
    StreamInfo,
    TruncatedError,
    read_blocks,
    read_header,
)
from reference_codec.block_coding import BlockCoder
from reference_codec.entropy import Ints
from reference_codec.neural_prior import NeuralPrior
from reference_codec.receptive_field import context_frames
from reference_codec.resampling import StreamResampler

MAX_GAP_S = 60.0  # lost frames become silence; beyond this the stream is refused


class StreamDecoder:
    """Push bytes, get samples; `finish` gives the rest.

    Args:
        backend: the model that the stream names.
        prior: see `block_coding.BlockCoder`.
        resync: conceal damaged or missing blocks with silence instead of raising. A stream whose
            start is missing then begins where its first intact block does.
    """

    info: StreamInfo | None = None

    def __init__(
        self,
        backend: Backend,
        prior: NeuralPrior | None = None,
        resync: bool = False,
    ) -> None:
        self._backend, self._prior = backend, prior
        self._resync = resync
        self._head = b""
        self._next_frame = -1
        self._returned = 0
        self._end: int | None = None

    def push(self, data: bytes) -> Samples:
        """`[channels, time]` at the rate that went in; often empty.

        Raises:
            BitstreamError: damaged bytes (unless `resync`), or a stream of another model.
        """
        if self.info is None:
            self._head += data
            try:
                file = io.BytesIO(self._head)
                info = read_header(file)
            except TruncatedError:
                return np.zeros((1, 0), np.float32)
            data = self._head[file.tell() :]
            self._open(info, file.tell())
        self._parser.feed(data)
        return self._deliver(end=False)

    def finish(self) -> Samples:
        """The remaining samples; together exactly as many as went in.

        Raises:
            BitstreamError: the stream is cut off (unless `resync`).
        """
        if self.info is None:
            raise BitstreamError(len(self._head), "ends inside the header")
        return self._deliver(end=True)

    def codes(self, data: bytes) -> tuple[StreamInfo, Ints]:
        """All codes of a whole file, `[streams, codebooks, frames]`, without decoding audio."""
        file = io.BytesIO(data)
        info = read_header(file)
        self._open(info, file.tell())
        parts = [self._coder.decode(block) for block in read_blocks(file, info) if block.frames]
        empty = np.zeros((info.streams, len(info.codebook_sizes), 0), np.int64)
        return info, np.concatenate([empty, *parts], axis=2)

    def _open(self, info: StreamInfo, offset: int) -> None:
        config = self._backend.config
        ours = bytes.fromhex(self._backend.weights_sha256)[:4]
        if (info.model, info.weights) != (config.name, ours):
            raise BitstreamError(
                HEADER.size,
                f"was written by model '{info.model}' with weights {info.weights.hex()}; "
                f"this is '{config.name}' with {ours.hex()}",
            )
        fits = (
            info.codebook_sizes == config.codebook_sizes[: len(info.codebook_sizes)]
            and info.hop_length == config.hop_length
            and info.coded_rate_hz == config.sample_rate_hz
            and info.streams == -(-info.channels // config.channels)
        )
        if not fits:
            raise BitstreamError(HEADER.size, "metadata that do not fit the model they name")
        coder = BlockCoder(info.codebook_sizes, info.streams, info.coding, self._prior)
        self.info, self._coder = info, coder
        self._parser = BlockParser(info, offset, self._resync)
        self._audio = _audio_sink(self._backend)
        self._resampler = StreamResampler(
            info.coded_rate_hz, info.sample_rate_hz, info.streams * config.channels
        )
        if info.sample_count != UNKNOWN_LENGTH:
            self._end = info.sample_count

    def _deliver(self, end: bool) -> Samples:
        assert self.info is not None
        pieces = [self._trim(self._decode(block)) for block in self._parser.blocks(end)]
        if end:
            pieces.append(self._trim(self._resampler.push(self._flat(self._audio.finish()))))
            pieces.append(self._trim(self._resampler.finish()))
            pieces.append(self._missing())
        empty = np.zeros((self.info.channels, 0), np.float32)
        return np.concatenate([empty, *pieces], axis=1)

    def _decode(self, block: Block) -> Samples:
        assert self.info is not None
        if block.last:
            self._end = block.sample_count
        first, expected = block.first_frame, self._next_frame
        if expected < 0:
            expected = first if self._resync else 0
            self._returned = self._position(expected)
        lost = first - expected
        frame_rate_hz = self._backend.config.frame_rate_hz
        if lost < 0 or (lost and not self._resync) or lost > MAX_GAP_S * frame_rate_hz:
            raise BitstreamError(block.offset, f"block starts at frame {first}, not {expected}")
        self._next_frame = first + block.frames
        audio = [self._flat(self._audio.gap(self.info.streams, lost))] if lost else []
        if block.frames:
            codes = self._coder.decode(block)
            scale = np.array(block.scales, np.float32) if block.scales else None
            audio.append(self._flat(self._audio.take(codes, scale)))
        pieces = [self._resampler.push(piece) for piece in audio]
        return np.concatenate([self._nothing(), *pieces], axis=1)

    def _position(self, frame: int) -> int:
        """Sample, at the rate that went in, at which a frame starts."""
        assert self.info is not None
        config = self._backend.config
        at = frame * config.hop_length
        if config.segment_length is not None and config.segment_stride is not None:
            at = at // config.segment_length * config.segment_stride
        return round(at * self.info.sample_rate_hz / config.sample_rate_hz)

    def _flat(self, audio: Samples) -> Samples:
        """`[streams, channels, time]` to `[streams · channels, time]`, with the stream's gain."""
        assert self.info is not None
        flat = audio.reshape(-1, audio.shape[2]) if audio.size else self._nothing()
        return flat * np.float32(self.info.gain)

    def _nothing(self) -> Samples:
        assert self.info is not None
        return np.zeros((self.info.streams * self._backend.config.channels, 0), np.float32)

    def _trim(self, samples: Samples) -> Samples:
        assert self.info is not None
        samples = samples[: self.info.channels]
        if self._end is not None:
            samples = samples[:, : max(0, self._end - self._returned)]
        self._returned += samples.shape[1]
        return samples

    def _missing(self) -> Samples:
        """Silence up to the announced length, a resampler's rounding or a lost tail."""
        assert self.info is not None
        missing = 0 if self._end is None else self._end - self._returned
        rounding = 2 * self._backend.config.hop_length * self.info.sample_rate_hz
        if missing > rounding // self.info.coded_rate_hz and not self._resync:
            raise BitstreamError(0, f"ends {missing} samples before its announced length")
        if self._end is None and not self._resync:
            raise BitstreamError(0, "ends without its last block")
        most = MAX_GAP_S * self.info.sample_rate_hz
        return np.zeros((self.info.channels, int(min(missing, most))), np.float32)


class _AudioSink(Protocol):
    """Codes of consecutive frames to audio `[streams, channels, time]`."""

    def take(self, codes: Ints, scale: Samples | None) -> Samples: ...
    def gap(self, streams: int, frames: int) -> Samples: ...
    def finish(self) -> Samples: ...


class _CausalAudio:
    """Hop by hop with carried state; a gap starts afresh."""

    def __init__(self, backend: Backend) -> None:
        self._backend, self._state = backend, ()
        self._held: Ints | None = None
        self._delay = backend.config.delay_length  # still to be taken out

    def take(self, codes: Ints, scale: Samples | None) -> Samples:
        if self._held is not None:
            codes, self._held = np.concatenate([self._held, codes], axis=2), None
        if not self._state and codes.shape[2] < self._backend.start_frames:
            self._held = codes
            return _silence(self._backend, codes.shape[0], 0)
        return self._step(codes)

    def gap(self, streams: int, frames: int) -> Samples:
        rest, self._state = self.finish(), ()
        silence = self._undelayed(_silence(self._backend, streams, frames))
        return np.concatenate([rest, silence], axis=2) if rest.size else silence

    def finish(self) -> Samples:
        if self._held is None:
            return np.zeros((1, self._backend.config.channels, 0), np.float32)
        codes, self._held = self._held, None
        return self._backend.decode_segment(codes, None)

    def _step(self, codes: Ints) -> Samples:
        audio, self._state = self._backend.decode_step(codes, self._state)
        return self._undelayed(audio)

    def _undelayed(self, audio: Samples) -> Samples:
        early = min(self._delay, audio.shape[2])
        self._delay -= early
        return audio[:, :, early:]


class _SegmentAudio:
    """Segments that overlap, mixed with the triangular weights of `neural_codec.cross_fade`."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._mixed: Samples | None = None
        self._weight = np.zeros(0, np.float32)
        self._triangle = np.zeros(0, np.float32)

    def take(self, codes: Ints, scale: Samples | None) -> Samples:
        audio = self._backend.decode_segment(codes, scale)
        length = audio.shape[2]
        if not len(self._triangle):
            ramp = np.linspace(0, 1, length + 2, dtype=np.float32)[1:-1]
            self._triangle = np.float32(0.5) - np.abs(ramp - np.float32(0.5))
        done = self._advance(audio.shape[0])
        assert self._mixed is not None
        grown = max(length, self._mixed.shape[2])
        self._mixed = np.pad(self._mixed, [(0, 0), (0, 0), (0, grown - self._mixed.shape[2])])
        self._weight = np.pad(self._weight, (0, grown - len(self._weight)))
        weights = self._triangle[:length]
        self._mixed[:, :, :length] += weights * audio
        self._weight[:length] += weights
        return done

    def gap(self, streams: int, frames: int) -> Samples:
        config = self._backend.config
        assert config.segment_length is not None
        segments = round(frames * config.hop_length / config.segment_length)
        return np.concatenate([self._advance(streams) for _ in range(segments)], axis=2)

    def finish(self) -> Samples:
        if self._mixed is None:
            return np.zeros((1, self._backend.config.channels, 0), np.float32)
        return (self._mixed / np.maximum(self._weight, np.float32(1e-9))).astype(np.float32)

    def _advance(self, streams: int) -> Samples:
        """What no later segment touches: the samples before the next segment's start."""
        if self._mixed is None:
            self._mixed = _silence(self._backend, streams, 0)
            return self._mixed
        stride = self._backend.config.segment_stride
        assert stride is not None
        short = max(0, stride - self._mixed.shape[2])
        mixed = np.pad(self._mixed, [(0, 0), (0, 0), (0, short)])
        weight = np.pad(self._weight, (0, short))
        self._mixed, self._weight = mixed[:, :, stride:], weight[stride:]
        done = mixed[:, :, :stride] / np.maximum(weight[:stride], np.float32(1e-9))
        return done.astype(np.float32)


class _WindowAudio:
    """Windows with context on both sides, for models that look ahead a bounded way."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._codes: Ints | None = None
        self._before = 0
        _, self._context = context_frames(backend.config)

    def take(self, codes: Ints, scale: Samples | None) -> Samples:
        if self._codes is not None:
            codes = np.concatenate([self._codes, codes], axis=2)
        self._codes = codes
        ready = codes.shape[2] - self._context
        if ready <= self._before:
            return _silence(self._backend, codes.shape[0], 0)
        audio = self._window(codes, self._before, ready)
        keep = min(ready, self._context)
        self._codes, self._before = codes[:, :, ready - keep :], keep
        return audio

    def gap(self, streams: int, frames: int) -> Samples:
        rest, silence = self.finish(), _silence(self._backend, streams, frames)
        return np.concatenate([rest, silence], axis=2) if rest.size else silence

    def finish(self) -> Samples:
        if self._codes is None:
            return np.zeros((1, self._backend.config.channels, 0), np.float32)
        codes, before, self._codes, self._before = self._codes, self._before, None, 0
        return self._window(codes, before, codes.shape[2])

    def _window(self, codes: Ints, start: int, stop: int) -> Samples:
        hop = self._backend.config.hop_length
        return self._backend.decode_segment(codes, None)[:, :, start * hop : stop * hop]


def _audio_sink(backend: Backend) -> _AudioSink:
    if backend.config.segment_length is not None:
        return _SegmentAudio(backend)
    return _CausalAudio(backend) if backend.config.network.causal else _WindowAudio(backend)


def _silence(backend: Backend, streams: int, frames: int) -> Samples:
    config = backend.config
    return np.zeros((streams, config.channels, frames * config.hop_length), np.float32)
