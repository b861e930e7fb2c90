"""`NeuralCodec`: encoder, quantizer and decoder joined. Audio to integer codes and back.

It knows no bytes; the bitstream knows no tensors.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, parametrize

from reference_codec import dac, hifigan, quantizers, seanet, spectral
from reference_codec.config import CodecConfig, DACConfig, SEANetConfig, SpectralConfig
from reference_codec.factorised_vq import FactorisedVQ
from reference_codec.layers import State, Stream
from reference_codec.quantizers import Quantized
from reference_codec.residual_vq import ResidualVQ

# Causal models code long pieces as streams of tiles whose widest layers stay in the processor's
# cache: the same codes, faster, in memory that does not grow.
TILE_SAMPLES = 24_000

# Level below which a segment is not divided by its level; as in EnCodec.
QUIETEST = 1e-8

# Training state of the codebooks; no part of what a finished model is.
TRAINING_STATE = (".counts", ".sums", ".updates")


class NeuralCodec(nn.Module):
    """A model built from a config, with whatever weights it is then given.

    Audio is `[batch, channels, time]`, float, full scale ±1, at `config.sample_rate_hz`. Codes
    are int64 `[batch, codebooks, frames]`, each below its codebook's size.
    """

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder: nn.Module
        self.decoder: nn.Module
        network, channels = config.network, config.channels
        if isinstance(network, SEANetConfig):
            self.encoder = seanet.Encoder(network, channels)
            self.decoder = seanet.Decoder(network, channels)
        elif isinstance(network, DACConfig):
            self.encoder = dac.Encoder(network, channels)
            self.decoder = dac.Decoder(network, channels)
        elif isinstance(network, SpectralConfig):
            self.encoder = spectral.Encoder(network, channels)
            self.decoder = spectral.Decoder(network, channels)
        else:
            self.encoder = hifigan.Encoder(network, channels)
            self.decoder = hifigan.Decoder(network, channels)
        self.quantizer = quantizers.build(config.quantizer, network.latent_dim)

    @classmethod
    def untrained(cls, config: CodecConfig, seed: int = 0) -> NeuralCodec:
        """Random weights that let signals through: see `initialise_`."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = cls(config)
            model.initialise_()
            if isinstance(model.quantizer, ResidualVQ):
                # Ever finer entries, for ever smaller residuals.
                for level, codebook in enumerate(model.quantizer.codebooks):
                    codebook.vectors.normal_(std=0.7 * 0.8**level)
                    codebook.sums.copy_(codebook.vectors)
                    codebook.refresh()
        return model.eval()

    def initialise_(self) -> None:
        """Random weights to start training from: variance-preserving; DAC's as published."""
        for part in (self.encoder, self.decoder):
            if isinstance(part, seanet.Encoder | seanet.Decoder):
                seanet.initialise_(part)
            elif isinstance(part, hifigan.Encoder | hifigan.Decoder):
                hifigan.initialise_(part)
            elif isinstance(part, spectral.Encoder | spectral.Decoder):
                spectral.initialise_(part)
            else:
                dac.initialise_(part)
        if isinstance(self.quantizer, FactorisedVQ):
            dac.initialise_(self.quantizer)

    def forward(
        self, audio: Tensor, n_codebooks: int | Tensor | None = None
    ) -> tuple[Tensor, Quantized]:
        """Decoded audio of the same shape and what the quantizer did, for training.

        Segments and normalisation belong to whole clips (`encode`); training feeds one segment.
        """
        length, delay = audio.shape[-1], self.config.delay_length
        audio, scale = self._normalised(F.pad(audio, (0, delay)))
        quantized = self.quantizer(self._latents(audio), n_codebooks)
        decoded = self._audio(quantized.latents)[..., delay : delay + length]
        return (decoded if scale is None else decoded * scale), quantized

    @torch.inference_mode()
    def encode(self, audio: Tensor, n_codebooks: int | None = None) -> tuple[Tensor, Tensor | None]:
        """Codes of whole clips.

        Args:
            audio: `[batch, channels, time]`, at least one sample.
            n_codebooks: how many to use; all by default. `config.codebooks_at(kbps)` knows.
        Returns:
            codes `[batch, n_codebooks, config.frames(time)]`, the segments one after the other;
            scales `[batch, segments]`, the level of each segment, or None without normalisation.
        """
        codes, scales = [], []
        for start, stop in self.config.segments(audio.shape[-1]):
            segment, scale = self.encode_segment(audio[..., start:stop], n_codebooks)
            codes.append(segment)
            if scale is not None:
                scales.append(scale)
        return torch.cat(codes, 2), torch.stack(scales, 1) if scales else None

    @torch.inference_mode()
    def encode_segment(
        self, audio: Tensor, n_codebooks: int | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Codes of one segment and its level `[batch]`, None without normalisation."""
        audio, scale = self._normalised(audio)
        if self.config.network.causal:
            audio = F.pad(audio, (0, self.config.delay_length))
            codes, _ = self.encode_step(audio, (), n_codebooks, last=True)
        else:
            codes = self.quantizer.encode(self._latents(audio), n_codebooks)
        return codes, None if scale is None else scale[:, 0, 0]

    @torch.inference_mode()
    def decode(
        self, codes: Tensor, scales: Tensor | None = None, length: int | None = None
    ) -> Tensor:
        """Audio of whole clips.

        Args:
            codes, scales: as `encode` returns them; codes of fewer codebooks decode coarser.
            length: samples to return; by default whole frames. Where the model works in segments
                it also says how the codes fall into segments, and must be given.
        Raises:
            ValueError: the frames are not those of a clip of `length` samples.
        """
        config = self.config
        if length is None:
            if config.segment_length is not None:
                raise ValueError(f"{config.name} works in segments: decode needs the length")
            length = codes.shape[2] * config.hop_length - config.delay_length
        if config.frames(length) != codes.shape[2]:
            raise ValueError(
                f"{codes.shape[2]} frames of codes; {length} samples have {config.frames(length)}"
            )
        segments, first = [], 0
        for index, (start, stop) in enumerate(config.segments(length)):
            frames = -(-(stop - start + config.delay_length) // config.hop_length)
            scale = None if scales is None else scales[:, index]
            segments.append(self.decode_segment(codes[:, :, first : first + frames], scale))
            first += frames
        return cross_fade(segments, config.segment_stride or 0)[..., :length]

    @torch.inference_mode()
    def decode_segment(self, codes: Tensor, scale: Tensor | None = None) -> Tensor:
        """Audio of one segment, whole frames, at the level `[batch]` that it had."""
        if self.config.network.causal:
            audio, _ = self.decode_step(codes)
            audio = audio[..., self.config.delay_length :]
        else:
            audio = self._audio(self.quantizer.decode(codes))
        return audio if scale is None else audio * scale[:, None, None]

    @torch.inference_mode()
    def encode_step(
        self, audio: Tensor, state: State = (), n_codebooks: int | None = None, last: bool = False
    ) -> tuple[Tensor, State]:
        """The next frames of a causal model's stream.

        Args:
            audio: whole hops, `[batch, channels, n · hop_length]`; any length when `last`. The
                first piece of a model with reflection padding has `start_frames` hops or more.
            state: what the previous step returned; `()` for the first.
        Returns:
            codes `[batch, n_codebooks, n]`, equal to those of the whole clip, and the state.
        """
        tiles = torch.split(audio, self._tile_frames * self.config.hop_length, 2)
        codes = []
        for tile in tiles:
            stream = Stream(state, last and tile is tiles[-1])
            latents = self.encoder(tile, stream)
            codes.append(self.quantizer.encode(latents, n_codebooks))
            state = stream.state
        return torch.cat(codes, 2), state

    @torch.inference_mode()
    def decode_step(self, codes: Tensor, state: State = ()) -> tuple[Tensor, State]:
        """Audio of the next frames of a causal model's stream, `n · hop_length` samples."""
        audio = []
        for tile in torch.split(codes, self._tile_frames, 2):
            stream = Stream(state)
            audio.append(self.decoder(self.quantizer.decode(tile), stream))
            state = stream.state
        return torch.cat(audio, 2), state

    @property
    def _tile_frames(self) -> int:
        return max(self.start_frames, TILE_SAMPLES // self.config.hop_length)

    @property
    def start_frames(self) -> int:
        """Frames that the first step of a stream needs at least."""
        network = self.config.network
        return seanet.start_frames(network) if isinstance(network, SEANetConfig) else 1

    def _normalised(self, audio: Tensor) -> tuple[Tensor, Tensor | None]:
        """Audio over its level, the root mean square of its channels' mean `[batch, 1, 1]`."""
        if not self.config.normalise:
            return audio, None
        scale = audio.mean(1, keepdim=True).square().mean(2, keepdim=True).sqrt() + QUIETEST
        return audio / scale, scale

    def _latents(self, audio: Tensor) -> Tensor:
        if not isinstance(self.config.network, SEANetConfig):
            # SEANet completes the last step layer by layer; the others begin with whole hops.
            audio = F.pad(audio, (0, -audio.shape[-1] % self.config.hop_length))
        latents: Tensor = self.encoder(audio)
        return latents

    def _audio(self, latents: Tensor) -> Tensor:
        audio: Tensor = self.decoder(latents)
        missing = latents.shape[-1] * self.config.hop_length - audio.shape[-1]
        return F.pad(audio, (0, missing)) if missing else audio

    def apply_weight_norm(self) -> NeuralCodec:
        """Split the convolutions' weights into direction and length, as most papers train them."""
        for layer in self._convolutions():
            parametrizations.weight_norm(layer)
        return self

    def fold_weight_norm(self) -> NeuralCodec:
        """Plain weights again, with the same output: faster, and what checkpoints hold."""
        for layer in self._convolutions():
            if parametrize.is_parametrized(layer, "weight"):
                parametrize.remove_parametrizations(layer, "weight")
        return self

    def _convolutions(self) -> list[nn.Module]:
        parts = [self.encoder, self.decoder]
        if isinstance(self.quantizer, FactorisedVQ):
            parts.append(self.quantizer)
        kinds = (nn.Conv1d, nn.ConvTranspose1d)
        return [layer for part in parts for layer in part.modules() if isinstance(layer, kinds)]

    def weights(self) -> dict[str, Tensor]:
        """What decides this model's output, by name: no weight norm, no training state."""
        assert not any(parametrize.is_parametrized(layer) for layer in self._convolutions()), (
            "fold_weight_norm() first"
        )
        return {
            name: tensor.detach().contiguous()
            for name, tensor in self.state_dict().items()
            if not name.endswith(TRAINING_STATE)
        }


def cross_fade(segments: list[Tensor], stride: int) -> Tensor:
    """Segments `stride` samples apart, overlaps weighted by triangles as long as a segment.

    Source: EnCodec's overlap-add, arXiv:2210.13438, §3.1.
    """
    if len(segments) == 1:
        return segments[0]
    longest = segments[0].shape[-1]
    ramp = torch.linspace(0, 1, longest + 2, device=segments[0].device)[1:-1]
    triangle = 0.5 - (ramp - 0.5).abs()
    total = stride * (len(segments) - 1) + segments[-1].shape[-1]
    mixed = segments[0].new_zeros(*segments[0].shape[:-1], total)
    weight = triangle.new_zeros(total)
    for index, segment in enumerate(segments):
        start, stop = index * stride, index * stride + segment.shape[-1]
        mixed[..., start:stop] += triangle[: stop - start] * segment
        weight[start:stop] += triangle[: stop - start]
    return mixed / weight


def weights_sha256(model: NeuralCodec) -> str:
    """Hash over names, shapes and values of a model's weights, in hexadecimal."""
    return tensors_sha256(model.weights())


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.cpu().numpy().tobytes())
    return digest.hexdigest()
