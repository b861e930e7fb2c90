"""What is in a `.nac` file, as text: metadata, rate by block, entropy of each codebook."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from reference_codec.bitstream import (
    UNKNOWN_LENGTH,
    BitstreamError,
    Block,
    Coding,
    StreamInfo,
    read_blocks,
    read_header,
    write_block,
    write_header,
)
from reference_codec.bitstream_v0 import HOP_LENGTH, SAMPLE_RATE_HZ, is_v0, read_v0
from reference_codec.block_coding import BlockCoder
from reference_codec.entropy import Ints


def describe(file: BinaryIO, show_codes: bool = False, model: str | None = None) -> Iterator[str]:
    """Lines of text about a file of version 0 or 1.

    Args:
        model: checkpoint or export beside which the neural prior lies; by default the shipped
            model that the file names.
    Raises:
        BitstreamError: not a readable `.nac` file.
    """
    if is_v0(file):
        old = read_v0(file)
        yield f"version        0 (the founding project's)\nnominal rate   {old.kbps} kbps"
        yield f"metadata       {old.metadata}\nframes         {old.codes.shape[1]}"
        yield f"duration       {old.codes.shape[1] * HOP_LENGTH / SAMPLE_RATE_HZ:.2f} s"
        yield from _codebooks(old.codes, SAMPLE_RATE_HZ / HOP_LENGTH, show_codes)
        return
    info = read_header(file)
    blocks = list(read_blocks(file, info))
    yield _metadata(info)
    yield _blocks(info, blocks)
    try:
        codes = _codes(info, blocks, model)
    except BitstreamError as error:
        yield f"codebooks      not shown: {error.reason}"
        return
    for stream in codes:
        yield from _codebooks(stream, info.coded_rate_hz / info.hop_length, show_codes)


def _metadata(info: StreamInfo) -> str:
    count = info.sample_count
    length = (
        "live"
        if count == UNKNOWN_LENGTH
        else f"{count} samples, {count / info.sample_rate_hz:.3f} s"
    )
    sizes = sorted(set(info.codebook_sizes))
    rows = [
        ("version", "1"),
        ("model", f"{info.model} (weights {info.weights.hex()})"),
        ("audio", f"{info.sample_rate_hz} Hz, {info.channels} channel(s), {length}"),
        ("coded", f"{info.coded_rate_hz} Hz, {info.streams} stream(s), hop {info.hop_length}"),
        ("codebooks", f"{len(info.codebook_sizes)} of {', '.join(map(str, sizes))} entries"),
        ("nominal rate", f"{info.kbps} kbps"),
        ("coding", info.coding.name.lower()),
        ("gain", f"{info.gain:g}"),
    ]
    return "\n".join(f"{name:14} {value}" for name, value in rows)


def _blocks(info: StreamInfo, blocks: list[Block]) -> str:
    lines = [f"\n{'block':>5} {'at':>9} {'frames':>7} {'coding':>9} {'bytes':>7} {'kbps':>7}"]
    seconds_per_frame = info.hop_length / info.coded_rate_hz
    total = len(write_header(info))
    for number, block in enumerate(blocks):
        size, duration_s = len(write_block(block)), block.frames * seconds_per_frame
        kbps = f"{size * 8 / duration_s / 1000:7.2f}" if duration_s else "      -"
        total += size
        lines.append(
            f"{number:5} {block.first_frame * seconds_per_frame:8.2f}s {block.frames:7} "
            f"{block.coding.name.lower():>9} {size:7} {kbps}"
        )
    duration_s = sum(block.frames for block in blocks) * seconds_per_frame
    summary = f"whole file: {total} bytes"
    if duration_s:
        summary += f", {total * 8 / duration_s / 1000:.2f} kbps over {duration_s:.2f} s"
    return "\n".join([*lines, summary])


def _codes(info: StreamInfo, blocks: list[Block], model: str | None) -> Ints:
    prior = None
    if info.coding is Coding.NEURAL:
        from reference_codec.checkpoints import prior_beside, shipped
        from reference_codec.neural_prior import load_prior

        # A file's own word is only a name: it must not choose what is opened here.
        path = shipped().get(model or info.model, Path(model) if model else None)
        beside = None if path is None else prior_beside(path)
        prior = None if beside is None else load_prior(beside)
    coder = BlockCoder(info.codebook_sizes, info.streams, info.coding, prior)
    empty = np.zeros((info.streams, len(info.codebook_sizes), 0), np.int64)
    return np.concatenate([empty, *(coder.decode(b) for b in blocks if b.frames)], axis=2)


def _codebooks(codes: Ints, frame_rate_hz: float, show_codes: bool) -> Iterator[str]:
    yield f"\n{'codebook':>8} {'used':>6} {'entropy':>13} {'static kbps':>12}"
    for number, row in enumerate(codes):
        counts = np.unique(row, return_counts=True)[1]
        share = counts / max(1, len(row))
        entropy = float(-(share * np.log2(share)).sum()) if len(row) else 0.0
        kbps = entropy * frame_rate_hz / 1000
        yield f"{number:8} {len(counts):6} {entropy:8.2f} bits {kbps:12.3f}"
    if show_codes:
        for number, row in enumerate(codes):
            yield f"codes {number}: {' '.join(map(str, row.tolist()))}"
