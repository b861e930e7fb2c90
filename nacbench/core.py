"""The nouns of the bench: Clip, Bitstream, Score and the Codec and Metric protocols.

Everything else imports this file and this file imports nothing of ours, so it is also the
whole contract that a third-party codec or metric has to know.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Clip:
    """A piece of audio. Immutable; compares by identity, so caches may key on the object.

    Attributes:
        samples: `[channels, time]` float32, full scale ±1, read-only. A 1-d array is taken as mono.
        sample_rate_hz: samples per second.
        id: name within its suite; unique there.
        tags: speaker, language, genre, licence, transcript, …

    Raises:
        ValueError: the array is not `[channels, time]`, or the rate is not positive.
    """

    samples: Samples
    sample_rate_hz: int
    id: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        samples = np.asarray(self.samples, dtype=np.float32)
        if samples.ndim == 1:
            samples = samples[np.newaxis]
        if samples.ndim != 2 or samples.shape[0] == 0:
            raise ValueError(f"samples must be [channels, time], got shape {samples.shape}")
        if self.sample_rate_hz <= 0:
            raise ValueError(f"sample_rate_hz must be positive, got {self.sample_rate_hz}")
        # A view would let the owner of the array change a clip that caches believe constant.
        if samples.flags.writeable:
            samples = samples.copy()
            samples.flags.writeable = False
        object.__setattr__(self, "samples", samples)
        object.__setattr__(self, "sample_rate_hz", int(self.sample_rate_hz))
        object.__setattr__(self, "tags", MappingProxyType(dict(self.tags)))

    @property
    def channels(self) -> int:
        return int(self.samples.shape[0])

    @property
    def length(self) -> int:
        """Samples per channel."""
        return int(self.samples.shape[1])

    @property
    def duration_s(self) -> float:
        return self.length / self.sample_rate_hz

    def __reduce__(self) -> tuple[Any, ...]:  # a mappingproxy does not pickle
        return Clip, (self.samples, self.sample_rate_hz, self.id, dict(self.tags))


@dataclass(frozen=True)
class ClipRef:
    """Where a clip lies, without its samples: cheap to list, to plan with and to send to a worker.

    Attributes:
        id: unique within the suite.      path: the audio file.
        start_s, duration_s: the part to read; None reads to the end.
        sha256: of the file, where a manifest knows it; verified on loading.
    """

    id: str
    path: str
    tags: Mapping[str, str] = field(default_factory=dict)
    start_s: float = 0.0
    duration_s: float | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Bitstream:
    """What an encoder produced, and the only thing a decoder is given.

    The payload's length *is* the rate: there is no field in which a codec could claim another.

    Attributes:
        payload: every byte that `decode` needs, true length and gains included.
        packet_sizes: bytes of the packets in transport order, if the codec has packets. They add
            up to `len(payload)`. Boundaries are what a transport delivers for free, as in RTP. The
            first packet is the set-up that a call negotiates beforehand, and always arrives; each
            other one may reach `decode` with wrong bits or, when lost, with 0 bytes.
        container_bytes: size of the file that a user would store (Ogg, MP4, …); the payload's
            own size where there is no container.

    Raises:
        ValueError: packet sizes that do not add up, or a container smaller than its payload's
            largest packet.
    """

    payload: bytes
    packet_sizes: tuple[int, ...] = ()
    container_bytes: int = -1

    def __post_init__(self) -> None:
        if not isinstance(self.payload, bytes):
            raise ValueError(f"payload must be bytes, got {type(self.payload).__name__}")
        object.__setattr__(self, "packet_sizes", tuple(int(size) for size in self.packet_sizes))
        if self.packet_sizes and (
            min(self.packet_sizes) < 0 or sum(self.packet_sizes) != len(self.payload)
        ):
            raise ValueError(
                f"packet sizes add up to {sum(self.packet_sizes)}, the payload has "
                f"{len(self.payload)} bytes"
            )
        if self.container_bytes < 0:
            object.__setattr__(self, "container_bytes", len(self.payload))

    def packets(self) -> list[bytes]:
        """The payload cut at its packet boundaries; one packet where the codec declares none."""
        if not self.packet_sizes:
            return [self.payload]
        cuts = np.cumsum((0, *self.packet_sizes)).tolist()
        return [self.payload[start:stop] for start, stop in itertools.pairwise(cuts)]


@runtime_checkable
class Codec(Protocol):
    """An audio codec at one operating point, built by its class from keyword options.

    Options are the keyword arguments of `__init__`, plain JSON values, annotated (`kbps: float`,
    `vbr: Literal["on", "off"]`): suites are checked against the annotations. `__init__` raises
    ValueError for a value out of range, and is cheap: weights load at the first use. Class
    attributes:

        name: str               the registry's name
        version: str            raise it when the output changes; cached work then expires

    and, where they apply (the bench reads them with these defaults):

        sample_rates_hz: tuple[int, ...] = ()   rates `encode` takes; empty: any
        channels: tuple[int, ...] = ()          channel counts `encode` takes; empty: any.
                                                A mono codec gets each channel on its own.
        nominal_kbps: float | None = None       what was asked for, per coded stream
        argument: str | None = None             option that `name:value` sets, as in `pcm:8`
        sweep: tuple[str, ...] = ("kbps",)      options that move along a curve
        title: str = name                       as shown in tables and legends ("Opus")
        default_points: tuple[Mapping, ...] = ({},)   option sets a suite gets when it names the
                                                codec alone, as in `- amr_wb`
        untrained: bool = False                 weights are random; never in a default suite
        declared_kbps(bitstream) -> float       only where the audio was made elsewhere (`files`):
                                                the payload is then a key to it, not a coded signal,
                                                and no rate can be measured. The record gets this as
                                                `nominal_kbps`, no payload and container bytes, and
                                                the note "rate declared, not measured"
        missing() -> str | None                 classmethod: why it cannot run here and what to
                                                install; None when it can
        build_id() -> str                       versions of libraries and hashes of weights that
                                                decide the output; part of the cache key
        tokens(bitstream) -> int array [codebooks, frames], with
        codebook_sizes: tuple[int, ...]         for token codecs: usage and entropy are reported
        entropy_coded: bool                     token codecs: the payload is, by an own coder
    """

    name: str
    version: str

    def encode(self, clip: Clip) -> Bitstream:
        """Code a clip that already has a rate and channel count this codec takes."""
        ...

    def decode(self, bitstream: Bitstream) -> Clip:
        """Decode in a fresh instance that has seen nothing but these bytes.

        Returns audio at the coded rate; delay is measured and compensated by the bench, so a
        codec that knows its own delay may remove it or leave it.

        A codec that declares packets is given what arrived of them, see `Bitstream`. It conceals
        a lost packet (0 bytes) as it would in a call, keeping the clip's length, or refuses.

        Raises:
            DecodeError: the payload is damaged beyond what the codec can conceal.
        """
        ...


@runtime_checkable
class Metric(Protocol):
    """One number about a decoded clip, with the recipe that makes it comparable.

    Class attributes:
        name: recipe, `mel:dac`.       version: raise it when a score moves.
        unit: "dB", "MOS", "".         bounds: (worst-case low, high); ±inf where open.
        higher_is_better: bool, or None for a diagnostic that has no better.
        sample_rate_hz: rate at which both signals arrive; None: the reference's own.
        mono: the bench mixes to mono first (metrics that are defined on one channel).
        domain: "speech" or "any".     source: the paper or the code that defines it.
    and optionally `missing()` and `build_id()` as for a codec, and
        reference_free: bool = False    an estimate from the decoded audio alone; it may prefer
                                        another clip to a copy of the reference
        weights()                       what it was trained to, `metrics.weights.Weights` each;
                                        file, hash, origin and licence go into the manifest
        score_batch(prepared, decoded)  `score` of several clips of one reference at once; no
                                        clip's value depends on the others but by rounding
    """

    name: str
    version: str
    unit: str
    bounds: tuple[float, float]
    higher_is_better: bool | None
    sample_rate_hz: int | None
    mono: bool
    domain: str
    source: str

    def prepare(self, reference: Clip) -> Any:
        """Everything that depends on the reference alone; called once per reference."""
        ...

    def score(self, prepared: Any, decoded: Clip) -> float:
        """The value for a decoded clip of the reference's rate, channels and length.

        Raises:
            UnscorableError: there is no value; the message is the reason.
        """
        ...


@runtime_checkable
class CorpusMetric(Protocol):
    """One number about a set of decoded clips against the set of their references.

    Class attributes as for `Metric`, and optionally `missing()`, `build_id()` and `weights()`, and

        argument: str                   what a recipe says behind its colon, as in `fad:logmel`
        uncorrected(references, decoded) -> float   `compare` without what makes it costly or
                                        noisy; the interval is formed from it. By default `compare`
    """

    name: str
    version: str
    unit: str
    bounds: tuple[float, float]
    higher_is_better: bool | None
    sample_rate_hz: int | None
    mono: bool
    domain: str
    source: str

    def embed(self, clip: Clip) -> NDArray[np.float64]:
        """What the comparison needs of one clip, `[parts, dimensions]`.

        Raises:
            UnscorableError: the clip cannot take part; the message is the reason.
        """
        ...

    def compare(self, references: NDArray[np.float64], decoded: NDArray[np.float64]) -> float:
        """The value of a set, from the stacked rows of its clips.

        Raises:
            UnscorableError: there is no value; the message is the reason.
        """
        ...


@dataclass(frozen=True)
class Score:
    """A finite value or the reason why there is none; never both, never neither."""

    value: float | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        if (self.value is None) == (self.reason is None):
            raise ValueError("a score is either a value or a reason")
        if self.value is not None and not math.isfinite(self.value):
            raise ValueError(f"a score is finite; {self.value} needs a reason instead")
        if self.reason is not None and not self.reason.strip():
            raise ValueError("the reason of a missing score must say something")

    @property
    def ok(self) -> bool:
        return self.value is not None


def freeze_options(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Codec options as an immutable mapping with sorted keys; JSON values only.

    Raises:
        TypeError: a value is not JSON.
    """
    return MappingProxyType(json.loads(json.dumps(dict(options), sort_keys=True)))


@dataclass(frozen=True, eq=False)
class OperatingPoint:
    """A codec at one setting: one row of the leaderboard and one point of a curve.

    Attributes:
        codec: registry name or `package.module:Class`.
        options: keyword arguments of its class.
        series: the curve it belongs to, as shown ("Opus", "Opus CBR").
        setting: its place on the curve, as shown ("6 kbps").
    """

    codec: str
    options: Mapping[str, Any]
    series: str
    setting: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", freeze_options(self.options))

    @property
    def key(self) -> str:
        """`opus(application="voip",kbps=6)`: unique within a suite, stable between runs."""
        inner = ",".join(f"{name}={json.dumps(value)}" for name, value in self.options.items())
        return f"{self.codec}({inner})"

    @property
    def name(self) -> str:
        """As shown: `Opus 6 kbps`."""
        return f"{self.series} {self.setting}".strip()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OperatingPoint) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __reduce__(self) -> tuple[Any, ...]:
        return OperatingPoint, (self.codec, dict(self.options), self.series, self.setting)


@dataclass(frozen=True)
class Alignment:
    """How a decoded clip lies against its reference, measured before compensation.

    Attributes:
        delay_ms: positive when the decoded audio is late; sub-sample precision.
        gain_db: level of the decoded audio above the reference, by energy in 800-3400 Hz.
        polarity: +1, or -1 for an inverted signal. Reported, not repaired.
        correlation: |normalised correlation| at that delay, 0…1; how far to trust the rest.
    """

    delay_ms: float
    gain_db: float
    polarity: int
    correlation: float
