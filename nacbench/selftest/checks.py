"""What must be seen of every probe, with the closed form or the rule it follows from.

A check gets the `Evidence` on one probe and notes what it sees; a wrong observation is a problem.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nacbench.board import Row
from nacbench.core import Clip
from nacbench.records import Record
from nacbench.selftest.material import LIMIT_S, RATE_HZ
from nacbench.selftest.probes import LONG_S

PROBES = "nacbench.selftest.probes"
EXACT_DB = 90.0  # float32 and a resampler that is not involved: only rounding is left
PERFECT_PESQ = 4.64  # wideband PESQ of a signal with itself is 4.644
PERFECT_STOI = 0.9999
DELAY_TOLERANCE_MS = 0.001
LEVEL_TOLERANCE_DB = 0.01
# Of the noise at -46 dB, the tenth next to the Nyquist frequency is lost in the conversions.
RESAMPLED_DB = 30.0


@dataclass
class Evidence:
    """Everything the bench reported on one probe.

    Attributes:
        records: of the first run, one per clip.      row: its row of the leaderboard.
        remarks: what looks wrong with it.      clips: the references by id.
    """

    records: Sequence[Record]
    row: Row
    remarks: Sequence[str]
    clips: Mapping[str, Clip]
    seen: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def scores(self, metric: str) -> list[float | None]:
        return [r.scores[metric].value for r in self.records]

    def close(
        self, what: str, values: Sequence[float | None], expected: float, by: float, unit: str = ""
    ) -> None:
        """Every value within `by` of `expected`."""
        good = all(v is not None and abs(v - expected) <= by for v in values)
        self.note(good, f"{what} {_range(values)}{unit}", f"expected {expected:.4g} ± {by:g}")

    def within(self, what: str, values: Sequence[float | None], low: float, high: float) -> None:
        good = all(v is not None and low <= v <= high for v in values)
        self.note(good, f"{what} {_range(values)}", f"expected {low:.4g} to {high:.4g}")

    def none(self, what: str, values: Sequence[float | None]) -> None:
        """No value at all: a reason must stand in its place."""
        good = all(v is None for v in values)
        self.note(good, f"{what} {_range(values)}", "expected a reason instead of a number")

    def said(self, text: str) -> None:
        """A remark that contains `text`."""
        found = [remark for remark in self.remarks if text in remark]
        self.note(bool(found), found[0] if found else "; ".join(self.remarks) or "no remark",
                   f"expected '{text}'")  # fmt: skip

    def failed_only_on_long(self, text: str) -> None:
        """The long clip failed with this reason in every score; the others came out perfect."""
        for record in self.records:
            if record.duration_s <= LONG_S and record.failure is None:
                self.close("the others' SNR", [record.scores["snr"].value], 150, 0, " dB")
                continue
            shown = record.failure or "no failure"
            self.note(text in shown, shown, f"expected a failure that says '{text}'")
            numbers = [s.value for s in record.scores.values() if s.value is not None]
            self.note(
                not numbers, "no score" if not numbers else f"scores {numbers}", "of that clip"
            )
        cell = self.row.cells["snr"]
        self.note((cell.n_ok, cell.n) == (len(self.records) - 1, len(self.records)),
                   f"n_ok/n {cell.n_ok}/{cell.n}", "expected one clip less")  # fmt: skip
        marked = [name for name, c in self.row.cells.items() if c.mark]
        self.note(
            not marked,
            "no mark" if not marked else f"marked {marked}",
            "a row with a failed clip must not compete",
        )

    def note(self, good: bool, seen: str, expected: str) -> None:
        if not good:
            self.problems.append(f"{seen}; {expected}")
        elif seen not in self.seen:
            self.seen.append(seen)


def _range(values: Sequence[float | None]) -> str:
    known = sorted({f"{round(v, 6) + 0.0:.5g}" for v in values if v is not None}, key=float)
    missing = sum(v is None for v in values)
    text = "…".join(dict.fromkeys([*known[:1], *known[-1:]])) or "no value"
    return f"{text} ({missing} without a value)" if known and missing else text


def delays_ms(e: Evidence) -> list[float | None]:
    return [r.alignment.delay_ms if r.alignment else None for r in e.records]


def correlations(e: Evidence) -> list[float | None]:
    return [r.alignment.correlation if r.alignment else None for r in e.records]


def gains_db(e: Evidence) -> list[float | None]:
    return [r.alignment.gain_db if r.alignment else None for r in e.records]


def identity(e: Evidence) -> None:
    e.close("SNR", e.scores("snr"), 150, 0, " dB")
    e.close("mel distance", e.scores("mel:dac"), 0, 0)
    e.within("PESQ", e.scores("pesq:wb"), PERFECT_PESQ, 4.65)
    e.within("STOI", e.scores("stoi"), PERFECT_STOI, 1.0001)
    e.close("delay", delays_ms(e), 0, DELAY_TOLERANCE_MS, " ms")
    e.within("payload kbps", [e.row.payload_kbps], RATE_HZ * 32 / 1000, RATE_HZ * 32 / 1000 * 1.001)
    e.within("99 % of the energy below (Hz)", e.scores("bandwidth_hz"), 1500, 8000)
    e.close("ratio", [e.row.compression_ratio], 0.5, 0.001)


def pcm(e: Evidence) -> None:
    """Quantisation noise is uniform over a step q = 2 / 2**10: q² / 12."""
    noise = (2 / 2**10) ** 2 / 12
    excess: list[float | None] = []
    for record in e.records:
        power = float(np.mean(e.clips[record.clip].samples.astype(np.float64) ** 2))
        value = record.scores["snr"].value
        excess.append(None if value is None else value - 10 * math.log10(power / noise))
    e.close("SNR beyond the closed form", excess, 0, 0.1, " dB")
    e.within("payload kbps", [e.row.payload_kbps], RATE_HZ * 10 / 1000, RATE_HZ * 10 / 1000 * 1.001)


def low_pass(e: Evidence) -> None:
    """The filter is 60 dB down from 8/7 of its edge on."""
    e.within("99 % of the energy below (Hz)", e.scores("bandwidth_hz"), 300, 1000 * 8 / 7)
    e.within("mel distance", e.scores("mel:dac"), 0.1, 100)


def silence(e: Evidence) -> None:
    e.none("SI-SDR", e.scores("si_sdr"))
    e.close("SNR", e.scores("snr"), 0, 1e-6, " dB")
    e.within(
        "correlation", [r.alignment.correlation if r.alignment else None for r in e.records], 0, 0
    )
    for record in e.records:
        for metric in ("pesq:wb", "stoi"):
            value = record.scores[metric].value
            e.within(f"{metric} or a reason", [0.0 if value is None else value], -1, 2)


def shift(e: Evidence) -> None:
    e.close("delay", delays_ms(e), 37 / RATE_HZ * 1000, DELAY_TOLERANCE_MS, " ms")
    e.within("SI-SDR", e.scores("si_sdr"), EXACT_DB, 150)
    e.within("SI-SDR before compensation", [r.si_sdr_raw_db for r in e.records], -150, 3)


def gain(e: Evidence) -> None:
    """Half the amplitude: the error is half the signal, 20·lg 2 below it. Swapped it would be 0."""
    e.close("gain", gains_db(e), -6.0206, LEVEL_TOLERANCE_DB, " dB")
    e.close("SNR", e.scores("snr"), 6.0206, LEVEL_TOLERANCE_DB, " dB")
    e.close("loudness", e.scores("loudness_difference"), -6.0206, LEVEL_TOLERANCE_DB, " LU")
    e.within("SI-SDR", e.scores("si_sdr"), EXACT_DB, 150)
    e.said("the level changes by -6.0 dB")


def polarity(e: Evidence) -> None:
    """Turned round, the error is twice the signal: -20·lg 2."""
    e.close("polarity", [r.alignment.polarity if r.alignment else None for r in e.records], -1, 0)
    e.close("SNR", e.scores("snr"), -6.0206, LEVEL_TOLERANCE_DB, " dB")
    e.said("the polarity is inverted in 3 of 3 clips")


def orientation(e: Evidence) -> None:
    """The libraries asked directly, the right way round; the wrong way round differs."""
    from pesq import pesq
    from pystoi import stoi

    from nacbench.codecs.pcm import Pcm

    beyond: dict[str, list[float | None]] = {"pesq:wb": [], "stoi": []}
    for record in e.records:
        reference = e.clips[record.clip]
        coder = Pcm(5)
        pair = reference.samples[0], coder.decode(coder.encode(reference)).samples[0]
        for name, right, wrong in (
            ("pesq:wb", pesq(RATE_HZ, *pair, "wb"), pesq(RATE_HZ, *pair[::-1], "wb")),
            ("stoi", stoi(*pair, RATE_HZ), stoi(*pair[::-1], RATE_HZ)),
        ):
            value = record.scores[name].value
            beyond[name].append(None if value is None else value - float(right))
            if abs(right - wrong) <= 1e-3:
                e.problems.append(f"{name} is the same either way round: this probe proves nothing")
    for name, values in beyond.items():
        e.close(f"{name} beyond the library's", values, 0, 1e-4)


def stranger(e: Evidence) -> None:
    e.within("SI-SDR", e.scores("si_sdr"), -150, -10)
    e.within("PESQ", e.scores("pesq:wb"), 1, 1.5)
    e.within(
        "correlation", [r.alignment.correlation if r.alignment else None for r in e.records], 0, 0.3
    )


def other_rate(e: Evidence) -> None:
    e.within("SI-SDR", e.scores("si_sdr"), RESAMPLED_DB, 150)
    e.close("delay", delays_ms(e), 0, DELAY_TOLERANCE_MS, " ms")
    e.within("payload kbps", [e.row.payload_kbps], 24 * 32, 24 * 32 * 1.001)


def stash(e: Evidence) -> None:
    for record in e.records:
        shown = record.failure or f"scored: SNR {record.scores['snr'].value} dB"
        e.note("one byte holds no audio" in shown, shown, "expected decoding to fail")


def wrong_rate(e: Evidence) -> None:
    e.within("payload kbps", [e.row.payload_kbps], 512, 512.5)
    e.said("asked for 6 kbps, wrote 512")


def moving_delay(e: Evidence) -> None:
    e.said("the delay varies between clips: 1 of 3")


def fickle(e: Evidence) -> None:
    e.said("not deterministic: 3 clips")


def crash(e: Evidence) -> None:
    e.failed_only_on_long("crashed (SIGABRT)")


def hang(e: Evidence) -> None:
    e.failed_only_on_long(f"still running after {LIMIT_S:g} s")


def not_a_number(e: Evidence) -> None:
    e.failed_only_on_long("not finite")


def wrong_length(e: Evidence) -> None:
    e.failed_only_on_long("for a clip of 3.000 s")


@dataclass(frozen=True)
class Probe:
    """A codec with a known answer and what must be reported of it."""

    name: str
    codec: str
    check: Callable[[Evidence], None]
    options: Mapping[str, Any] = field(default_factory=dict)
    twice: bool = False  # needs a second run to compare with


ALL = (
    Probe("identity", "identity", identity),
    Probe("10-bit PCM", "pcm", pcm, {"bits": 10}),
    Probe("low-pass at 1 kHz", "lowpass", low_pass, {"hz": 1000}),
    Probe("silence", f"{PROBES}:Silence", silence),
    Probe("shift by 37 samples", f"{PROBES}:Shift", shift),
    Probe("moving delay", f"{PROBES}:MovingDelay", moving_delay),
    Probe("half the level", f"{PROBES}:Gain", gain, {"factor": 0.5}),
    Probe("inverted polarity", f"{PROBES}:Gain", polarity, {"factor": -1.0}),
    Probe("reference and decoded swapped", "pcm", orientation, {"bits": 5}),
    Probe("audio of something else", f"{PROBES}:Stranger", stranger),
    Probe("24 kHz only", f"{PROBES}:OtherRate", other_rate),
    Probe("audio kept in the instance", f"{PROBES}:Stash", stash, {"where": "instance"}),
    Probe("audio kept in the class", f"{PROBES}:Stash", stash, {"where": "class"}),
    Probe("wrong rate on the label", f"{PROBES}:WrongRate", wrong_rate),
    Probe("crash", f"{PROBES}:Crash", crash),
    Probe("hang", f"{PROBES}:Hang", hang),
    Probe("not a number", f"{PROBES}:NotANumber", not_a_number),
    Probe("half the length", f"{PROBES}:WrongLength", wrong_length, {"factor": 0.5}),
    Probe("twice the length", f"{PROBES}:WrongLength", wrong_length, {"factor": 2.0}),
    Probe("not deterministic", f"{PROBES}:Fickle", fickle, twice=True),
)
