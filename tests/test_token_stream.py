"""Tokens in bytes: exactly as many bits as the codebooks ask for, and back."""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nacbench.codecs import token_stream
from nacbench.codecs.token_stream import TokenStream, bits, pack, unpack
from nacbench.errors import DecodeError


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # on a busy machine
@given(
    st.lists(st.integers(2, 5000), min_size=1, max_size=9),
    st.integers(0, 70),
    st.integers(1, 1 << 28),
    st.binary(max_size=8),
)
def test_tokens_come_back(sizes: list[int], frames: int, length: int, side: bytes) -> None:
    random = np.random.default_rng(frames)
    tokens = np.stack([random.integers(0, size, frames) for size in sizes])
    payload = pack(TokenStream(length, tokens, side), sizes)
    found = unpack(payload, [*sizes, 2, 2], lambda n: len(side))
    np.testing.assert_array_equal(found.tokens, tokens)
    assert (found.length, found.side) == (length, side)
    body = math.ceil(frames * sum(map(bits, sizes)) / 8) + len(side)
    assert len(payload) - body <= 7  # the header: 5 bytes of length at most, 2 of counts


@pytest.mark.parametrize(
    ("size", "expected"), [(2, 1), (16, 4), (1000, 10), (1024, 10), (1025, 11), (2016, 11)]
)
def test_a_token_takes_as_many_bits_as_it_needs(size: int, expected: int) -> None:
    assert bits(size) == expected


def test_the_layout_is_the_documented_one() -> None:
    tokens = np.array([[0b101, 0b001], [0b11, 0b00]])
    payload = pack(TokenStream(300, tokens, b"G"), (8, 4))
    assert payload == bytes([0xAC, 0x02, 2, 2]) + b"G" + bytes([0b10111_001, 0b00_000000])


@pytest.mark.parametrize(
    "tokens",
    [np.zeros((1, 3), int), np.zeros((2, 3)), np.full((2, 3), 8), np.full((2, 3), -1)],
)
def test_what_does_not_fit_the_codebooks_is_refused(tokens: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"tokens must be|codebook 0 has the tokens 0…7"):
        pack(TokenStream(5, tokens), (8, 8))


@pytest.mark.parametrize(
    "payload",
    [b"", b"\x00\x01\x00", b"\x05\x03\x00", b"\x05\x01\x02", b"\x05\x01\x01\xff\x00", b"\xff" * 40,
     b"\x05\x01\xff\xff\xff\xff\xff\xff\x7f", b"\x05\x01\x01\xf0"],
)  # fmt: skip
def test_damage_is_refused_without_reserving_what_it_promises(payload: bytes) -> None:
    with pytest.raises(DecodeError):
        token_stream.unpack(payload, (10, 10))
