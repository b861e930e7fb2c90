"""Listeners' scores beside the metrics: what a listening test found, as a leaderboard's column."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from nacbench.board import Board, Cell, MetricInfo, Row, Section
from nacbench.errors import UserError

METRIC = MetricInfo("mushra", "points", True)
FILE = Path("report", "mushra.csv")  # in a study's folder, written by 'nacbench mushra analyze'
NOT_HEARD = Cell(None, None, None, 0, 0)

Key = tuple[str, str, str]  # suite, condition, operating point


def with_listeners(board: Board, study: Path) -> Board:
    """The board with a column `mushra`: mean scores and their 95 % intervals.

    The intervals are over listeners and items, the metrics' over clips: they come from the study's
    analysis and are not computed here. The best of a band is not marked.

    Raises:
        UserError: the study was not analysed, or graded nothing of this board.
    """
    heard, listeners = _read(study / FILE)
    sections = tuple(_section(section, heard) for section in board.sections)
    found = {
        (section.suite, section.condition, row.point_key)
        for section in board.sections
        for row in section.rows
    } & set(heard)
    if not found:
        raise UserError(
            f"--mushra {study}: it graded no operating point of this run. Give the study that was "
            "prepared from it."
        )
    items = max(heard[key].n for key in found)
    told = (
        f"Column mushra: {listeners} listeners on {items} excerpts, study '{study.name}'; its "
        "intervals are over both."
    )
    return replace(board, sections=sections, metrics=(METRIC, *board.metrics), listening=told)


def _section(section: Section, heard: Mapping[Key, Cell]) -> Section:
    def row(old: Row) -> Row:
        cell = heard.get((section.suite, section.condition, old.point_key), NOT_HEARD)
        return replace(old, cells={**old.cells, METRIC.name: cell})

    return replace(section, rows=tuple(map(row, section.rows)))


def _read(path: Path) -> tuple[dict[Key, Cell], int]:
    """Mean scores by operating point, and how many listeners gave them."""
    if not path.is_file():
        raise UserError(f"{path}: not there. First: nacbench mushra analyze {path.parents[1]}")
    found = {}
    listeners = 0
    with path.open(encoding="utf-8", newline="") as file:
        for number, line in enumerate(csv.DictReader(file), start=2):
            try:
                low, high = (float(line[name]) if line[name] else None for name in ("low", "high"))
                items, listeners = int(line["items"]), int(line["listeners"])
                cell = Cell(float(line["mean"]), low, high, items, items)
                found[line["suite"], line["condition"], line["point"]] = cell
            except (KeyError, TypeError, ValueError) as error:
                raise UserError(
                    f"{path}:{number}: damaged ({error}). Run 'nacbench mushra analyze' again."
                ) from error
    return found, listeners
