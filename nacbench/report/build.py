"""Everything a run leaves for its readers, rebuilt from records alone."""

from __future__ import annotations

from pathlib import Path

from nacbench.leaderboard import Board, leaderboard
from nacbench.report import curves, tables
from nacbench.results import ResultTable


def write(table: ResultTable, directory: Path | str) -> tuple[Board, list[Path]]:
    """Write `leaderboard.csv`, `leaderboard.md`, `curves.png` and `curves.svg`.

    Returns:
        the board, and the files in the order above.
    """
    board = leaderboard(table)
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    names = ("leaderboard.csv", "leaderboard.md", "curves.png", "curves.svg")
    files = [directory / name for name in names]
    tables.write_csv(board, files[0])
    tables.write_markdown(board, files[1], picture=files[2].name)
    curves.draw(board, files[2], files[3])
    return board, files


def rebuild(
    runs: list[Path | str], directory: Path | str | None = None
) -> tuple[Board, list[Path]]:
    """`nacbench report RUN…`: merge runs and write the tables of all of them.

    Args:
        runs: run directories; where two hold the same work, the later one counts.
        directory: where to write; by default the last run's own directory.
    """
    return write(ResultTable.load(*runs), directory if directory is not None else Path(runs[-1]))
