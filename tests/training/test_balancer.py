"""The balancer against EnCodec's formula, computed by hand on known gradients."""

import pytest
import torch

from reference_codec.training.balancer import Balancer

FLOAT32 = 1e-6
WEIGHTS = {"a": 1.0, "b": 3.0}


def losses(audio: torch.Tensor, scale_a: float = 1.0) -> dict[str, torch.Tensor]:
    """Linear ones: their gradients are their coefficients, whatever the audio is."""
    return {
        "a": scale_a * (COEFFICIENTS["a"] * audio).sum(),
        "b": (COEFFICIENTS["b"] * audio).sum(),
    }


COEFFICIENTS = {
    name: torch.randn(2, 1, 50, generator=torch.Generator().manual_seed(seed))
    for seed, name in enumerate("ab")
}


def norm(gradient: torch.Tensor) -> float:
    """‖·‖₂ of each clip, averaged over the batch."""
    return float(gradient.flatten(1).norm(dim=1).mean())


def audio() -> torch.Tensor:
    return torch.zeros(2, 1, 50, requires_grad=True)


def test_the_first_step_gives_each_loss_its_share_of_the_norm() -> None:
    found = Balancer(WEIGHTS, total_norm=2.0).gradient(losses(x := audio()), x, keep_graph=False)
    expected = sum(2.0 * WEIGHTS[n] / 4.0 * g / norm(g) for n, g in COEFFICIENTS.items())
    torch.testing.assert_close(found, expected, rtol=0, atol=FLOAT32)


def test_norms_are_averaged_over_steps_with_the_start_corrected() -> None:
    decay, scales = 0.9, (1.0, 5.0, 0.2)
    balancer = Balancer(WEIGHTS, decay=decay)
    for scale in scales:
        found = balancer.gradient(losses(x := audio(), scale), x, keep_graph=False)
    g_a, g_b = scales[-1] * COEFFICIENTS["a"], COEFFICIENTS["b"]
    powers = [decay**k for k in (2, 1, 0)]
    average_a = sum(p * s for p, s in zip(powers, scales, strict=True)) / sum(powers)
    average_a *= norm(COEFFICIENTS["a"])
    expected = 0.25 * g_a / average_a + 0.75 * g_b / norm(g_b)
    torch.testing.assert_close(found, expected, rtol=0, atol=FLOAT32)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_the_scale_of_a_loss_does_not_matter(scale: float) -> None:
    plain, scaled = (
        Balancer(WEIGHTS).gradient(losses(x := audio(), s), x, keep_graph=False)
        for s in (1.0, scale)
    )
    torch.testing.assert_close(plain, scaled, rtol=0, atol=FLOAT32)


def test_a_loss_that_is_missing_leaves_its_share_to_the_others() -> None:
    x = audio()
    found = Balancer(WEIGHTS).gradient({"b": losses(x)["b"]}, x, keep_graph=False)
    assert norm(found) == pytest.approx(1, abs=FLOAT32)


def test_a_restored_balancer_goes_on_where_it_was() -> None:
    first = Balancer(WEIGHTS)
    for scale in (1.0, 4.0):
        first.gradient(losses(x := audio(), scale), x, keep_graph=False)
    second = Balancer(WEIGHTS)
    second.restore(first.state())
    a, b = (m.gradient(losses(x := audio()), x, keep_graph=False) for m in (first, second))
    assert torch.equal(a, b)


def test_a_gradient_that_is_not_finite_is_not_remembered() -> None:
    balancer = Balancer(WEIGHTS)
    balancer.gradient(losses(x := audio()), x, keep_graph=False)
    before = balancer.state()
    for scale in (torch.inf, torch.nan):
        balancer.gradient(losses(x := audio(), scale), x, keep_graph=False)
        assert balancer.state()["a"] == before["a"]
