"""Coverage-guided fuzzing of the `.nac` readers; run it with `-runs=100000` for the long form.

Any exception but `BitstreamError` is a finding, and atheris writes the bytes that caused it.
"""

import contextlib
import io
import sys

import atheris

import reference_codec.entropy  # compiled by numba, which cannot read instrumented code

with atheris.instrument_imports():
    from reference_codec import bitstream, bitstream_v0, block_coding

from test_bitstream import INFO, file_bytes, reseal

LARGEST_BYTES = 1 << 14


def read(data: bytes) -> None:
    """Header, blocks and symbols, as a decoder without its model would read them."""
    sealed = bytearray(data)
    reseal(sealed)  # a true checksum, or the fuzzer would never get past it
    for candidate in (data, bytes(sealed)):
        try:
            file = io.BytesIO(candidate)
            info = bitstream.read_header(file)
            coder = block_coding.BlockCoder(info.codebook_sizes, info.streams, info.coding)
            for block in bitstream.read_blocks(file, info, resync=True):
                if block.coding is not bitstream.Coding.ADAPTIVE or block.frames < 100:
                    coder.decode(block)
        except bitstream.BitstreamError:
            pass
    with contextlib.suppress(bitstream.BitstreamError):
        bitstream_v0.read_v0(io.BytesIO(data))


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """Start from a valid file now and then: magic and lengths are hard to guess."""
    start = file_bytes() if seed % 16 == 0 else data
    return atheris.Mutate(start, max_size)  # type: ignore[no-any-return]


if __name__ == "__main__":
    assert INFO.model
    options = [*sys.argv, f"-max_len={LARGEST_BYTES}", "-timeout=60", "-rss_limit_mb=2048"]
    assert reference_codec.entropy
    atheris.Setup(options, read, custom_mutator=mutate)
    atheris.Fuzz()
