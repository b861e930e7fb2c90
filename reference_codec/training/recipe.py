"""What a training run is made of, as one frozen, typed value: the keys of a recipe file.

`recipe_file.py` reads one. docs/training.md explains the choices; a test holds its list of keys
against this file.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from reference_codec.config import CodecConfig
from reference_codec.training.model_changes import changed_config

Probability = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]


class Options(BaseModel):
    """Frozen; unknown keys, wrong types and numbers that are not finite are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Range(Options):
    """Drawn uniformly between `low` and `high`."""

    low: float
    high: float

    @model_validator(mode="after")
    def _ascends(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low is {self.low:g}, above high, {self.high:g}.")
        return self


class ModelChoice(Options):
    """A preset and what is changed in it."""

    preset: str
    sample_rate_hz: int | None = Field(default=None, ge=4000, le=192_000)
    channels: int | None = Field(default=None, ge=1, le=2)
    network: dict[str, JsonValue] = {}
    quantizer: dict[str, JsonValue] = {}
    kbps: tuple[Positive, ...] | None = None
    segment_s: float | None = Field(default=None, gt=0)


class DataOptions(Options):
    """Which recordings are used, and what of them."""

    where: dict[str, str | tuple[str, ...]] = Field(
        default={}, description="only manifest rows whose column has this value, or one of these"
    )
    speaker_column: str | None = Field(
        default=None, description="of the manifest; by default the first that begins with 'speaker'"
    )
    shortest_s: float = Field(default=0.5, gt=0, description="shorter files are left out")
    silent_below_db: float = Field(
        default=-60, le=0, description="dBFS; a file whose loudest 100 ms stay below is left out"
    )
    active_within_db: float = Field(
        default=40, gt=0, description="crops are drawn where 100 ms come this close to the loudest"
    )
    lowest_rate_hz: int = Field(default=0, ge=0, description="files of a lower rate are left out")
    balance: Literal["seconds", "speakers", "folders"] = Field(
        default="seconds",
        description="drawn with equal chances: `seconds`, `speakers`, or outermost `folders`",
    )
    dither_db: float = Field(
        default=-70, le=-40, description="dBFS of white noise in every crop; no digital silence"
    )
    validation_share: float = Field(default=0.04, ge=0, lt=1, description="of the speakers")
    noises: str | None = Field(default=None, description="folder or manifest; else synthetic")
    rooms: str | None = Field(
        default=None, description="folder or manifest of room impulse responses; else synthetic"
    )


class Level(Options):
    """A gain per crop."""

    probability: Probability = 0.0
    db: Range = Range(low=-12, high=6)


class Speed(Options):
    """Speed and pitch together, by resampling."""

    probability: Probability = 0.0
    factor: Range = Range(low=0.85, high=1.18)


class Equaliser(Options):
    """A smooth random magnitude response, zero phase."""

    probability: Probability = 0.0
    bands: int = Field(default=6, ge=2, le=32, description="random gains, evenly over octaves")
    db: float = Field(default=6, gt=0, le=30, description="largest gain or cut")


class Reverberation(Options):
    """A room response, recorded or synthetic, its direct sound at the crop's own time."""

    probability: Probability = 0.0
    rt60_s: Range = Range(low=0.15, high=0.8)
    wet_db: Range = Range(low=-18, high=-3)


class Noise(Options):
    """Recorded or coloured noise at a signal-to-noise ratio over the crop."""

    probability: Probability = 0.0
    snr_db: Range = Range(low=5, high=35)


class Mixing(Options):
    """Another crop, of another speaker where there is one, below the first."""

    probability: Probability = 0.0
    snr_db: Range = Range(low=0, high=20)


class BandLimit(Options):
    """A low-pass filter, as old recordings and telephones have."""

    probability: Probability = 0.0
    hz: Range = Range(low=3400, high=8000)


class Polarity(Options):
    """The sign of every sample."""

    probability: Probability = 0.0


class ChannelSwap(Options):
    """Left and right change places; of stereo codecs."""

    probability: Probability = 0.0


class AugmentOptions(Options):
    """What is done to crops, each on its own with its probability, in this order."""

    speed: Speed = Speed()
    mixing: Mixing = Mixing()
    reverberation: Reverberation = Reverberation()
    equaliser: Equaliser = Equaliser()
    noise: Noise = Noise()
    band_limit: BandLimit = BandLimit()
    level: Level = Level()
    polarity: Polarity = Polarity()
    channel_swap: ChannelSwap = ChannelSwap()


class LossOptions(Options):
    """Weights of the losses; zero leaves one out. With the balancer, shares of the gradient."""

    mel: Weight = Field(default=1.0, description="log-mel, several scales")
    stft: Weight = Field(default=0.0, description="magnitude STFT, several scales")
    band_envelopes: Weight = Field(default=0.0, description="levels of wide bands over time")
    compressed_complex: Weight = Field(default=0.0, description="complex STFT, power compressed")
    waveform: Weight = Field(default=0.1, description="L1")
    commitment: Weight = Field(default=1.0, description="encoder towards codebooks")
    codebook: Weight = Field(default=1.0, description="codebooks towards encoder; not with EMA")
    adversarial: Weight = Field(default=0.0, description="of the generator")
    feature_matching: Weight = Field(default=0.0, description="between discriminators' layers")
    balancer: bool = Field(default=False, description="EnCodec's; weights become shares")


class MSSTFT(Options):
    """EnCodec's multi-scale STFT discriminator."""

    kind: Literal["ms_stft"]
    n_ffts: tuple[int, ...] = Field(default=(2048, 1024, 512, 256, 128), min_length=1)
    channels: int = Field(default=32, ge=1)


class MultiPeriod(Options):
    """HiFi-GAN's multi-period discriminator."""

    kind: Literal["multi_period"]
    periods: tuple[int, ...] = Field(default=(2, 3, 5, 7, 11), min_length=1)
    channels: int = Field(default=32, ge=1)


class MultiScale(Options):
    """HiFi-GAN's multi-scale discriminator."""

    kind: Literal["multi_scale"]
    scales: int = Field(default=3, ge=1, le=8)
    channels: int = Field(default=128, ge=1)


class MultiBand(Options):
    """DAC's multi-band multi-scale complex STFT discriminator."""

    kind: Literal["multi_band"]
    n_ffts: tuple[int, ...] = Field(default=(2048, 1024, 512), min_length=1)
    bands: tuple[float, ...] = Field(
        default=(0.1, 0.25, 0.5, 0.75), description="edges between bands, share of Nyquist"
    )
    channels: int = Field(default=32, ge=1)


class SpeechModel(Options):
    """A small network over the hidden states of a frozen WavLM-like model."""

    kind: Literal["speech_model"]
    model: str = Field(
        default="microsoft/wavlm-base-plus", description="directory, or name on the hub"
    )
    channels: int = Field(default=64, ge=1)


Discriminator = Annotated[
    MSSTFT | MultiPeriod | MultiScale | MultiBand | SpeechModel, Field(discriminator="kind")
]


class AdversarialOptions(Options):
    """The discriminators and when they are trained; without any, there is no adversarial loss."""

    kind: Literal["hinge", "lsgan"] = Field(default="hinge", description="form of the game")
    discriminators: tuple[Discriminator, ...] = Field(default=(), description="see below")
    start_step: int = Field(default=0, ge=0, description="until then the generator alone")
    every_n_steps: int = Field(default=1, ge=1, description="discriminator step every so many")
    learning_rate: Positive = Field(default=3e-4, description="of the discriminators")


class OptimiserOptions(Options):
    """AdamW and what goes with it."""

    learning_rate: Positive = Field(default=3e-4, description="of the generator, at its highest")
    betas: tuple[Probability, Probability] = Field(default=(0.5, 0.9), description="of AdamW")
    weight_decay: Weight = Field(default=0.0, description="of AdamW")
    schedule: Literal["constant", "cosine", "exponential"] = Field(
        default="cosine", description="after warm-up: to zero, or to a hundredth"
    )
    warm_up_steps: int = Field(default=0, ge=0, description="linear, from zero")
    gradient_clip: float = Field(default=0.0, ge=0, description="norm; 0: none")
    ema_decay: float = Field(default=0.0, ge=0, lt=1, description="of the weights; 0: none")


class PriorOptions(Options):
    """The neural prior, trained on frozen codes at the end; 0 steps: none."""

    steps: int = Field(default=0, ge=0, description="0: no prior")
    batch_size: int = Field(default=8, ge=1, description="examples per step")
    frames: int = Field(default=128, ge=8, description="per example")
    width: int = Field(default=128, ge=8, le=512, description="activations per frame")
    layers: int = Field(default=6, ge=1, le=10, description="context of 2^layers frames")
    learning_rate: Positive = Field(default=1e-2, description="at its highest, one cycle")


class ValidationOptions(Options):
    """Scores of held-out clips while training, by the bench's own metrics."""

    every_n_steps: int = Field(default=0, ge=0, description="0: never")
    clips: int = Field(default=4, ge=1, description="by as many speakers as possible")
    seconds: float = Field(default=4, gt=0, le=60, description="of each clip at most")
    kbps: tuple[Positive, ...] = Field(default=(), description="empty: the highest rate only")
    metrics: tuple[str, ...] = Field(
        default=("si_sdr", "mel:dac"), description="recipe names of the bench"
    )


class Recipe(Options):
    """A whole training run; with the data and the machine it decides every weight."""

    name: Name = Field(description="of the run and of the codec")
    model: ModelChoice = Field(description="a preset and what is changed in it")
    seed: int = Field(default=0, ge=0, lt=2**32, description="of every draw")
    steps: int = Field(ge=1, description="of the codec; the prior has its own")
    batch_size: int = Field(ge=1, description="crops per step and process")
    segment_s: float = Field(gt=0, le=60, description="length of a crop, made whole hops")
    data: DataOptions = DataOptions()
    augment: AugmentOptions = AugmentOptions()
    losses: LossOptions = LossOptions()
    adversarial: AdversarialOptions = AdversarialOptions()
    optimiser: OptimiserOptions = OptimiserOptions()
    precision: Literal["float32", "bf16"] = Field(
        default="float32", description="bf16: autocast of the networks, losses in float32"
    )
    compile: bool = Field(default=False, description="torch.compile of encoder and decoder")
    quantizer_dropout: float = Field(
        default=0.5, ge=0, le=1, description="share of crops coded with fewer codebooks"
    )
    codebook_decay: float = Field(
        default=0.99, ge=0, lt=1, description="of the averages that EMA codebooks follow"
    )
    prior: PriorOptions = PriorOptions()
    validation: ValidationOptions = ValidationOptions()
    stored: Literal["float32", "float16"] = Field(
        default="float32", description="weights in the finished codec's file"
    )
    checkpoint_minutes: float = Field(default=5, gt=0, description="between checkpoints")
    max_nan_steps: int = Field(default=10, ge=1, description="in a row, until the run stops")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        problems = []
        adversarial = self.losses.adversarial or self.losses.feature_matching
        if adversarial and not self.adversarial.discriminators:
            problems.append(
                "losses.adversarial and losses.feature_matching need adversarial.discriminators."
            )
        if self.adversarial.discriminators and not adversarial:
            problems.append(
                "adversarial.discriminators teach nothing while losses.adversarial and "
                "losses.feature_matching are 0."
            )
        losses = self.losses
        spectral = losses.mel or losses.stft or losses.compressed_complex or losses.band_envelopes
        if not (spectral or losses.waveform or adversarial):
            problems.append("every loss on the audio has weight 0.")
        problems += self._model_problems()
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _model_problems(self) -> list[str]:
        _, problems = changed_config(self.name, self.model)
        return problems

    @property
    def config(self) -> CodecConfig:
        """The codec to train, under the recipe's name."""
        config, problems = changed_config(self.name, self.model)
        assert config is not None, problems
        return config

    @property
    def segment(self) -> int:
        """Samples of a crop: whole hops."""
        hop = self.config.hop_length
        return max(1, math.ceil(self.segment_s * self.config.sample_rate_hz / hop)) * hop

    def to_dict(self) -> dict[str, Any]:
        """Plain values that `recipe_file.from_mapping` takes back; for checkpoints and YAML."""
        return self.model_dump(mode="json")
