"""An Ogg file around packets that FFmpeg has no encoder for (RFC 3533)."""

from __future__ import annotations

import struct
from collections.abc import Sequence

PAGE_BYTES = 4096  # libogg ends a page once its body is larger
PAGE_SEGMENTS = 255
FIRST, LAST = 2, 4  # header type flags of a stream's first and last page


def mux(headers: Sequence[bytes], packets: Sequence[bytes], hop_length: int) -> bytes:
    """Each header on a page of its own, then the packets, `hop_length` samples each.

    Packets must be shorter than `PAGE_SEGMENTS` * 255 bytes, so that none spans two pages.
    """
    groups: list[list[bytes]] = [[header] for header in headers] + [[]]
    for packet in packets:
        body = groups[-1]
        segments = sum(len(p) // 255 + 1 for p in (*body, packet))
        if body and (sum(map(len, body)) > PAGE_BYTES or segments > PAGE_SEGMENTS):
            groups.append([])
        groups[-1].append(packet)
    pages = []
    granule = 0
    for number, group in enumerate(groups):
        if number >= len(headers):
            granule += hop_length * len(group)
        flags = FIRST * (number == 0) | LAST * (number == len(groups) - 1)
        pages.append(_page(group, flags, granule, number))
    return b"".join(pages)


def _page(packets: Sequence[bytes], flags: int, granule: int, number: int) -> bytes:
    lacing = b"".join(b"\xff" * (len(p) // 255) + bytes([len(p) % 255]) for p in packets)
    body = b"".join(packets)

    def page(checksum: int) -> bytes:
        head = struct.pack(
            "<4sBBqIIIB", b"OggS", 0, flags, granule, 0, number, checksum, len(lacing)
        )
        return head + lacing + body

    return page(_crc(page(0)))


def _crc(data: bytes) -> int:
    """CRC-32 with polynomial 0x04C11DB7, most significant bit first, no inversion."""
    crc = 0
    for byte in data:
        crc = (crc << 8 & 0xFFFFFFFF) ^ _TABLE[crc >> 24 ^ byte]
    return crc


def _table_entry(index: int) -> int:
    crc = index << 24
    for _ in range(8):
        crc = crc << 1 ^ (0x04C11DB7 if crc & 0x80000000 else 0)
    return crc & 0xFFFFFFFF


_TABLE = [_table_entry(index) for index in range(256)]
