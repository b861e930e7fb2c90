"""Tokens -> bytes, for codecs whose encoders end in tokens: as many bits as the codebooks ask for.

    length      samples per channel      unsigned LEB128
    codebooks   in use                   unsigned LEB128
    frames      tokens per codebook      unsigned LEB128
    side        what else the decoder needs, of a size that follows from the length
    tokens      frame by frame, codebook by codebook, ceil(log2(size)) bits each, high bit first,
                filled up with zeros to whole bytes at the very end

There is no entropy coding here: it would be ours and not the codec's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nacbench.codecs import framing
from nacbench.errors import DecodeError


@dataclass(frozen=True)
class TokenStream:
    """What travels.

    Attributes:
        length: samples per channel of the clip.
        tokens: int64 `[codebooks, frames]`.
        side: bytes beside the tokens, such as gains.
    """

    length: int
    tokens: NDArray[np.int64]
    side: bytes = b""


def bits(size: int) -> int:
    """For one token of a codebook with `size` entries: 10 for 1024, 11 for 2016."""
    return max(1, math.ceil(math.log2(size)))


def pack(stream: TokenStream, sizes: Sequence[int]) -> bytes:
    """The payload.

    Args:
        sizes: entries of each codebook in use.

    Raises:
        ValueError: the tokens are not `[len(sizes), frames]` within their codebooks.
    """
    tokens = np.asarray(stream.tokens)
    if tokens.ndim != 2 or len(tokens) != len(sizes) or tokens.dtype.kind not in "iu":
        raise ValueError(
            f"tokens must be whole numbers [{len(sizes)} codebooks, frames], "
            f"got {tokens.dtype} {list(tokens.shape)}"
        )
    for index, (row, size) in enumerate(zip(tokens, sizes, strict=True)):
        if row.size and not (row.min() >= 0 and row.max() < size):
            raise ValueError(
                f"codebook {index} has the tokens 0…{size - 1}, got {row.min()}…{row.max()}"
            )
    columns = [
        tokens[index, :, np.newaxis] >> np.arange(bits(size))[::-1] & 1
        for index, size in enumerate(sizes)
    ]
    packed = np.packbits(np.concatenate(columns, axis=1).astype(np.uint8).reshape(-1))
    header = framing.numbers((stream.length, *tokens.shape))
    return header + stream.side + packed.tobytes()


def unpack(
    payload: bytes, sizes: Sequence[int], side_bytes: Callable[[int], int] = lambda length: 0
) -> TokenStream:
    """What `pack` was given. Memory is bounded by the payload.

    Args:
        sizes: entries of every codebook that the codec has; the payload says how many are in use.
        side_bytes: length in samples -> bytes of `side`.

    Raises:
        DecodeError: the payload is damaged.
    """
    (length, codebooks, frames), body = framing.read_numbers(payload, 3)
    if not 0 < length <= framing.MAX_LENGTH:
        raise DecodeError(f"the header is damaged: a length of {length} samples")
    if not 0 < codebooks <= len(sizes):
        raise DecodeError(f"the header is damaged: {codebooks} of {len(sizes)} codebooks")
    widths = [bits(size) for size in sizes[:codebooks]]
    side = side_bytes(length)
    expected = side + -(-frames * sum(widths) // 8)
    if len(body) != expected:
        raise DecodeError(f"{len(body)} bytes follow the header, not {expected}")
    flags = np.unpackbits(np.frombuffer(body, np.uint8, offset=side), count=frames * sum(widths))
    rows = flags.reshape(frames, sum(widths))
    tokens = np.empty((codebooks, frames), np.int64)
    start = 0
    for row, width, size in zip(tokens, widths, sizes, strict=False):
        row[:] = rows[:, start : start + width] @ (1 << np.arange(width)[::-1])
        start += width
        if row.size and row.max() >= size:
            raise DecodeError(f"the token {row.max()} is beyond a codebook of {size}")
    return TokenStream(length, tokens, body[:side])
