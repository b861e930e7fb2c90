"""Score decoded audio that is already there: one pair of files, or two folders paired by name.

The same alignment, recipes and reasons as in a run, without a codec and without a rate.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nacbench import audio
from nacbench.alignment import align
from nacbench.core import Alignment, Clip, Score
from nacbench.errors import UserError
from nacbench.executors import Answer, Call, Failure, Limits, Role, Stage
from nacbench.executors.local import LocalExecutor
from nacbench.scoring import Scorer
from nacbench.sources.folder import EXTENSIONS

# A decoder's padding is a few thousand samples; more says that the files may not belong together.
MAX_PADDING_S = 0.5


@dataclass(frozen=True)
class Pair:
    """Two files that belong together, or one that has no counterpart."""

    name: str
    reference: Path | None
    decoded: Path | None


@dataclass(frozen=True)
class Heard:
    """What was found out about a pair. With a `failure`, it is the reason of every score."""

    name: str
    scores: Mapping[str, Score]
    alignment: Alignment | None = None
    notes: tuple[str, ...] = ()
    failure: str | None = None


def pair_up(reference: Path | str, decoded: Path | str) -> list[Pair]:
    """One pair of files, or the files of two folders by their path without the suffix, sorted.

    Raises:
        UserError: a path is missing, a file meets a folder, two files of a folder have the same
            name, or the folders have no name in common.
    """
    reference, decoded = Path(reference), Path(decoded)
    for path in (reference, decoded):
        if not path.exists():
            raise UserError(f"{path}: no such file or folder.")
    if reference.is_dir() != decoded.is_dir():
        raise UserError(f"{reference} and {decoded}: give two files or two folders.")
    if not reference.is_dir():
        return [Pair(decoded.stem, reference, decoded)]
    references, decodeds = _by_name(reference), _by_name(decoded)
    if not references.keys() & decodeds.keys():
        raise UserError(
            f"{reference} and {decoded}: no file names in common. Files are paired by their path "
            "below the folder without the suffix, as ref/a.flac with dec/a.wav."
        )
    names = sorted({*references, *decodeds})
    return [Pair(name, references.get(name), decodeds.get(name)) for name in names]


def _by_name(folder: Path) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in EXTENSIONS and path.is_file():
            name = path.relative_to(folder).with_suffix("").as_posix()
            if name in files:
                raise UserError(f"{path}: {files[name].name} has the same name. Keep one of them.")
            files[name] = path
    if not files:
        raise UserError(f"{folder}: holds no audio ({', '.join(EXTENSIONS)}).")
    return files


def score(
    pairs: Sequence[Pair],
    metrics: Sequence[str],
    workers: int | None = None,
    heard: Callable[[Heard], None] | None = None,
) -> list[Heard]:
    """Scores of every pair, in the order of the pairs.

    Args:
        metrics: recipe names.
        workers: processes; one per core by default. A crash in one costs one score.
        heard: told of each pair as it is ready.
    Raises:
        UserError: an unknown recipe, or one that is not installed.
    """
    names = Scorer(metrics).names  # an unknown recipe is found here and not in every worker
    done: dict[str, Heard] = {}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    lanes = min(workers or cores or 1, len(pairs))
    roles = {"listener": Role(f"{__name__}:Listener", {"metrics": names})}
    executor = LocalExecutor(roles, max(lanes, 1), Limits())

    def job(pair: Pair) -> Generator[Call, Any, Heard]:
        return (yield from _listen(pair, names))

    try:
        for pair, result in executor.map(job, ((pair.name, pair) for pair in pairs)):
            done[pair.name] = result
            if heard is not None:
                heard(result)
    finally:
        executor.close()
    return [done[pair.name] for pair in pairs]


def _listen(pair: Pair, metrics: Sequence[str]) -> Generator[Call, Any, Heard]:
    """Ask for all scores; a metric that takes its process down is given up for this pair."""
    excluded: dict[str, str] = {}
    while True:
        answer: Answer | Failure = yield Call("listener", (pair, tuple(excluded)))
        if isinstance(answer, Answer):
            result: Heard = answer.value
            lost = {name: Score(reason=reason) for name, reason in excluded.items()}
            scores = {name: lost.get(name) or result.scores[name] for name in metrics}
            return Heard(pair.name, scores, result.alignment, result.notes)
        metric = answer.stage.removeprefix("score ")
        if metric == answer.stage or metric in excluded:
            reason = str(answer) if answer.how != "raised" else answer.what
            scores = {name: Score(reason=reason) for name in metrics}
            return Heard(pair.name, scores, failure=reason)
        excluded[metric] = str(answer)


class Listener:
    """Scores pairs in a process of its own."""

    def __init__(self, metrics: Sequence[str]) -> None:
        self._scorer = Scorer(metrics)

    def __call__(self, task: tuple[Pair, Sequence[str]], stage: Stage) -> Heard:
        pair, excluded = task
        if pair.reference is None:
            raise UserError(f"{pair.decoded}: no reference of that name.")
        if pair.decoded is None:
            raise UserError(f"{pair.reference}: no decoded file of that name.")
        stage("read")
        reference = audio.read(pair.reference, pair.name)
        decoded, notes = _as_reference(audio.read(pair.decoded, pair.name), reference)
        stage("align")
        aligned, alignment = align(reference, decoded)
        scores: dict[str, Score] = {}
        for name in self._scorer.names:
            if name not in excluded:
                stage(f"score {name}")
                scores |= self._scorer.score(reference, aligned, only=(name,))
        return Heard(pair.name, scores, alignment, notes)


def _as_reference(decoded: Clip, reference: Clip) -> tuple[Clip, tuple[str, ...]]:
    """The decoded clip at the reference's rate and channel count, and what that took."""
    notes = []
    if decoded.sample_rate_hz != reference.sample_rate_hz:
        notes.append(f"resampled {decoded.sample_rate_hz} -> {reference.sample_rate_hz} Hz")
        decoded = audio.at_rate(decoded, reference.sample_rate_hz)
    if decoded.channels != reference.channels:
        if 1 not in (decoded.channels, reference.channels):
            raise UserError(
                f"'{decoded.id}': {decoded.channels} decoded channels for a reference of "
                f"{reference.channels}. Mix one of them first."
            )
        notes.append(f"channels {decoded.channels} -> {reference.channels}")
        mono = audio.to_mono(decoded)
        samples = np.repeat(mono.samples, reference.channels, axis=0)
        decoded = Clip(samples, mono.sample_rate_hz, mono.id, mono.tags)
    difference_s = decoded.duration_s - reference.duration_s
    if abs(difference_s) > MAX_PADDING_S:
        longer = "longer" if difference_s > 0 else "shorter"
        notes.append(f"{abs(difference_s):.2f} s {longer} than the reference")
    return decoded, tuple(notes)
