"""Each quantizer alone: what it codes, how it learns, how it reports its use."""

import dataclasses
import math

import codec_peers as peers
import pytest
import torch
from torch import Tensor, multiprocessing
from torch.nn import functional as F

from reference_codec import presets
from reference_codec.factorised_vq import FactorisedVQ
from reference_codec.fsq import FiniteScalarQuantizer, GroupedFSQ
from reference_codec.hifigan import AUDIO_LEVEL
from reference_codec.neural_codec import NeuralCodec
from reference_codec.quantizers import Quantizer, codebook_use, drop_codebooks
from reference_codec.residual_vq import EMACodebook, ResidualVQ
from reference_codec.softmax_quantizer import SoftmaxQuantizer

# float32 rounding of sums of a few dozen terms of unit size.
ROUNDING = 1e-5


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def trained(n_codebooks: int = 4, steps: int = 20) -> ResidualVQ:
    quantizer = ResidualVQ(6, n_codebooks, 16).train()
    for seed in range(steps):
        quantizer(normal(8, 6, 40, seed=seed))
    return quantizer.eval()


QUANTIZERS: dict[str, tuple[Quantizer, int]] = {
    "residual": (trained(), 6),
    "factorised": (FactorisedVQ(6, 4, 16, 3).eval(), 6),
    "fsq": (FiniteScalarQuantizer((8, 5, 5)).eval(), 3),
    "grouped": (GroupedFSQ(2, (8, 7, 6, 6)).eval(), 8),
    "softmax": (SoftmaxQuantizer(6, 32).eval(), 6),
}
every_quantizer = pytest.mark.parametrize("name", QUANTIZERS)


@every_quantizer
def test_codes_lie_in_their_codebooks_and_decode_to_latents(name: str) -> None:
    quantizer, dim = QUANTIZERS[name]
    latents = normal(3, dim, 50)
    codes = quantizer.encode(latents)
    assert codes.dtype == torch.int64
    assert codes.shape == (3, len(quantizer.codebook_sizes), 50)
    assert int(codes.min()) >= 0
    for codebook, size in zip(codes.unbind(1), quantizer.codebook_sizes, strict=True):
        assert int(codebook.max()) < size
    assert quantizer.decode(codes).shape == latents.shape


@every_quantizer
def test_training_and_use_agree_on_codes_and_latents(name: str) -> None:
    quantizer, dim = QUANTIZERS[name]
    latents = normal(3, dim, 50)
    with torch.no_grad():
        quantized = quantizer(latents)
    assert torch.equal(quantized.codes, quantizer.encode(latents))
    decoded = quantizer.decode(quantized.codes)
    torch.testing.assert_close(quantized.latents, decoded, rtol=0, atol=ROUNDING)


@every_quantizer
def test_gradients_reach_the_encoder(name: str) -> None:
    quantizer, dim = QUANTIZERS[name]
    latents = normal(2, dim, 10).requires_grad_()
    quantizer.train()(latents).latents.square().sum().backward()
    quantizer.eval()
    assert latents.grad is not None and float(latents.grad.abs().min(1)[0].max()) > 0


# Residual quantization with moving averages


def test_every_level_takes_the_nearest_entry_to_what_is_left() -> None:
    quantizer = trained()
    latents = normal(2, 6, 30)
    codes, residual = quantizer.encode(latents), latents.double()
    for level, codebook in enumerate(quantizer.codebooks):
        difference = residual.transpose(1, 2)[:, :, None] - codebook.vectors.double()
        nearest = difference.square().sum(-1).argmin(-1)
        assert torch.equal(codes[:, level], nearest)
        residual = residual - codebook.vectors.double()[nearest].transpose(1, 2)
    error = latents.double() - quantizer.decode(codes).double()
    torch.testing.assert_close(error, residual, rtol=0, atol=ROUNDING)


def test_every_codebook_lowers_the_error() -> None:
    quantizer = trained(n_codebooks=6)
    latents = normal(4, 6, 100, seed=99)
    codes = quantizer.encode(latents)
    errors = [F.mse_loss(quantizer.decode(codes[:, : n + 1]), latents).item() for n in range(6)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.1


def test_kmeans_ends_with_every_entry_at_the_mean_of_what_it_codes() -> None:
    samples = normal(300, 3)
    codebook = EMACodebook(8, 3)
    codebook.initialise(samples)
    codes = codebook.encode(samples)
    for entry, vector in enumerate(codebook.vectors):
        torch.testing.assert_close(samples[codes == entry].mean(0), vector, rtol=0, atol=ROUNDING)
    assert codebook.counts.tolist() == torch.bincount(codes).tolist()
    # Eight Voronoi cells leave a Gaussian in 3-d about a third of its variance.
    assert F.mse_loss(codebook.decode(codes), samples) < 0.4


def test_an_update_is_the_moving_average_of_counts_and_sums() -> None:
    codebook = EMACodebook(2, 1, decay=0.9)
    codebook.vectors.copy_(torch.tensor([[0.0], [10.0]]))
    codebook.counts.copy_(torch.tensor([4.0, 2.0]))
    codebook.sums.copy_(codebook.vectors * codebook.counts[:, None])
    codebook.refresh()
    x = torch.tensor([[1.0], [2.0], [12.0]])
    codes = codebook.encode(x)
    assert codes.tolist() == [0, 0, 1]
    codebook.update(x, codes)
    torch.testing.assert_close(codebook.counts, torch.tensor([0.9 * 4 + 0.1 * 2, 0.9 * 2 + 0.1]))
    wanted = torch.tensor([[0.1 * 3 / 3.8], [(0.9 * 20 + 0.1 * 12) / 1.9]])
    torch.testing.assert_close(codebook.vectors, wanted)
    # And the precomputed norms follow.
    torch.testing.assert_close(codebook.half_norms, wanted[:, 0].square() / 2)


def test_a_dead_entry_is_replaced_and_stays_where_it_was_put() -> None:
    # In the released EnCodec the next update undoes the replacement (encodec issue 61).
    codebook = EMACodebook(3, 2, decay=0.5, check_every=1)
    codebook.vectors.copy_(torch.tensor([[0.0, 0.0], [1.0, 0.0], [500.0, 500.0]]))
    codebook.sums.copy_(codebook.vectors)
    codebook.refresh()
    x = torch.cat([0.1 * normal(40, 2), torch.tensor([1.0, 0.0]) + 0.1 * normal(40, 2, seed=1)])
    for _ in range(6):
        codebook.update(x, codebook.encode(x))
    assert float(codebook.vectors.abs().max()) < 2
    assert codebook_use(codebook.encode(x)[None, None], (3,)).usage == (1.0,)


def test_the_commitment_loss_of_every_level_reaches_the_encoder() -> None:
    # In the released EnCodec it ends at the first level (encodec issue 25).
    quantizer = trained()
    latents = normal(2, 6, 10).requires_grad_()
    loss = quantizer(latents, 3).commitment_loss
    (gradient,) = torch.autograd.grad(loss, latents)
    with torch.no_grad():
        codes = quantizer.encode(latents)
        residuals = [latents - quantizer.decode(codes[:, : n + 1]) for n in range(3)]
        wanted = sum(2 * residual / latents.numel() / 3 for residual in residuals)
    torch.testing.assert_close(gradient, wanted, rtol=0, atol=ROUNDING)


def test_the_gradient_passes_straight_through_all_levels() -> None:
    latents = normal(2, 6, 10).requires_grad_()
    (gradient,) = torch.autograd.grad(trained()(latents).latents.sum(), latents)
    assert torch.equal(gradient, torch.ones_like(latents))


@pytest.mark.parametrize("name", ["residual", "factorised"])
def test_dropped_codebooks_leave_the_prefix_that_decodes_alone(name: str) -> None:
    quantizer, dim = QUANTIZERS[name]
    latents = normal(3, dim, 20)
    counts = torch.tensor([1, 4, 2])
    with torch.no_grad():
        quantized = quantizer(latents, counts).latents
    for clip, n in enumerate(counts.tolist()):
        codes = quantizer.encode(latents[clip : clip + 1], n)
        wanted = quantizer.decode(codes)[0]
        torch.testing.assert_close(quantized[clip], wanted, rtol=0, atol=ROUNDING)


def test_quantizer_dropout_draws_uniformly_for_its_share_of_the_batch() -> None:
    counts = drop_codebooks(40_000, 8, 0.5, torch.Generator().manual_seed(0))
    shares = torch.bincount(counts, minlength=9) / 40_000
    assert shares[0] == 0
    wanted = torch.tensor([0.5 / 8] * 7 + [0.5 + 0.5 / 8])
    # Five standard deviations of a share of one half among 40,000.
    torch.testing.assert_close(shares[1:], wanted, rtol=0, atol=5 * 0.5 / math.sqrt(40_000))
    assert drop_codebooks(5, 8, 0.0).tolist() == [8] * 5


def test_a_codebook_that_no_clip_uses_learns_nothing() -> None:
    quantizer = ResidualVQ(6, 3, 16).train()
    quantizer(normal(4, 6, 40), 2)
    assert [int(codebook.updates) for codebook in quantizer.codebooks] == [2, 2, 0]


def test_training_in_bfloat16_keeps_the_codebooks_in_float32() -> None:
    latents = normal(2, 6, 20)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        quantized = trained()(latents.bfloat16())
    assert quantized.latents.dtype == torch.bfloat16
    assert torch.equal(quantized.codes, trained().encode(latents.bfloat16().float()))


def _train_a_share(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2
    )
    quantizer = ResidualVQ(6, 2, 16, kmeans_steps=5, check_every=2).train()
    for seed in range(4):
        quantizer(normal(8, 6, 20, seed=seed).chunk(2)[rank])
    torch.save(quantizer.state_dict(), f"{folder}/{rank}.pth")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_learn_what_one_learns_from_the_whole_batch(tmp_path: object) -> None:
    multiprocessing.spawn(_train_a_share, (str(tmp_path),), nprocs=2)
    alone = ResidualVQ(6, 2, 16, kmeans_steps=5, check_every=2).train()
    for seed in range(4):
        alone(normal(8, 6, 20, seed=seed))
    states = [torch.load(f"{tmp_path}/{rank}.pth", weights_only=True) for rank in range(2)]
    for name, value in alone.state_dict().items():
        assert torch.equal(states[0][name], states[1][name])
        torch.testing.assert_close(states[0][name], value, rtol=0, atol=ROUNDING)


# Factorised codebooks, beside transformers' own


def test_factorised_training_equals_transformers() -> None:
    peer = peers.transformers_dac(
        encoder_hidden_size=4, decoder_hidden_size=32, downsampling_ratios=[2, 4], n_codebooks=3,
        codebook_size=32,
    ).quantizer.train()  # fmt: skip
    ours = FactorisedVQ(16, 3, 32, 8).train()
    for own, theirs in zip(ours.codebooks, peer.quantizers, strict=True):
        own.narrow.load_state_dict(theirs.in_proj.state_dict())
        own.widen.load_state_dict(theirs.out_proj.state_dict())
        own.vectors.data.copy_(theirs.codebook.weight)
    results = []
    for quantizer in (ours, peer):
        latents = normal(2, 16, 30).requires_grad_()
        out = quantizer(latents)
        if quantizer is ours:
            quantized, codes, commitment, codebook = out
        else:
            quantized, codes, _, commitment, codebook = out
        loss = (quantized * normal(2, 16, 30, seed=7)).sum() + 25 * commitment.mean()
        (loss + 100 * codebook.mean()).backward()
        results.append((codes, quantized, commitment.mean(), codebook.mean(), latents.grad))
    assert torch.equal(results[0][0], results[1][0])
    for got, wanted in zip(results[0][1:], results[1][1:], strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-5, atol=ROUNDING)
    for own, theirs in zip(ours.codebooks, peer.quantizers, strict=True):
        torch.testing.assert_close(
            own.vectors.grad, theirs.codebook.weight.grad, rtol=1e-5, atol=ROUNDING
        )


def test_codebooks_that_were_trained_are_looked_up_as_they_are_now() -> None:
    quantizer = FactorisedVQ(6, 1, 16, 3).train()
    with torch.no_grad():
        quantizer.codebooks[0].vectors.mul_(-1)
    latents = normal(1, 6, 40)
    while_training = quantizer(latents).codes
    assert torch.equal(quantizer.eval().encode(latents), while_training)


# Finite scalars


@pytest.mark.parametrize("levels", [(8, 7, 6, 6), (2, 3), (5,)])
def test_every_fsq_code_is_reached_and_comes_back(levels: tuple[int, ...]) -> None:
    quantizer = FiniteScalarQuantizer(levels)
    codes = torch.arange(math.prod(levels))[None, None]
    values = quantizer.decode(codes)
    assert float(values.abs().max()) == 1
    assert len(values[0].T.unique(dim=0)) == math.prod(levels)
    # The middle of a level before squashing, by the inverse of the tanh.
    span, offset, shift = quantizer.squashing()
    squashed = values * (quantizer.levels // 2)
    latents = torch.atanh(((squashed + offset) / span).clamp(-0.9999, 0.9999)) - shift
    assert torch.equal(quantizer.encode(latents), codes)


def test_fsq_digits_count_from_the_first_channel() -> None:
    quantizer = FiniteScalarQuantizer((8, 7, 6, 6))
    assert quantizer.bases.flatten().tolist() == [1, 8, 56, 336]
    far = torch.tensor([-9.0, -9.0, -9.0, -9.0])[None, :, None]
    assert quantizer.encode(far).item() == 0
    assert quantizer.encode(-far).item() == 8 * 7 * 6 * 6 - 1
    assert quantizer.encode(torch.zeros(1, 4, 1)).item() == 4 + 3 * 8 + 3 * 56 + 3 * 336


def test_groups_are_quantized_as_if_alone() -> None:
    grouped, alone = GroupedFSQ(3, (5, 4)), FiniteScalarQuantizer((5, 4))
    latents = normal(2, 6, 20)
    codes = grouped.encode(latents)
    for group in range(3):
        part = latents[:, 2 * group : 2 * group + 2]
        assert torch.equal(codes[:, group : group + 1], alone.encode(part))
        decoded = grouped.decode(codes)[:, 2 * group : 2 * group + 2]
        assert torch.equal(decoded, alone.decode(codes[:, group : group + 1]))


# Learnt scalar bins


def test_the_nearest_bin_is_taken_and_softness_vanishes_with_sharpness() -> None:
    latents = torch.rand(2, 3, 40, generator=torch.Generator().manual_seed(0)) * 2 - 1
    quantizer = SoftmaxQuantizer(3, 32).requires_grad_(False)
    decoded = quantizer.decode(quantizer.encode(latents))
    assert float((decoded - latents).abs().max()) <= 1 / 31 + 1e-6  # half of the spacing
    near = decoded + 0.6 * (latents - decoded)  # not midway between two bins
    hard = SoftmaxQuantizer(3, 32, sharpness=1e5).requires_grad_(False).train()(near)
    torch.testing.assert_close(hard.latents, decoded, rtol=0, atol=ROUNDING)
    assert float(hard.commitment_loss) < 1e-3
    fuzzy = SoftmaxQuantizer(3, 32, sharpness=10).requires_grad_(False).train()
    assert float(fuzzy(latents).commitment_loss) > 1


def test_the_soft_entropy_of_even_values_is_the_logarithm_of_the_bins() -> None:
    quantizer = SoftmaxQuantizer(1, 4, sharpness=1e4)
    values = torch.linspace(-1, 1, 4).repeat(25)[None, None]
    assert quantizer.entropy_bits(values).item() == pytest.approx(2.0, abs=1e-4)
    quantizer.entropy_bits(values).backward()
    assert quantizer.bins.grad is not None


# How codebooks are used


def test_use_of_codebooks_in_closed_form() -> None:
    even = torch.arange(8).repeat(10)
    codes = torch.stack([even, torch.full_like(even, 5), even % 2])[None]
    use = codebook_use(codes, (8, 8, 4))
    assert use.frames == 80
    assert use.usage == (1.0, 1 / 8, 0.5)
    assert use.entropy_bits == pytest.approx((3.0, 0.0, 1.0))
    assert use.perplexity == pytest.approx((8.0, 1.0, 2.0))


@every_quantizer
def test_every_quantizer_reports_its_use(name: str) -> None:
    quantizer, dim = QUANTIZERS[name]
    use = quantizer.use(quantizer.encode(normal(4, dim, 200)))
    assert use.frames == 800
    assert len(use.usage) == len(quantizer.codebook_sizes)
    for bits, size in zip(use.entropy_bits, quantizer.codebook_sizes, strict=True):
        assert 0 < bits <= math.log2(size)


# Initialisation


@pytest.mark.parametrize("name", ["seanet-24k", "seanet-16k", "hifigan-fsq-22k"])
def test_initial_weights_keep_the_variance_and_defaults_do_not(name: str) -> None:
    config = presets.config(name)
    if name == "hifigan-fsq-22k":  # 113 million weights take long to draw
        network = dataclasses.replace(config.network, encoder_width=16, decoder_width=64)
        config = dataclasses.replace(config, network=network)
    audio = AUDIO_LEVEL * normal(1, config.channels, 30 * config.hop_length)
    with torch.inference_mode():
        kept = NeuralCodec.untrained(config).encoder(audio).std().item()
        torch.manual_seed(0)
        shrunk = NeuralCodec(config).eval().encoder(audio).std().item()
    assert 0.4 < kept < 2.5
    assert shrunk < 0.04
