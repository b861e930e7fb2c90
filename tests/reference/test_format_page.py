"""docs/nac-format.md is enough: a reader written from that page alone reads our files.

The golden files hold the same codes in every coding. They were written when the format was
settled; whoever must change them has changed the format.
"""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import nac_reader
import numpy as np
import pytest
from safetensors.numpy import load_file

from reference_codec.bitstream import (
    UNKNOWN_LENGTH,
    Block,
    Coding,
    StreamInfo,
    read_blocks,
    read_header,
    write_block,
    write_header,
)
from reference_codec.block_coding import BlockCoder
from reference_codec.neural_prior import NeuralPrior

GOLDEN = Path(__file__).parent / "golden"
PRIOR = GOLDEN / "golden.prior.safetensors"
CUTS = (0, 40, 41, 120)
CODINGS = [Coding.PACKED, Coding.ADAPTIVE, Coding.NEURAL]

INFO = StreamInfo(
    model="gölden", weights=b"\xde\xad\xbe\xef", kbps=3, coded_rate_hz=16_000, hop_length=320,
    sample_rate_hz=22_050, channels=2, sample_count=UNKNOWN_LENGTH, streams=2,
    codebook_sizes=(64, 50, 41), coding=Coding.PACKED, gain=0.75,
)  # fmt: skip


def codes() -> np.ndarray:
    """`[streams, codebooks, frames]`: repeats and a slow walk, different in each row."""
    t = np.arange(CUTS[-1])
    return np.array(
        [[(t // (2 + k) * (3 + 2 * s) + 7 * k) % 41 for k in range(3)] for s in range(2)]
    )


def written(coding: Coding) -> bytes:
    prior, info = None, replace(INFO, coding=coding)
    if coding is Coding.NEURAL:
        prior = NeuralPrior(load_file(PRIOR))
        info = replace(info, codebook_sizes=(64,) * 3)
    coder = BlockCoder(info.codebook_sizes, info.streams, coding, prior)
    out = write_header(info)
    for first, stop in pairwise(CUTS):
        out += write_block(coder.encode(codes()[:, :, first:stop], first, (1.5, 0.25)))
    ending = Block(CUTS[-1], 0, Coding.PACKED, b"", last=True, sample_count=52_920)
    return out + write_block(ending)


@pytest.mark.parametrize("coding", CODINGS)
def test_the_golden_files_are_still_written(coding: Coding) -> None:
    assert written(coding) == (GOLDEN / f"{coding.name.lower()}.nac").read_bytes()


@pytest.mark.parametrize("coding", CODINGS)
def test_a_reader_written_from_the_page_alone_reads_the_golden_files(coding: Coding) -> None:
    path = GOLDEN / f"{coding.name.lower()}.nac"
    meta, frames = nac_reader.read(path.read_bytes(), nac_reader.read_tables(PRIOR.read_bytes()))
    assert (np.array(frames) == codes().reshape(6, -1).T).all()
    assert (meta["model"], meta["weights"]) == ("gölden", b"\xde\xad\xbe\xef")
    assert (meta["coded_rate"], meta["rate"], meta["hop"]) == (16_000, 22_050, 320)
    assert (meta["channels"], meta["samples"], meta["gain"]) == (2, 52_920, 0.75)
    assert meta["scales"] == [(1.5, 0.25)] * 3
    with path.open("rb") as file:
        used = {block.coding for block in read_blocks(file, read_header(file)) if block.frames}
    assert coding in used and used <= {Coding.PACKED, coding}


def test_the_richer_codings_are_shorter_than_packed_bits() -> None:
    packed, adaptive, _ = (len(written(coding)) for coding in CODINGS)
    assert adaptive < packed
