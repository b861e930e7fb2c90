"""What a run would take, before it takes it: parameters, operations, memory, hours of data.

Nothing is estimated by formula: one training step on one crop is run and watched.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from reference_codec.training.step import CodecStep

if TYPE_CHECKING:
    from reference_codec.training.data import TrainingData
    from reference_codec.training.recipe import Recipe


class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what `torch.utils.flop_counter` knows to count: convolutions and matrix products.

    Its own FlopCounterMode hooks into modules to name them, which a gradient to a module's input
    does not survive, and that is what a discriminator gives.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.total += formula(*args, **(kwargs or {}), out_val=out)
        return out


def describe(recipe: Recipe, data: TrainingData) -> Iterator[str]:
    """Lines of a table, `what   value`."""
    config = recipe.config
    seconds = recipe.segment / config.sample_rate_hz
    yield _line("recipe", recipe.name)
    yield _line(
        "codec",
        f"{config.sample_rate_hz} Hz, {config.channels} ch, {config.frame_rate_hz:.4g} frames/s, "
        f"{config.n_codebooks} codebooks, "
        f"{config.nominal_kbps(1 if config.prefix_decodable else config.n_codebooks):.3g} to "
        f"{config.nominal_kbps(config.n_codebooks):.3g} kbps",
    )
    with torch.random.fork_rng(devices=[]):
        step = CodecStep(recipe, torch.device("cpu"))
    model, jury = step.model, step.jury
    for part in ("encoder", "decoder"):
        yield _line(part, f"{_parameters(getattr(model, part)) / 1e6:.2f} M parameters")
    codebooks = sum(buffer.numel() for name, buffer in model.quantizer.named_buffers()
                    if name.endswith("vectors"))  # fmt: skip
    yield _line("quantizer", f"{(_parameters(model.quantizer) + codebooks) / 1e6:.2f} M values")
    if jury is not None:
        yield _line("discriminators", f"{_parameters(jury) / 1e6:.2f} M parameters")
    crop = torch.from_numpy(data.crops(0)[:1])
    forward = _forward_flops(model, crop)
    yield _line("coding", f"{forward / seconds / 1e9:.2f} GFLOP per second of audio")
    full = recipe.adversarial.start_step if jury is not None else 0
    flops, held = _watched_step(step, crop, full)
    yield _line("training", f"{flops / seconds / 1e9:.2f} GFLOP per second of audio")
    each = recipe.batch_size * flops
    yield _line(
        "", f"{each / 1e12:.3f} TFLOP per step, {each * recipe.steps / 1e15:.2f} PFLOP in all"
    )
    weights = _bytes(step.tensors().values())
    activations = held * recipe.batch_size
    yield _line(
        "memory",
        f"{(weights + activations) / 2**30:.2f} GiB: weights, averages and optimisers "
        f"{weights / 2**30:.2f}, activations {activations / 2**30:.2f}",
    )
    hours, validation = data.hours
    seen = recipe.steps * recipe.batch_size * data.world * seconds / 3600
    yield _line("data", f"{hours:.2f} h, and {validation:.2f} h held out")
    yield _line("audio seen", f"{seen:.1f} h, {seen / max(hours, 1e-9):.0f} times the data")
    for left in data.cache.left_out:
        yield _line("left out", f"{left.name}: {left.reason}")


def _forward_flops(model: nn.Module, crop: Tensor) -> int:
    model.eval()
    with torch.no_grad(), Operations() as operations:
        model(crop)
    model.train()
    return operations.total


def _watched_step(step: CodecStep, crop: Tensor, number: int) -> tuple[int, int]:
    """Operations of a step, and bytes that it holds for the way back, each stretch counted once."""
    stretches: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        stretches[storage.data_ptr()] = max(storage.nbytes(), stretches.get(storage.data_ptr(), 0))
        return tensor

    owned = {tensor.untyped_storage().data_ptr() for tensor in step.tensors().values()}
    operations = Operations()
    with saved_tensors_hooks(note, lambda tensor: tensor), operations:
        step(crop, number)
    held = sum(size for pointer, size in stretches.items() if pointer not in owned)
    return operations.total, held


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _bytes(tensors: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _line(what: str, value: str) -> str:
    return f"{what:<16}{value}"
