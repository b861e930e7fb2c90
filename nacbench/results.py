"""Records on disk (append-only JSON lines with a schema version) and ResultTable over them.

A run directory holds `records.jsonl` and `manifest.json`. Each line is one Record, Timing, TokenUse
or SetScore, marked by `"kind"`. Lines are only ever appended; where two have the same key, the
later one counts, so an interrupted run loses at most the line that was being written.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from nacbench.core import Alignment, Score
from nacbench.errors import UserError
from nacbench.records import Record, SetScore, Timing, TokenUse

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 1
# Schema that a line was written in -> what turns its fields into those of the next schema.
UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
_KINDS: dict[str, type] = {
    "record": Record,
    "timing": Timing,
    "tokens": TokenUse,
    "set": SetScore,
}
Entry = Record | Timing | TokenUse | SetScore


def to_json(entry: Entry) -> str:
    """One line of `records.jsonl`, without the newline."""
    kind = next(name for name, cls in _KINDS.items() if isinstance(entry, cls))
    fields: dict[str, Any] = {"kind": kind, "schema": SCHEMA_VERSION}
    for spec in dataclasses.fields(entry):
        value = getattr(entry, spec.name)
        if spec.name == "scores":
            value = {name: _score_to_json(score) for name, score in value.items()}
        elif isinstance(value, Score):
            value = _score_to_json(value)
        elif isinstance(value, Alignment):
            value = dataclasses.asdict(value)
        elif isinstance(value, Mapping):
            value = dict(value)
        if value != spec.default:
            fields[spec.name] = value
    return dumps(fields)


def dumps(content: Mapping[str, Any], indent: int | None = None) -> str:
    """JSON that a person can read; escaped where a file's name is not Unicode."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, indent=indent)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(content, allow_nan=False, indent=indent)
    return text


def from_json(line: str) -> Entry:
    """An entry from a line of this schema or any before it.

    Raises:
        ValueError: the line is damaged.
        NewerSchemaError: it was written by a newer nacbench.
    """
    fields = json.loads(line)
    if not isinstance(fields, dict):
        raise ValueError("not a JSON object")
    schema = fields.pop("schema", None)
    if not isinstance(schema, int):
        raise ValueError("it names no schema")
    if schema > SCHEMA_VERSION:
        raise NewerSchemaError(f"schema {schema}, this nacbench reads up to {SCHEMA_VERSION}")
    for older in range(schema, SCHEMA_VERSION):
        fields = UPGRADES[older](fields)
    cls = _KINDS[fields.pop("kind")]
    if cls is Record:
        fields["scores"] = {name: _score_from_json(v) for name, v in fields["scores"].items()}
        if fields.get("alignment"):
            fields["alignment"] = Alignment(**fields["alignment"])
    if cls is SetScore:
        fields["score"] = _score_from_json(fields["score"])
    for name, value in fields.items():
        if isinstance(value, list):
            fields[name] = tuple(value)
    try:
        return cls(**fields)  # type: ignore[no-any-return]
    except TypeError as error:
        raise ValueError(str(error)) from error


class NewerSchemaError(ValueError):
    """The line is sound, but newer than this nacbench."""


def _score_to_json(score: Score) -> float | str | None:
    return score.value if score.ok else score.reason


def _score_from_json(value: float | str) -> Score:
    return Score(reason=value) if isinstance(value, str) else Score(value=float(value))


class RecordWriter:
    """Appends entries to `records.jsonl`; each line reaches the disk before `write` returns.

    Raises:
        UserError: another process is writing there.
    """

    def __init__(self, run_directory: Path) -> None:
        run_directory.mkdir(parents=True, exist_ok=True)
        path = run_directory / "records.jsonl"
        self._file = path.open("a", encoding="utf-8")
        try:
            _lock(self._file)
        except OSError as error:
            self._file.close()
            raise UserError(
                f"{run_directory}: another nacbench is writing here. Wait until it is done, or "
                "give another --out."
            ) from error
        _drop_partial_last_line(path)

    def write(self, entry: Entry) -> None:
        self._file.write(to_json(entry) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> RecordWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _lock(file: IO[str]) -> None:
    """Let nobody else write; the system takes the lock back when the process ends, however.

    Raises:
        OSError: somebody else has it.
    """
    if sys.platform != "win32":
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _drop_partial_last_line(path: Path) -> None:
    """A kill in mid-write leaves half a line; the next run must not append to it."""
    if not path.exists():
        return
    data = path.read_bytes()
    if data and not data.endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(data.rfind(b"\n") + 1)


@dataclass(frozen=True, eq=False)
class ResultTable:
    """All records of one or several runs, with their manifests.

    Attributes:
        records, timings, token_uses, set_scores: entries, the latest per key, in the order of the
            suite's clips, conditions and points: workers finish in another order every time.
        manifests: run name -> manifest (versions, machine, seeds, suite hash, skipped codecs).
    """

    records: Sequence[Record]
    timings: Sequence[Timing] = ()
    token_uses: Sequence[TokenUse] = ()
    set_scores: Sequence[SetScore] = ()
    manifests: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)

    @classmethod
    def load(cls, *runs: Path | str) -> ResultTable:
        """Read run directories (or `records.jsonl` files) and merge them.

        Raises:
            UserError: there is no run at a path, or a line is damaged (file and line are named).
        """
        entries: dict[Any, Any] = {}
        manifests: dict[str, Mapping[str, Any]] = {}
        for run in map(Path, runs):
            path = run if run.is_file() else run / "records.jsonl"
            if not path.exists():
                raise UserError(
                    f"{run}: no records.jsonl here. Give the directory that 'nacbench run' wrote."
                )
            lines = path.read_text(encoding="utf-8").split("\n")
            for number, line in enumerate(lines, start=1):
                if not line:
                    continue
                try:
                    entry = from_json(line)
                except NewerSchemaError as error:
                    raise UserError(
                        f"{path}:{number}: written by a newer nacbench ({error}). "
                        "Upgrade: pip install --upgrade nacbench"
                    ) from error
                except (ValueError, KeyError, TypeError, AttributeError) as error:
                    if number == len(lines):
                        continue  # half a line, left by a kill; its work is in the cache
                    raise UserError(
                        f"{path}:{number}: damaged record ({type(error).__name__}: {error}). "
                        "Remove the line and run again: finished work is in the cache."
                    ) from error
                entries[_entry_key(entry)] = entry
            if content := _read_manifest(path.parent / "manifest.json"):
                manifests[content.get("run", path.parent.name)] = content
        ordered = sorted(entries.values(), key=_Order(manifests))
        return cls(
            records=[e for e in ordered if isinstance(e, Record)],
            timings=[e for e in ordered if isinstance(e, Timing)],
            token_uses=[e for e in ordered if isinstance(e, TokenUse)],
            set_scores=[e for e in ordered if isinstance(e, SetScore)],
            manifests=manifests,
        )

    @property
    def metrics(self) -> list[str]:
        """Recipe names of clips' scores, in order of first appearance."""
        return list(dict.fromkeys(name for record in self.records for name in record.scores))

    @property
    def set_metrics(self) -> list[str]:
        """Recipe names of sets' scores, in order of first appearance."""
        return list(dict.fromkeys(entry.metric for entry in self.set_scores))

    @property
    def failures(self) -> list[Record]:
        return [record for record in self.records if record.failure is not None]

    @property
    def something_failed(self) -> bool:
        """A clip that could not be coded, a point that could not be timed, or a metric that took
        its process down. A pair that a metric refuses to score is no failure.
        """
        return (
            bool(self.failures)
            or any(timing.failure for timing in self.timings)
            or any(
                score.reason is not None and score.reason.startswith(f"score {name}: ")
                for record in self.records
                for name, score in record.scores.items()
            )
        )

    def to_pandas(self) -> pd.DataFrame:
        """Long form: one row per record and metric, `value` NaN where there is a `reason`."""
        import pandas as pd

        return pd.DataFrame(list(_long_rows(self.records)))

    def to_parquet(self, path: Path | str) -> None:
        """`to_pandas()` as a Parquet file.

        Raises:
            UserError: pyarrow is not installed.
        """
        try:
            self.to_pandas().to_parquet(path, index=False)
        except ImportError as error:
            raise UserError(
                f"{path}: writing Parquet needs pyarrow. pip install 'nacbench[parquet]'"
            ) from error


def _read_manifest(path: Path) -> dict[str, Any] | None:
    """Raises:
    UserError: the manifest is not JSON.
    """
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(
            f"{path}: damaged ({error}). Remove it and run again: records keep."
        ) from error
    return content if isinstance(content, dict) else None


class _Order:
    """Sort key of entries: runs as given, then each run's own order of clips and points."""

    def __init__(self, manifests: Mapping[str, Mapping[str, Any]]) -> None:
        self._runs = {run: place for place, run in enumerate(manifests)}
        self._places = {
            run: {
                kind: {name: place for place, name in enumerate(names)}
                for kind, names in manifest.get("order", {}).items()
            }
            for run, manifest in manifests.items()
        }

    def __call__(self, entry: Entry) -> tuple[int, ...]:
        places = self._places.get(entry.run, {})
        steps = [("points", entry.point_key)]
        if isinstance(entry, Record):
            steps = [("clips", entry.clip), ("conditions", entry.condition), *steps]
        elif isinstance(entry, SetScore):
            steps = [("conditions", entry.condition), *steps, ("metrics", entry.metric)]
        unknown = 1 << 30  # last; the sort is stable, so these stay in the order of writing
        within = [places.get(kind, {}).get(name, unknown) for kind, name in steps]
        return self._runs.get(entry.run, unknown), *within


def _entry_key(entry: Entry) -> tuple[Any, ...]:
    key = entry.key if isinstance(entry, Record | SetScore) else (entry.point_key,)
    return type(entry).__name__, entry.run, entry.suite, *key


def _long_rows(records: Iterable[Record]) -> Iterable[dict[str, Any]]:
    for record in records:
        alignment = record.alignment
        shared = {
            "run": record.run,
            "suite": record.suite,
            "clip": record.clip,
            "condition": record.condition,
            "speaker": record.tags.get("speaker"),
            "codec": record.codec,
            "series": record.series,
            "setting": record.setting,
            "nominal_kbps": record.nominal_kbps,
            "payload_kbps": record.payload_kbps,
            "container_kbps": record.container_kbps,
            "compression_ratio": record.compression_ratio,
            "delay_ms": alignment.delay_ms if alignment else None,
            "gain_db": alignment.gain_db if alignment else None,
            "polarity": alignment.polarity if alignment else None,
            "failure": record.failure,
        }
        for metric, score in record.scores.items():
            yield {**shared, "metric": metric, "value": score.value, "reason": score.reason}
