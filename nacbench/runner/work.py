"""What happens to one clip at one operating point, and in which process.

The encoder sees the clip and hands over bytes; the judge, another process, makes a fresh codec that
has nothing but those bytes, and scores what comes out. `Survey` tells what is installed.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nacbench import audio, conditions
from nacbench.cache import Cache
from nacbench.core import Alignment, Bitstream, Clip, ClipRef, OperatingPoint, Score
from nacbench.errors import UnscorableError
from nacbench.executors import Stage
from nacbench.identity import digest, version_of
from nacbench.metrics import METRICS
from nacbench.sources.loading import load

alignment: Any = importlib.import_module("nacbench.alignment")
coding: Any = importlib.import_module("nacbench.coding")
Scorer: Any = importlib.import_module("nacbench.scoring").Scorer


@dataclass(frozen=True)
class Task:
    """One clip under one condition through one operating point.

    Attributes:
        condition: name; `condition_spec` is what it is built from, plain JSON.
        codec_version: as surveyed; part of every key.
    """

    ref: ClipRef
    condition: str
    condition_spec: Any
    seed: int
    point: OperatingPoint
    codec_version: str

    @property
    def codec_key(self) -> tuple[Any, ...]:
        return self.point.codec, dict(self.point.options), self.codec_version


@dataclass(frozen=True)
class Verdict:
    """What the judge found out about one task.

    Attributes:
        facts: of the reference: duration_s, sample_rate_hz, channels, tags, reference (its hash).
    """

    facts: Mapping[str, Any]
    nominal_kbps: float | None
    payload_bytes: int
    container_bytes: int
    payload_sha256: str
    decoded_sha256: str
    alignment: Alignment
    si_sdr_raw_db: float | None
    scores: Mapping[str, Score]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Hearing:
    """A task for the judge.

    Attributes:
        streams: from the encoder; None asks whether the cache has them.
        excluded: metric -> why it is not tried again on this task.
    """

    task: Task
    streams: tuple[Bitstream, ...] | None = None
    excluded: Mapping[str, str] = field(default_factory=dict)


class _Conditioned:
    """The last few references, loaded and conditioned once each."""

    KEPT = 2

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Clip, str]] = {}

    def get(self, task: Task, stage: Stage) -> tuple[Clip, str]:
        ref = task.ref
        key = digest(ref.id, ref.path, ref.start_s, ref.duration_s, task.condition_spec, task.seed)
        if key not in self._kept:
            stage("load")
            clip = load(ref)
            stage("condition")
            clip = conditions.build(task.condition_spec).apply(clip, task.seed)
            if not np.isfinite(clip.samples).all():
                raise ValueError("the clip holds samples that are NaN or infinite")
            if len(self._kept) >= self.KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = clip, audio.sha256(clip)
        clip, sha256 = self._kept[key]
        stage("prepare", **facts_of(clip, sha256))
        return clip, sha256


def facts_of(clip: Clip, sha256: str) -> dict[str, Any]:
    return {
        "duration_s": clip.duration_s,
        "sample_rate_hz": clip.sample_rate_hz,
        "channels": clip.channels,
        "tags": dict(clip.tags),
        "reference": sha256,
    }


def streams_key(task: Task, reference_sha256: str) -> str:
    return digest("bitstream", reference_sha256, audio.RESAMPLER, *task.codec_key)


def about(task: Task) -> dict[str, Any]:
    """What a cache entry says of itself, for pruning and for curious people."""
    return {
        "clip": task.ref.id,
        "codec": task.point.codec,
        "options": dict(task.point.options),
        "version": task.codec_version,
    }


class Encoder:
    """Task -> the bitstreams of its clip, one per coded channel group."""

    def __init__(self, cache: str, reads: bool) -> None:
        self._cache = Cache(cache, reads)
        self._references = _Conditioned()

    def __call__(self, task: Task, stage: Stage) -> tuple[Bitstream, ...]:
        reference, sha256 = self._references.get(task, stage)
        stage("encode")
        codec = coding.build(task.point.codec, task.point.options)
        streams: tuple[Bitstream, ...] = coding.encode(codec, reference)
        stage("store")
        self._cache.put_streams(streams_key(task, sha256), streams, about(task))
        return streams


class Judge:
    """Hearing -> Verdict, or None when the bitstreams are needed and not in the cache."""

    def __init__(self, cache: str, reads: bool, metrics: tuple[str, ...]) -> None:
        self._cache = Cache(cache, reads)
        self._references = _Conditioned()
        self._scorer = Scorer(metrics)

    def __call__(self, hearing: Hearing, stage: Stage) -> Verdict | None:
        task = hearing.task
        reference, reference_sha256 = self._references.get(task, stage)
        streams = hearing.streams
        if streams is None:
            streams = self._cache.get_streams(streams_key(task, reference_sha256))
        if streams is None:
            return None
        stage("decode")
        codec = coding.build(task.point.codec, task.point.options)
        decoded = self._decode(task, codec, streams, reference)
        decoded_sha256 = audio.sha256(decoded)
        stage("align")
        aligned, measured = alignment.align(reference, decoded)
        pair = digest("scores", reference_sha256, decoded_sha256, audio.RESAMPLER)
        known = self._cache.get_json("scores", pair) or {}
        scores: dict[str, Score] = {}
        fresh = dict(known)
        for name in self._scorer.names:
            if name in hearing.excluded:
                scores[name] = Score(reason=hearing.excluded[name])
                continue
            recipe = f"{name} {self._scorer.versions[name]}"
            if recipe not in known:
                stage(f"score {name}")
                scores[name] = self._scorer.score(reference, aligned, only={name})[name]
                if scores[name].ok:
                    fresh[recipe] = scores[name].value
            else:
                scores[name] = Score(value=known[recipe])
        stage("store")
        if fresh != known:
            self._cache.put_json("scores", pair, fresh)
        return Verdict(
            facts=facts_of(reference, reference_sha256),
            nominal_kbps=_nominal_kbps(codec, len(streams)),
            payload_bytes=sum(len(stream.payload) for stream in streams),
            container_bytes=sum(stream.container_bytes for stream in streams),
            payload_sha256=payload_sha256(streams),
            decoded_sha256=decoded_sha256,
            alignment=measured,
            si_sdr_raw_db=_raw_si_sdr(reference, decoded),
            scores=scores,
        )

    def _decode(
        self, task: Task, codec: Any, streams: tuple[Bitstream, ...], reference: Clip
    ) -> Clip:
        # Decoded audio comes back at the reference's rate and channels: they are part of the key.
        target = reference.sample_rate_hz, reference.channels
        key = digest("decoded", payload_sha256(streams), *target, audio.RESAMPLER, *task.codec_key)
        decoded = self._cache.get_audio(key)
        if decoded is None:
            decoded = coding.decode(codec, streams, reference)
            self._cache.put_audio(key, decoded, about(task))
        return decoded


class Survey:
    """Operating point -> version and abilities of its codec; metric names -> their versions."""

    def __call__(self, task: OperatingPoint | tuple[str, ...], stage: Stage) -> dict[str, Any]:
        if isinstance(task, OperatingPoint):
            stage("build")
            codec = coding.build(task.codec, task.options)
            return {
                "version": version_of(codec),
                "tokens": hasattr(codec, "tokens") and hasattr(codec, "codebook_sizes"),
                "untrained": bool(getattr(codec, "untrained", False)),
            }
        stage("metrics")
        scorer = Scorer(task)
        return {name: _describe_metric(name, scorer.versions[name]) for name in scorer.names}


def _describe_metric(name: str, version: str) -> dict[str, Any]:
    base, _ = METRICS.split(name)
    metric: Any = METRICS.get(base)
    low, high = metric.bounds
    return {
        "version": version,
        "unit": metric.unit,
        "bounds": [bound if np.isfinite(bound) else None for bound in (low, high)],
        "higher_is_better": metric.higher_is_better,
        "sample_rate_hz": metric.sample_rate_hz,
        "mono": metric.mono,
        "source": metric.source,
    }


def payload_sha256(streams: tuple[Bitstream, ...]) -> str:
    """Names the payload bytes, their packet boundaries and the order of the streams."""
    outline = [[len(stream.payload), list(stream.packet_sizes)] for stream in streams]
    hashed = hashlib.sha256(digest(outline).encode())
    for stream in streams:
        hashed.update(stream.payload)
    return hashed.hexdigest()


def _nominal_kbps(codec: Any, streams: int) -> float | None:
    per_stream = getattr(codec, "nominal_kbps", None)
    return None if per_stream is None else float(per_stream) * streams


def _raw_si_sdr(reference: Clip, decoded: Clip) -> float | None:
    """SI-SDR before delay compensation, in dB: the decoded file as it comes, from its start."""
    metric: Any = METRICS.get("si_sdr")()
    samples = audio.fit_length(decoded.samples, reference.length)
    unaligned = Clip(samples, reference.sample_rate_hz)
    try:
        value = float(metric.score(metric.prepare(reference), unaligned))
    except UnscorableError:
        return None
    return value if np.isfinite(value) else None
