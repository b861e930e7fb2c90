"""The self-test passes, and stops passing as soon as any one guard of the bench is taken away."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nacbench import alignment, audio, coding, leaderboard, scoring, selftest, suspicions
from nacbench.core import Alignment, Clip, Score
from nacbench.metrics import METRICS, si_sdr
from nacbench.report import curves
from nacbench.results import RecordWriter
from nacbench.selftest import checks
from nacbench.selftest.checks import Probe
from nacbench.selftest.material import LIMIT_S

PROBES = {probe.name: probe for probe in checks.ALL}
Patch = pytest.MonkeyPatch
REAL_ALIGN, REAL_SCORE = alignment.align, scoring.Scorer.score


@dataclass(frozen=True)
class Mutant:
    """The bench with one guard gone, and the probe that must notice."""

    probe: str
    what: str
    remove: Callable[[Patch], None]
    workers: int = 0  # in this process, where a patch reaches everything; 1 where it must not die

    def __str__(self) -> str:
        return f"{self.probe}: {self.what}"


def aligned_with(change: Callable[[Clip, Clip, Alignment], tuple[Clip, Alignment]]) -> Any:
    """An `align` whose result was tampered with."""

    def remove(patch: Patch) -> None:
        def align(reference: Clip, decoded: Clip) -> tuple[Clip, Alignment]:
            return change(decoded, *REAL_ALIGN(reference, decoded))

        patch.setattr(alignment, "align", align)

    return remove


def scaled(clip: Clip, factor: float) -> Clip:
    return Clip(clip.samples * np.float32(factor), clip.sample_rate_hz)


def uncompensated(decoded: Clip, aligned: Clip, found: Alignment) -> tuple[Clip, Alignment]:
    return Clip(audio.fit_length(decoded.samples, aligned.length), aligned.sample_rate_hz), found


def gain_repaired(decoded: Clip, aligned: Clip, found: Alignment) -> tuple[Clip, Alignment]:
    return scaled(aligned, 10 ** (-found.gain_db / 20)), found


def polarity_repaired(decoded: Clip, aligned: Clip, found: Alignment) -> tuple[Clip, Alignment]:
    return scaled(aligned, found.polarity), found


def delay_off_by_one(decoded: Clip, aligned: Clip, found: Alignment) -> tuple[Clip, Alignment]:
    return aligned, replace(found, delay_ms=found.delay_ms + 1000 / aligned.sample_rate_hz)


def scored_with(change: Callable[[Clip, Clip], tuple[Clip, Clip]]) -> Any:
    """A scorer that gets another pair than it was given."""

    def remove(patch: Patch) -> None:
        def score(self: Any, reference: Clip, decoded: Clip, only: Any = None) -> Any:
            return REAL_SCORE(self, *change(reference, decoded), only)

        patch.setattr(scoring.Scorer, "score", score)

    return remove


def without(module: Any, name: str) -> Any:
    """A finding that is never made."""
    return lambda patch: patch.setattr(module, name, lambda *arguments: iter(()))


def relabelled(patch: Patch) -> None:
    patch.setattr(audio, "at_rate", lambda clip, rate: Clip(clip.samples, rate, clip.id, clip.tags))


def same_instance(patch: Patch) -> None:
    kept: dict[str, Any] = {}
    build = coding.build

    def build_once(codec: str, options: Any) -> Any:
        return kept.setdefault(f"{codec} {dict(options)}", build(codec, options))

    patch.setattr(coding, "build", build_once)


def any_length(patch: Patch) -> None:
    patch.setattr(coding, "LONG_BY_S", 1e9)
    decode = coding.decode

    def lenient(codec: Any, streams: Any, reference: Clip) -> Clip:
        decoded = codec.decode(*streams)
        padded = audio.fit_length(decoded.samples, max(decoded.length, reference.length))
        whole = type("Whole", (), {"decode": lambda *_: Clip(padded, decoded.sample_rate_hz)})
        return decode(whole(), streams, reference)

    patch.setattr(coding, "decode", lenient)


def zero_for_silence(patch: Patch) -> None:
    def score(reference: Any, decoded: Any) -> float:
        return 0.0

    patch.setattr(si_sdr, "_si_sdr", score)


def failure_as_zero(patch: Patch) -> None:
    write = RecordWriter.write

    def write_zeros(self: RecordWriter, entry: Any) -> None:
        if entry.failure is not None:
            entry = replace(entry, scores={name: Score(0.0) for name in entry.scores})
        write(self, entry)

    patch.setattr(RecordWriter, "write", write_zeros)


def failed_rows_compete(patch: Patch) -> None:
    real = leaderboard._marks
    patch.setattr(
        leaderboard, "_marks", lambda values, *rest: real(np.nan_to_num(values, nan=200.0), *rest)
    )


def rate_from_the_label(patch: Patch) -> None:
    real = leaderboard._row

    def row(*arguments: Any) -> Any:
        made = real(*arguments)
        return replace(made, payload_kbps=made.nominal_kbps or made.payload_kbps)

    patch.setattr(leaderboard, "_row", row)


def no_time_limit(patch: Patch) -> None:
    from nacbench.executors.process import WorkerProcess

    patch.setattr(WorkerProcess, "overdrawn", lambda self, limits: None)


def full_band_assumed(patch: Patch) -> None:
    patch.setattr(METRICS.get("bandwidth_hz"), "score", lambda *_: 8000.0)


MUTANTS = (
    Mutant("identity", "another level is scored", scored_with(lambda r, d: (r, scaled(d, 0.9)))),
    Mutant("10-bit PCM", "audio is compared with itself", scored_with(lambda r, d: (r, r))),
    Mutant("low-pass at 1 kHz", "the band is not looked at", full_band_assumed),
    Mutant("silence", "a number is made up", zero_for_silence),
    Mutant("shift by 37 samples", "delay stays in", aligned_with(uncompensated)),
    Mutant("shift by 37 samples", "delay misreported", aligned_with(delay_off_by_one)),
    Mutant("moving delay", "nobody looks", without(suspicions, "_moving_delay")),
    Mutant("half the level", "gain is repaired", aligned_with(gain_repaired)),
    Mutant("half the level", "nobody looks", without(suspicions, "_changed_level")),
    Mutant("half the level", "pair swapped", scored_with(lambda r, d: (d, r))),
    Mutant("inverted polarity", "polarity is repaired", aligned_with(polarity_repaired)),
    Mutant("inverted polarity", "nobody looks", without(suspicions, "_inverted")),
    Mutant("reference and decoded swapped", "swapped", scored_with(lambda r, d: (d, r))),
    Mutant("audio of something else", "compared with itself", scored_with(lambda r, d: (r, r))),
    Mutant("24 kHz only", "relabelled, not resampled", relabelled),
    Mutant("audio kept in the instance", "one instance codes both ways", same_instance),
    Mutant("audio kept in the class", "one process codes both ways", lambda patch: None),
    Mutant("wrong rate on the label", "nobody looks", without(suspicions, "_mislabelled")),
    Mutant("wrong rate on the label", "the label is the rate", rate_from_the_label),
    Mutant("crash", "failures count as 0", failure_as_zero, workers=1),
    Mutant("hang", "nothing is ever stopped", no_time_limit, workers=1),
    Mutant("not a number", "not looked for", lambda p: p.setattr(coding, "_checked", lambda c: c)),
    Mutant("not a number", "failures count as 0", failure_as_zero),
    Mutant("not a number", "failed rows compete", failed_rows_compete),
    Mutant("half the length", "any length will do", any_length),
    Mutant("twice the length", "any length will do", any_length),
    Mutant("not deterministic", "nobody looks", without(suspicions, "_changing_output")),
)


def outcome(name: str, workers: int) -> selftest.Outcome:
    """Of one probe, beside the identity, which competes with it for the best of the band."""
    probe = PROBES[name]
    if name == "hang":
        probe = replace(probe, options={"seconds": LIMIT_S + 2})
    others: list[Probe] = [] if name == "identity" else [PROBES["identity"]]
    return selftest.run([probe, *others], workers)[0]


@pytest.fixture(scope="module")
def whole() -> Iterator[list[selftest.Outcome]]:
    yield selftest.run()


@pytest.mark.xdist_group("whole")
def test_the_bench_passes_its_own_test(whole: list[selftest.Outcome]) -> None:
    assert [f"{o.name}: {o.detail}" for o in whole if not o.passed] == []


@pytest.mark.xdist_group("whole")
def test_every_probe_is_in_the_outcome(whole: list[selftest.Outcome]) -> None:
    assert [o.name for o in whole] == list(PROBES)


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_without_the_guard_the_selftest_fails(
    mutant: Mutant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curves, "draw", lambda *arguments: None)  # no guard, and a second each
    mutant.remove(monkeypatch)
    found = outcome(mutant.probe, mutant.workers)
    assert not found.passed, found.detail


def test_every_probe_has_a_guard_that_it_misses() -> None:
    assert {mutant.probe for mutant in MUTANTS} == set(PROBES)


def test_with_every_guard_in_place_the_same_runs_pass() -> None:
    """Otherwise a mutant could fail for another reason than its own."""
    inside = {m.probe for m in MUTANTS if not m.workers} - {"audio kept in the class"}
    found = selftest.run([probe for name, probe in PROBES.items() if name in inside], workers=0)
    assert [f"{o.name}: {o.detail}" for o in found if not o.passed] == []


def test_a_check_that_breaks_has_not_passed() -> None:
    def broken(evidence: checks.Evidence) -> None:
        raise ZeroDivisionError("no clips")

    found = selftest.run([replace(PROBES["identity"], check=broken)], workers=0)[0]
    assert (found.passed, found.detail) == (False, "ZeroDivisionError: no clips")


def test_the_documentation_has_every_probe_in_order() -> None:
    text = (Path(__file__).parents[1] / "docs" / "selftest.md").read_text(encoding="utf-8")
    rows = [line.split(" | ")[0].removeprefix("| ") for line in text.splitlines() if "|" in line]
    assert rows[2:] == list(PROBES)
