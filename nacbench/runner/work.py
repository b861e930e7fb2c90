"""What happens to one clip at one operating point, and in which process.

The encoder sees the clip and hands over bytes; the judge, another process, makes a fresh codec that
has nothing but those bytes, and scores what comes out. `Survey` tells what is installed.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any

import numpy as np

from nacbench import alignment, audio, coding, conditions
from nacbench.cache import Cache
from nacbench.core import Alignment, Bitstream, Clip, ClipRef, OperatingPoint, Score
from nacbench.errors import UnscorableError
from nacbench.executors import Stage
from nacbench.identity import digest, version_of
from nacbench.metrics import build as build_metric
from nacbench.records import Record
from nacbench.scoring import Scorer
from nacbench.sources.loading import load

# What the bench itself does to every pair; recorded and part of keys, like a codec's version.
BENCH_VERSIONS = (audio.RESAMPLER, f"align:{alignment.VERSION}")


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
    payload_bytes: int | None
    container_bytes: int | None
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
        notes: what the encoder has to say about them.
        excluded: metric -> why it is not tried again on this task.
    """

    task: Task
    streams: tuple[Bitstream, ...] | None = None
    notes: tuple[str, ...] = ()
    excluded: Mapping[str, str] = field(default_factory=dict)


class Conditioned:
    """The last few references, loaded and conditioned once each."""

    KEPT = 2

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Clip, str]] = {}

    def get(self, task: Task, stage: Stage) -> tuple[Clip, str]:
        """The reference of a task, and the hash of its content."""
        ref = task.ref
        before = _condition(json.dumps(task.condition_spec)).before_codec.spec
        key = digest(ref.id, ref.path, ref.start_s, ref.duration_s, before, task.seed)
        if key not in self._kept:
            clip = conditioned(task, stage)
            if len(self._kept) >= self.KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = clip, audio.sha256(clip)
        clip, sha256 = self._kept[key]
        stage("prepare", **facts_of(clip, sha256))
        return clip, sha256


def conditioned(task: Task, stage: Stage) -> Clip:
    """What goes into the codec, and what decoded audio is compared with."""
    stage("load")
    clip = load(task.ref)
    stage("condition")
    return _condition(json.dumps(task.condition_spec)).apply(clip, task.seed)


def damaged(task: Task, streams: tuple[Bitstream, ...]) -> tuple[Bitstream, ...]:
    """What the condition's transport lets through."""
    condition = _condition(json.dumps(task.condition_spec))
    return condition.damage(streams, task.ref.id, task.seed)


@cache
def _condition(spec: str) -> conditions.Condition:
    """Built once in a process: a condition with recordings lists and verifies them all."""
    return conditions.build(json.loads(spec))


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


def decoded_key(
    payload: str, sample_rate_hz: int, channels: int, codec_key: tuple[Any, ...]
) -> str:
    """Of decoded audio, which comes back at its reference's rate and channel count."""
    return digest("decoded", payload, sample_rate_hz, channels, audio.RESAMPLER, *codec_key)


def decoded_of(record: Record, cache: Cache) -> Clip | None:
    """The decoded audio that a record tells of, as it was before alignment; None once pruned.

    Run the same suite again, and it is there again.
    """
    if record.failure is not None:
        return None
    codec_key = record.codec, dict(record.options), record.versions["codec"]
    payload = record.hashes["payload"]
    key = decoded_key(payload, record.sample_rate_hz, record.channels, codec_key)
    return cache.get_audio(key)


def outdated(entry: Mapping[str, Any]) -> bool:
    """Whether a cache entry was made by another version of its codec than the one installed.

    Entries of codecs that are not installed now, and of no codec, are not outdated.
    """
    if "codec" not in entry:
        return False
    current = _current_version(entry["codec"], json.dumps(entry["options"], sort_keys=True))
    return current is not None and current != entry["version"]


@functools.cache
def _current_version(codec: str, options: str) -> str | None:
    try:
        return version_of(coding.build(codec, json.loads(options)))
    except Exception:  # whatever a third party's constructor raises: then nobody can tell
        return None


def about(task: Task) -> dict[str, Any]:
    """What a cache entry says of itself, for pruning and for curious people."""
    return {
        "clip": task.ref.id,
        "codec": task.point.codec,
        "options": dict(task.point.options),
        "version": task.codec_version,
    }


@dataclass(frozen=True)
class Encoded:
    """The bitstreams of a clip, one per coded channel group, and what arose while coding them."""

    streams: tuple[Bitstream, ...]
    notes: tuple[str, ...] = ()


class Encoder:
    """Task -> Encoded."""

    def __init__(self, cache: str, reads: bool) -> None:
        self._cache = Cache(cache, reads)
        self._references = Conditioned()

    def __call__(self, task: Task, stage: Stage) -> Encoded:
        reference, sha256 = self._references.get(task, stage)
        stage("encode")
        codec = coding.build(task.point.codec, task.point.options)
        usual = _own_notes(codec)
        streams = coding.encode(codec, reference)
        arisen = tuple(note for note in _own_notes(codec) if note not in usual)
        stage("store")
        if not arisen:  # next time there may be enough memory
            self._cache.put_streams(streams_key(task, sha256), streams, about(task))
        return Encoded(streams, arisen)


class Judge:
    """Hearing -> Verdict, or None when the bitstreams are needed and not in the cache."""

    def __init__(self, cache: str, reads: bool, metrics: tuple[str, ...]) -> None:
        self._cache = Cache(cache, reads)
        self._references = Conditioned()
        self._scorer = Scorer(metrics)

    def __call__(self, hearing: Hearing, stage: Stage) -> Verdict | None:
        task = hearing.task
        reference, reference_sha256 = self._references.get(task, stage)
        streams = hearing.streams
        if streams is None:
            streams = self._cache.get_streams(streams_key(task, reference_sha256))
        if streams is None:
            return None
        stage("damage")
        arrived = damaged(task, streams)
        stage("decode")
        codec = coding.build(task.point.codec, task.point.options)
        decoded = decode(self._cache, task, codec, arrived, reference)
        decoded_sha256 = audio.sha256(decoded)
        heard = self._compare(reference, reference_sha256, decoded, decoded_sha256, hearing, stage)
        return Verdict(
            facts=facts_of(reference, reference_sha256),
            **_rates(codec, streams),
            payload_sha256=payload_sha256(streams),
            decoded_sha256=decoded_sha256,
            notes=tuple(
                dict.fromkeys(
                    (*_notes(codec, reference), *hearing.notes, *_damage_notes(streams, arrived))
                )
            ),
            **heard,
        )

    def _compare(
        self,
        reference: Clip,
        reference_sha256: str,
        decoded: Clip,
        decoded_sha256: str,
        hearing: Hearing,
        stage: Stage,
    ) -> dict[str, Any]:
        """Alignment and scores, each from the cache where this very pair was compared before."""
        pair = digest("pair", reference_sha256, decoded_sha256, *BENCH_VERSIONS)
        known = self._cache.get_json("scores", pair) or {}
        learnt: dict[str, Any] = {}
        aligned: Clip | None = None
        if "alignment" not in known:
            stage("align")
            aligned, measured = alignment.align(reference, decoded)
            learnt["alignment"] = asdict(measured)
            learnt["si_sdr_raw_db"] = _raw_si_sdr(reference, decoded)
        scores: dict[str, Score] = {}
        for name in self._scorer.names:
            recipe = f"{name} {self._scorer.versions[name]}"
            if name in hearing.excluded:
                scores[name] = Score(reason=hearing.excluded[name])
            elif recipe in known:
                scores[name] = Score(value=known[recipe])
            else:
                if aligned is None:
                    stage("align")
                    aligned, _ = alignment.align(reference, decoded)
                stage(f"score {name}")
                scores[name] = self._scorer.score(reference, aligned, only={name})[name]
                if scores[name].value is not None:  # reasons may be of this moment: never kept
                    learnt[recipe] = scores[name].value
        stage("store")
        if learnt:
            self._cache.put_json("scores", pair, {**known, **learnt})
        found = {**known, **learnt}
        return {
            "alignment": Alignment(**found["alignment"]),
            "si_sdr_raw_db": found["si_sdr_raw_db"],
            "scores": scores,
        }


def decode(
    cache: Cache, task: Task, codec: Any, streams: tuple[Bitstream, ...], reference: Clip
) -> Clip:
    """What arrived, decoded by a fresh codec or taken from the cache; not aligned."""
    key = decoded_key(
        payload_sha256(streams), reference.sample_rate_hz, reference.channels, task.codec_key
    )
    decoded = cache.get_audio(key)
    if decoded is None:
        usual = _own_notes(codec)
        decoded = coding.decode(codec, streams, reference)
        if _own_notes(codec) == usual:  # next time there may be enough memory
            cache.put_audio(key, decoded, about(task))
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
        return {name: _describe_metric(name) for name in task}


def _describe_metric(name: str) -> dict[str, Any]:
    metric: Any = build_metric(name)
    low, high = metric.bounds
    weights = metric.weights() if hasattr(metric, "weights") else ()
    return {
        "version": version_of(metric),
        "unit": metric.unit,
        "bounds": [bound if np.isfinite(bound) else None for bound in (low, high)],
        "higher_is_better": metric.higher_is_better,
        "sample_rate_hz": metric.sample_rate_hz,
        "mono": metric.mono,
        "source": metric.source,
        "weights": [one.about for one in weights],
    }


def payload_sha256(streams: tuple[Bitstream, ...]) -> str:
    """Names the payload bytes, their packet boundaries and the order of the streams."""
    outline = [[len(stream.payload), list(stream.packet_sizes)] for stream in streams]
    hashed = hashlib.sha256(digest(outline).encode())
    for stream in streams:
        hashed.update(stream.payload)
    return hashed.hexdigest()


def _notes(codec: Any, reference: Clip) -> tuple[str, ...]:
    """What a reader of the record should know: rate conversion, and what the codec itself says."""
    coded_hz = coding.coded_rate_hz(codec, reference.sample_rate_hz)
    own = _own_notes(codec)
    if hasattr(codec, "declared_kbps"):
        own = ("rate declared, not measured", *own)
    if coded_hz == reference.sample_rate_hz:
        return own
    return f"coded at {coded_hz} Hz", *own


def _own_notes(codec: Any) -> tuple[str, ...]:
    return tuple(getattr(codec, "notes", ()))


def _damage_notes(sent: tuple[Bitstream, ...], arrived: tuple[Bitstream, ...]) -> tuple[str, ...]:
    """`12 of 200 packets lost`: what the condition's draw came to on this clip."""
    if arrived is sent:
        return ()
    packets = [
        pair
        for before, after in zip(sent, arrived, strict=True)
        for pair in zip(before.packets()[1:], after.packets()[1:], strict=True)
    ]
    lost = sum(bool(before) and not after for before, after in packets)
    damaged = sum(before != after for before, after in packets) - lost
    counts = ((lost, "lost"), (damaged, "damaged"))
    found = [f"{count} of {len(packets)} packets {what}" for count, what in counts if count]
    return tuple(found) or (f"all {len(packets)} packets arrived",)


def _rates(codec: Any, streams: tuple[Bitstream, ...]) -> dict[str, Any]:
    """What was asked for, and what was measured unless the rate is only declared."""
    declared = getattr(codec, "declared_kbps", None)
    if declared is not None:
        total = sum(float(declared(stream)) for stream in streams)
        return {"nominal_kbps": total, "payload_bytes": None, "container_bytes": None}
    per_stream = getattr(codec, "nominal_kbps", None)
    return {
        "nominal_kbps": None if per_stream is None else float(per_stream) * len(streams),
        "payload_bytes": sum(len(stream.payload) for stream in streams),
        "container_bytes": sum(stream.container_bytes for stream in streams),
    }


def _raw_si_sdr(reference: Clip, decoded: Clip) -> float | None:
    """SI-SDR before delay compensation, in dB: the decoded file as it comes, from its start."""
    metric: Any = build_metric("si_sdr")
    samples = audio.fit_length(decoded.samples, reference.length)
    unaligned = Clip(samples, reference.sample_rate_hz)
    try:
        value = float(metric.score(metric.prepare(reference), unaligned))
    except UnscorableError:
        return None
    return value if np.isfinite(value) else None
