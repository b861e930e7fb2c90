"""The few bytes in front of a codec's packets: what a decoder needs beside them.

Raw packets do not say how many samples the clip had, and some codecs do not say their rate. These
numbers travel in the payload, as unsigned LEB128 (7 bits per byte, high bit: more follow), and so
they count. They form the first packet: what a call would negotiate before the audio flows.
"""

from __future__ import annotations

from collections.abc import Sequence

from nacbench.core import Bitstream
from nacbench.errors import DecodeError

MAX_LENGTH = 1 << 28  # samples per channel, 93 minutes at 48 kHz: a damaged length stays harmless


def numbers(values: Sequence[int]) -> bytes:
    """Whole numbers, not negative, as they stand in a header."""
    return b"".join(map(_varint, values))


def bitstream(
    header_numbers: Sequence[int], packets: Sequence[bytes], container_bytes: int = -1
) -> Bitstream:
    """A payload of header and packets, with the packet boundaries that a transport would keep."""
    header = numbers(header_numbers)
    return Bitstream(
        b"".join((header, *packets)), (len(header), *map(len, packets)), container_bytes
    )


def parse(stream: Bitstream, count: int) -> tuple[list[int], list[bytes]]:
    """The header's `count` numbers, the first of them a length in samples, and the packets.

    Raises:
        DecodeError: the header is damaged.
    """
    header, *packets = stream.packets()
    found, rest = read_numbers(header, count)
    if rest:
        raise DecodeError("the header is damaged: it is longer than its numbers")
    if not 0 < found[0] <= MAX_LENGTH:
        raise DecodeError(f"the header is damaged: a length of {found[0]} samples")
    return found, packets


def read_numbers(data: bytes, count: int) -> tuple[list[int], bytes]:
    """`count` numbers from the start of `data`, and what follows them."""
    found: list[int] = []
    number = shift = 0
    for position, byte in enumerate(data):
        number |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            found.append(number)
            number = shift = 0
            if len(found) == count:
                return found, data[position + 1 :]
        elif shift > 56:
            break
    raise DecodeError("the header is damaged: a number is cut off or too long")


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
