"""What a leaderboard is made of: sections of rows of cells, and the remarks at its foot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

# Upper edges in kbit/s of the bands within which codecs compete: rates an octave apart.
BAND_EDGES_KBPS = (4, 8, 16, 32, 64)
# What headline tables show first; a suite's other metrics follow in its own order.
HEADLINE = (
    "mushra",
    "visqol",
    "pesq:wb",
    "estoi",
    "stoi",
    "mel",
    "si_sdr",
    "pesq:nb",
    "stft",
    "snr",
)
# They frame the picture: what lossless is, and what some bits or some bandwidth alone would score.
# Their rates say nothing, so they are shown and do not compete.
ANCHORS = ("flac", "identity", "lowpass", "pcm")


@dataclass(frozen=True)
class MetricInfo:
    """What the tables need to know of a metric; `higher_is_better` None: a diagnostic."""

    name: str
    unit: str = ""
    higher_is_better: bool | None = None

    @property
    def arrow(self) -> str:
        return {True: "↑", False: "↓", None: ""}[self.higher_is_better]


@dataclass(frozen=True)
class Cell:
    """One metric of one row: the mean over the clips that have a value, and its 95 % interval.

    `mark` is "best" (the best of its rate band), "tie" (the data cannot separate it from the
    best; the best carries it too then), or "".
    """

    mean: float | None
    low: float | None
    high: float | None
    n_ok: int
    n: int
    mark: str = ""


@dataclass(frozen=True)
class Row:
    """One operating point under one condition.

    Attributes:
        payload_kbps: bits of all payloads over the duration of all coded clips; container_kbps
            and compression_ratio alike. Where the rate is only declared, that.
        delay_ms: median over the clips whose delay could be measured.
        encode_rtf, decode_rtf, peak_memory_mb: from the timing pass, on `machine`.
        rate_declared: somebody gave the rate; no bytes were counted.
    """

    series: str
    setting: str
    codec: str
    options: Mapping[str, Any]
    point_key: str
    clips: int
    failed: int
    cells: Mapping[str, Cell]
    payload_kbps: float | None = None
    container_kbps: float | None = None
    nominal_kbps: float | None = None
    entropy_kbps: float | None = None
    compression_ratio: float | None = None
    encode_rtf: float | None = None
    decode_rtf: float | None = None
    machine: str | None = None
    delay_ms: float | None = None
    peak_memory_mb: float | None = None
    rate_declared: bool = False
    untrained: bool = False

    @property
    def name(self) -> str:
        return f"{self.series} {self.setting}".strip()

    @property
    def anchor(self) -> bool:
        return self.codec in ANCHORS

    @property
    def band(self) -> int | None:
        """Index of its rate band; None without a rate."""
        if self.payload_kbps is None:
            return None
        return int(np.searchsorted(BAND_EDGES_KBPS, self.payload_kbps))


@dataclass(frozen=True)
class Section:
    """All rows of one suite under one condition, by rate band, then best headline score first."""

    suite: str
    condition: str
    title: str
    synthetic: bool
    clips: int
    units: int
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Remark:
    """Something missing, with the reason: what it concerns, why, and how often."""

    subject: str
    reason: str
    count: int = 1


@dataclass(frozen=True)
class Board:
    """A leaderboard: sections and everything that belongs at their foot."""

    sections: tuple[Section, ...]
    metrics: tuple[MetricInfo, ...]
    failed: tuple[Remark, ...] = ()
    skipped: tuple[Remark, ...] = ()
    unscored: tuple[Remark, ...] = ()
    untimed: tuple[Remark, ...] = ()
    incomplete: tuple[Remark, ...] = ()
    suspicious: tuple[Remark, ...] = ()  # filled in by `nacbench.suspicions`
    machines: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    listening: str = ""  # where the column `mushra` is from; filled in by `nacbench.listeners`

    @property
    def headline(self) -> tuple[MetricInfo, ...]:
        """Metrics that have a better and a worse, most telling first."""

        def place(metric: MetricInfo) -> int:
            starts = [i for i, name in enumerate(HEADLINE) if metric.name.startswith(name)]
            return starts[0] if starts else len(HEADLINE)

        return tuple(sorted((m for m in self.metrics if m.higher_is_better is not None), key=place))


def band_name(index: int | None) -> str:
    """`≤ 4 kbps`, `4–8 kbps`, …, `> 64 kbps`."""
    if index is None:
        return "no rate"
    if index == 0:
        return f"≤ {BAND_EDGES_KBPS[0]} kbps"
    if index == len(BAND_EDGES_KBPS):
        return f"> {BAND_EDGES_KBPS[-1]} kbps"
    return f"{BAND_EDGES_KBPS[index - 1]}–{BAND_EDGES_KBPS[index]} kbps"
