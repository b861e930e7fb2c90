"""Payloads as a bad network, a bad disk or a bad actor would leave them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nacbench.core import Bitstream


def damaged(stream: Bitstream) -> list[tuple[str, Bitstream]]:
    """The ways in which a payload gets damaged, seeded.

    A codec's first packet is often its header, which is told to be damaged easily. So most cases
    leave the first packet whole, where there are several, to reach the decoder proper.
    """
    random = np.random.default_rng(0)
    packets = stream.packets()
    spared, rest = (packets[:1], packets[1:]) if len(packets) > 1 else ([], packets)

    def joined(parts: Sequence[bytes]) -> Bitstream:
        return Bitstream(b"".join(parts), tuple(map(len, parts)) if stream.packet_sizes else ())

    def flipped(rate: float) -> list[bytes]:
        return [_flip(packet, rate, random) for packet in rest]

    return [
        ("an empty payload", Bitstream(b"")),
        ("one byte", Bitstream(stream.payload[:1])),
        ("a payload without packet boundaries", Bitstream(stream.payload)),
        ("a payload that lost its first packet", joined(packets[1:])),
        ("a payload whose first packet is noise", joined([random.bytes(len(packets[0])), *rest])),
        ("a payload that lost a packet", joined([*spared, *rest[:3], *rest[4:]])),
        ("a packet that arrived as lost", joined([*spared, *rest[:3], b"", *rest[4:]])),
        ("the first half of a payload", joined([*spared, *rest[: len(rest) // 2]])),
        (
            "packets cut in half",
            joined([*spared, *(packet[: len(packet) // 2] for packet in rest)]),
        ),
        ("one bit in 1000 flipped", joined([*spared, *flipped(0.001)])),
        ("one bit in 20 flipped", joined([*spared, *flipped(0.05)])),
        ("random packets", joined([*spared, *flipped(0.5)])),
        ("packets of ones", joined([*spared, *(b"\xff" * len(p) for p in rest)])),
        ("packets of zeros", joined([*spared, *(bytes(len(p)) for p in rest)])),
    ]


def _flip(data: bytes, rate: float, random: np.random.Generator) -> bytes:
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    bits ^= random.random(bits.size) < rate
    return np.packbits(bits).tobytes()
