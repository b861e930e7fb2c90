"""Many runs over time: how each operating point scored in each run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nacbench.errors import UserError
from nacbench.leaderboard import leaderboard
from nacbench.results import ResultTable

if TYPE_CHECKING:
    import pandas as pd


def find_runs(paths: Iterable[Path]) -> list[Path]:
    """Run directories at or below the paths, oldest first.

    Raises:
        UserError: a path holds no run.
    """
    found: dict[Path, None] = {}
    for path in paths:
        records = [path] if path.is_file() else sorted(path.rglob("records.jsonl"))
        if not records or (path.is_file() and path.name != "records.jsonl"):
            raise UserError(
                f"{path}: no run here. Give a directory that 'nacbench run' wrote, or one above it."
            )
        found.update(dict.fromkeys(file.parent for file in records))
    return sorted(found, key=lambda run: run.name)  # names begin with the time of the run


def trend(tables: Sequence[ResultTable]) -> pd.DataFrame:
    """One line per run, condition, operating point and metric.

    Columns: run, begun (a timestamp; missing without a manifest), nacbench, suite, condition,
    series, setting, point, codec_version, kbps, metric, mean, low, high, n_ok, n, machine,
    encode_rtf, decode_rtf. A run without records is left out.
    """
    import pandas as pd

    lines = [line for table in tables if table.records for line in _lines(table)]
    frame = pd.DataFrame(lines)
    if not frame.empty:
        frame["begun"] = pd.to_datetime(frame["begun"], utc=True, errors="coerce")
        frame = frame.sort_values(["begun", "run"], kind="stable", ignore_index=True)
    return frame


def _lines(table: ResultTable) -> Iterable[dict[str, object]]:
    board = leaderboard(table)
    run = board.runs[-1]
    manifest = table.manifests.get(run, {})
    versions = {r.point_key: r.versions.get("codec", "") for r in table.records}
    for section in board.sections:
        for row in section.rows:
            shared = {
                "run": run,
                "begun": manifest.get("begun"),
                "nacbench": manifest.get("nacbench"),
                "suite": section.suite,
                "condition": section.condition,
                "series": row.series,
                "setting": row.setting,
                "name": row.name,
                "point": row.point_key,
                "codec_version": versions.get(row.point_key, ""),
                "kbps": row.payload_kbps,
                "machine": row.machine,
                "encode_rtf": row.encode_rtf,
                "decode_rtf": row.decode_rtf,
            }
            for metric, cell in row.cells.items():
                yield {
                    **shared,
                    "metric": metric,
                    "mean": cell.mean,
                    "low": cell.low,
                    "high": cell.high,
                    "n_ok": cell.n_ok,
                    "n": cell.n,
                }
