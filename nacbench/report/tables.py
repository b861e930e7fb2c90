"""A leaderboard as CSV, as Markdown that reads well on GitHub, and as a table in the terminal."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nacbench.board import (
    Board,
    Cell,
    MetricInfo,
    Remark,
    Row,
    Section,
    band_name,
)

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

MARKS = {"best": " ★", "tie": " =", "": ""}
HEADLINE_COLUMNS = 5
DETAIL_COLUMNS = 3  # metrics with intervals that fit beside each other on GitHub
MAX_REMARKS = 40
DECIMALS = {
    "dB": 1,
    "LU": 1,
    "LUFS": 1,
    "MOS": 2,
    "MOS-LQO": 2,
    "Hz": 0,
    "ms": 1,
    "%": 1,
    "points": 1,
}
SYNTHETIC = (
    "**Synthetic pack.** These clips were made by speech and music synthesisers, not recorded. "
    "Read the ranking with that in mind; suites under `suites/real` use recordings."
)
LEGEND = (
    "Rates are bits of the payload over the duration of the clips. Rows compete within a rate "
    "band. ★ best of its band; = the best and those that the data cannot separate from it "
    "(paired bootstrap, Holm, 5 %). A row that could not be scored on every clip shows how many it "
    "was scored on and does not compete, nor do the anchors (identity, PCM, low-pass, FLAC). "
    "↑ higher is better, ↓ lower is better."
)


def to_pandas(board: Board) -> pd.DataFrame:
    """One line per row; each metric as `NAME`, `NAME_low`, `NAME_high`, `NAME_n_ok`, …"""
    import pandas as pd

    return pd.DataFrame(flat_rows(board))


def write_csv(board: Board, path: Path | str) -> None:
    """Full precision, one line per row, columns as in `to_pandas`; empty where there is none."""
    rows = flat_rows(board)
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def flat_rows(board: Board) -> list[dict[str, Any]]:
    """The board as flat dictionaries."""
    return [
        {
            "suite": section.suite,
            "condition": section.condition,
            "series": row.series,
            "setting": row.setting,
            "point": row.point_key,
            "band": band_name(row.band),
            "clips": row.clips,
            "failed": row.failed,
            "payload_kbps": row.payload_kbps,
            "container_kbps": row.container_kbps,
            "nominal_kbps": row.nominal_kbps,
            "entropy_kbps": row.entropy_kbps,
            "rate_declared": row.rate_declared,
            "compression_ratio": row.compression_ratio,
            "encode_rtf": row.encode_rtf,
            "decode_rtf": row.decode_rtf,
            "machine": row.machine,
            "delay_ms": row.delay_ms,
            "peak_memory_mb": row.peak_memory_mb,
            "untrained": row.untrained,
        }
        | {
            f"{metric.name}{suffix}": value
            for metric in board.metrics
            for suffix, value in _flat_cell(row.cells[metric.name])
        }
        for section in board.sections
        for row in section.rows
    ]


def _flat_cell(cell: Cell) -> list[tuple[str, Any]]:
    return [
        ("", cell.mean),
        ("_low", cell.low),
        ("_high", cell.high),
        ("_n_ok", cell.n_ok),
        ("_n", cell.n),
        ("_mark", cell.mark),
    ]


def write_markdown(board: Board, path: Path | str, picture: str | None = None) -> None:
    """Args:
    picture: file name of the curves, shown below the title.
    """
    Path(path).write_text(to_markdown(board, picture), encoding="utf-8")


def to_markdown(board: Board, picture: str | None = None) -> str:
    blocks: list[str] = []
    for suite in dict.fromkeys(section.suite for section in board.sections):
        sections = [s for s in board.sections if s.suite == suite]
        blocks.append(f"# {sections[0].title}")
        if sections[0].synthetic:
            blocks.append(f"> {SYNTHETIC}")
        blocks.append(LEGEND)
        if picture:
            blocks.append(f"![Rate against quality, one panel per metric]({picture})")
            picture = None
        for section in sections:
            blocks.append(f"## {section.condition} ({_clips(section)})")
            blocks.append(_overview(board, section))
            for start in range(0, len(board.metrics), DETAIL_COLUMNS):
                part = board.metrics[start : start + DETAIL_COLUMNS]
                blocks.append(f"### {section.condition}: {', '.join(m.name for m in part)}")
                blocks.append(_details(section, part))
            blocks.append(f"### {section.condition}: rates, speed, delay, memory")
            blocks.append(_costs(section))
    return "\n\n".join([*blocks, *_foot(board)]) + "\n"


def _overview(board: Board, section: Section) -> str:
    metrics = board.headline[:HEADLINE_COLUMNS]
    head = ["codec", "setting", "kbps", "ratio", *(f"{m.name} {m.arrow}" for m in metrics)]
    body: list[list[str]] = []
    band: int | None = -1
    for row in section.rows:
        if row.band != band:
            band = row.band
            body.append([f"**{band_name(band)}**"] + [""] * (len(head) - 1))
        body.append(
            [_name(row), row.setting, _rate(row), _number(row.compression_ratio, 1, "×")]
            + [_bold(_mean(row.cells[m.name], m), row.cells[m.name].mark) for m in metrics]
        )
    return markdown_table(head, body, left=2)


def _details(section: Section, metrics: Sequence[MetricInfo]) -> str:
    head = ["codec", "setting", "kbps"]
    head += [f"{m.name}{f' ({m.unit})' if m.unit else ''} {m.arrow}".strip() for m in metrics]
    body = [
        [_name(row), row.setting, _rate(row)]
        + [_with_interval(row.cells[m.name], m) for m in metrics]
        for row in section.rows
    ]
    return markdown_table(head, body, left=2)


def _costs(section: Section) -> str:
    head = [
        *("codec", "setting", "nominal kbps", "payload kbps", "container kbps", "entropy kbps"),
        *("ratio", "encode RTF (×RT)", "decode RTF (×RT)", "delay ms", "peak MB"),
    ]
    body = [
        [
            _name(row),
            row.setting,
            _kbps(row.nominal_kbps),
            _rate(row),
            _kbps(row.container_kbps),
            _kbps(row.entropy_kbps),
            _number(row.compression_ratio, 1, "×"),
            _speed(row.encode_rtf),
            _speed(row.decode_rtf),
            _number(row.delay_ms, 2),
            _number(row.peak_memory_mb, 0),
        ]
        for row in section.rows
    ]
    return markdown_table(head, body, left=2)


def _foot(board: Board) -> list[str]:
    blocks: list[str] = []
    for title, remarks in foot(board):
        lines = [f"- {line}" for line in remark_lines(remarks)]
        blocks += [f"## {title}", "\n".join(lines)]
    runs = ", ".join(f"`{run}`" for run in board.runs)
    origin = [f"Runs: {runs}.", board.listening, _machines(board)]
    blocks += ["## Origin", "\n".join(filter(None, origin))]
    return blocks


def foot(board: Board) -> list[tuple[str, tuple[Remark, ...]]]:
    """Titles and remarks of what is missing; nothing for what is not."""
    parts = [
        ("Failed", board.failed),
        ("Incomplete", board.incomplete),
        ("Worth a second look", board.suspicious),
        ("Skipped", board.skipped),
        ("Without a score", board.unscored),
        ("Without a timing", board.untimed),
    ]
    return [(title, remarks) for title, remarks in parts if remarks]


def remark_lines(remarks: Sequence[Remark]) -> list[str]:
    lines = [
        f"{remark.subject}: {remark.reason}" + (f" ({remark.count} ×)" if remark.count > 1 else "")
        for remark in remarks[:MAX_REMARKS]
    ]
    rest = len(remarks) - len(lines)
    return [*lines, f"and {rest} more, in records.jsonl"] if rest > 0 else lines


def show(board: Board, console: Console) -> None:
    """Print the overview of every section and the foot, as wide as the console."""
    from rich import box
    from rich.table import Table

    metrics = board.headline[: max(1, min(HEADLINE_COLUMNS, (console.width - 60) // 12))]
    for section in board.sections:
        caption = "★ best of its rate band, = not separable from the best"
        table = Table(
            title=f"{section.title}: {section.condition} ({_clips(section)})"
            + (", synthetic pack" if section.synthetic else ""),
            caption=caption,
            title_justify="left",
            caption_justify="left",
            title_style="bold",
            box=box.SIMPLE_HEAD,
            pad_edge=False,
        )
        table.add_column("codec")  # narrow consoles fold names; numbers are never cut
        table.add_column("setting")
        for head in (
            "kbps",
            "ratio",
            *("\n".join(_words(f"{m.name} {m.arrow}")) for m in metrics),
            "encode\n×RT",
            "decode\n×RT",
        ):
            table.add_column(head, justify="right", no_wrap=True)
        band: int | None = -1
        for row in section.rows:
            if row.band != band:
                band = row.band
                table.add_row(f"[dim]{band_name(band)}[/]")
            table.add_row(
                _name(row),
                row.setting,
                _rate(row),
                _number(row.compression_ratio, 1, "×"),
                *(_shown(row.cells[m.name], m) for m in metrics),
                _times_real_time(row.encode_rtf),
                _times_real_time(row.decode_rtf),
            )
        console.print(table)
    for title, remarks in foot(board):
        console.print(f"[bold]{title}[/]")
        for line in remark_lines(remarks):
            console.print(f"  {line}", markup=False, highlight=False)


def _words(name: str) -> list[str]:
    """`visqol:speech-lattice ↑` -> ["visqol:", "speech-", "lattice ↑"], to keep columns narrow."""
    return re.findall(r"[^:-]+[:-]?", name)


def _shown(cell: Cell, metric: MetricInfo) -> str:
    text = _mean(cell, metric)
    return f"[bold green]{text}[/]" if cell.mark else text


def markdown_table(head: Sequence[str], body: Iterable[Sequence[str]], left: int) -> str:
    rules = [":--" if column < left else "--:" for column in range(len(head))]
    lines = [head, rules, *body]
    return "\n".join(f"| {' | '.join(_escaped(c) for c in line)} |" for line in lines)


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _clips(section: Section) -> str:
    units = "" if section.units == section.clips else f", {section.units} independent"
    return f"{section.clips} clips{units}"


def _machines(board: Board) -> str:
    if not board.machines:
        return "Speed was not measured."
    if len(board.machines) == 1:
        return f"Speed was measured on `{board.machines[0]}`."
    names = ", ".join(f"`{machine}`" for machine in board.machines)
    return f"Speed was measured on different machines and must not be compared: {names}."


def _name(row: Row) -> str:
    return row.series + (" (untrained)" if row.untrained else "")


def _rate(row: Row) -> str:
    return _kbps(row.payload_kbps) + (" declared" if row.rate_declared else "")


def _kbps(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _number(value: float | None, decimals: int, suffix: str = "") -> str:
    return "–" if value is None else f"{value:.{decimals}f}{suffix}"


def score_text(value: float | None, metric: MetricInfo) -> str:
    return _number(value, DECIMALS.get(metric.unit, 3))


def _mean(cell: Cell, metric: MetricInfo) -> str:
    few = f" {cell.n_ok}/{cell.n}" if cell.n_ok < cell.n else ""
    return score_text(cell.mean, metric) + few + MARKS[cell.mark]


def _bold(text: str, mark: str) -> str:
    return f"**{text}**" if mark else text


def _with_interval(cell: Cell, metric: MetricInfo) -> str:
    text = score_text(cell.mean, metric)
    if cell.low is not None:
        text += f" [{score_text(cell.low, metric)}, {score_text(cell.high, metric)}]"
    return _bold(text + MARKS[cell.mark], cell.mark) + f" {cell.n_ok}/{cell.n}"


def _times_real_time(rtf: float | None) -> str:
    if not rtf:
        return "–"
    times = 1 / rtf
    return f"{times:.2f}" if times < 10 else f"{times:.0f}"


def _speed(rtf: float | None) -> str:
    return "–" if rtf is None else f"{rtf:.4f} ({_times_real_time(rtf)}×)"
