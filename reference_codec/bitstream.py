"""The `.nac` container: bytes in, bytes out. No tensors, no model; docs/nac-format.md is the norm.

Version 1 is written and read here, block by block, so memory never depends on the file's length.
Version 0, the founding project's layout, is read in `bitstream_v0.py`.

Every reader raises `BitstreamError` with the offset and the reason; none allocates more than
`MAX_BLOCK_BYTES` for bytes it has not seen.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import BinaryIO

import crc32c

MAGIC = b"NAC"
VERSION = 1
HEADER = struct.Struct(">3sBIB")  # magic, version, metadata length, nominal kbps
BLOCK_SYNC = 0xA7

MAX_METADATA_BYTES = 4096
MAX_BLOCK_BYTES = 1 << 22
MAX_BLOCK_SYMBOLS = 1 << 20
MAX_SYMBOLS_PER_BYTE = 512  # a block of few bytes must not cost minutes: ≥ 1/64 bit per symbol
MAX_STREAMS = 32
MAX_CODEBOOKS = 64
MAX_CODEBOOK_SIZE = 1 << 14
MAX_SAMPLE_RATE_HZ = 1 << 20
MAX_SAMPLES = 1 << 40
MAX_VARINT_BYTES = 9  # 63 bits
UNKNOWN_LENGTH = -1
_CHUNK = 1 << 16


class BitstreamError(Exception):
    """Bytes that are not a readable `.nac` stream.

    Attributes:
        offset: where in the file the trouble was found, in bytes.
    """

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(f"byte {offset}: {reason}")
        self.offset = offset
        self.reason = reason


class TruncatedError(BitstreamError):
    """The bytes end before the thing that they began; more of them may mend it."""


class Coding(IntEnum):
    """How the codes of a block became bytes."""

    PACKED = 0
    ADAPTIVE = 1
    NEURAL = 2


@dataclass(frozen=True)
class StreamInfo:
    """The metadata of a version-1 file.

    Attributes:
        model: model id, up to 255 bytes of UTF-8.
        weights: first 4 bytes of the SHA-256 of the weights.
        kbps: nominal rate, rounded up to a byte; for people, never for decoding.
        coded_rate_hz, hop_length: rate of the model and samples per frame at that rate.
        sample_rate_hz, channels, sample_count: of the audio that went in; the count is
            `UNKNOWN_LENGTH` in a live stream, whose last block carries it.
        streams: independently coded signals (1, or one per channel for a mono model).
        codebook_sizes: entries of each codebook of one stream.
        coding: the richest coding that a block may use.
        gain: factor on the decoded audio.
    """

    model: str
    weights: bytes
    kbps: int
    coded_rate_hz: int
    hop_length: int
    sample_rate_hz: int
    channels: int
    sample_count: int
    streams: int
    codebook_sizes: tuple[int, ...]
    coding: Coding
    gain: float = 1.0

    def __post_init__(self) -> None:
        problem = _implausible(self)
        if problem:
            raise ValueError(problem)

    @property
    def symbols_per_frame(self) -> int:
        return self.streams * len(self.codebook_sizes)


@dataclass(frozen=True)
class Block:
    """Frames that decode without any other block.

    Attributes:
        first_frame: position in the stream, in frames.
        frames: how many.
        coding: of this block; the raw fallback is `Coding.PACKED`.
        payload: coded symbols, frame-major: for each frame, each stream, each codebook.
        scales: one factor per stream (EnCodec 48 kHz normalises each segment), or empty.
        last: the stream ends here; then `sample_count` is its true length.
    """

    first_frame: int
    frames: int
    coding: Coding
    payload: bytes
    scales: tuple[float, ...] = ()
    last: bool = False
    sample_count: int = UNKNOWN_LENGTH
    offset: int = field(default=0, compare=False)


def _implausible(info: StreamInfo) -> str | None:
    """Why these values cannot describe a stream, or None."""
    if not 0 < len(info.model.encode()) <= 255:
        return "the model id must have 1 to 255 bytes"
    if len(info.weights) != 4:
        return "the weights hash must have 4 bytes"
    if not 0 <= info.kbps <= 255:
        return f"nominal kbps {info.kbps} does not fit a byte"
    for name, value, top in (
        ("coded rate", info.coded_rate_hz, MAX_SAMPLE_RATE_HZ),
        ("sample rate", info.sample_rate_hz, MAX_SAMPLE_RATE_HZ),
        ("hop length", info.hop_length, MAX_SAMPLE_RATE_HZ),
        ("channels", info.channels, MAX_STREAMS),
        ("streams", info.streams, MAX_STREAMS),
        ("number of codebooks", len(info.codebook_sizes), MAX_CODEBOOKS),
    ):
        if not 1 <= value <= top:
            return f"{name} {value} is outside 1…{top}"
    if not all(2 <= size <= MAX_CODEBOOK_SIZE for size in info.codebook_sizes):
        return f"codebook sizes must lie in 2…{MAX_CODEBOOK_SIZE}"
    if not UNKNOWN_LENGTH <= info.sample_count <= MAX_SAMPLES:
        return f"sample count {info.sample_count} is outside 0…{MAX_SAMPLES}"
    if not 0 < info.gain < 1e6:  # also refuses NaN
        return f"gain {info.gain} is not a plausible factor"
    return None


# --- Metadata -----------------------------------------------------------------------------------

_RESAMPLED, _SIZES_DIFFER, _HAS_GAIN, _LIVE = 1, 2, 4, 8


def write_header(info: StreamInfo) -> bytes:
    """The 9 bytes, the metadata and its CRC-32C."""
    uniform = len(set(info.codebook_sizes)) == 1
    flags = (
        _RESAMPLED * (info.sample_rate_hz != info.coded_rate_hz)
        | _SIZES_DIFFER * (not uniform)
        | _HAS_GAIN * (info.gain != 1.0)
        | _LIVE * (info.sample_count == UNKNOWN_LENGTH)
    )
    model = info.model.encode()
    body = bytearray([flags, len(model)]) + model + info.weights
    body += varint(info.coded_rate_hz) + varint(info.hop_length)
    if flags & _RESAMPLED:
        body += varint(info.sample_rate_hz)
    body += bytes([info.channels, info.streams, len(info.codebook_sizes)])
    for size in info.codebook_sizes[: 1 if uniform else None]:
        body += varint(size)
    body.append(info.coding)
    if flags & _HAS_GAIN:
        body += struct.pack(">f", info.gain)
    if not flags & _LIVE:
        body += varint(info.sample_count)
    header = HEADER.pack(MAGIC, VERSION, len(body) + 4, info.kbps)
    return header + body + struct.pack(">I", crc32c.crc32c(header + body))


def read_header(file: BinaryIO) -> StreamInfo:
    """Raises:
    BitstreamError: not a version-1 `.nac` header.
    """
    header = file.read(HEADER.size)
    if len(header) < HEADER.size:
        raise TruncatedError(len(header), "ends inside the 9-byte header")
    magic, version, length, kbps = HEADER.unpack(header)
    if magic != MAGIC:
        raise BitstreamError(0, f"starts with {magic!r}, not {MAGIC!r}: not a .nac file")
    if version != VERSION:
        raise BitstreamError(3, f"version {version}; this reader knows 0 and {VERSION}")
    if length > MAX_METADATA_BYTES:
        raise BitstreamError(4, f"claims {length} bytes of metadata, at most {MAX_METADATA_BYTES}")
    body = file.read(length)
    if len(body) < length or length < 4:
        raise TruncatedError(HEADER.size + len(body), "ends inside the metadata")
    content, crc = body[:-4], body[-4:]
    if struct.unpack(">I", crc)[0] != crc32c.crc32c(header + content):
        raise BitstreamError(HEADER.size, "metadata fails its CRC-32C: damaged")
    return _parse_metadata(_Cursor(content, HEADER.size), kbps)


def _parse_metadata(cursor: _Cursor, kbps: int) -> StreamInfo:
    flags = cursor.byte()
    try:
        model = cursor.take(cursor.byte()).decode()
    except UnicodeDecodeError as error:
        raise BitstreamError(cursor.offset, "the model id is not UTF-8") from error
    weights = cursor.take(4)
    coded_rate_hz, hop_length = cursor.varint(), cursor.varint()
    sample_rate_hz = cursor.varint() if flags & _RESAMPLED else coded_rate_hz
    channels, streams, codebooks = cursor.byte(), cursor.byte(), cursor.byte()
    if flags & _SIZES_DIFFER:
        sizes = tuple(cursor.varint() for _ in range(codebooks))
    else:
        sizes = (cursor.varint(),) * codebooks
    coding = cursor.byte()
    gain = struct.unpack(">f", cursor.take(4))[0] if flags & _HAS_GAIN else 1.0
    sample_count = UNKNOWN_LENGTH if flags & _LIVE else cursor.varint()
    if cursor.left:
        raise BitstreamError(cursor.offset, f"{cursor.left} bytes too many in the metadata")
    try:
        return StreamInfo(
            model, weights, kbps, coded_rate_hz, hop_length, sample_rate_hz, channels,
            sample_count, streams, sizes, Coding(coding), gain,
        )  # fmt: skip
    except ValueError as error:
        raise BitstreamError(HEADER.size, str(error)) from error


# --- Blocks -------------------------------------------------------------------------------------

_CODING_MASK, _HAS_SCALES, _LAST = 3, 4, 8


def write_block(block: Block) -> bytes:
    """Sync byte, head, payload, CRC-32C of everything after the sync byte."""
    flags = block.coding | _HAS_SCALES * bool(block.scales) | _LAST * block.last
    body = bytearray([flags]) + varint(block.first_frame) + varint(block.frames)
    for scale in block.scales:
        body += struct.pack(">f", scale)
    if block.last:
        body += varint(block.sample_count)
    body += varint(len(block.payload)) + block.payload
    return bytes([BLOCK_SYNC]) + body + struct.pack(">I", crc32c.crc32c(bytes(body)))


def read_blocks(file: BinaryIO, info: StreamInfo, resync: bool = False) -> Iterator[Block]:
    """Blocks to the end of the file; see `BlockParser`.

    Args:
        file: positioned after the header.
    """
    parser = BlockParser(info, len(write_header(info)), resync)
    while chunk := file.read(_CHUNK):
        parser.feed(chunk)
        yield from parser.blocks()
    yield from parser.blocks(end=True)


class BlockParser:
    """Finds blocks in bytes that arrive in pieces; holds one block's bytes at most.

    Args:
        offset: of the first byte that will be fed, for messages.
        resync: skip damaged bytes and go on at the next intact block, instead of raising. The
            reader notices what is missing by `first_frame`.
    """

    def __init__(self, info: StreamInfo, offset: int, resync: bool = False) -> None:
        self._info, self._offset, self._resync = info, offset, resync
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def blocks(self, end: bool = False) -> Iterator[Block]:
        """The blocks that are complete by now.

        Args:
            end: no more bytes will come.
        Raises:
            BitstreamError: a block is damaged or, at the end, cut off, and `resync` is off.
        """
        while self._buffer:
            try:
                block, size = _parse_block(self._buffer, self._offset, self._info)
            except BitstreamError as error:
                if isinstance(error, TruncatedError) and not end:
                    return
                if not self._resync:
                    raise
                size = self._buffer.find(BLOCK_SYNC, 1)
                self._drop(size if size > 0 else len(self._buffer))
                continue
            self._drop(size)
            yield block

    def _drop(self, count: int) -> None:
        del self._buffer[:count]
        self._offset += count


def _parse_block(data: bytearray, start: int, info: StreamInfo) -> tuple[Block, int]:
    """The block at the front of `data` and its size in bytes."""
    longest_head = 2 + 4 * 10 + 4 * info.streams
    cursor = _Cursor(bytes(data[:longest_head]), start)
    if cursor.byte() != BLOCK_SYNC:
        raise BitstreamError(start, "no block starts here")
    flags = cursor.byte()
    first_frame, frames = cursor.varint(), cursor.varint()
    scales: tuple[float, ...] = ()
    if flags & _HAS_SCALES:
        scales = struct.unpack(f">{info.streams}f", cursor.take(4 * info.streams))
    count = cursor.varint() if flags & _LAST else UNKNOWN_LENGTH
    length = cursor.varint()
    _check_block(start, flags, first_frame, frames, scales, count, length, info)
    size = cursor.offset - start + length + 4
    if len(data) < size:
        raise TruncatedError(start + len(data), f"ends inside a block of {size} bytes")
    body, crc = bytes(data[1 : size - 4]), data[size - 4 : size]
    if struct.unpack(">I", crc)[0] != crc32c.crc32c(body):
        raise BitstreamError(start, "block fails its CRC-32C: damaged")
    payload = body[len(body) - length :]
    block = Block(
        first_frame, frames, Coding(flags & _CODING_MASK), payload, scales,
        bool(flags & _LAST), count, start,
    )  # fmt: skip
    return block, size


def _check_block(
    start: int,
    flags: int,
    first_frame: int,
    frames: int,
    scales: tuple[float, ...],
    count: int,
    length: int,
    info: StreamInfo,
) -> None:
    symbols = frames * info.symbols_per_frame
    if flags & ~(_CODING_MASK | _HAS_SCALES | _LAST) or flags & _CODING_MASK > max(Coding):
        raise BitstreamError(start, f"unknown block flags {flags:#x}")
    if symbols > MAX_BLOCK_SYMBOLS or first_frame + frames > MAX_SAMPLES or count > MAX_SAMPLES:
        raise BitstreamError(start, f"claims {frames} frames from {first_frame} on: too many")
    if length > MAX_BLOCK_BYTES:
        raise BitstreamError(start, f"claims {length} bytes, at most {MAX_BLOCK_BYTES}")
    if symbols > length * MAX_SYMBOLS_PER_BYTE:
        raise BitstreamError(start, f"claims {symbols} symbols in {length} bytes")
    if not all(0 <= scale < 1e6 for scale in scales):  # also refuses NaN
        raise BitstreamError(start, "a scale is no plausible factor")


# --- Bytes --------------------------------------------------------------------------------------


def varint(value: int) -> bytes:
    """Unsigned LEB128: seven bits a byte, lowest first, the top bit set on all but the last."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class _Cursor:
    """Reads forward through a few bytes, refusing to run off their end."""

    def __init__(self, data: bytes, offset: int) -> None:
        self._data, self._at, self._base = data, 0, offset

    @property
    def offset(self) -> int:
        return self._base + self._at

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise TruncatedError(self._base + len(self._data), "ends too early")
        self._at += count
        return self._data[self._at - count : self._at]

    def byte(self) -> int:
        return self.take(1)[0]

    def varint(self) -> int:
        value = 0
        following = self._data[self._at : self._at + MAX_VARINT_BYTES]
        for place, byte in enumerate(following):  # much of the time of a search for blocks
            value |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:
                self._at += place + 1
                return value
        if len(following) < MAX_VARINT_BYTES:
            raise TruncatedError(self._base + len(self._data), "ends too early")
        raise BitstreamError(self.offset, "a number of more than 63 bits")
