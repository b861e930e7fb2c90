"""Signals -> a study: cut, brought to one loudness, with anchors, hashed, in one folder."""

from __future__ import annotations

import datetime
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mushra_app import anchors
from mushra_app.study import Condition, Item, Role, Stimulus, Study
from nacbench import audio
from nacbench.core import Clip
from nacbench.errors import UserError

LONGEST_S = 12.0  # BS.1534-3: preferably not longer
LENGTH_S = 10.0  # BS.1534-3: about
SHORTEST_S = 1.0  # two of the shortest loops
TARGET_LUFS = -23.0  # EBU R 128
PEAK = 0.98  # of full scale, after all gains
REMARKABLE_DB = 1.0  # gains beyond it are noted in the study
METRICS_FILE = "metrics.csv"
HIDDEN, LOW, MID = "reference", "anchor35", "anchor70"  # webMUSHRA's names
FIXED: dict[str, tuple[Role, str]] = {
    HIDDEN: ("reference", "Hidden reference"),
    LOW: ("low_anchor", "3.5 kHz anchor"),
    MID: ("mid_anchor", "7 kHz anchor"),
}


@dataclass(frozen=True)
class Material:
    """One item before it is made ready.

    Attributes:
        decoded: condition id -> signal, aligned to the reference, of its rate and length.
        scores: condition id -> metric -> value, from the run.
    """

    id: str
    reference: Clip
    decoded: Mapping[str, Clip]
    title: str = ""
    clip: str = ""
    noise: str = "clean"
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    """How signals are made ready.

    Attributes:
        sample_rate_hz: of all files; None: the highest of the references, at least 16 kHz.
        length_s: longest excerpt; the loudest part of a longer clip is taken.
        lufs: loudness of every item's reference; None leaves it as it is.
    """

    slug: str
    title: str
    sample_rate_hz: int | None = None
    length_s: float = LENGTH_S
    lufs: float | None = TARGET_LUFS
    seed: int = 0
    replicate_share: float = 0.25
    languages: tuple[str, ...] = ("en", "de")


def build(
    systems: Sequence[Condition],
    items: Iterator[Material],
    training: Iterator[Material],
    settings: Settings,
    out: Path,
    *,
    run: str = "",
    suite: str = "",
    metrics: Mapping[str, tuple[str, bool | None]] | None = None,
) -> Study:
    """Write a study into `out`, which must be empty or hold an older one of the same name.

    Raises:
        UserError: `out` holds something else, or a clip is too short or has too many channels.
    """
    if not 0 < settings.length_s <= LONGEST_S:
        raise UserError(
            f"--seconds {settings.length_s:g}: BS.1534-3 wants at most {LONGEST_S:g} s an item."
        )
    _clear(out, settings.slug)
    graded, practice = list(items), list(training)
    if not graded:
        raise UserError("there is nothing to listen to: no item was found.")
    rate = settings.sample_rate_hz or max(
        anchors.LOWEST_RATE_HZ, *(m.reference.sample_rate_hz for m in graded + practice)
    )
    names = unique_names(m.id for m in graded + practice)
    notes: list[str] = []
    ready = [
        _item(name, material, rate, settings, out, notes)
        for name, material in zip(names, graded + practice, strict=True)
    ]
    fixed = [Condition(id=i, role=role, title=title) for i, (role, title) in FIXED.items()]
    study = Study(
        slug=settings.slug,
        title=settings.title,
        sample_rate_hz=rate,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        languages=settings.languages,
        replicate_share=settings.replicate_share,
        seed=settings.seed,
        conditions=(*fixed, *systems),
        items=tuple(ready[: len(graded)]),
        training=tuple(ready[len(graded) :]),
        run=run,
        suite=suite,
        anchors=anchors.GENERATION,
        notes=tuple(notes),
    )
    study.save(out)
    if metrics:
        _write_metrics(out / METRICS_FILE, study, graded, metrics)
    return study


def _item(
    name: str, material: Material, rate: int, settings: Settings, out: Path, notes: list[str]
) -> Item:
    reference = material.reference
    if reference.channels > 2:
        raise UserError(
            f"{material.title}: {reference.channels} channels; listeners have two ears."
        )
    part = _part(reference, settings.length_s)
    if (part.stop - part.start) / reference.sample_rate_hz < SHORTEST_S:
        raise UserError(f"{material.title}: shorter than {SHORTEST_S:g} s. Choose another clip.")
    # Cut after resampling, so that no filter of ours rings at the cut; anchors alike.
    start, stop = (round(at * rate / reference.sample_rate_hz) for at in (part.start, part.stop))
    whole = audio.at_rate(reference, rate)
    signals = {
        HIDDEN: whole,
        LOW: anchors.anchor(whole, "low_anchor"),
        MID: anchors.anchor(whole, "mid_anchor"),
        **{n: audio.at_rate(clip, rate) for n, clip in material.decoded.items()},
    }
    cut = {n: Clip(s.samples[:, start:stop], rate, name) for n, s in signals.items()}
    gains = _gains_db(cut, settings.lufs, name, notes)
    folder = out / "audio" / name
    folder.mkdir(parents=True, exist_ok=True)
    stimuli = []
    for condition, clip in cut.items():
        role = FIXED[condition][0] if condition in FIXED else "system"
        loud = Clip(clip.samples * np.float32(10 ** (gains[condition] / 20)), rate, name)
        file = folder / f"{condition}.wav"
        audio.write(file, loud, subtype="PCM_24")
        stimuli.append(stimulus(file, out, condition, role, gains[condition]))
    return Item(
        id=name, title=material.title[:200], reference=stimuli[0], conditions=tuple(stimuli),
        clip=material.clip, noise=material.noise,
        start_s=round(part.start / reference.sample_rate_hz, 6),
    )  # fmt: skip


def stimulus(file: Path, folder: Path, condition: str, role: Role, gain_db: float) -> Stimulus:
    """What a written file holds; hash and loudness are of the file, not of what was meant."""
    heard = audio.read(file)
    lufs = _lufs(heard)
    return Stimulus(
        condition=condition, role=role, file=file.relative_to(folder).as_posix(),
        pcm_sha256=audio.sha256(heard), frames=heard.length, channels=heard.channels,
        lufs=None if lufs is None else round(lufs, 2), gain_db=round(gain_db, 3),
    )  # fmt: skip


def _gains_db(
    signals: Mapping[str, Clip], target: float | None, item: str, notes: list[str]
) -> dict[str, float]:
    """Gain per signal: systems to the loudness of the reference, all together to the target.

    Anchors keep the reference's gain: they are defined by their filter.
    """
    reference = _lufs(signals[HIDDEN])
    shared = 0.0 if target is None or reference is None else target - reference
    gains = {}
    for name, clip in signals.items():
        own = 0.0
        if name not in FIXED and reference is not None:
            lufs = _lufs(clip)
            if lufs is None:
                notes.append(f"{item}: '{name}' is silent; its loudness could not be aligned.")
            else:
                own = reference - lufs
        if abs(own) > REMARKABLE_DB:
            notes.append(f"{item}: '{name}' was {-own:+.1f} LU off its reference; aligned.")
        gains[name] = shared + own
    peaks = [
        float(np.abs(clip.samples).max()) * 10 ** (gains[name] / 20)
        for name, clip in signals.items()
    ]
    if max(peaks) > PEAK:
        down = 20 * np.log10(PEAK / max(peaks))
        notes.append(f"{item}: {down:.1f} dB on all its signals, or one would clip.")
        gains = {name: gain + float(down) for name, gain in gains.items()}
    return gains


def _lufs(clip: Clip) -> float | None:
    value = audio.loudness_lufs(clip)
    return value if np.isfinite(value) else None


def _part(reference: Clip, length_s: float) -> slice:
    """The loudest `length_s` of a clip, or all of it."""
    length = round(length_s * reference.sample_rate_hz)
    if reference.length <= length:
        return slice(0, reference.length)
    hop = reference.sample_rate_hz // 10
    energy = np.cumsum(np.square(reference.samples, dtype=np.float64).sum(axis=0))
    energy = np.concatenate([[0.0], energy])
    starts = np.arange(0, reference.length - length + 1, hop)
    start = int(starts[np.argmax(energy[starts + length] - energy[starts])])
    return slice(start, start + length)


def _clear(out: Path, slug: str) -> None:
    """Make room for a study; only one of the same name is ever replaced."""
    if (out / "study.yaml").is_file():
        old = Study.load(out)
        if old.slug != slug:
            raise UserError(f"{out}: holds the study '{old.slug}'. Give another --out.")
        if any(out.glob("ratings.sqlite*")):
            raise UserError(f"{out}: listeners have rated this study. Give another --out.")
        shutil.rmtree(out / "audio", ignore_errors=True)
        (out / METRICS_FILE).unlink(missing_ok=True)
    elif out.exists() and any(out.iterdir()):
        raise UserError(f"{out}: is not empty, and holds no study. Give another --out.")
    out.mkdir(parents=True, exist_ok=True)


def slug_of(name: str) -> str:
    """A study's name from its folder's."""
    return re.sub(r"[^a-z0-9]+", "-", name.casefold()).strip("-")[:60] or "study"


def name_of(name: str) -> str:
    """An id that files and addresses can have: lower case, digits, `.`, `_` and `-`."""
    return re.sub(r"[^a-z0-9._]+", "-", name.casefold()).strip("-._")[:60] or "x"


def unique_names(names: Iterable[str]) -> list[str]:
    """An id for each name, none twice, none that anchors or the hidden reference have."""
    taken = set(FIXED)
    found = []
    for name in map(name_of, names):
        number, candidate = 2, name
        while candidate in taken:
            number, candidate = number + 1, f"{name[:56]}-{number}"
        taken.add(candidate)
        found.append(candidate)
    return found


def _write_metrics(
    path: Path,
    study: Study,
    materials: Sequence[Material],
    metrics: Mapping[str, tuple[str, bool | None]],
) -> None:
    """The run's scores of the study's items, so that the analysis needs nothing else."""
    import csv

    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["item", "condition", "metric", "value", "unit", "higher_is_better"])
        for item, material in zip(study.items, materials, strict=True):
            for condition, scores in material.scores.items():
                for name, value in scores.items():
                    unit, better = metrics.get(name, ("", None))
                    shown = {True: "yes", False: "no", None: ""}[better]
                    writer.writerow([item.id, condition, name, repr(value), unit, shown])
