"""Schedules and averages in closed form; who moves in which step; precisions."""

import math

import pytest
import torch
from tiny_run import Tones, adversarial, recipe
from torch import nn

from reference_codec.training.optimisation import Optimiser, WeightAverage, rate_share
from reference_codec.training.recipe import OptimiserOptions
from reference_codec.training.step import CodecStep

CPU = torch.device("cpu")
FLOAT32 = 1e-6


def test_schedules_have_their_closed_forms() -> None:
    def shares(schedule: str, *steps: int) -> list[float]:
        options = OptimiserOptions.model_validate({"schedule": schedule, "warm_up_steps": 10})
        return [rate_share(options, step, 110) for step in steps]

    assert shares("constant", 0, 4, 9, 10, 109) == [0.1, 0.5, 1, 1, 1]
    assert shares("cosine", 4, 10, 60, 110) == pytest.approx([0.5, 1, 0.5, 0])
    assert shares("exponential", 4, 10, 60, 110) == pytest.approx([0.5, 1, 0.1, 0.01])


def test_the_average_of_the_weights_follows_its_formula() -> None:
    module = nn.Linear(1, 1)
    module.weight.data.fill_(0)
    average = WeightAverage(module, decay=0.5)
    expected = 0.0
    for n in range(1, 8):
        module.weight.data.fill_(n)
        average.update()
        decay = min(0.5, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * n
    assert float(average.weights["weight"]) == pytest.approx(expected, abs=FLOAT32)


def test_an_average_without_decay_is_the_weights() -> None:
    module = nn.BatchNorm1d(2)  # has a count that is no float
    average = WeightAverage(module, decay=0.0)
    module(torch.randn(5, 2))
    average.update()
    for name, value in module.state_dict().items():
        assert torch.equal(average.weights[name], value)


def test_a_restored_optimiser_takes_the_same_next_step() -> None:
    def step(module: nn.Linear, optimiser: Optimiser) -> None:
        module(torch.arange(3.0)).square().sum().backward()
        optimiser.step(share=0.5)
        optimiser.forget_gradients()

    torch.manual_seed(0)
    first, second = nn.Linear(3, 2), nn.Linear(3, 2)
    optimisers = [Optimiser(module, OptimiserOptions(), 0.1) for module in (first, second)]
    step(first, optimisers[0])
    second.load_state_dict(first.state_dict())
    optimisers[1].restore({name: t.clone() for name, t in optimisers[0].state().items()})
    for module, optimiser in zip((first, second), optimisers, strict=True):
        step(module, optimiser)
    assert torch.equal(first.weight, second.weight)


def test_gradients_are_clipped_to_the_given_norm() -> None:
    module = nn.Linear(2, 1, bias=False)
    optimiser = Optimiser(module, OptimiserOptions(gradient_clip=1.0), 0.1)
    module.weight.grad = torch.tensor([[3.0, 4.0]])
    assert float(optimiser.clipped_norm()) == 5
    torch.testing.assert_close(module.weight.grad, torch.tensor([[0.6, 0.8]]), rtol=0, atol=1e-6)


def test_discriminators_move_from_their_step_on_and_every_so_many() -> None:
    run = recipe(**adversarial(start_step=2, every_n_steps=2))
    data, step = Tones(run), CodecStep(run, CPU)
    moved = []
    for number in range(6):
        before = [p.detach().clone() for p in step.jury.parameters()]
        losses, counts = step(data.audio(number), number)
        assert counts
        after = list(step.jury.parameters())
        moved.append(any(not torch.equal(a, b) for a, b in zip(before, after, strict=True)))
        assert ("adversarial" in losses) == (number >= 2)
        assert ("discriminator" in losses) == moved[-1]
    assert moved == [False, False, True, False, True, False]


def test_the_generator_moves_alike_whether_or_not_the_discriminators_do() -> None:
    """Their turn is taken from the same pass and comes after the generator's gradient."""
    steps = [CodecStep(recipe(**adversarial(0, every)), CPU) for every in (1, 2)]
    for step in steps:
        for number in (0, 1):  # in the second, the discriminators of one rest
            step(Tones(step.recipe).audio(number), number)
    first, second = (dict(step.model.named_parameters()) for step in steps)
    for name in first:
        assert torch.equal(first[name], second[name])


def test_no_gradient_of_the_generators_losses_reaches_the_discriminators() -> None:
    step = CodecStep(recipe(**adversarial(start_step=0, every_n_steps=1000)), CPU)
    step(Tones(step.recipe).audio(0), 0)
    before = [p.detach().clone() for p in step.jury.parameters()]
    step(Tones(step.recipe).audio(1), 1)
    assert all(p.grad is None for p in step.jury.parameters())
    for a, b in zip(before, step.jury.parameters(), strict=True):
        assert torch.equal(a, b)


def test_bf16_trains_float32_weights_to_about_the_same_losses() -> None:
    mels = []
    for precision in ("float32", "bf16"):
        run = recipe(precision=precision)
        step = CodecStep(run, CPU)
        for number in range(3):
            losses, counts = step(Tones(run).audio(number), number)
        assert counts
        assert {p.dtype for p in step.model.parameters()} == {torch.float32}
        mels.append(losses["mel"])
    assert math.isclose(*mels, rel_tol=0.05)  # eight bits of mantissa


def test_quantizer_dropout_draws_prefixes_of_every_length() -> None:
    step = CodecStep(recipe(quantizer_dropout=1.0), CPU)
    drawn = torch.cat([step._codebooks(4, number) for number in range(50)])
    assert sorted(drawn.unique().tolist()) == [1, 2, 3, 4]
    assert torch.equal(step._codebooks(4, 7), step._codebooks(4, 7))


def test_codebooks_follow_their_recipes_decay() -> None:
    run = recipe(codebook_decay=1 - 1e-6)
    step = CodecStep(run, CPU)
    step(Tones(run).audio(0), 0)  # places the entries by k-means
    placed = [codebook.vectors.clone() for codebook in step.model.quantizer.codebooks]
    step(Tones(run).audio(1), 1)
    for before, codebook in zip(placed, step.model.quantizer.codebooks, strict=True):
        assert (codebook.vectors - before).abs().max() < 1e-3 * before.abs().max()


@pytest.mark.filterwarnings("ignore")  # PyTorch's compiler warns of itself in many ways
def test_compiled_networks_train_to_the_same_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The networks are traced as for any compiler; writing C++ for them would take minutes."""
    compiled: list[str] = []
    original = nn.Module.compile

    def compile_with(module: nn.Module) -> None:
        compiled.append(type(module).__name__)
        original(module, backend="aot_eager")

    monkeypatch.setattr(nn.Module, "compile", compile_with)
    found = []
    for wanted in (False, True):
        run = recipe(compile=wanted)
        step = CodecStep(run, CPU)
        found.append([step(Tones(run).audio(n), n)[0]["mel"] for n in range(2)])
        assert len(compiled) == 2 * wanted
    assert found[1] == pytest.approx(found[0], rel=1e-3)
