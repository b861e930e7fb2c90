"""A baseline: what the gate needs of a run, as a small CSV to commit.

The first line is a comment with a JSON object (versions, machine, timings, scores of sets); then a
row per coded clip with a column per metric, a number or the reason why there is none. Reading one
gives a ResultTable, so the gate does not care where its baseline came from.
"""

from __future__ import annotations

import csv
import io
import json
import math
import subprocess
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from nacbench.core import Score
from nacbench.errors import UserError
from nacbench.leaderboard import CLUSTER_TAGS, latest, metrics_of
from nacbench.records import Record, SetScore, Timing
from nacbench.results import ResultTable, from_json, to_json

MARK = "# nacbench baseline "
FORMAT = 1
RUN = "baseline"  # what records read from a file call their run
DIRECTORY = Path("results/baselines")
_COLUMNS = (
    "suite", "condition", "clip", "cluster", "codec", "options", "series", "setting",
    "duration_s", "sample_rate_hz", "channels", "payload_bytes", "reference", "failure",
)  # fmt: skip
_REASON = "!"  # starts a cell that holds a reason instead of a number


def write(table: ResultTable, path: Path) -> None:
    """Write the latest record of every coded clip.

    Raises:
        UserError: the run has no records.
    """
    if not table.records:
        raise UserError("baseline: this run holds no records. Finish 'nacbench run' first.")
    records = latest(table.records)
    versions: dict[str, str] = {}
    for record in records:
        scored = record.versions.keys() & record.scores.keys()
        versions |= {name: record.versions[name] for name in scored}
    head = {
        "run": sorted({record.run for record in records}),
        "versions": versions,
        "metrics": {
            metric.name: {"unit": metric.unit, "higher_is_better": metric.higher_is_better}
            for metric in metrics_of(table)
        },
        "sets": [json.loads(to_json(entry)) for entry in table.set_scores],
        "timings": [asdict(timing) | {"options": dict(timing.options)} for timing in table.timings],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write(f"{MARK}{FORMAT} {json.dumps(head, ensure_ascii=False)}\n")
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow([*_COLUMNS, *table.metrics])
        rows.writerows(_row(record, table.metrics) for record in records)


def read(text: str, where: str) -> ResultTable:
    """The table in a baseline's text.

    Raises:
        UserError: not a baseline, of a newer format, or a damaged row (its line is named).
    """
    first, _, rest = text.partition("\n")
    if not first.startswith(MARK):
        raise UserError(f"{where}: not a baseline. 'nacbench baseline set RUN' writes one.")
    number, _, json_text = first.removeprefix(MARK).partition(" ")
    if number != str(FORMAT):
        raise UserError(f"{where}: baseline format {number}; this nacbench reads {FORMAT}.")
    line = 1
    try:
        head = json.loads(json_text)
        rows = csv.DictReader(io.StringIO(rest))
        metrics = [name for name in rows.fieldnames or () if name not in _COLUMNS]
        records = []
        for line, row in enumerate(rows, start=3):  # noqa: B007 (for the message)
            records.append(_record(row, metrics, head["versions"]))
        lines = map(json.dumps, head.get("sets", ()))
        sets = tuple(replace(entry, run=RUN) for entry in map(from_json, lines)
                     if isinstance(entry, SetScore))  # fmt: skip
        timings = tuple(Timing(**timing | {"run": RUN}) for timing in head["timings"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{where}:{line}: damaged baseline ({type(error).__name__}: {error}). Set it again."
        ) from error
    manifest = {"run": RUN, "metrics": head["metrics"]}
    return ResultTable(records, timings, set_scores=sets, manifests={RUN: manifest})


def find(name: str, suite: str, path: Path | None = None) -> ResultTable:
    """The baseline called `name`: a CSV file, a run directory, or `git:REF`.

    `git:REF` reads `results/baselines/SUITE.csv` as it is committed at REF (`git:main`).

    Raises:
        UserError: there is nothing there.
    """
    committed = path or DIRECTORY / f"{suite.replace('/', '-')}.csv"
    if name.startswith("git:"):
        ref = name.removeprefix("git:")
        if ref.startswith("-"):
            raise UserError(f"{name}: not a git revision.")
        done = subprocess.run(
            ["git", "show", f"{ref}:./{committed.as_posix()}"],
            capture_output=True, encoding="utf-8", check=False,
        )  # fmt: skip
        if done.returncode:
            why = done.stderr.strip().splitlines()[-1:] or ["git failed"]
            raise UserError(
                f"{name}: {why[0]} Commit one with 'nacbench baseline set RUN --out {committed}'."
            )
        return read(done.stdout, f"{ref}:{committed}")
    place = Path(name)
    if place.is_file() and place.suffix == ".csv":
        return read(place.read_text(encoding="utf-8"), str(place))
    return ResultTable.load(place)


def _row(record: Record, metrics: list[str]) -> list[Any]:
    cluster = next(
        (f"{tag}={record.tags[tag]}" for tag in CLUSTER_TAGS if record.tags.get(tag)), ""
    )
    cells: list[Any] = [
        record.suite, record.condition, record.clip, cluster, record.codec,
        json.dumps(dict(record.options)), record.series, record.setting,
        record.duration_s, record.sample_rate_hz, record.channels,
        "" if record.payload_bytes is None else record.payload_bytes,
        record.hashes.get("reference", ""), record.failure or "",
    ]  # fmt: skip
    for metric in metrics:
        score = record.scores.get(metric)
        if score is None:
            cells.append("")
        else:
            cells.append(f"{_REASON}{score.reason}" if score.value is None else repr(score.value))
    return cells


def _record(row: dict[str, str], metrics: list[str], versions: dict[str, str]) -> Record:
    tag, _, unit = row["cluster"].partition("=")
    scores = {}
    for metric in metrics:
        cell = row[metric]
        if cell.startswith(_REASON):
            scores[metric] = Score(reason=cell.removeprefix(_REASON))
        elif cell:
            number = float(cell)
            if not math.isfinite(number):
                raise ValueError(f"{metric} is {cell}")
            scores[metric] = Score(value=number)
    return Record(
        run=RUN,
        suite=row["suite"],
        condition=row["condition"],
        clip=row["clip"],
        tags={tag: unit} if tag else {},
        seed=0,
        duration_s=float(row["duration_s"]),
        sample_rate_hz=int(row["sample_rate_hz"]),
        channels=int(row["channels"]),
        codec=row["codec"],
        options=json.loads(row["options"]),
        series=row["series"],
        setting=row["setting"],
        scores=scores,
        versions={name: versions[name] for name in scores if name in versions},
        failure=row["failure"] or None,
        payload_bytes=int(row["payload_bytes"]) if row["payload_bytes"] else None,
        hashes={"reference": row["reference"]} if row["reference"] else {},
    )
