"""One step of training: what moves the generator, its codebooks and the discriminators.

The discriminators judge the reference once and the decoded audio once in a step. Both serve both
sides of the game: the gradient to the audio moves the generator, the one to the weights moves the
discriminators, as they were before this step. The usual loop runs them four times.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from reference_codec.config import ResidualVQConfig, SEANetConfig, SpectralConfig
from reference_codec.neural_codec import TRAINING_STATE, NeuralCodec
from reference_codec.quantizers import drop_codebooks
from reference_codec.residual_vq import ResidualVQ
from reference_codec.training import distributed, losses
from reference_codec.training.adversarial import (
    Judgement,
    discriminator_loss,
    feature_matching,
    generator_loss,
)
from reference_codec.training.balancer import Balancer
from reference_codec.training.discriminators import Jury, build
from reference_codec.training.optimisation import (
    Optimiser,
    WeightAverage,
    rate_share,
    with_prefix,
    without_prefix,
)
from reference_codec.training.recipe import Recipe


class CodecStep:
    """Generator, discriminators, their optimisers, and the step that moves them.

    Args:
        initial: a model of the recipe's config to continue from; random weights without it.
    """

    def __init__(
        self, recipe: Recipe, device: torch.device, initial: NeuralCodec | None = None
    ) -> None:
        self.recipe, self._device = recipe, device
        config = recipe.config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            self.model = NeuralCodec(config)
            if initial is None:
                self.model.initialise_()
            else:
                self.model.load_state_dict(initial.weights(), strict=False)
                _continue_codebooks(self.model)
            if isinstance(self.model.quantizer, ResidualVQ):
                for codebook in self.model.quantizer.codebooks:
                    codebook.decay = recipe.codebook_decay
            if weight_normed(config.network):
                self.model.apply_weight_norm()
            options = recipe.adversarial
            self.jury: Jury | None = None
            if options.discriminators:
                self.jury = build(options.discriminators, config.channels, config.sample_rate_hz)
                self.jury.to(device).train()
        self.model.to(device).train()
        distributed.same_everywhere(self.model.state_dict().values())
        if recipe.compile:
            self.model.encoder.compile()
            self.model.decoder.compile()
        optimiser = recipe.optimiser
        self._optimiser = Optimiser(self.model, optimiser, optimiser.learning_rate)
        self._jury_optimiser: Optimiser | None = None
        if self.jury is not None:
            self._jury_optimiser = Optimiser(self.jury, optimiser, options.learning_rate)
        self.average = WeightAverage(self.model, optimiser.ema_decay, TRAINING_STATE)
        self._weights = recipe.losses.model_dump()
        self._balancer = Balancer(self._weights) if self._weights["balancer"] else None

    def __call__(self, audio: Tensor, step: int) -> tuple[dict[str, float], bool]:
        """Train on one batch.

        Args:
            audio: `[batch, channels, time]`, float32, this process's share.
            step: number of the step, from 0; with the seed it decides every draw.
        Returns:
            losses, unweighted, and whether the step counted: where anything is not finite, in any
            process, no weight moves.
        """
        audio = audio.to(self._device)
        with self._precision():
            decoded, quantized = self.model(audio, self._codebooks(len(audio), step))
        leaf = decoded.detach().float().requires_grad_()
        on_audio = self._reconstruction(audio, leaf)
        options, game = self.recipe.adversarial, None
        if self.jury is not None and step >= options.start_step:
            jury_moves = (step - options.start_step) % options.every_n_steps == 0
            game = self._judged(audio, leaf, jury_moves)
            if self._weights["adversarial"]:
                on_audio["adversarial"] = generator_loss(game[1], options.kind)
            if self._weights["feature_matching"]:
                on_audio["feature_matching"] = feature_matching(*game)
        moves = game is not None and jury_moves
        gradient = self._gradient(on_audio, leaf, keep_graph=moves)
        on_codes = {
            "commitment": quantized.commitment_loss,
            "codebook": quantized.codebook_loss,
        }
        self._backward(decoded, gradient, on_codes)
        values = {**on_audio, **{name: loss for name, loss in on_codes.items() if loss.grad_fn}}
        norms = {"gradient_norm": self._optimiser.clipped_norm()}
        if moves:
            assert self._jury_optimiser is not None and game is not None
            values["discriminator"] = loss = discriminator_loss(*game, options.kind)
            parameters = self._jury_optimiser.parameters
            loss.backward(inputs=parameters)  # type: ignore[no-untyped-call]
            distributed.average_gradients(parameters)
            norms["discriminator_norm"] = self._jury_optimiser.clipped_norm()
        return self._finished({**values, **norms}, moves, step)

    def _finished(
        self, values: Mapping[str, Tensor], jury_moves: bool, step: int
    ) -> tuple[dict[str, float], bool]:
        """Move the weights, if everything is finite."""
        scalars = torch.stack([value.detach().float() for value in values.values()])
        counts = not distributed.any_of(not bool(scalars.isfinite().all()), self._device)
        share = rate_share(self.recipe.optimiser, step, self.recipe.steps)
        if counts:
            self._optimiser.step(share)
            if jury_moves and self._jury_optimiser is not None:
                self._jury_optimiser.step(share)
            self.average.update()
        self._optimiser.forget_gradients()
        if self._jury_optimiser is not None:
            self._jury_optimiser.forget_gradients()
        numbers = dict(zip(values, distributed.mean(scalars).tolist(), strict=True))
        return {**numbers, "learning_rate": self.recipe.optimiser.learning_rate * share}, counts

    def _codebooks(self, batch: int, step: int) -> Tensor:
        """Quantizer dropout: how many codebooks each clip has. One draw for all processes."""
        generator = torch.Generator().manual_seed(self.recipe.seed * 1_000_003 + step)
        world, rank = distributed.world_size(), distributed.rank()
        share = self.recipe.quantizer_dropout if self.model.config.prefix_decodable else 0.0
        counts = drop_codebooks(batch * world, self.model.config.n_codebooks, share, generator)
        return counts[rank * batch : (rank + 1) * batch]

    def _reconstruction(self, audio: Tensor, decoded: Tensor) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        reference, coded = losses.Spectra(audio), losses.Spectra(decoded)
        rate = self.model.config.sample_rate_hz
        if self._weights["mel"]:
            found["mel"] = losses.multi_scale_mel(reference, coded, rate)
        if self._weights["stft"]:
            found["stft"] = losses.multi_scale_stft(reference, coded)
        if self._weights["band_envelopes"]:
            found["band_envelopes"] = losses.band_envelopes(reference, coded, rate)
        if self._weights["compressed_complex"]:
            found["compressed_complex"] = losses.compressed_complex(reference, coded)
        if self._weights["waveform"]:
            found["waveform"] = losses.waveform_l1(audio, decoded)
        return found

    def _judged(
        self, audio: Tensor, decoded: Tensor, jury_moves: bool
    ) -> tuple[list[Judgement], list[Judgement]]:
        assert self.jury is not None
        with self._precision():
            with torch.set_grad_enabled(jury_moves):
                reference = self.jury(audio)
            return reference, self.jury(decoded)

    def _gradient(self, found: Mapping[str, Tensor], audio: Tensor, keep_graph: bool) -> Tensor:
        """Of all losses on the audio, weighted or balanced; none reaches the discriminators."""
        if self._balancer is not None:
            return self._balancer.gradient(found, audio, keep_graph)
        total = torch.stack([self._weights[name] * loss for name, loss in found.items()]).sum()
        (gradient,) = torch.autograd.grad(total, audio, retain_graph=keep_graph)
        return gradient

    def _backward(self, decoded: Tensor, gradient: Tensor, on_codes: Mapping[str, Tensor]) -> None:
        """From the audio and the codes down to the weights, in one pass."""
        outputs, gradients = [decoded], [gradient.to(decoded.dtype)]
        for name, loss in on_codes.items():
            if loss.grad_fn is not None and self._weights[name]:
                outputs.append(loss)
                gradients.append(torch.full_like(loss, self._weights[name]))
        torch.autograd.backward(outputs, gradients)
        distributed.average_gradients(self._optimiser.parameters)

    def _precision(self) -> AbstractContextManager[Any]:
        if self.recipe.precision == "float32":
            return nullcontext()
        return torch.autocast(self._device.type, torch.bfloat16)

    def codec(self) -> NeuralCodec:
        """The model with averaged weights, ready for use: on the CPU, weight norm folded."""
        model = NeuralCodec(self.model.config)
        if weight_normed(model.config.network):
            model.apply_weight_norm()
        model.load_state_dict(self.average.weights, strict=False)
        return model.fold_weight_norm().eval()

    def tensors(self) -> dict[str, Tensor]:
        """Everything that the next step depends on; see `state` for what is no tensor."""
        found = with_prefix("generator", self.model.state_dict())
        found |= with_prefix("average", self.average.weights)
        found |= with_prefix("optimiser", self._optimiser.state())
        if self.jury is not None and self._jury_optimiser is not None:
            found |= with_prefix("discriminators", self.jury.state_dict())
            found |= with_prefix("discriminator_optimiser", self._jury_optimiser.state())
        return found

    def state(self) -> dict[str, Any]:
        balancer = {} if self._balancer is None else self._balancer.state()
        return {"averaged": self.average.updates, "balancer": balancer}

    def restore(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        self.model.load_state_dict(without_prefix("generator", tensors))
        self.average.restore(without_prefix("average", tensors), state["averaged"])
        self._optimiser.restore(without_prefix("optimiser", tensors))
        discriminators = without_prefix("discriminators", tensors)
        if self.jury is not None and self._jury_optimiser is not None and discriminators:
            self.jury.load_state_dict(discriminators)
            self._jury_optimiser.restore(without_prefix("discriminator_optimiser", tensors))
        if self._balancer is not None:
            self._balancer.restore(state["balancer"])


def weight_normed(network: object) -> bool:
    """Whether the network's convolutions are trained with weight norm."""
    if isinstance(network, SEANetConfig):
        return network.norm == "weight"
    return not isinstance(network, SpectralConfig)


def _continue_codebooks(model: NeuralCodec) -> None:
    """Statistics for codebooks that come without them: every entry equally used."""
    if isinstance(model.config.quantizer, ResidualVQConfig):
        assert isinstance(model.quantizer, ResidualVQ)
        for codebook in model.quantizer.codebooks:
            codebook.counts.fill_(1)
            codebook.sums.copy_(codebook.vectors)
            codebook.updates.fill_(1)
