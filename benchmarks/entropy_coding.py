"""Speed and overhead of the `.nac` entropy coding: `python benchmarks/entropy_coding.py`.

Codes come from a skewed source with repeats, 12 codebooks of 1024 at 50 frames/s: 6 kbps. The
neural prior is untrained, which does not change its speed. Times are of one core (process
time): set OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from reference_codec.entropy import AdaptivePrior, RangeDecoder, RangeEncoder, pack, unpack
from reference_codec.neural_prior import NeuralPrior, frequencies

FRAMES, CODEBOOKS, SIZE, FRAME_RATE_HZ = 500, 12, 1024, 50
REPEATS = 3


def codes(rng: np.random.Generator) -> np.ndarray:
    drawn = rng.exponential(120, (FRAMES, CODEBOOKS)).astype(np.int64).clip(max=SIZE - 1)
    for t in range(1, FRAMES):
        held = rng.random(CODEBOOKS) < 0.2
        drawn[t, held] = drawn[t - 1, held]
    return drawn


def untrained_tables(rng: np.random.Generator, width: int = 128, layers: int = 6) -> dict:
    def weights(*shape: int) -> np.ndarray:
        return np.rint(rng.normal(0, 18, shape)).clip(-127, 127).astype(np.int8)

    def biases(*shape: int) -> np.ndarray:
        return np.rint(rng.normal(0, 20, shape)).astype(np.int16)

    tables = {
        "embed": biases(CODEBOOKS, SIZE, width), "depth": weights(width, width),
        "depth_embed": biases(CODEBOOKS, SIZE, width), "depth_bias": biases(CODEBOOKS, width),
        "hidden": weights(width, width), "hidden_bias": biases(CODEBOOKS, width),
        "logits": weights(CODEBOOKS, width, SIZE), "logit_bias": biases(CODEBOOKS, SIZE),
    }  # fmt: skip
    for i in range(layers):
        tables |= {f"mix.{i}": weights(2 * width, width), f"mix_bias.{i}": biases(width)}
        tables |= {f"out.{i}": weights(width, width)}
    return tables


def best_of(work: Callable[[], object]) -> float:
    work()  # compiles and warms up
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def row(name: str, encode: Callable[[], bytes], decode: Callable[[bytes], np.ndarray]) -> None:
    data = encode()
    there, back = best_of(encode), best_of(lambda: decode(data))
    symbols, seconds = FRAMES * CODEBOOKS, FRAMES / FRAME_RATE_HZ
    print(
        f"{name:24} {there / symbols * 1e6:9.2f} {back / symbols * 1e6:9.2f} "
        f"{there / seconds:9.4f} {back / seconds:9.4f} {8 * len(data) / symbols:10.3f}"
    )


def overhead(rng: np.random.Generator) -> None:
    """Code length over the ideal under the very frequencies that were used."""
    table = frequencies(rng.normal(0, 150, (1, SIZE)).astype(np.int64))[0]
    drawn = rng.choice(SIZE, 50_000, p=table / table.sum())
    encoder = RangeEncoder(len(drawn))
    for symbol in drawn:
        encoder.encode(int(symbol), table)
    data = encoder.finish()
    ideal = -np.log2(table[drawn] / 65536).sum()
    assert [RangeDecoder(data).decode(table)] == [drawn[0]]
    print(f"\nrange coder's overhead over the ideal length: {8 * len(data) / ideal - 1:+.4%}")
    try:
        import constriction
    except ImportError:
        return
    peer = constriction.stream.queue.RangeEncoder()
    model = constriction.stream.model.Categorical(table / 65536, perfect=False)
    peer.encode(drawn.astype(np.int32), model)
    print(f"constriction's: {32 * len(peer.get_compressed()) / ideal - 1:+.4%}")


def main() -> None:
    rng = np.random.default_rng(0)
    symbols, sizes = codes(rng), np.full(CODEBOOKS, SIZE)
    adaptive, neural = AdaptivePrior(sizes), NeuralPrior(untrained_tables(rng))
    print(f"{'':24} {'µs/symbol':>19} {'RTF':>19} {'bits':>10}")
    print(f"{'prior':24} {'encode':>9} {'decode':>9} {'encode':>9} {'decode':>9} {'/symbol':>10}")
    row("packed", lambda: pack(symbols, sizes), lambda data: unpack(data, FRAMES, sizes))
    row("adaptive", lambda: adaptive.encode(symbols), lambda data: adaptive.decode(data, FRAMES))
    row(
        "neural (untrained)",
        lambda: neural.encode(symbols),
        lambda data: neural.decode(data, FRAMES, CODEBOOKS),
    )
    overhead(rng)


if __name__ == "__main__":
    main()
