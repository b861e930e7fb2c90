"""The serial timing pass: how fast and how large each operating point is on this machine.

One point after the other, nothing else of ours running, in a process that codes nothing but this
codec. A warm-up of encoder and decoder loads what is loaded once; then the median of the repeats
counts. Converting the clip to the codec's rate is the bench's work and not timed; building the
bytes is the codec's and is.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from nacbench import coding, devices
from nacbench.core import Bitstream, Clip, ClipRef, OperatingPoint
from nacbench.devices import OUT_OF_MEMORY
from nacbench.executors import Call, Failure, Stage
from nacbench.identity import digest
from nacbench.records import Timing
from nacbench.runner.planning import Plan
from nacbench.runner.work import Task, conditioned

PROTOCOL = 1  # raise it when the way of measuring changes; older timings are then measured again
PATIENCE_S = 20.0  # after that much no further repeat is begun


@dataclass(frozen=True)
class Stopwatch:
    """A task for the timer: one operating point on fixed clips.

    Attributes:
        tasks: what to code, one per clip.        seconds: of audio in all; the last clip is cut.
    """

    tasks: tuple[Task, ...]
    seconds: float
    repeats: int


@dataclass(frozen=True)
class Reading:
    encode_rtf: float
    decode_rtf: float
    peak_memory_mb: float | None
    audio_s: float
    repeats: int


class Timer:
    """Stopwatch -> Reading. Lives in a process of its own for each codec."""

    def __init__(self) -> None:
        self._idle_mb: float | None = None

    def __call__(self, watch: Stopwatch, stage: Stage) -> Reading:
        clips = _first_seconds([conditioned(task, stage) for task in watch.tasks], watch.seconds)
        if self._idle_mb is None:  # before this process touches the codec for the first time
            self._idle_mb = psutil.Process().memory_info().rss / 1e6
        point = watch.tasks[0].point
        stage("encode")
        encoder = coding.build(point.codec, point.options)
        parts = [part for clip in clips for part in coding.parts(encoder, clip)]
        reset = _reset_peak()
        streams = [encoder.encode(part) for part in parts]
        stage("decode")
        decoder = coding.build(point.codec, point.options)
        for stream in streams:
            decoder.decode(stream)
        peak_mb = _peak_mb() if reset else None
        encode_s: list[float] = []
        decode_s: list[float] = []
        began = time.monotonic()
        while len(encode_s) < watch.repeats and time.monotonic() - began < PATIENCE_S:
            stage("encode")  # each repeat may take as long as the limit
            seconds, streams = _timed_encode(encoder, parts)
            encode_s.append(seconds)
            stage("decode")
            decode_s.append(_timed_decode(decoder, streams))
        for coder in (encoder, decoder):
            if gave_way := [note for note in getattr(coder, "notes", ()) if OUT_OF_MEMORY in note]:
                raise RuntimeError(gave_way[0])  # the time is not this device's
        audio_s = sum(clip.duration_s for clip in clips)
        return Reading(
            encode_rtf=statistics.median(encode_s) / audio_s,
            decode_rtf=statistics.median(decode_s) / audio_s,
            peak_memory_mb=None if peak_mb is None else round(max(0.0, peak_mb - self._idle_mb), 1),
            audio_s=audio_s,
            repeats=len(encode_s),
        )


def untimed(plan: Plan, retry_failed: bool) -> list[OperatingPoint]:
    """Points that this machine has not timed in this run with today's version."""
    timed = {
        (timing.point_key, timing.machine, timing.threads, timing.version)
        for timing in (plan.earlier.timings if plan.earlier else ())
        if not (retry_failed and timing.failure)
    }
    threads = plan.suite.timing.threads
    return [
        point
        for point in plan.suite.points
        if (point.key, plan.machine, threads, version(plan, point)) not in timed
    ]


def measure(plan: Plan, point: OperatingPoint) -> Generator[Call, Any, Timing]:
    """One Timing: from the cache, where this machine has measured the same thing, or anew."""
    settings = plan.suite.timing
    shared: dict[str, Any] = {
        "run": plan.run,
        "suite": plan.suite.name,
        "codec": point.codec,
        "options": point.options,
        "series": point.series,
        "setting": point.setting,
        "machine": plan.machine,
        "threads": settings.threads,
        "version": version(plan, point),
    }
    if reason := plan.unbuildable.get(point.key):
        return Timing(**shared, repeats=0, audio_s=0.0, failure=reason)
    condition = plan.suite.conditions[0]
    codec = plan.surveyed[point.key]["version"]
    refs = plan.clips[: _clips_needed(plan.clips, settings.seconds)]
    tasks = tuple(
        Task(ref, condition.name, condition.spec, plan.suite.seed, point, codec) for ref in refs
    )
    key = digest(
        "timing", plan.machine, PROTOCOL, settings.threads, settings.repeats, settings.seconds,
        [plan.sources[ref.id] for ref in refs], condition.spec, plan.suite.seed,
        *tasks[0].codec_key,
    )  # fmt: skip
    known = plan.cache.get_json("timing", key)
    if known is None:
        watch = Stopwatch(tasks, settings.seconds, settings.repeats)
        answer = yield Call("timer", watch)
        if isinstance(answer, Failure):
            return Timing(**shared, repeats=0, audio_s=0.0, failure=str(answer))
        known = dict(vars(answer.value))
        plan.cache.put_json("timing", key, known)
    return Timing(**shared, **known)


def version(plan: Plan, point: OperatingPoint) -> str:
    """What a Timing must state to count as done."""
    return f"{plan.surveyed.get(point.key, {}).get('version', '')} timing:{PROTOCOL}"


def _clips_needed(clips: Sequence[ClipRef], seconds: float) -> int:
    """How many clips surely hold so much audio; where lengths are not listed, up to three."""
    total = 0.0
    for count, ref in enumerate(clips, start=1):
        total += ref.duration_s or seconds / 3
        if total >= seconds:
            return count
    return len(clips)


def _first_seconds(clips: Sequence[Clip], seconds: float) -> list[Clip]:
    kept: list[Clip] = []
    for clip in clips:
        room = round((seconds - sum(k.duration_s for k in kept)) * clip.sample_rate_hz)
        if room <= 0:
            break
        kept.append(Clip(clip.samples[:, :room], clip.sample_rate_hz, clip.id, clip.tags))
    return kept


def _timed_encode(encoder: Any, parts: Sequence[Clip]) -> tuple[float, list[Bitstream]]:
    began = _now()
    streams = [encoder.encode(part) for part in parts]
    return _now() - began, streams


def _timed_decode(decoder: Any, streams: Sequence[Bitstream]) -> float:
    began = _now()
    for stream in streams:
        decoder.decode(stream)
    return _now() - began


def _now() -> float:
    """Seconds, when a GPU has done all that it was given."""
    devices.synchronise()
    return time.perf_counter()


def _reset_peak() -> bool:
    """Let the kernel forget how large this process has been (proc(5), clear_refs); Linux only."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def _peak_mb() -> float | None:
    """The most memory this process has had resident since `_reset_peak`, in 10^6 bytes."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    return None
