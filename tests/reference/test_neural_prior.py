"""The integer prior: trained and shipped forms agree, files decode under any arithmetic order."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reference_codec.entropy import EntropyError
from reference_codec.neural_prior import NeuralPrior, exp_table, frequencies, tanh_table

ROOT = Path(__file__).parents[2]
MAX_OVERHEAD = 0.005  # over the ideal code length under the prior's own frequencies


def random_tables(seed: int, codebooks: int = 4, size: int = 64, width: int = 32) -> dict:
    rng = np.random.default_rng(seed)

    def weights(*shape: int) -> np.ndarray:
        return rng.integers(-127, 128, shape).astype(np.int8)

    def biases(*shape: int) -> np.ndarray:
        return rng.integers(-60, 60, shape).astype(np.int16)

    tables = {
        "embed": biases(codebooks, size, width), "depth": weights(width, width),
        "depth_embed": biases(codebooks, size, width), "depth_bias": biases(codebooks, width),
        "hidden": weights(width, width), "hidden_bias": biases(codebooks, width),
        "logits": weights(codebooks, width, size), "logit_bias": biases(codebooks, size),
    }  # fmt: skip
    for i in range(3):
        tables |= {f"mix.{i}": weights(2 * width, width), f"mix_bias.{i}": biases(width)}
        tables |= {f"out.{i}": weights(width, width)}
    return tables


def random_codes(seed: int, frames: int, codebooks: int, size: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, size, (frames, codebooks))


@pytest.mark.parametrize("used", [1, 3, 4])
@pytest.mark.parametrize("streams", [1, 2, 3])
@pytest.mark.parametrize("frames", [0, 1, 2, 17])
def test_codes_return_for_every_prefix_of_codebooks_and_several_streams(
    used: int, streams: int, frames: int
) -> None:
    prior = NeuralPrior(random_tables(0))
    codes = random_codes(1, frames, streams * used)
    assert (prior.decode(prior.encode(codes, streams), frames, used, streams) == codes).all()


def test_every_stream_costs_what_it_costs_alone() -> None:
    """Two codebooks in each of two streams are not four codebooks of one."""
    prior = NeuralPrior(random_tables(0))
    codes = random_codes(1, 100, 2)
    alone = len(prior.encode(codes))
    assert abs(len(prior.encode(np.hstack([codes, codes]), 2)) - 2 * alone) <= 4


def test_more_codebooks_than_were_trained_are_refused() -> None:
    prior = NeuralPrior(random_tables(0))
    with pytest.raises(EntropyError, match="uses 5 codebooks; the prior knows 4"):
        prior.encode(random_codes(1, 3, 5))
    with pytest.raises(EntropyError, match="uses 5 codebooks"):
        prior.decode(b"abc", 3, 5)


def test_the_frequencies_of_any_logits_are_positive_and_add_up() -> None:
    rng = np.random.default_rng(2)
    for scale in (1, 100, 10_000, 1_000_000):
        table = frequencies(rng.integers(-scale, scale, (50, 1024)))
        assert (table >= 1).all() and (table.sum(axis=-1) == 1 << 16).all()


def test_the_frequencies_are_a_softmax_in_steps_of_one_part_in_65536() -> None:
    logits = np.array([0, 64, 127, -300])
    exact = np.exp(logits / 63.5)
    wanted = 1 + (65536 - 4) * exact / exact.sum()
    assert np.abs(frequencies(logits) - wanted).max() <= 4  # floors of four entries


def test_the_tables_are_the_rounded_functions() -> None:
    i = np.arange(-256, 256)
    assert np.abs(tanh_table() - 127 * np.tanh((i + 0.5) / 63.5)).max() <= 0.5 + 1e-9
    assert np.abs(exp_table()[:-1] - 2.0**24 * np.exp(-np.arange(1024) / 63.5)).max() <= 0.5 + 1e-6


def test_the_code_is_within_half_a_percent_of_the_ideal_length() -> None:
    prior = NeuralPrior(random_tables(3))
    codes = random_codes(4, 200, 4)
    table = frequencies(prior.logits(codes))
    ideal = -np.log2(np.take_along_axis(table, codes[..., None], axis=-1) / 65536).sum()
    assert ideal <= 8 * len(prior.encode(codes)) + 8 <= ideal * (1 + MAX_OVERHEAD) + 16


def test_noise_on_the_floats_in_between_cannot_change_a_bit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The products are the only floats. Another order of summation, or a result that is off by
    less than half a unit, must give the same file; EnCodec's coder breaks at 1e-7."""
    prior = NeuralPrior(random_tables(5))
    codes = random_codes(6, 40, 4)
    data = prior.encode(codes)
    rng = np.random.default_rng(7)

    def reordered(x: np.ndarray, matrix: np.ndarray) -> np.ndarray:
        order = rng.permutation(x.shape[-1])
        total = np.zeros((*x.shape[:-1], matrix.shape[-1]), np.float32)
        for i in order:  # one product at a time, in a random order
            total += x[..., i, None].astype(np.float32) * matrix[i]
        noisy = total * (1 + rng.uniform(-1e-8, 1e-8, total.shape))
        return np.rint(noisy).astype(np.int64)

    monkeypatch.setattr(NeuralPrior, "_product", staticmethod(reordered))
    assert prior.encode(codes) == data
    assert (prior.decode(data, 40, 4) == codes).all()


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_another_librarys_products_give_the_same_file(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyTorch's matrix products, padded to another batch, on whatever device there is."""
    torch = pytest.importorskip("torch")
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    prior = NeuralPrior(random_tables(5))
    codes = random_codes(6, 40, 4)
    data = prior.encode(codes)

    def product(x: np.ndarray, matrix: np.ndarray) -> np.ndarray:
        rows = torch.as_tensor(np.atleast_2d(x), dtype=torch.float32, device=device)
        batch = torch.cat([rows, torch.randn(17, rows.shape[1], device=device)])
        out = (batch @ torch.as_tensor(matrix, device=device))[: len(rows)].cpu().numpy()
        return np.rint(out).astype(np.int64).reshape(*x.shape[:-1], -1)

    monkeypatch.setattr(NeuralPrior, "_product", staticmethod(product))
    assert prior.encode(codes) == data
    assert (prior.decode(data, 40, 4) == codes).all()


@pytest.mark.parametrize("threads", ["1", "8"])
def test_a_file_decodes_in_another_process_with_other_thread_counts(
    threads: str, tmp_path: Path
) -> None:
    prior = NeuralPrior(random_tables(8))
    codes = random_codes(9, 30, 4)
    (tmp_path / "data").write_bytes(prior.encode(codes))
    np.savez(tmp_path / "tables.npz", **random_tables(8))
    program = (
        "import sys, numpy as np\n"
        "from reference_codec.neural_prior import NeuralPrior\n"
        "prior = NeuralPrior(dict(np.load(sys.argv[1] + '/tables.npz')))\n"
        "data = open(sys.argv[1] + '/data', 'rb').read()\n"
        "print(prior.decode(data, 30, 4).tolist())\n"
        "assert 'torch' not in sys.modules\n"
    )
    environment = dict(os.environ) | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        capture_output=True, text=True, env=environment, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(codes.tolist())


def as_tensor(codes: np.ndarray) -> Any:
    return pytest.importorskip("torch").as_tensor(codes)


def trainable_prior(latent_dim: int) -> Any:
    torch = pytest.importorskip("torch")
    from reference_codec.prior_training import TrainablePrior

    torch.manual_seed(0)
    prior = TrainablePrior(codebooks=3, size=50, width=24, layers=3, latent_dim=latent_dim)
    if latent_dim:
        prior.learn_from(torch.randn(3, 50, latent_dim))
        torch.nn.init.normal_(prior.maps["logits"], std=20)
    return prior


@pytest.mark.parametrize("latent_dim", [0, 4])
def test_the_trained_network_computes_the_very_integers_that_it_exports(latent_dim: int) -> None:
    trainable = trainable_prior(latent_dim)
    codes = random_codes(10, 33, 3, size=50)
    floats = trainable(as_tensor(codes)[None])[0].detach()
    assert (NeuralPrior(trainable.export()).logits(codes) == floats.long().numpy()).all()


@pytest.mark.parametrize("latent_dim", [0, 4])
def test_the_fast_code_length_is_the_cross_entropy_of_the_logits(latent_dim: int) -> None:
    from torch.nn.functional import cross_entropy

    trainable = trainable_prior(latent_dim)
    codes = as_tensor(random_codes(11, 2 * 33, 3, size=50)).view(2, 33, 3)[..., :2]
    logits = trainable(codes) / 63.5
    expected = cross_entropy(logits.flatten(0, 2), codes.flatten()) / np.log(2)
    slopes = []
    for bits in (expected, trainable.bits(codes)):
        assert float(bits.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
        trainable.zero_grad()
        bits.backward()
        slopes.append({n: p.grad for n, p in trainable.named_parameters()})
    for name, slope in slopes[0].items():
        scale = float(slope.abs().max())
        assert float((slopes[1][name] - slope).abs().max()) <= 1e-4 * scale + 1e-9, name


def test_what_is_learned_of_one_entry_serves_its_neighbours() -> None:
    """A walk on a circle of 256 entries: 300 codes tell little of each, much of all."""
    torch = pytest.importorskip("torch")
    from reference_codec.prior_training import TrainablePrior, train

    rng = np.random.default_rng(12)
    angle = np.linspace(0, 2 * np.pi, 256, endpoint=False)
    circle = torch.as_tensor(np.stack([np.cos(angle), np.sin(angle)], 1)[None], dtype=torch.float32)

    def walk(frames: int) -> Any:
        steps = np.rint(rng.normal(10, 4, frames)).astype(int)
        return as_tensor(np.cumsum(steps) % 256)[None, :, None]

    seen, unseen, bits = walk(300), walk(2000), []
    for latent_dim in (0, 2):
        torch.manual_seed(0)
        trainable = TrainablePrior(1, 256, width=16, layers=1, latent_dim=latent_dim)
        if latent_dim:
            trainable.learn_from(circle)
        for _ in train(trainable, iter(lambda: seen, None), steps=60, learning_rate=1e-2):
            pass
        bits.append(float(trainable.bits(unseen).detach()))
    assert bits[1] < bits[0] - 0.5


def test_training_finds_what_the_previous_frame_tells() -> None:
    """Codes that repeat or step by one: a prior without context would need 5 bits a code."""
    torch = pytest.importorskip("torch")
    from reference_codec.prior_training import TrainablePrior, train

    rng = np.random.default_rng(11)

    def walk(count: int, frames: int = 40) -> np.ndarray:
        steps = rng.integers(0, 2, (count, frames, 1))
        first = (rng.integers(0, 32, (count, 1, 1)) + np.cumsum(steps, axis=1)) % 32
        return np.concatenate([first, (first + 5) % 32], axis=2)  # the second follows the first

    torch.manual_seed(0)
    trainable = TrainablePrior(codebooks=2, size=32, width=32, layers=2)
    batches = iter(lambda: torch.as_tensor(walk(16)), None)
    for _ in train(trainable, batches, steps=200, learning_rate=3e-2):
        pass
    held_out = walk(1, frames=200)[0]
    bits = 8 * len(NeuralPrior(trainable.export()).encode(held_out)) / held_out.size
    assert bits < 1.0  # the source has 0.5 bit a code


@pytest.mark.parametrize("broken", ["missing", "shape", "weight"])
def test_tables_that_break_the_exactness_bound_are_refused(broken: str) -> None:
    tables = random_tables(12)
    if broken == "missing":
        del tables["hidden"]
    elif broken == "shape":
        tables["mix.1"] = tables["mix.1"][:, :-1]
    else:
        tables["out.0"] = tables["out.0"].astype(np.int16) * 2
    with pytest.raises(EntropyError):
        NeuralPrior(tables)
