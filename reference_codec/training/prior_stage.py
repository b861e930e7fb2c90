"""The second stage: the neural prior learns the codes of the finished codec, which is frozen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors.numpy import save_file
from torch import Tensor

from reference_codec.neural_codec import NeuralCodec
from reference_codec.prior_training import PriorStep, TrainablePrior
from reference_codec.training import distributed
from reference_codec.training.batches import Batches
from reference_codec.training.recipe import Recipe


class PriorStage:
    """The prior, its optimiser and how far it is. `prior_training` says what a step does."""

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        self.recipe, self._device = recipe, device
        options, config = recipe.prior, recipe.config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            self.prior = TrainablePrior(
                config.n_codebooks,
                config.codebook_sizes[0],
                options.width,
                options.layers,
                config.network.latent_dim,
            ).to(device)
        distributed.same_everywhere(self.prior.state_dict().values())
        self._learn = PriorStep(self.prior, options.steps, options.learning_rate, recipe.seed)
        self.step = 0  # steps done

    def codes(self, codec: NeuralCodec, data: Batches) -> Iterator[Tensor]:
        """Codes of training crops, `[batch, frames, codebooks]`, from the next step on."""
        options, config = self.recipe.prior, self.recipe.config
        crops = data.resized(options.frames * config.hop_length, options.batch_size)
        codec = codec.to(self._device)
        self.prior.learn_from(entries(codec))
        for batch in crops.batches(self.step):
            codes, _ = codec.encode_segment(batch.audio.to(self._device))
            # Cloned, because no gradient may come near what inference mode made.
            yield codes[..., : options.frames].transpose(1, 2).clone()

    def __call__(self, codes: Tensor) -> dict[str, float]:
        """One step; losses by name."""
        bits = self._learn(codes, self.step)
        self.step += 1
        return {"prior_bits_per_code": bits}

    def export(self, path: Path) -> None:
        """The integer tables that `neural_prior.load_prior` reads."""
        save_file(self.prior.export(), path)

    def tensors(self) -> dict[str, Tensor]:
        """Everything that the next step depends on, but its number."""
        return {**self.prior.state_dict(), **self._learn.state()}

    def restore(self, tensors: Mapping[str, Tensor], step: int) -> None:
        if not tensors:  # the checkpoint is of a recipe without a prior
            return
        names = self.prior.state_dict().keys()
        self.prior.load_state_dict({name: tensors[name] for name in names})
        self._learn.restore({name: t for name, t in tensors.items() if name not in names})
        self.step = step


@torch.no_grad()
def entries(codec: NeuralCodec) -> Tensor:
    """What each code adds to the latents: `[codebooks, size, latent_dim]`, up to a constant.

    Found by exchanging one code after the other, so any quantizer with sums or groups will do.
    """
    size, n_codebooks = codec.config.codebook_sizes[0], codec.config.n_codebooks
    device, found = next(codec.parameters()).device, []
    for k in range(n_codebooks):
        codes = torch.zeros(size, n_codebooks, 1, dtype=torch.long)
        codes[:, k, 0] = torch.arange(size)
        found.append(codec.quantizer.decode(codes.to(device))[..., 0])
    return torch.stack(found)
