"""A neural prior over codes that computes with integers alone, so every machine agrees on it.

EnCodec's language model saves a quarter of the bits, but its probabilities are floats, and one that
differs in its last bit breaks the file. Here weights and activations are 8-bit integers, products
are summed exactly and the non-linearities are tables, so the frequencies are the same integers in
NumPy, on a GPU, in any batch and with any number of threads.

Exactness: |weight| ≤ 127, |activation| ≤ 127 and a fan-in ≤ 1024 keep every partial sum below
2^24, which float32 holds exactly in any order of summation. The matrix products may therefore run
in fast float BLAS.

Shape: the codes of frame t-1 are embedded and summed; a stack of causal dilated convolutions
carries context over 2^layers frames; then the codebooks of frame t are predicted one after the
other, each conditioned on the ones before it. EnCodec (Défossez et al. 2022, §3.5) conditions on
past frames only and predicts the codebooks of a frame in parallel.

Units: an activation of 127 stands for 1; a pre-activation or a logit counts in 1/63.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, localcontext
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reference_codec.entropy import FREQUENCY_TOTAL, EntropyError, Ints, RangeDecoder, RangeEncoder
from reference_codec.errors import UserError

UNIT = Decimal("63.5")  # 127 · 256 / 512: what one step of a shifted accumulator stands for
WEIGHT_SCALE = 256  # a weight of 256 would stand for 1; int8 holds ±0.496
PRE_SHIFT = 9  # accumulator to pre-activation or logit
RESIDUAL_SHIFT = 8  # accumulator to activation
TABLE_HALF = 256  # the tanh table covers pre-activations -256…255, ±4.03
EXP_STEPS = 1024  # exp table: 16 nats below the largest logit, the rest counts as zero
MAX_FAN_IN = 1024


@cache
def tanh_table() -> NDArray[np.int64]:
    """`[512]`: round(127 · tanh((i + ½) / 63.5)) for i from -256; rounded in decimal, not libm."""
    with localcontext() as context:
        context.prec = 40
        values = []
        for i in range(-TABLE_HALF, TABLE_HALF):
            e = ((Decimal(2 * i + 1)) / UNIT).exp()  # e^(2x) for x = (i + ½)/63.5
            values.append(int((127 * (e - 1) / (e + 1)).to_integral_value()))
    return np.array(values, np.int64)


@cache
def exp_table() -> NDArray[np.int64]:
    """`[1025]`: round(2^24 · exp(-d / 63.5)); the last entry, for all larger d, is 0."""
    with localcontext() as context:
        context.prec = 40
        scale = Decimal(1 << 24)
        values = [
            int((scale * (-Decimal(d) / UNIT).exp()).to_integral_value()) for d in range(EXP_STEPS)
        ]
    return np.array([*values, 0], np.int64)


def frequencies(logits: Ints) -> Ints:
    """Integer logits `[..., size]` to frequencies that are ≥ 1 and add up to 2^16.

    What the divisions leave over goes to the largest logit, the first of several.
    """
    size = logits.shape[-1]
    largest = logits.argmax(axis=-1, keepdims=True)
    below = np.take_along_axis(logits, largest, axis=-1) - logits
    weights = exp_table()[np.minimum(below, EXP_STEPS)]
    out = 1 + weights * (FREQUENCY_TOTAL - size) // weights.sum(axis=-1, keepdims=True)
    rest = FREQUENCY_TOTAL - out.sum(axis=-1, keepdims=True)
    np.put_along_axis(out, largest, np.take_along_axis(out, largest, axis=-1) + rest, axis=-1)
    return out


class NeuralPrior:
    """Codes blocks of codes with a trained integer network.

    Args:
        tables: integer arrays by name, as `prior_training.export` writes them:
            `embed` `[codebooks, size, width]`, per layer i `mix.i` `[2·width, width]`,
            `mix_bias.i` `[width]`, `out.i` `[width, width]`, then `depth` `[width, width]`,
            `depth_embed` `[codebooks, size, width]`, `depth_bias` `[codebooks, width]`,
            `hidden` `[width, width]`, `hidden_bias` `[codebooks, width]`,
            `logits` `[codebooks, width, size]`, `logit_bias` `[codebooks, size]`.

    Raises:
        EntropyError: an array is missing, has another shape, or breaks the exactness bound.
    """

    def __init__(self, tables: Mapping[str, NDArray[Any]]) -> None:
        try:
            self.layers = sum(name.startswith("mix.") for name in tables)
            self._tables = {name: np.asarray(array, np.int64) for name, array in tables.items()}
            self.codebooks, self.size, self.width = self._tables["embed"].shape
            self._check()
        except (KeyError, ValueError) as error:
            raise EntropyError(f"not the tables of a neural prior: {error}") from error
        # Products run in float32, exactly; see the module's docstring.
        self._mix = [self._matrix(f"mix.{i}") for i in range(self.layers)]
        self._out = [self._matrix(f"out.{i}") for i in range(self.layers)]
        self._depth, self._hidden = self._matrix("depth"), self._matrix("hidden")
        self._logits = self._matrix("logits")

    def encode(self, symbols: Ints, streams: int = 1) -> bytes:
        """`[frames, streams · codebooks]` to bytes; `codebooks` may be fewer than were trained."""
        coder = RangeEncoder(symbols.size)
        used = symbols.shape[1] // streams
        self._check_use(used)
        codes = symbols.reshape(len(symbols), streams, used)
        codes = codes.transpose(1, 0, 2)
        if ((codes < 0) | (codes >= self.size)).any():
            raise EntropyError("a code lies outside its codebook")
        logits = np.stack([self.logits(stream) for stream in codes])
        for t in range(len(symbols)):
            for s in range(streams):
                for k, table in enumerate(frequencies(logits[s, t])):
                    coder.encode(int(codes[s, t, k]), table)
        return coder.finish()

    def decode(self, data: bytes, frames: int, codebooks: int, streams: int = 1) -> Ints:
        """Bytes to `[frames, streams · codebooks]`."""
        coder = RangeDecoder(data)
        self._check_use(codebooks)
        codes = np.zeros((streams, frames, codebooks), np.int64)
        past = [self._Past(self) for _ in range(streams)]
        for t in range(frames):
            for s in range(streams):
                context = past[s].advance(codes[s, t - 1] if t else None)
                for k in range(codebooks):
                    table = frequencies(self._predict(context, codes[s, t], k))
                    codes[s, t, k] = coder.decode(table)
        return codes.transpose(1, 0, 2).reshape(frames, streams * codebooks)

    def logits(self, codes: Ints) -> Ints:
        """`[frames, codebooks]` to `[frames, codebooks, size]`, all frames at once."""
        frames, used = codes.shape
        x = np.zeros((frames, self.width), np.int64)
        x[1:] = self._embed(codes[:-1])
        for i in range(self.layers):
            delayed = np.zeros_like(x)
            delayed[1 << i :] = x[: max(0, frames - (1 << i))]
            x = self._layer(i, x, delayed)
        context = self._product(x, self._depth) >> PRE_SHIFT
        out = np.empty((frames, used, self.size), np.int64)
        for k in range(used):
            out[:, k] = self._head(context, k)
            context = context + self._tables["depth_embed"][k][codes[:, k]]
        return out

    def _embed(self, codes: Ints) -> Ints:
        used = codes.shape[-1]
        total = sum(self._tables["embed"][k][codes[..., k]] for k in range(used))
        return _tanh(np.asarray(total))

    def _layer(self, i: int, x: Ints, delayed: Ints) -> Ints:
        pair = np.concatenate([x, delayed], axis=-1)
        mixed = (self._product(pair, self._mix[i]) >> PRE_SHIFT) + self._tables[f"mix_bias.{i}"]
        added = self._product(_tanh(mixed), self._out[i]) >> RESIDUAL_SHIFT
        return np.clip(x + added, -127, 127)

    def _predict(self, context: Ints, frame: Ints, k: int) -> Ints:
        if k:
            context += self._tables["depth_embed"][k - 1][frame[k - 1]]
        return self._head(context, k)

    def _head(self, context: Ints, k: int) -> Ints:
        first = _tanh(context + self._tables["depth_bias"][k])
        hidden = (self._product(first, self._hidden) >> PRE_SHIFT) + self._tables["hidden_bias"][k]
        scores = self._product(_tanh(hidden), self._logits[k]) >> PRE_SHIFT
        return scores + self._tables["logit_bias"][k]

    @staticmethod
    def _product(x: Ints, matrix: NDArray[np.float32]) -> Ints:
        return np.rint(x.astype(np.float32) @ matrix).astype(np.int64)

    def _matrix(self, name: str) -> NDArray[np.float32]:
        return self._tables[name].astype(np.float32)

    def _check_use(self, codebooks: int) -> None:
        if codebooks > self.codebooks:
            raise EntropyError(f"uses {codebooks} codebooks; the prior knows {self.codebooks}")

    def _check(self) -> None:
        width, size, books = self.width, self.size, self.codebooks
        shapes = {
            "depth": (width, width), "hidden": (width, width), "logits": (books, width, size),
            "depth_embed": (books, size, width), "depth_bias": (books, width),
            "hidden_bias": (books, width), "logit_bias": (books, size),
        }  # fmt: skip
        for i in range(self.layers):
            shapes |= {f"mix.{i}": (2 * width, width), f"out.{i}": (width, width)}
            shapes |= {f"mix_bias.{i}": (width,)}
        for name, shape in shapes.items():
            if self._tables[name].shape != shape:
                raise ValueError(f"{name} has shape {self._tables[name].shape}, not {shape}")
        if 2 * width > MAX_FAN_IN or max(abs(a).max() for a in self._tables.values()) > 1 << 15:
            raise ValueError("sums could exceed 2^24")
        matrices = [
            n for n in shapes if n.split(".")[0] in ("mix", "out", "depth", "hidden", "logits")
        ]
        if max(abs(self._tables[name]).max() for name in matrices) > 127:
            raise ValueError("a weight does not fit 8 bits")

    class _Past:
        """What the convolutions remember of one stream, frame by frame."""

        def __init__(self, prior: NeuralPrior) -> None:
            self._prior = prior
            self._lines = [np.zeros((1 << i, prior.width), np.int64) for i in range(prior.layers)]
            self._frame = 0

        def advance(self, previous: Ints | None) -> Ints:
            """Context of the next frame, `[width]`, given the codes of the frame before it."""
            prior = self._prior
            x = np.zeros(prior.width, np.int64) if previous is None else prior._embed(previous)
            for i, line in enumerate(self._lines):
                at = self._frame % len(line)
                delayed = line[at].copy()
                line[at] = x
                x = prior._layer(i, x, delayed)
            self._frame += 1
            return prior._product(x, prior._depth) >> PRE_SHIFT


def _tanh(pre: Ints) -> Ints:
    return tanh_table()[np.clip(pre, -TABLE_HALF, TABLE_HALF - 1) + TABLE_HALF]


def load_prior(path: Path) -> NeuralPrior:
    """The integer tables that `prior_training` exported; needs no torch."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return NeuralPrior(load_file(path))
    except (SafetensorError, ValueError) as error:
        raise UserError(f"{path}: not a readable neural prior ({error}).") from error
