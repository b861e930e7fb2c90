"""Where a study's signals come from: a run's cache, or folders of WAVs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from mushra_app.prepare import FIXED, HIDDEN, Material, Settings, build, name_of, unique_names
from mushra_app.selection import Chosen
from mushra_app.study import Condition, Study
from nacbench import alignment, audio
from nacbench.core import Clip
from nacbench.errors import UserError
from nacbench.records import Record
from nacbench.results import ResultTable

Decoded = Callable[[Record], Clip | None]


def from_run(
    table: ResultTable, chosen: Chosen, stored: Decoded, settings: Settings, out: Path
) -> Study:
    """A study of what was chosen from a run.

    Args:
        stored: `nacbench.runner.work.decoded_of` with its cache: record -> decoded clip or None.
    Raises:
        UserError: audio is not in the cache any more, or `out` holds another study.
    """
    from nacbench.report.html.listening import References, checked

    references = References(table)
    ids = dict(zip((s.point for s in chosen.systems), _ids(chosen), strict=True))

    def material(clip: str) -> Material:
        records = chosen.records[clip]
        first = next(iter(records.values()))
        try:
            reference = references.get(first)
            decoded = {
                ids[point]: alignment.align(reference, checked(r, stored(r)))[0]
                for point, r in records.items()
            }
        except UserError as error:
            raise UserError(f"{clip}: {error}") from error
        scores = {
            ids[point]: {name: s.value for name, s in r.scores.items() if s.value is not None}
            for point, r in records.items()
        }
        return Material(
            id=name_of(clip), reference=reference, decoded=decoded, title=clip, clip=clip,
            noise=chosen.condition, scores=scores,
        )  # fmt: skip

    conditions = tuple(
        Condition(
            id=ids[system.point], role="system", title=system.name, point=system.point,
            payload_kbps=_kbps([chosen.records[clip][system.point] for clip in chosen.items]),
        )
        for system in chosen.systems
    )  # fmt: skip
    run = next(iter(next(iter(chosen.records.values())).values()))
    return build(
        conditions,
        map(material, chosen.items),
        map(material, chosen.training),
        settings,
        out,
        run=run.run,
        suite=run.suite,
        metrics=_metrics(table),
    )


def _ids(chosen: Chosen) -> list[str]:
    return unique_names(system.name for system in chosen.systems)


def _kbps(records: Sequence[Record]) -> float | None:
    rates = [r.payload_kbps for r in records if r.payload_kbps is not None]
    return round(sum(rates) / len(rates), 3) if rates else None


def _metrics(table: ResultTable) -> dict[str, tuple[str, bool | None]]:
    """Recipe -> unit, and whether higher is better."""
    from nacbench.leaderboard import metrics_of

    return {m.name: (m.unit, m.higher_is_better) for m in metrics_of(table)}


def from_folder(folder: Path, settings: Settings, out: Path, training: int = 1) -> Study:
    """A study of WAVs: `folder/reference/*.wav`, and one folder of the same names per system;
    or one folder per item with `reference.wav` and one file per system.

    The last `training` items are for practice, as far as five remain.

    Raises:
        UserError: there is no reference, or a system lacks an item.
    """
    found = _signals(folder)
    names = list(dict.fromkeys(name for systems in found.values() for name in systems))
    ids = dict(zip(names, unique_names(names), strict=True))

    def material(item: str) -> Material:
        paths = found[item]
        for name in names:
            if name not in paths:
                raise UserError(f"{folder}: item '{item}' has no file of the system '{name}'.")
        reference = audio.read(_references(folder)[item], clip_id=item)
        decoded = {
            ids[n]: alignment.align(reference, _like(audio.read(paths[n]), reference, paths[n]))[0]
            for n in names
        }
        return Material(
            id=name_of(item), reference=reference, decoded=decoded, title=item, clip=item
        )

    items = list(found)
    practice = items[max(5, len(items) - training) :]
    conditions = tuple(Condition(id=ids[name], role="system", title=name) for name in names)
    return build(
        conditions,
        map(material, items[: len(items) - len(practice)]),
        map(material, practice),
        settings,
        out,
    )


def _signals(folder: Path) -> dict[str, dict[str, Path]]:
    """Item -> system -> file."""
    references = _references(folder)
    if not references:
        raise UserError(
            f"{folder}: no references. Expected {folder / HIDDEN}/ITEM.wav beside "
            f"{folder / 'SYSTEM'}/ITEM.wav, or {folder / 'ITEM'}/{HIDDEN}.wav beside "
            f"{folder / 'ITEM'}/SYSTEM.wav."
        )
    found: dict[str, dict[str, Path]] = {item: {} for item in references}
    by_system = (folder / HIDDEN).is_dir()
    for path in sorted(p for sub in folder.iterdir() if sub.is_dir() for p in _wavs(sub)):
        system, item = (path.parent.name, path.stem) if by_system else (path.stem, path.parent.name)
        if system == HIDDEN or item not in found:
            continue
        if system in FIXED:
            raise UserError(f"{path}: anchors are made from the reference. Remove it or rename it.")
        found[item][system] = path
    if not any(found.values()):
        raise UserError(f"{folder}: references, but no system beside them.")
    return found


def _references(folder: Path) -> dict[str, Path]:
    shared = folder / HIDDEN
    if shared.is_dir():
        return {p.stem: p for p in _wavs(shared)}
    return {p.parent.name: p for p in sorted(folder.glob(f"*/{HIDDEN}.wav"))}


def _wavs(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in (".wav", ".flac"))


def _like(clip: Clip, reference: Clip, path: Path) -> Clip:
    """At the reference's rate and channel count, as `alignment.align` wants it."""
    if clip.channels != reference.channels:
        raise UserError(
            f"{path}: {clip.channels} channels, its reference has {reference.channels}."
        )
    return audio.at_rate(clip, reference.sample_rate_hz)
