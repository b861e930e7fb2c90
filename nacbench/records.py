"""What a run writes down of each operating point: records, timings, use of tokens, scores of sets.

`results` puts them into files, one line each, and reads them back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nacbench.core import Alignment, OperatingPoint, Score


@dataclass(frozen=True, kw_only=True)
class _OfPoint:
    """Belongs to one operating point in one suite of one run."""

    run: str
    suite: str
    codec: str
    options: Mapping[str, Any]
    series: str
    setting: str

    @property
    def point_key(self) -> str:
        return OperatingPoint(self.codec, self.options, self.series, self.setting).key

    @property
    def point_name(self) -> str:
        """As shown: `Opus 6 kbps`."""
        return f"{self.series} {self.setting}".strip()


@dataclass(frozen=True, kw_only=True)
class Record(_OfPoint):
    """Everything known about one clip under one condition through one operating point.

    A clip that could not be coded has `failure` ("decode: crashed with SIGSEGV"), no rates, and
    every metric's score carries that reason, so that `n_ok / n` is right for each column.
    """

    clip: str
    condition: str
    tags: Mapping[str, str]
    seed: int
    duration_s: float
    sample_rate_hz: int
    channels: int
    scores: Mapping[str, Score]
    versions: Mapping[str, str]  # "codec" and each metric -> version and build of what scored
    failure: str | None = None
    nominal_kbps: float | None = None
    payload_bytes: int | None = None
    container_bytes: int | None = None
    alignment: Alignment | None = None
    si_sdr_raw_db: float | None = None  # before delay compensation
    hashes: Mapping[str, str] = field(default_factory=dict)  # source, reference, payload, decoded
    notes: tuple[str, ...] = ()  # "rate declared, not measured", "resampled 44100 -> 16000 Hz"

    @property
    def payload_kbps(self) -> float | None:
        """Bits of the payload over the clip's true duration, in kbit/s (1000 bits)."""
        return _kbps(self.payload_bytes, self.duration_s)

    @property
    def container_kbps(self) -> float | None:
        return _kbps(self.container_bytes, self.duration_s)

    @property
    def compression_ratio(self) -> float | None:
        """16-bit PCM at the clip's own rate and channels ÷ payload; higher is smaller."""
        if not self.payload_bytes:
            return None
        return self.duration_s * self.sample_rate_hz * self.channels * 2 / self.payload_bytes

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes a record unique within a run: clip, condition, operating point."""
        return self.clip, self.condition, self.point_key


@dataclass(frozen=True, kw_only=True)
class Timing(_OfPoint):
    """Speed of one operating point on one machine, from the serial timing pass.

    Attributes:
        encode_rtf, decode_rtf: processing time ÷ audio duration, lower is faster; None with a
            reason in `failure`.
        peak_memory_mb: of a process that codes nothing else, above what it held before it loaded
            the codec; library and weights count. None where the system does not tell.
        version: the codec's, build included; an older timing no longer counts as done.
        machine: fingerprint; timings of two machines are never compared.
    """

    machine: str
    threads: int
    repeats: int
    audio_s: float
    encode_rtf: float | None = None
    decode_rtf: float | None = None
    peak_memory_mb: float | None = None
    version: str = ""
    failure: str | None = None


@dataclass(frozen=True, kw_only=True)
class TokenUse(_OfPoint):
    """How a token codec used its codebooks over all clips of a run at one operating point.

    Attributes:
        frames: tokens seen per codebook; few frames make usage and entropy too low.
        usage: share of entries that occurred, per codebook, 0…1.
        entropy_bits: empirical entropy per codebook, bits per token.
        entropy_kbps: of the true payload, where the codec has an entropy coder of its own
            (`entropy_coded`); else what an ideal static coder of these tokens would need.
        version: the codec's, build included.
        uncounted: clips that are missing from all this.
        reason: why, of the first of them.
    """

    frames: int
    codebook_sizes: tuple[int, ...]
    usage: tuple[float, ...]
    entropy_bits: tuple[float, ...]
    entropy_kbps: float
    version: str = ""
    uncounted: int = 0
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class SetScore(_OfPoint):
    """A corpus metric's value for all clips under one condition through one operating point.

    Attributes:
        low, high: 95 % interval; None where there are too few independent clips.
        replicates: the uncorrected value without each group of clips in turn. Two runs of the same
            clips have the same groups, so that differences can be judged in pairs.
        clips: how many took part, of `total`; `left_out` says why the others did not, and how many.
        pairs: names what was compared: originals, decoded audio, and who was drawn independently.
        originals: names the originals alone.
        versions: "codec", "bench" and the metric, as in a Record.
    """

    condition: str
    metric: str
    score: Score
    clips: int
    total: int
    pairs: str
    originals: str
    versions: Mapping[str, str]
    low: float | None = None
    high: float | None = None
    replicates: tuple[float, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes it unique within a run: condition, operating point, metric."""
        return self.condition, self.point_key, self.metric


def _kbps(size_bytes: int | None, duration_s: float) -> float | None:
    if size_bytes is None or duration_s <= 0:
        return None
    return size_bytes * 8 / duration_s / 1000
