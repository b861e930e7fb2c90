"""How long work takes on this machine, learnt from earlier sessions, for the plan's estimate."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from nacbench.cache import Cache
from nacbench.core import ClipRef
from nacbench.identity import digest
from nacbench.runner.work import Task

# Processor seconds per second of audio on a current core, until this machine has shown its own.
METRIC_PACE = {"pesq": 0.006, "stoi": 0.0025, "estoi": 0.004, "visqol": 0.05}
OTHER = 0.01


class Pace:
    """Seconds per second of audio of every stage ("encode opus", "score pesq:wb")."""

    def __init__(self, cache: Cache, machine: str) -> None:
        self._cache = cache
        self._key = digest("pace", machine)
        self._known: dict[str, float] = dict(cache.get_json("pace", self._key) or {})
        self._seconds: dict[str, float] = defaultdict(float)
        self._audio_s: dict[str, float] = defaultdict(float)

    def learn(self, task: Task, seconds: Mapping[str, float], duration_s: float) -> None:
        """Take note of how long one task took, stage by stage."""
        for stage, spent_s in seconds.items():
            name = _name(stage, task)
            self._seconds[name] += spent_s
            self._audio_s[name] += duration_s

    def save(self) -> None:
        """Keep what was learnt for the next plan."""
        learnt = {
            name: spent_s / self._audio_s[name]
            for name, spent_s in self._seconds.items()
            if self._audio_s[name] > 0
        }
        if learnt:
            self._cache.put_json("pace", self._key, {**self._known, **learnt})

    def estimate_s(
        self, tasks: Sequence[Task], metrics: Iterable[str], workers: int
    ) -> float | None:
        """Wall time of tasks of which nothing is cached."""
        durations = {ref.id: duration_s(ref) for ref in {t.ref.id: t.ref for t in tasks}.values()}
        scoring = sum(self._of(f"score {name}") for name in metrics)
        total = sum(
            durations[task.ref.id]
            * (scoring + self._of(_name("encode", task)) + self._of(_name("decode", task)))
            for task in tasks
        )
        return total / max(workers, 1)

    def _of(self, name: str) -> float:
        if name in self._known:
            return self._known[name]
        family = name.removeprefix("score ").partition(":")[0]
        return METRIC_PACE.get(family, OTHER)


def duration_s(ref: ClipRef) -> float:
    """Seconds of a clip as its file's header has them; 0 where that cannot be read."""
    if ref.duration_s is not None:
        return ref.duration_s
    import soundfile

    try:
        return max(0.0, float(soundfile.info(ref.path).duration) - ref.start_s)
    except (RuntimeError, OSError):
        return 0.0


def _name(stage: str, task: Task) -> str:
    return f"{stage} {task.point.codec}" if stage in ("encode", "decode") else stage
