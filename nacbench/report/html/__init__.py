"""The report as one HTML file that needs no network: curves, tables, players, origin."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from nacbench.board import Board
from nacbench.comparison import CurveGap, curve_gaps
from nacbench.leaderboard import leaderboard
from nacbench.report.bd_table import ANCHOR
from nacbench.report.html import contents, listening, page
from nacbench.report.tables import HEADLINE_COLUMNS
from nacbench.results import ResultTable
from nacbench.suspicions import suspicions

FILE = "report.html"
# A report is mailed and attached; base64 makes four characters of three bytes.
MAX_BYTES = 15_000_000
# What a player takes beside its sound: names, reasons, elements.
ITEM_BYTES, VOICE_BYTES = 1000, 300


def write(
    table: ResultTable,
    path: Path | str,
    decoded_of: listening.Decoded,
    *,
    audio: str = "opus",
    items: int = listening.ITEMS,
    board: Board | None = None,
) -> Path:
    """Write the page.

    Args:
        decoded_of: finds the decoded audio of a record, or None where it is not stored any more.
        audio: "opus" (small, 64 kbit/s a channel) or "flac" (16 bits, several times as large).
        items: the worst so many clips get players, as far as `MAX_BYTES` allows.
        board: of this table, with its suspicions, where the caller has it already.
    Raises:
        UserError: there are no records.
    """
    if board is None:
        board = leaderboard(table)
        board = replace(board, suspicious=suspicions(table, board))
    content: dict[str, Any] = contents.of(table, board, gaps(table, board))
    chosen = listening.worst(table, board, items)
    texts = ITEM_BYTES * len(chosen) + VOICE_BYTES * sum(len(item.records) for item in chosen)
    room = MAX_BYTES - len(page.render(content, {}).encode()) - texts
    with_audio, sounds = listening.embed(chosen, table, decoded_of, audio, room * 3 // 4)
    content["items"], content["audio"] = with_audio, about(audio)
    path = Path(path)
    path.write_text(page.render(content, sounds), encoding="utf-8")
    return path


def gaps(table: ResultTable, board: Board) -> list[CurveGap]:
    """BD-rates by the headline metrics against Opus, or else the series with most points."""
    points = Counter(row.series for s in board.sections for row in s.rows if not row.anchor)
    if len(points) < 2:
        return []
    anchor = ANCHOR if ANCHOR in points else points.most_common(1)[0][0]
    names = {metric.name for metric in board.headline[:HEADLINE_COLUMNS]}
    lead = [
        replace(r, scores={n: score for n, score in r.scores.items() if n in names})
        for r in table.records
    ]
    return curve_gaps(replace(table, records=lead), anchor)


def about(audio: str) -> Mapping[str, str]:
    return {"coding": audio, "note": listening.CODINGS[audio].note}
