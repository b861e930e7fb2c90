"""Everything a run leaves for its readers, built from records alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from nacbench.leaderboard import Board, leaderboard
from nacbench.report import curves, tables
from nacbench.results import ResultTable
from nacbench.suspicions import suspicions


def write(table: ResultTable, directory: Path | str) -> tuple[Board, list[Path]]:
    """Write `leaderboard.csv`, `leaderboard.md`, `curves.png` and `curves.svg`.

    The table may hold several runs; where two did the same work, the one loaded last counts.

    Returns:
        the board, and the files in the order above.
    Raises:
        UserError: there are no records.
    """
    board = leaderboard(table)
    board = replace(board, suspicious=suspicions(table, board))
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    names = ("leaderboard.csv", "leaderboard.md", "curves.png", "curves.svg")
    files = [directory / name for name in names]
    tables.write_csv(board, files[0])
    tables.write_markdown(board, files[1], picture=files[2].name)
    curves.draw(board, files[2], files[3])
    return board, files
