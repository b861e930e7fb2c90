"""The `.nac` container: golden bytes, round trips, late starts, losses, and hostile files."""

import io
import os
import struct
import subprocess
import sys
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import crc32c
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from reference_codec import bitstream
from reference_codec.bitstream import (
    BitstreamError,
    Block,
    Coding,
    StreamInfo,
    read_blocks,
    read_header,
    write_block,
    write_header,
)
from reference_codec.bitstream_v0 import read_v0
from reference_codec.block_coding import BlockCoder
from reference_codec.neural_prior import NeuralPrior

ROOT = Path(__file__).parents[2]
SEED_FILE = ROOT.parent / "shared/data/seed_nac/8kn.nac"
GOLDEN = Path(__file__).parent / "golden"
MEMORY_BOUND_BYTES = 24 << 20  # a window and a block of at most 4 MiB each, and slack

INFO = StreamInfo(
    model="speech-16k", weights=b"\x01\x02\x03\x04", kbps=6, coded_rate_hz=16_000, hop_length=320,
    sample_rate_hz=44_100, channels=2, sample_count=123_456, streams=2,
    codebook_sizes=(1024,) * 6, coding=Coding.ADAPTIVE, gain=0.5,
)  # fmt: skip


def blocks() -> list[Block]:
    return [
        Block(0, 50, Coding.ADAPTIVE, bytes(range(200)), scales=(1.0, 0.25)),
        Block(50, 50, Coding.PACKED, b"\xa7" * 750),
        Block(100, 3, Coding.NEURAL, b"abc", last=True, sample_count=123_456),
    ]


def file_bytes(info: StreamInfo = INFO) -> bytes:
    return write_header(info) + b"".join(map(write_block, blocks()))


def read_all(data: bytes, resync: bool = False) -> tuple[StreamInfo, list[Block]]:
    file = io.BytesIO(data)
    info = read_header(file)
    return info, list(read_blocks(file, info, resync))


def test_what_was_written_is_read_back() -> None:
    info, read = read_all(file_bytes())
    assert info == INFO
    assert read == blocks()


def test_the_first_nine_bytes_are_magic_version_length_and_rate() -> None:
    data = write_header(INFO)
    assert data[:4] == b"NAC\x01" and data[8] == 6
    assert int.from_bytes(data[4:8], "big") == len(data) - 9


def test_the_golden_file_is_still_written_and_read() -> None:
    """`golden/version1.nac` was written by the first release of the format."""
    golden = (GOLDEN / "version1.nac").read_bytes()
    assert file_bytes() == golden
    assert read_all(golden) == (INFO, blocks())


@settings(max_examples=100, deadline=None)
@given(
    sizes=st.lists(st.integers(2, 1 << 14), min_size=1, max_size=64),
    rate=st.integers(1, 1 << 20),
    count=st.integers(-1, 1 << 40),
    channels=st.integers(1, 32),
    coding=st.sampled_from(Coding),
    gain=st.sampled_from([1.0, 0.5, 3.25]),
    model=st.text(min_size=1, max_size=60),
)
def test_any_plausible_metadata_returns(
    sizes: list[int], rate: int, count: int, channels: int, coding: Coding, gain: float, model: str
) -> None:
    info = StreamInfo(
        model,
        b"hash",
        255,
        24_000,
        320,
        rate,
        channels,
        count,
        channels,
        tuple(sizes),
        coding,
        gain,
    )
    assert read_header(io.BytesIO(write_header(info))) == info


def test_a_stream_can_start_late() -> None:
    data = file_bytes()
    header, late = write_header(INFO), data[len(write_header(INFO)) + 40 :]
    assert read_all(header + late, resync=True)[1] == blocks()[1:]


def test_a_lost_block_costs_only_itself() -> None:
    first, _, last = map(write_block, blocks())
    assert read_all(write_header(INFO) + first + last)[1] == [blocks()[0], blocks()[2]]
    damaged = bytearray(file_bytes())
    damaged[len(write_header(INFO)) + len(first) + 100] ^= 1
    assert read_all(bytes(damaged), resync=True)[1] == [blocks()[0], blocks()[2]]
    with pytest.raises(BitstreamError, match="CRC"):
        read_all(bytes(damaged))


@pytest.mark.parametrize(
    ("data", "offset", "reason"),
    [
        (b"", 0, "9-byte header"),
        (b"NAC\x01\0", 5, "9-byte header"),
        (b"RIFF....WAVE", 0, "not a .nac file"),
        (b"NAC\x07\0\0\0\0\x06", 3, "version 7"),
        (b"NAC\x01\xff\xff\xff\xff\x06", 4, "4294967295 bytes of metadata"),
        (write_header(INFO)[:20], 20, "inside the metadata"),
        (file_bytes()[:-1], len(file_bytes()) - 1, "inside a block"),
        (file_bytes() + b"x", len(file_bytes()), "no block"),
    ],
)
def test_a_foreign_or_cut_file_is_refused_with_the_offset(
    data: bytes, offset: int, reason: str
) -> None:
    with pytest.raises(BitstreamError, match=reason) as caught:
        read_all(data)
    assert caught.value.offset == offset


def sealed(body: bytes) -> bytes:
    """A block with a valid checksum around any content."""
    return bytes([bitstream.BLOCK_SYNC]) + body + struct.pack(">I", crc32c.crc32c(body))


@pytest.mark.parametrize(
    ("frames", "length", "reason"),
    [
        (1 << 60, 4, "too many"),
        (1 << 16, 4, "symbols in 4 bytes"),
        (1, 1 << 33, "at most"),
    ],
)
def test_a_block_that_claims_too_much_is_refused_before_anything_is_allocated(
    frames: int, length: int, reason: str
) -> None:
    body = b"\x01" + bitstream.varint(0) + bitstream.varint(frames) + bitstream.varint(length)
    tracemalloc.start()
    with pytest.raises(BitstreamError, match=reason):
        read_all(write_header(replace(INFO, streams=1)) + sealed(body + b"\0" * 4))
    assert tracemalloc.get_traced_memory()[1] < MEMORY_BOUND_BYTES
    tracemalloc.stop()


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Flip, cut, insert, repeat or zero a few places; half of them get valid checksums again."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 6))):
        at = int(rng.integers(0, max(1, len(out))))
        match int(rng.integers(0, 5)):
            case 0 if out:
                out[min(at, len(out) - 1)] ^= 1 << int(rng.integers(0, 8))
            case 1:
                del out[at:]
            case 2:
                out[at:at] = rng.bytes(int(rng.integers(1, 9)))
            case 3:
                out[at:at] = out[at : at + 20]
            case _:
                out[at : at + 4] = b"\xff" * 4
    if rng.random() < 0.5:
        reseal(out)
    return bytes(out)


def reseal(out: bytearray) -> None:
    """Make the header's checksum true, so that the fuzzer gets past it."""
    length = int.from_bytes(out[4:8], "big")
    if 4 <= length <= len(out) - 9:
        end = 9 + length
        out[end - 4 : end] = struct.pack(">I", crc32c.crc32c(bytes(out[: end - 4])))


def survive(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    originals = [file_bytes(), file_bytes(replace(INFO, sample_count=-1, gain=1.0))]
    if SEED_FILE.exists():
        originals.append(SEED_FILE.read_bytes()[:1300])
    for number in range(count):
        data = mutated(originals[number % len(originals)], rng)
        started = time.process_time()  # a busy machine is no hang
        for read in (
            read_all,
            lambda d: read_all(d, resync=True),
            lambda d: read_v0(io.BytesIO(d)),
        ):
            try:
                read(data)
            except BitstreamError as error:
                assert 0 <= error.offset <= len(data), data.hex()
        assert time.process_time() - started < 5, data.hex()


def test_two_thousand_mutated_files_are_read_or_refused() -> None:
    survive(1_900, seed=int(os.environ.get("NAC_FUZZ_SEED", "0")))
    tracemalloc.start()  # slows Python fivefold, so only for the last hundred
    survive(100, seed=2)
    assert tracemalloc.get_traced_memory()[1] < MEMORY_BOUND_BYTES
    tracemalloc.stop()


@pytest.mark.parametrize(("coding", "count"), [("packed", 300), ("adaptive", 300), ("neural", 12)])
def test_payloads_that_nobody_wrote_are_codes_or_refused(coding: str, count: int) -> None:
    """As behind a checksum that an attacker made true."""
    with (GOLDEN / f"{coding}.nac").open("rb") as file:
        info = read_header(file)
        blocks = [block for block in read_blocks(file, info) if block.frames]
    prior = NeuralPrior(load_file(GOLDEN / "golden.prior.safetensors"))
    coder = BlockCoder(info.codebook_sizes, info.streams, info.coding, prior)
    rng = np.random.default_rng(3)
    refused = 0
    for number in range(count):
        block = blocks[number % len(blocks)]
        payload = mutated(block.payload, rng)
        frames = int(rng.choice([0, 1, block.frames, 2 * block.frames]))
        try:
            codes = coder.decode(replace(block, payload=payload, frames=frames))
        except BitstreamError as error:
            assert error.offset == block.offset
            refused += 1
        else:
            assert codes.shape == (2, 3, frames)
            assert (codes >= 0).all() and (codes.max((0, 2), initial=0) < info.codebook_sizes).all()
    assert refused < count


@pytest.mark.slow
@pytest.mark.parametrize("quarter", range(4))  # for as many processes
def test_a_hundred_thousand_mutated_files_are_read_or_refused(quarter: int) -> None:
    survive(25_000, seed=10 + quarter)


@pytest.mark.skipif(not SEED_FILE.exists(), reason="the founding project's file is not at hand")
def test_a_file_of_the_founding_project_lists_its_codes() -> None:
    with SEED_FILE.open("rb") as file:
        read = read_v0(file)
    assert (read.kbps, read.metadata) == (24, None)
    assert read.codes.shape == (48, 2600)  # 26 chunks of 2 s at 50 frames/s
    # The first bytes by hand: 30 c2 38 16 2c, ten bits at a time from the lowest bit.
    assert read.codes[0, :4].tolist() == [0x230, 0x230, 0x163, 0x0B0]
    used = [len(np.unique(row)) for row in read.codes]
    assert used[0] < used[12] < used[24]  # later codebooks code noisier residuals


@settings(max_examples=40, deadline=None)
@given(kbps=st.integers(1, 255), chunks=st.integers(0, 2), seed=st.integers(0, 999))
def test_version_0_is_ten_bits_lowest_first_chunk_by_chunk(
    kbps: int, chunks: int, seed: int
) -> None:
    codebooks = 2 * kbps
    codes = np.random.default_rng(seed).integers(0, 1024, (chunks, codebooks, 100))
    number = sum(int(code) << (10 * i) for i, code in enumerate(codes.flatten()))
    data = b"NAC\0\0\0\0\x04" + bytes([kbps]) + b"null"
    data += number.to_bytes(codes.size * 10 // 8, "little")
    read = read_v0(io.BytesIO(data))
    assert (read.codes == codes.transpose(1, 0, 2).reshape(codebooks, -1)).all()


@pytest.mark.slow
def test_a_minute_of_coverage_guided_fuzzing_finds_nothing(tmp_path: Path) -> None:
    pytest.importorskip("atheris")
    program = Path(__file__).with_name("fuzz_bitstream.py")
    paths = os.pathsep.join([str(ROOT), str(program.parent)])
    done = subprocess.run(
        [sys.executable, str(program), "-max_total_time=60", f"-artifact_prefix={tmp_path}/"],
        capture_output=True, text=True, env=dict(os.environ) | {"PYTHONPATH": paths},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
