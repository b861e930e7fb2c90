"""Codes to blocks and back: picks the prior, falls back to packed bits, never grows a file."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from reference_codec.bitstream import MAX_SYMBOLS_PER_BYTE, BitstreamError, Block, Coding
from reference_codec.entropy import AdaptivePrior, EntropyError, Ints, pack, unpack
from reference_codec.neural_prior import NeuralPrior


@dataclass(frozen=True)
class BlockCoder:
    """Codes the blocks of one stream; encoder and decoder build it alike.

    Args:
        codebook_sizes: of one signal, as many as are in use.
        streams: signals side by side in each frame.
        coding: the richest coding to use.
        prior: needed for `Coding.NEURAL`.
    """

    codebook_sizes: tuple[int, ...]
    streams: int
    coding: Coding
    prior: NeuralPrior | None = None
    _sizes: Ints = field(init=False, repr=False)
    _adaptive: AdaptivePrior | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        sizes = np.tile(np.array(self.codebook_sizes, np.int64), self.streams)
        object.__setattr__(self, "_sizes", sizes)
        adaptive = None
        if self.coding is Coding.ADAPTIVE:
            adaptive = AdaptivePrior(sizes)
        object.__setattr__(self, "_adaptive", adaptive)

    def encode(
        self, codes: NDArray[np.int64], first_frame: int, scales: tuple[float, ...] = ()
    ) -> Block:
        """`[streams, codebooks, frames]` to a block, in whichever coding is shorter."""
        symbols = codes.transpose(2, 0, 1).reshape(codes.shape[2], -1)
        payload, coding = pack(symbols, self._sizes), Coding.PACKED
        rich = self._encode(symbols)
        # A block of next to no bits would let a hostile file of the same shape cost minutes.
        allowed = rich is not None and len(rich) * MAX_SYMBOLS_PER_BYTE >= symbols.size
        if rich is not None and allowed and len(rich) < len(payload):
            payload, coding = rich, self.coding
        return Block(first_frame, codes.shape[2], coding, payload, scales)

    def decode(self, block: Block) -> NDArray[np.int64]:
        """The block's codes, `[streams, codebooks, frames]`.

        Raises:
            BitstreamError: the payload cannot hold them, or needs a prior that is not there.
        """
        width = len(self._sizes)
        try:
            if block.coding is Coding.PACKED:
                symbols = unpack(block.payload, block.frames, self._sizes)
            elif block.coding is not self.coding:
                raise EntropyError(f"uses {block.coding.name} in a {self.coding.name} stream")
            elif self._adaptive is not None:
                symbols = self._adaptive.decode(block.payload, block.frames)
            elif self.prior is not None:
                symbols = self.prior.decode(
                    block.payload, block.frames, width // self.streams, self.streams
                )
            else:
                raise EntropyError("needs the model's neural prior, which is not at hand")
        except EntropyError as error:
            raise BitstreamError(block.offset, f"block {error}") from error
        if (symbols >= self._sizes).any():
            raise BitstreamError(block.offset, "block holds a code outside its codebook")
        codes = symbols.reshape(block.frames, self.streams, width // self.streams)
        return codes.transpose(1, 2, 0)

    def _encode(self, symbols: Ints) -> bytes | None:
        if self._adaptive is not None:
            return self._adaptive.encode(symbols)
        if self.coding is Coding.NEURAL:
            if self.prior is None:
                raise ValueError("neural coding needs the model's prior")
            return self.prior.encode(symbols, self.streams)
        return None
