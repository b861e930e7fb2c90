"""Everything a run leaves for its readers, built from records alone."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from nacbench.board import Board
from nacbench.leaderboard import leaderboard
from nacbench.listeners import with_listeners
from nacbench.report import bd_table, curves, tables
from nacbench.results import ResultTable, to_json
from nacbench.suspicions import suspicions

FILES = ("leaderboard.csv", "leaderboard.md", "curves.png", "curves.svg")
KEPT = ".board.json"  # what the files were made from, and the board they show


def write(
    table: ResultTable, directory: Path | str, study: Path | None = None
) -> tuple[Board, list[Path]]:
    """Write `leaderboard.csv`, `leaderboard.md`, `curves.png` and `curves.svg`.

    Where Opus has a curve to hold against, `bd_rate.csv` and `bd_rate.md` too.

    The table may hold several runs; where two did the same work, the one loaded last counts.

    Args:
        study: of a listening test, whose scores get a column.
    Returns:
        the board, and the files in the order above.
    Raises:
        UserError: there are no records, or the study has no scores for them.
    """
    board = leaderboard(table)
    board = replace(board, suspicious=suspicions(table, board))
    if study is not None:
        board = with_listeners(board, study)
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    files = [directory / name for name in FILES]
    tables.write_csv(board, files[0])
    tables.write_markdown(board, files[1], picture=files[2].name)
    curves.draw(board, files[2], files[3])
    _, more = bd_table.write(table, board, directory)
    return board, [*files, *more]


def refresh(table: ResultTable, directory: Path | str) -> tuple[Board, list[Path]]:
    """As `write`, unless the directory's files were made of the same results by the same code."""
    directory = Path(directory)
    inputs = _inputs(table)
    files = [directory / name for name in FILES]
    if all(file.exists() for file in files) and (board := _read_kept(directory / KEPT, inputs)):
        more = [directory / name for name in bd_table.FILES]
        return board, [*files, *(file for file in more if file.exists())]
    board, files = write(table, directory)
    content = {"inputs": inputs, "board": _board_type().dump_python(board, mode="json")}
    (directory / KEPT).write_text(json.dumps(content), encoding="utf-8")
    return board, files


def _inputs(table: ResultTable) -> str:
    """Hash of everything the files depend on: entries, descriptions, and the code that draws."""
    hashed = hashlib.sha256()
    for entries in (table.records, table.timings, table.token_uses):
        for entry in entries:
            hashed.update(to_json(entry).encode())
    described = ("title", "synthetic", "metrics", "skipped", "untrained")
    for manifest in table.manifests.values():
        hashed.update(json.dumps([manifest.get(key) for key in described]).encode())
    package = Path(__file__).parents[1]
    for source in sorted([*package.glob("*.py"), *package.glob("report/*.py")]):
        hashed.update(source.read_bytes())
    return hashed.hexdigest()


def _read_kept(path: Path, inputs: str) -> Board | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["inputs"] != inputs:
            return None
        board: Board = _board_type().validate_python(content["board"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return board


def _board_type() -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(Board)
