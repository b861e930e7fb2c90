"""Where two sets of codes differ, and whether more than rounding decided it."""

import torch
from torch import Tensor
from torch.nn import functional as F

from reference_codec.factorised_vq import FactorisedVQ
from reference_codec.neural_codec import NeuralCodec
from reference_codec.residual_vq import ResidualVQ

# Two entries whose squared distances to a vector differ by less are a tie: float32 sums in
# another order may decide it either way.
TIE = 1e-5


@torch.no_grad()
def untied(model: NeuralCodec, audio: Tensor, ours: Tensor, theirs: Tensor) -> list[str]:
    """Frames in which a code differs although its two candidates do not tie.

    What follows the first different code of a frame codes another residual and may differ freely.
    """
    assert ours.shape == theirs.shape
    if torch.equal(ours, theirs):
        return []
    assert model.config.segment_length is None
    latents = model._latents(audio)
    different = (ours != theirs).any(1).nonzero().tolist()
    found = []
    for clip, frame in different:
        a, b = ours[clip, :, frame], theirs[clip, :, frame]
        level = int((a != b).nonzero()[0])
        gap = _gap(model, latents[clip, :, frame], a[:level], int(a[level]), int(b[level]))
        if gap >= TIE:
            found.append(f"clip {clip}, frame {frame}, level {level}: {gap:.1e} apart")
    return found


def _gap(model: NeuralCodec, latent: Tensor, before: Tensor, a: int, b: int) -> float:
    """Difference of two entries' squared distances to what is left of a latent, relative to 1
    or to the distance itself where that is larger."""
    quantizer, level = model.quantizer, len(before)
    residual = latent[None, :, None]
    if level:
        residual = residual - quantizer.decode(before[None, :, None])
    if isinstance(quantizer, ResidualVQ):
        vector, entries = residual[0, :, 0], quantizer.codebooks[level].vectors
    else:
        assert isinstance(quantizer, FactorisedVQ)
        book = quantizer.codebooks[level]
        vector = F.normalize(book.narrow(residual)[0, :, 0].double(), dim=0)
        entries = F.normalize(book.vectors.double())
    near = (entries[[a, b]].double() - vector.double()).square().sum(1)
    return float((near[0] - near[1]).abs() / near.max().clamp(min=1))
