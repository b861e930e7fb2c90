"""What a codec is made of, as frozen values: written into checkpoints, read without torch.

A `CodecConfig` joins one network with one quantizer. `presets.py` names the published ones.
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import Any, Literal

from reference_codec.errors import UserError

Norm = Literal["weight", "time_group", "none"]
Padding = Literal["reflect", "zero"]


@dataclass(frozen=True)
class SEANetConfig:
    """EnCodec's encoder and decoder. Source: Défossez et al., arXiv:2210.13438, §3.1, figure 1.

    Attributes:
        latent_dim: channels of the latent, D.
        width: channels after the first convolution, C; doubled by every stage.
        strides: of the encoder's stages; the decoder runs them backwards.
        dilations: for each stage of either network as it runs, one per residual unit.
        compress: the residual branch has width ÷ compress channels.
        conv_shortcut: a 1×1 convolution beside the residual branch instead of the identity.
        causal: every convolution looks back only, so that the codec can stream.
        padding: what stands before the first sample. Reflection looks ahead while a stream
            starts (see `streaming.py`); zeros do not.
        norm: what the convolutions are trained with. Weight norm is folded into the weights of
            a finished model; time-group norm (one group over channels and time) stays.
    """

    latent_dim: int = 128
    width: int = 32
    strides: tuple[int, ...] = (2, 4, 5, 8)
    dilations: tuple[tuple[int, ...], ...] = ((1,), (1,), (1,), (1,))
    kernel: int = 7
    last_kernel: int = 7
    residual_kernel: int = 3
    compress: int = 2
    lstm_layers: int = 2
    conv_shortcut: bool = True
    causal: bool = True
    padding: Padding = "reflect"
    norm: Norm = "weight"

    def __post_init__(self) -> None:
        _freeze(self, "strides")
        object.__setattr__(self, "dilations", tuple(tuple(stage) for stage in self.dilations))
        if len(self.dilations) != len(self.strides):
            raise UserError(
                f"SEANetConfig: {len(self.dilations)} entries in dilations for "
                f"{len(self.strides)} strides. Give one tuple of dilations per stride."
            )
        if self.causal and self.norm == "time_group":
            raise UserError(
                "SEANetConfig: time-group norm sees the whole clip, a causal model must not. "
                "Use norm='weight', or causal=False."
            )


@dataclass(frozen=True)
class DACConfig:
    """The Descript Audio Codec's networks. Source: Kumar et al., arXiv:2306.06546, §3.1.

    Attributes:
        encoder_width: channels after the encoder's first convolution; doubled by every stage.
        decoder_width: channels before the decoder's first stage; halved by every stage.
    """

    encoder_width: int = 64
    decoder_width: int = 1536
    strides: tuple[int, ...] = (2, 4, 8, 8)

    causal = False

    def __post_init__(self) -> None:
        _freeze(self, "strides")

    @property
    def latent_dim(self) -> int:
        return int(self.encoder_width * 2 ** len(self.strides))


@dataclass(frozen=True)
class HiFiGANConfig:
    """HiFi-GAN's generator and its mirror image. Source: Kong et al., arXiv:2010.05646 (decoder);
    Casanova et al., arXiv:2409.12117, §2.1 (encoder).

    Attributes:
        kernels: of the parallel residual branches, whose outputs are averaged.
        encoder_dilations, decoder_dilations: of the units within each branch.
        encoder_padding: what continues the signal at its ends, "reflect" or "replicate".
        causal_decoder: as NVIDIA's nano codecs have it: zeros before the signal and no look ahead,
            half of the channels through a snake, each channel brought to the next rate on its own,
            and samples clipped at full scale.
    """

    latent_dim: int = 32
    encoder_width: int = 48
    decoder_width: int = 1024
    strides: tuple[int, ...] = (2, 2, 4, 8, 8)
    kernels: tuple[int, ...] = (3, 7, 11)
    encoder_dilations: tuple[int, ...] = (1,)
    decoder_dilations: tuple[int, ...] = (1, 3, 5)
    encoder_padding: str = "reflect"
    causal_decoder: bool = False

    causal = False  # as a whole: the encoder looks ahead

    def __post_init__(self) -> None:
        _freeze(self, "strides", "kernels", "encoder_dilations", "decoder_dilations")


@dataclass(frozen=True)
class SpectralConfig:
    """Networks at the frame rate between windowed spectra. Source: Siuzdak, arXiv:2306.00814.

    Attributes:
        hop: samples per frame; windows are two hops long.
        width: channels of the blocks; each widens them `expansion` times inside.
        kernel: of the blocks' depthwise convolutions, in frames.
        delay_hops: how late the decoder gives its audio; the codec takes the delay out again.
    """

    latent_dim: int = 64
    width: int = 256
    hop: int = 320
    encoder_blocks: int = 4
    decoder_blocks: int = 6
    expansion: int = 3
    kernel: int = 7
    delay_hops: int = 1

    causal = True

    @property
    def strides(self) -> tuple[int, ...]:
        return (self.hop,)


@dataclass(frozen=True)
class ResidualVQConfig:
    """Residual vector quantizer with codebooks that follow a moving average (SoundStream)."""

    n_codebooks: int = 32
    codebook_size: int = 1024

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        return (self.codebook_size,) * self.n_codebooks


@dataclass(frozen=True)
class FactorisedVQConfig:
    """Residual quantizer of DAC: lookup of L2-normalised vectors in `codebook_dim` dimensions."""

    n_codebooks: int = 9
    codebook_size: int = 1024
    codebook_dim: int = 8

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        return (self.codebook_size,) * self.n_codebooks


@dataclass(frozen=True)
class GroupedFSQConfig:
    """`n_groups` finite scalar quantizers side by side; each codes `len(levels)` channels."""

    n_groups: int = 8
    levels: tuple[int, ...] = (8, 7, 6, 6)

    def __post_init__(self) -> None:
        _freeze(self, "levels")

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        return (math.prod(self.levels),) * self.n_groups


NetworkConfig = SEANetConfig | DACConfig | HiFiGANConfig | SpectralConfig
QuantizerConfig = ResidualVQConfig | FactorisedVQConfig | GroupedFSQConfig
KINDS: dict[str, type[Any]] = {
    "seanet": SEANetConfig,
    "dac": DACConfig,
    "hifigan": HiFiGANConfig,
    "spectral": SpectralConfig,
    "residual_vq": ResidualVQConfig,
    "factorised_vq": FactorisedVQConfig,
    "grouped_fsq": GroupedFSQConfig,
}


@dataclass(frozen=True)
class CodecConfig:
    """One codec: a network, a quantizer, and the audio they are for.

    Attributes:
        name: model id, as in `presets.PRESETS` or as a checkpoint calls itself.
        kbps: operating points worth offering, ascending.
        segment_s: the model codes segments of this length, each on its own; None: whole clips.
        overlap: share of a segment that the next one repeats; they are cross-faded.
        normalise: each segment is divided by its level, which the decoder needs (`scales`).
        source: the paper or repository that defines the hyper-parameters.
    """

    name: str
    sample_rate_hz: int
    channels: int
    network: NetworkConfig
    quantizer: QuantizerConfig
    kbps: tuple[float, ...]
    segment_s: float | None = None
    overlap: float = 0.0
    normalise: bool = False
    source: str = ""

    def __post_init__(self) -> None:
        _freeze(self, "kbps")

    @property
    def hop_length(self) -> int:
        """Samples per frame of codes."""
        return math.prod(self.network.strides)

    @property
    def delay_length(self) -> int:
        """Samples by which the networks' output lags; coding whole clips takes them out."""
        network = self.network
        return network.delay_hops * network.hop if isinstance(network, SpectralConfig) else 0

    @property
    def frame_rate_hz(self) -> float:
        return self.sample_rate_hz / self.hop_length

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        return self.quantizer.codebook_sizes

    @property
    def n_codebooks(self) -> int:
        return len(self.codebook_sizes)

    @property
    def prefix_decodable(self) -> bool:
        """Whether the first codebooks alone decode to the same sound, only coarser."""
        return not isinstance(self.quantizer, GroupedFSQConfig)

    @property
    def segment_length(self) -> int | None:
        return None if self.segment_s is None else int(self.segment_s * self.sample_rate_hz)

    @property
    def segment_stride(self) -> int | None:
        """Samples from the start of one segment to the start of the next."""
        length = self.segment_length
        return None if length is None else max(1, int((1 - self.overlap) * length))

    def segments(self, length: int) -> list[tuple[int, int]]:
        """First and past-the-last sample of every segment of a clip; one segment without them."""
        if self.segment_length is None or self.segment_stride is None:
            return [(0, length)]
        starts = range(0, length, self.segment_stride)
        return [(start, min(start + self.segment_length, length)) for start in starts]

    def frames(self, length: int) -> int:
        """Frames of codes for a clip of `length` samples, over all its segments."""
        delay = self.delay_length
        segments = self.segments(length)
        return sum(-(-(stop - start + delay) // self.hop_length) for start, stop in segments)

    def nominal_kbps(self, n_codebooks: int) -> float:
        """Bits of the packed codes per second of audio, in kbit/s."""
        bits = sum(math.log2(size) for size in self.codebook_sizes[:n_codebooks])
        return bits * self.frame_rate_hz / 1000

    def codebooks_at(self, kbps: float | None) -> int:
        """The most codebooks whose nominal rate stays within `kbps`; all of them for None.

        Raises:
            UserError: not even the lowest rate of this codec fits.
        """
        if kbps is None:
            return self.n_codebooks
        fewest = 1 if self.prefix_decodable else self.n_codebooks
        fitting = [
            n
            for n in range(fewest, self.n_codebooks + 1)
            # Presets round their names ("1.89 kbps" is 1.891); half a percent is no wrong rate.
            if self.nominal_kbps(n) <= kbps * 1.005
        ]
        if not fitting:
            raise UserError(
                f"model '{self.name}': {kbps:g} kbps is below its lowest rate. "
                f"Ask for {self.nominal_kbps(fewest):.3g} kbps or more."
            )
        return fitting[-1]

    def to_json(self) -> str:
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        for part in ("network", "quantizer"):
            kind = next(kind for kind, known in KINDS.items() if isinstance(fields[part], known))
            fields[part] = {"kind": kind, **dataclasses.asdict(fields[part])}
        return json.dumps(fields, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> CodecConfig:
        """The config that `to_json` wrote.

        Raises:
            UserError: not such a text, or one of a newer version with fields unknown here.
        """
        try:
            fields = json.loads(text)
            for part in ("network", "quantizer"):
                values = dict(fields[part])
                fields[part] = KINDS[values.pop("kind")](**values)
            return cls(**fields)
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"model config: not readable ({type(error).__name__}: {error}). "
                "Expected what CodecConfig.to_json writes; is the file from a newer version?"
            ) from error


def _freeze(config: Any, *names: str) -> None:
    """JSON gives lists; equality and hashing need tuples."""
    for name in names:
        object.__setattr__(config, name, tuple(getattr(config, name)))
