"""Batches of crops from a cache: the same for one seed, step and place, resumed or not.

    data = prepare(recipe, "recordings/", cache_root)
    for batch in data.batches(first_step=0): ...

Crops are drawn where somebody speaks and never hold digital silence: a log-mel loss stalls on it.
"""

from __future__ import annotations

import copy
import hashlib
import math
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from reference_codec.training import cache as caching
from reference_codec.training.augmentation import Augmentation
from reference_codec.training.cache import Cache
from reference_codec.training.decoding import UnusableError, pieces
from reference_codec.training.recipe import AugmentOptions, DataOptions, Recipe
from reference_codec.training.recordings import find

if TYPE_CHECKING:
    from torch import Tensor

Samples = NDArray[np.float32]
Generator = np.random.Generator

AHEAD = 3  # batches made before they are asked for, per worker
LEAD_S = 0.25  # heard before a crop begins, so that a room rings from its start
OTHER_SPEAKER_TRIES = 4


@dataclass(frozen=True)
class Batch:
    """`audio` is float32 `[batch, channels, time]`, within ±1."""

    step: int
    audio: Tensor


@dataclass(frozen=True)
class HeldOut:
    """A validation clip, `[channels, time]`."""

    name: str
    speaker: str
    samples: Samples


class TrainingData:
    """Training crops and validation clips of one cache.

    Args:
        segment: samples of a crop.
        batch_size: crops per batch of this process.
        rank, world: this process among those that train together. Together they see what one
            process with the whole batch would.
        rooms, noises: for the augmentation; synthetic where there are none.
        workers: processes that make batches; 0: one thread, enough for a small model on a
            processor.
    """

    def __init__(
        self,
        cache: Cache,
        options: DataOptions,
        augment: AugmentOptions,
        segment: int,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        *,
        rooms: Sequence[Samples] = (),
        noises: Cache | None = None,
        workers: int = 0,
    ) -> None:
        self.cache, self.options = cache, options
        self.segment, self.batch_size, self.seed = segment, batch_size, seed
        self.rank, self.world, self.workers = rank, world, workers
        self._noises = noises
        noise = None if noises is None else self._noise
        self._augmentation = Augmentation(augment, cache.sample_rate_hz, rooms, noise)
        held = held_out_speakers({e.speaker for e in cache.entries}, options.validation_share)
        self.validation_speakers = held
        self.training_entries = [i for i, e in enumerate(cache.entries) if e.speaker not in held]
        self.validation_entries = [i for i, e in enumerate(cache.entries) if e.speaker in held]
        self._active = _of_entries(cache, self.training_entries)
        self._groups = self._grouped() if options.balance != "seconds" else []

    def batches(self, first_step: int) -> Iterator[Batch]:
        """Endless; batch `step` depends on nothing but the arguments of this object and `step`."""
        import torch

        ahead = AHEAD * max(1, self.workers)
        with self._executor() as executor:
            waiting: deque[tuple[int, Future[Samples]]] = deque()
            step = first_step
            try:
                while True:
                    while len(waiting) < ahead:
                        waiting.append((step, self._submit(executor, step)))
                        step += 1
                    number, future = waiting.popleft()
                    yield Batch(number, torch.from_numpy(future.result()))
            finally:
                for _, future in waiting:
                    future.cancel()

    def resized(self, segment: int, batch_size: int) -> TrainingData:
        """The same recordings and augmentation, in crops of `segment` samples."""
        other = copy.copy(self)
        other.segment, other.batch_size = segment, batch_size
        return other

    def crops(self, step: int) -> Samples:
        """Batch `step`, `[batch, channels, time]`."""
        first = self.rank * self.batch_size
        return np.stack([self._crop(step, first + i) for i in range(self.batch_size)])

    def held_out(self, clips: int, seconds: float) -> list[HeldOut]:
        """Up to so many validation clips, by as many speakers as possible."""
        longest = round(seconds * self.cache.sample_rate_hz)
        chosen = _one_of_each(
            self.validation_entries, lambda index: self.cache.entries[index].speaker, clips
        )
        held = []
        for index in chosen:
            entry = self.cache.entries[index]
            start = max(0, min(self._first_active(index), entry.length - longest))
            stop = min(entry.length, start + longest)
            held.append(HeldOut(entry.name, entry.speaker, self.cache.read(index, start, stop)))
        return held

    @property
    def hours(self) -> tuple[float, float]:
        """For training and for validation."""
        seconds = self.cache.seconds
        return (seconds(self.training_entries) / 3600, seconds(self.validation_entries) / 3600)

    def _executor(self) -> Executor:
        if self.workers == 0:
            return ThreadPoolExecutor(1, "training-data")
        import multiprocessing

        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self.workers, context, _adopt, (self,))

    def _submit(self, executor: Executor, step: int) -> Future[Samples]:
        if self.workers == 0:
            return executor.submit(self.crops, step)
        return executor.submit(_crops_of_adopted, step)

    def _crop(self, step: int, place: int) -> Samples:
        rng = np.random.default_rng([self.seed, step, place])
        augmentation = self._augmentation
        entry, block = self._place(rng)
        speed = augmentation.speed(rng)
        lead = round(LEAD_S * self.cache.sample_rate_hz)
        audio = self._stretch(rng, entry, block, self.segment + lead, speed, lead)
        speaker = self.cache.entries[entry].speaker
        audio = augmentation.mix(rng, audio, lambda rng, length: self._other(rng, length, speaker))
        audio = augmentation.colour(rng, audio)[:, lead:]
        audio = augmentation.add_noise(rng, audio)
        return augmentation.finish(rng, audio, self.options.dither_db)

    def _place(self, rng: Generator) -> tuple[int, int]:
        """Entry and block of something active."""
        active = self._active
        if self._groups:
            active = self._groups[int(rng.integers(len(self._groups)))]
        entry, block = active[int(rng.integers(len(active)))]
        return int(entry), int(block)

    def _stretch(
        self, rng: Generator, entry: int, block: int, length: int, speed: float = 1.0, lead: int = 0
    ) -> Samples:
        """`[channels, length]`; after its lead the block is heard, anywhere with equal chances.

        A piece that is shorter lies somewhere behind the lead, silence around it.
        """
        cache, needed, lead = self.cache, math.ceil(length * speed), math.ceil(lead * speed)
        whole = cache.entries[entry].length
        inside = min(needed - lead, cache.block)
        start = block * cache.block - lead - int(rng.integers(needed - lead - inside + 1))
        if whole < needed - lead:
            start = -lead - int(rng.integers(needed - lead - whole + 1))
        else:
            start = max(-lead, min(start, whole - needed))
        audio = cache.read(entry, start, start + needed)
        if speed == 1.0:
            return audio
        import soxr

        resampled: Samples = soxr.resample(audio.T, speed, 1.0, quality="MQ").T
        missing = length - resampled.shape[1]
        return np.pad(resampled, ((0, 0), (0, max(0, missing))))[:, :length]

    def _other(self, rng: Generator, length: int, speaker: str) -> Samples:
        for _ in range(OTHER_SPEAKER_TRIES):
            entry, block = self._place(rng)
            if self.cache.entries[entry].speaker != speaker:
                break
        return self._stretch(rng, entry, block, length)

    def _noise(self, rng: Generator, length: int) -> Samples:
        """A stretch of a recording, from its start again where it is too short."""
        noises = self._noises
        assert noises is not None
        index = int(rng.integers(len(noises.entries)))
        whole = noises.entries[index].length
        start = int(rng.integers(max(1, whole - length + 1)))
        audio = noises.read(index, start, min(start + length, whole))
        return np.tile(audio, (1, math.ceil(length / audio.shape[1])))[:, :length]

    def _first_active(self, entry: int) -> int:
        rows = self.cache.active[self.cache.active[:, 0] == entry]
        return int(rows[0, 1]) * self.cache.block

    def _grouped(self) -> list[NDArray[np.int32]]:
        """Active blocks by speaker, or by the outermost folder."""
        by_speaker = self.options.balance == "speakers"
        names = [e.speaker if by_speaker else e.name.partition("/")[0] for e in self.cache.entries]
        numbers = {name: i for i, name in enumerate(sorted(set(names)))}
        of_entry = np.array([numbers[name] for name in names])
        groups = of_entry[self._active[:, 0]]
        return [self._active[groups == number] for number in np.unique(groups)]


def prepare(
    recipe: Recipe,
    source: str | Path,
    cache_root: Path,
    *,
    rank: int = 0,
    world: int = 1,
    workers: int = 0,
    advance: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> TrainingData:
    """Find, decode and split what a recipe trains on.

    Args:
        source: folder or manifest.
        advance: told what is decoded, how many recordings are done, and of how many.
    Raises:
        UserError: there is nothing to train on.
    """
    config, options = recipe.config, recipe.data

    def cached(what: str, source: str | Path, options: DataOptions) -> Cache:
        recordings = find(source, options.where, options.speaker_column)
        done = 0

        def one_more(count: int) -> None:
            nonlocal done
            done += count
            advance(what, done, len(recordings))

        return caching.build(
            recordings, config.sample_rate_hz, config.channels, options, cache_root, one_more
        )

    cache = cached("recordings", source, options)
    plain = DataOptions(shortest_s=0.1)
    noises = None if options.noises is None else cached("noises", options.noises, plain)
    rooms = [] if options.rooms is None else read_rooms(options.rooms, config.sample_rate_hz)
    return TrainingData(
        cache, options, recipe.augment, recipe.segment, recipe.batch_size, recipe.seed,
        rank, world, rooms=rooms, noises=noises, workers=workers,
    )  # fmt: skip


def read_rooms(source: str | Path, sample_rate_hz: int) -> list[Samples]:
    """Room responses `[length]`, each channel on its own; what cannot be read is left out."""
    rooms = []
    for recording in find(source):
        try:
            piece = next(pieces(recording, sample_rate_hz, channels=2), None)
        except UnusableError:
            continue
        if piece is not None and np.abs(piece).max() > 0:
            rooms += [channel for channel in piece if np.abs(channel).max() > 0]
    return rooms


def held_out_speakers(speakers: set[str], share: float) -> frozenset[str]:
    """About a share of the speakers, at least one of two and never all.

    Chosen by a hash of the name: neither the seed nor new recordings move anybody across.
    """
    if share <= 0 or len(speakers) < 2:
        return frozenset()
    ranked = sorted(speakers, key=lambda name: hashlib.sha256(name.encode()).digest())
    return frozenset(ranked[: min(len(speakers) - 1, max(1, round(share * len(speakers))))])


def default_workers(device_type: str) -> int:
    """Processes for the pipeline: none beside a model that trains on the processor itself."""
    if device_type == "cpu":
        return 0
    return max(1, min(12, len(os.sched_getaffinity(0)) - 2))


def _of_entries(cache: Cache, entries: Sequence[int]) -> NDArray[np.int32]:
    wanted = np.zeros(len(cache.entries), bool)
    wanted[list(entries)] = True
    chosen: NDArray[np.int32] = cache.active[wanted[cache.active[:, 0]]]
    return chosen


def _one_of_each(items: list[int], group: Callable[[int], str], count: int) -> list[int]:
    """The first of each group, then the second of each, … until there are enough."""
    groups: dict[str, list[int]] = {}
    for item in items:
        groups.setdefault(group(item), []).append(item)
    queues = [groups[name] for name in sorted(groups)]
    ordered = [queue[turn] for turn in range(max(map(len, queues), default=0))
               for queue in queues if turn < len(queue)]  # fmt: skip
    return ordered[:count]


_adopted: TrainingData | None = None


def _adopt(data: TrainingData) -> None:
    global _adopted
    _adopted = data


def _crops_of_adopted(step: int) -> Samples:
    assert _adopted is not None
    return _adopted.crops(step)
