"""Version 0 of `.nac`, as the founding project wrote it; read only.

Source: AchyutBurlakoti/Neural-Audio-Compression, `src/file_format/fileformat.py`, commit e314eee,
checked against a file that it wrote. The 9-byte header is the one of version 1; then JSON
metadata (always `null` there), then 10-bit codes packed lowest bit first. The codes come in chunks
of 2 s, each `[codebooks, 100]` with all frames of a codebook together. There is no sample count
and no checksum, so only truncation can be noticed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from reference_codec.bitstream import HEADER, MAGIC, MAX_METADATA_BYTES, BitstreamError

SAMPLE_RATE_HZ = 16_000
HOP_LENGTH = 320
FRAMES_PER_CHUNK = 100
BITS_PER_CODE = 10
BITS_PER_FRAME_AND_KBPS = 20  # 1000 bit/s at 50 frames/s
MAX_CODE_BYTES = 1 << 26  # six hours at 24 kbps


@dataclass(frozen=True)
class VersionZero:
    """`kbps` as written, the JSON `metadata`, `codes` `[codebooks, frames]` in 0…1023."""

    kbps: int
    metadata: object
    codes: NDArray[np.int64]


def is_v0(file: BinaryIO) -> bool:
    """Whether a file starts like version 0; its position stays where it was."""
    start = file.tell()
    head = file.read(4)
    file.seek(start)
    return head == MAGIC + b"\0"


def refuse_v0(file: BinaryIO) -> None:
    """Raises:
    BitstreamError: the file is of version 0, whose model was never published with its weights.
    """
    if is_v0(file):
        raise BitstreamError(
            3,
            "version 0: the weights of its model are not at hand; 'nac info' lists its codes",
        )


def read_v0(file: BinaryIO) -> VersionZero:
    """Read a whole version-0 file.

    Raises:
        BitstreamError: not version 0, or cut off inside a chunk.
    """
    header = file.read(HEADER.size)
    if len(header) < HEADER.size:
        raise BitstreamError(len(header), "ends inside the 9-byte header")
    magic, version, length, kbps = HEADER.unpack(header)
    if magic != MAGIC or version != 0:
        raise BitstreamError(0, "not a version-0 .nac file")
    if length > MAX_METADATA_BYTES:
        raise BitstreamError(4, f"claims {length} bytes of metadata, at most {MAX_METADATA_BYTES}")
    text = file.read(length)
    if len(text) < length:
        raise BitstreamError(HEADER.size + len(text), "ends inside the metadata")
    try:
        metadata = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BitstreamError(HEADER.size, "the metadata is not JSON") from error
    codebooks = kbps * BITS_PER_FRAME_AND_KBPS // BITS_PER_CODE
    if codebooks == 0:
        raise BitstreamError(8, "a rate of 0 kbps has no codebooks")
    start = HEADER.size + length
    data = file.read(MAX_CODE_BYTES + 1)
    if len(data) > MAX_CODE_BYTES:
        raise BitstreamError(start + MAX_CODE_BYTES, "more than six hours of codes")
    chunk_bytes = codebooks * FRAMES_PER_CHUNK * BITS_PER_CODE // 8
    if len(data) % chunk_bytes:
        raise BitstreamError(
            start + len(data) - len(data) % chunk_bytes,
            f"ends inside a chunk of {chunk_bytes} bytes",
        )
    return VersionZero(kbps, metadata, _unpack(data, codebooks))


def _unpack(data: bytes, codebooks: int) -> NDArray[np.int64]:
    bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
    weights = 1 << np.arange(BITS_PER_CODE)
    codes = bits.reshape(-1, BITS_PER_CODE) @ weights
    chunks = codes.reshape(-1, codebooks, FRAMES_PER_CHUNK)
    return chunks.transpose(1, 0, 2).reshape(codebooks, -1).astype(np.int64)
