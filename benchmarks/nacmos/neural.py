"""Our own neural codec, whole, and with its codes or its decoder disturbed.

A decoder whose weights were shaken is another, worse codec of the same kind, as one that was
trained less: it keeps such a network from taking what no codec it knows does for clean speech.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from benchmarks.nacmos.coders import like
from nacbench.alignment import align
from nacbench.core import Clip

MODEL = "speech-16k"
Rng = np.random.Generator


def reference(clip: Clip, rng: Rng) -> tuple[str, str, Clip]:
    """The reference codec at any number of codebooks; two draws of three disturbed."""
    import torch

    model, weights = _model()
    books = 1 + int(len(model.config.codebook_sizes) * rng.beta(1, 1.5))
    kind = ("whole", "codes", "decoder")[int(rng.integers(3))]
    strength = float(rng.beta(1, 1.5))
    label = f"reference {books}"
    audio = torch.from_numpy(np.pad(clip.samples, ((0, 0), (0, 640))))[None]
    try:
        with torch.no_grad():
            codes, scale = model.encode(audio, books)
            if kind == "codes":
                size = min(model.config.codebook_sizes)
                wrong = torch.from_numpy(rng.random(codes.shape) < 0.3 * strength)
                drawn = torch.from_numpy(rng.integers(size, size=codes.shape))
                codes = torch.where(wrong, drawn.to(codes.dtype), codes)
                label += f", {30 * strength:.0f} % of the codes wrong"
            if kind == "decoder":
                label += f", decoder shaken by {0.4 * strength:.2f}"
                for name, tensor in model.named_parameters():
                    if name.startswith("decoder") and tensor.dim() > 1:
                        shake = rng.standard_normal(tensor.shape, np.float32)
                        tensor.add_(torch.from_numpy(shake) * tensor.std() * 0.4 * strength)
            decoded = model.decode(codes, scale)[0, :, : clip.length]
    finally:
        if kind == "decoder":
            model.load_state_dict(weights)
    samples = np.ascontiguousarray(decoded.numpy(), np.float32)
    return "reference", label, align(clip, like(clip, samples))[0]


@functools.cache
def _model() -> tuple[Any, Any]:
    from reference_codec import checkpoint
    from reference_codec.checkpoints import shipped

    model = checkpoint.load(shipped()[MODEL]).eval()
    return model, {name: tensor.clone() for name, tensor in model.state_dict().items()}
