"""Entropy coding with integers only: a file written anywhere decodes everywhere.

The range coder keeps a 32-bit range and takes 16-bit frequencies that add up to exactly 2^16.
Nothing here is a float, so thread count, batch size, compiler and device cannot change a bit.
docs/nac-format.md is the norm; this file is its reading.

The loops are plain Python over int64 arrays. Where numba is installed they are compiled, with the
same results (a test compares); without it they are only slower.

Sources: G. N. N. Martin, "Range encoding", 1979; the carry handling is Igor Pavlov's for LZMA.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
_F = TypeVar("_F", bound=Callable[..., Any])

FREQUENCY_BITS = 16
FREQUENCY_TOTAL = 1 << FREQUENCY_BITS
_TOP, _BYTE_LIMIT = (1 << 32) - 1, 1 << 24

ADAPTIVE_STEP = 24  # counts added per occurrence
ADAPTIVE_LIMIT = 1 << 15  # counts are halved when their sum reaches this
_REPEATS_SEEN = (1, 16)  # before the first frame: one repeat in sixteen


def _compiled(function: _F) -> _F:
    try:
        import numba
    except ImportError:
        return function
    return numba.njit(cache=True)(function)  # type: ignore[return-value]


class EntropyError(ValueError):
    """Frequencies or symbols that the coder cannot take, or bytes that it cannot have written."""


# --- Packed bits --------------------------------------------------------------------------------


def code_bits(codebook_size: int) -> int:
    """Bits of one packed code: ceil(log2(size))."""
    return (codebook_size - 1).bit_length()


def pack(symbols: Ints, sizes: Ints) -> bytes:
    """Codes as plain bits, highest bit first, zero bits to fill the last byte.

    Args:
        symbols: `[frames, codebooks]`.    sizes: `[codebooks]`.
    """
    columns = []
    for k, size in enumerate(sizes.tolist()):
        shifts = np.arange(code_bits(size) - 1, -1, -1)
        columns.append((symbols[:, k, np.newaxis] >> shifts) & 1)
    bits = np.concatenate(columns, axis=1).astype(np.uint8)
    return np.packbits(bits.reshape(-1)).tobytes()


def unpack(data: bytes, frames: int, sizes: Ints) -> Ints:
    """The inverse of `pack`.

    Raises:
        EntropyError: not exactly the bytes that `frames` frames take, or a code out of range.
    """
    widths = [code_bits(size) for size in sizes.tolist()]
    expected = (frames * sum(widths) + 7) // 8
    if len(data) != expected:
        raise EntropyError(f"{frames} packed frames take {expected} bytes, not {len(data)}")
    bits = np.unpackbits(np.frombuffer(data, np.uint8))[: frames * sum(widths)]
    bits = bits.reshape(frames, sum(widths))
    symbols = np.empty((frames, len(widths)), np.int64)
    start = 0
    for k, width in enumerate(widths):
        symbols[:, k] = bits[:, start : start + width] @ (1 << np.arange(width - 1, -1, -1))
        start += width
    if (symbols >= sizes).any():
        raise EntropyError("a packed code lies outside its codebook")
    return symbols


# --- Range coder --------------------------------------------------------------------------------
# State of the encoder: [low, range, pending byte, pending 0xFF bytes, bytes written].
# `low` may carry into bit 32; the carry ripples through the pending bytes.


@_compiled
def _shift_low(state: Ints, out: NDArray[np.uint8]) -> None:
    low = state[0]
    if low < 0xFF000000 or low > 0xFFFFFFFF:
        carry = low >> 32
        if state[2] >= 0:
            out[state[4]] = (state[2] + carry) & 0xFF
            state[4] += 1
        while state[3] > 0:
            out[state[4]] = (0xFF + carry) & 0xFF
            state[4] += 1
            state[3] -= 1
        state[2] = (low >> 24) & 0xFF
    else:
        state[3] += 1
    state[0] = (low & 0x00FFFFFF) << 8


@_compiled
def _encode(state: Ints, out: NDArray[np.uint8], start: int, frequency: int) -> None:
    unit = state[1] >> 16
    state[0] += unit * start
    # The last symbol also takes what the division left over, so no range is wasted.
    if start + frequency == 65536:
        state[1] -= unit * start
    else:
        state[1] = unit * frequency
    while state[1] < 16777216:
        state[1] <<= 8
        _shift_low(state, out)


# State of the decoder: [code, range, next byte].


@_compiled
def _next_byte(state: Ints, data: NDArray[np.uint8]) -> int:
    at = state[2]
    state[2] += 1
    return data[at] if at < data.size else 0  # trailing zero bytes are not written


@_compiled
def _decode(state: Ints, data: NDArray[np.uint8], frequencies: Ints) -> int:
    unit = state[1] >> 16
    target = min(state[0] // unit, 65535)
    symbol, start = 0, 0
    while start + frequencies[symbol] <= target:
        start += frequencies[symbol]
        symbol += 1
    state[0] -= unit * start
    if start + frequencies[symbol] == 65536:
        state[1] -= unit * start
    else:
        state[1] = unit * frequencies[symbol]
    while state[1] < 16777216:
        state[1] <<= 8
        state[0] = (state[0] << 8) | _next_byte(state, data)
    return symbol


class RangeEncoder:
    """Codes symbols one after the other; `finish` gives the bytes.

    Args:
        symbols: at most this many will be coded; a little over two bytes each are set aside.
    """

    def __init__(self, symbols: int) -> None:
        self._state = np.array([0, _TOP, -1, 0, 0], np.int64)
        self._out = np.zeros(2 * symbols + symbols // 64 + 16, np.uint8)

    def encode(self, symbol: int, frequencies: Ints) -> None:
        """Args:
        frequencies: `[codebook size]`, each ≥ 1 for what may occur, sum 2^16.
        """
        if frequencies[symbol] <= 0:
            raise EntropyError(f"symbol {symbol} has frequency {frequencies[symbol]}")
        _encode(self._state, self._out, int(frequencies[:symbol].sum()), int(frequencies[symbol]))

    def finish(self) -> bytes:
        """The shortest bytes that decode to these symbols, whatever zero bytes follow them."""
        low, high = int(self._state[0]), int(self._state[0]) + int(self._state[1]) - 1
        for zeros in (32, 24, 16, 8, 0):  # the number in [low, high] with most zero bits at the end
            value = -(-low >> zeros) << zeros
            if value <= high:
                break
        self._state[0] = value
        for _ in range(5):
            _shift_low(self._state, self._out)
        return self._out[: self._state[4]].tobytes().rstrip(b"\0")


class RangeDecoder:
    """Reads symbols back, given the same frequencies in the same order.

    Bytes that no encoder wrote decode to some symbols, never to an error or an endless loop; the
    container's checksum tells them apart.
    """

    def __init__(self, data: bytes) -> None:
        self._data = np.frombuffer(data, np.uint8)
        self._state = np.array([0, _TOP, 0], np.int64)
        for _ in range(4):
            self._state[0] = (self._state[0] << 8) | _next_byte(self._state, self._data)

    def decode(self, frequencies: Ints) -> int:
        return int(_decode(self._state, self._data, frequencies))


# --- Adaptive prior -----------------------------------------------------------------------------


@_compiled
def _frequencies(counts: Ints, previous: int, lent: int, out: Ints) -> None:
    """Counts to frequencies that add up to 2^16 and are at least 1.

    The symbol of the previous frame borrows `lent` counts: that is the inter-frame context.
    """
    size = counts.size
    total = lent if previous >= 0 else 0
    for i in range(size):
        total += counts[i]
    left, largest = 65536, 0
    for i in range(size):
        count = counts[i] + (lent if i == previous else 0)
        out[i] = 1 + count * (65536 - size) // total
        left -= out[i]
        if out[i] > out[largest]:
            largest = i
    out[largest] += left


@_compiled
def _update(counts: Ints, repeats: Ints, symbol: int, previous: int, step: int, limit: int) -> None:
    """Raise the symbol's count, and the share of repeats if it was one; age both."""
    counts[symbol] += step
    total = 0
    for i in range(counts.size):
        total += counts[i]
    if total >= limit:
        for i in range(counts.size):
            counts[i] = (counts[i] + 1) >> 1
    if previous >= 0:
        repeats[1] += 1
        repeats[0] += symbol == previous
        if repeats[1] >= 255:
            repeats[0] = (repeats[0] + 1) >> 1
            repeats[1] = (repeats[1] + 1) >> 1


@_compiled
def _lent(counts: Ints, repeats: Ints) -> int:
    """Counts to lend so that the previous symbol's share is the share of repeats seen."""
    total = 0
    for i in range(counts.size):
        total += counts[i]
    return total * repeats[0] // (repeats[1] - repeats[0] + 1)


@_compiled
def _encode_adaptive(
    symbols: Ints, counts: Ints, repeats: Ints, state: Ints, out: NDArray[np.uint8],
    step: int, limit: int, sizes: Ints,
) -> None:  # fmt: skip
    frequencies = np.zeros(counts.shape[1], np.int64)
    for t in range(symbols.shape[0]):
        for k in range(symbols.shape[1]):
            table, mine = counts[k, : sizes[k]], frequencies[: sizes[k]]
            previous = symbols[t - 1, k] if t > 0 else -1
            _frequencies(table, previous, _lent(table, repeats[k]), mine)
            start = 0
            for i in range(symbols[t, k]):
                start += mine[i]
            _encode(state, out, start, mine[symbols[t, k]])
            _update(table, repeats[k], symbols[t, k], previous, step, limit)


@_compiled
def _decode_adaptive(
    symbols: Ints, counts: Ints, repeats: Ints, state: Ints, data: NDArray[np.uint8],
    step: int, limit: int, sizes: Ints,
) -> None:  # fmt: skip
    frequencies = np.zeros(counts.shape[1], np.int64)
    for t in range(symbols.shape[0]):
        for k in range(symbols.shape[1]):
            table, mine = counts[k, : sizes[k]], frequencies[: sizes[k]]
            previous = symbols[t - 1, k] if t > 0 else -1
            _frequencies(table, previous, _lent(table, repeats[k]), mine)
            symbols[t, k] = _decode(state, data, mine)
            _update(table, repeats[k], symbols[t, k], previous, step, limit)


class AdaptivePrior:
    """Counts per codebook that learn while they code, with the previous frame as context.

    Every block starts with equal counts, so blocks stay independent.

    Args:
        sizes: entries per codebook, `[codebooks]`.
    """

    def __init__(self, sizes: Ints) -> None:
        self._sizes = np.asarray(sizes, np.int64)

    def encode(self, symbols: Ints) -> bytes:
        """`[frames, codebooks]` to bytes."""
        symbols = np.ascontiguousarray(symbols, np.int64)
        if ((symbols < 0) | (symbols >= self._sizes)).any():
            raise EntropyError("a code lies outside its codebook")
        coder = RangeEncoder(symbols.size)
        counts, repeats = self._fresh()
        _encode_adaptive(
            symbols, counts, repeats, coder._state, coder._out,
            ADAPTIVE_STEP, ADAPTIVE_LIMIT, self._sizes,
        )  # fmt: skip
        return coder.finish()

    def decode(self, data: bytes, frames: int) -> Ints:
        """Bytes to `[frames, codebooks]`."""
        symbols = np.zeros((frames, len(self._sizes)), np.int64)
        coder = RangeDecoder(data)
        counts, repeats = self._fresh()
        _decode_adaptive(
            symbols, counts, repeats, coder._state, coder._data,
            ADAPTIVE_STEP, ADAPTIVE_LIMIT, self._sizes,
        )  # fmt: skip
        return symbols

    def _fresh(self) -> tuple[Ints, Ints]:
        repeats = np.tile(np.array(_REPEATS_SEEN, np.int64), (len(self._sizes), 1))
        # Only the first `sizes[k]` of a row are used.
        counts = np.ones((len(self._sizes), int(self._sizes.max())), np.int64)
        return counts, repeats
