"""Each finding is planted once and found, and clean results raise none."""

import numpy as np
from tables import example_table, record

from nacbench.core import Alignment, Score
from nacbench.leaderboard import leaderboard
from nacbench.records import Record
from nacbench.results import ResultTable
from nacbench.suspicions import suspicions


def findings(records: list[Record]) -> list[str]:
    metrics = {"mos": {"unit": "MOS", "higher_is_better": True}}
    table = ResultTable(records, manifests={"example": {"metrics": metrics}})
    return [f"{r.subject}: {r.reason}" for r in suspicions(table, leaderboard(table))]


def point(kbps: float, mos: float = 3.0, clips: int = 10, **over: object) -> list[Record]:
    scatter = np.random.default_rng(round(kbps)).normal(scale=0.05, size=clips)
    return [
        record(clip=f"c{i}", kbps=kbps, scores={"mos": Score(mos + scatter[i])}, **over)
        for i in range(clips)
    ]


def aligned(delay_ms: float = 6.5, gain_db: float = 0.0, polarity: int = 1) -> Alignment:
    return Alignment(delay_ms, gain_db, polarity, correlation=0.97)


def test_clean_results_raise_no_suspicion() -> None:
    assert findings(point(8, 3.0) + point(16, 3.5) + point(32, 4.0)) == []


def test_a_rate_more_than_15_percent_off_its_label_is_stated() -> None:
    off = point(16, payload_bytes=round(16 * 125 * 5 * 1.16))
    assert findings(off) == ["Opus 16 kbps: asked for 16 kbps, wrote 18.56 kbps (+16%)"]
    assert findings(point(16, payload_bytes=round(16 * 125 * 5 * 1.14))) == []


def test_a_declared_rate_is_not_called_mislabelled() -> None:
    notes = ("rate declared, not measured",)
    assert findings(point(16, payload_bytes=40000, notes=notes)) == []


def test_a_curve_that_falls_with_the_rate_is_stated() -> None:
    found = findings(point(8, 3.0) + point(16, 3.5) + point(32, 3.2))
    assert len(found) == 1
    assert found[0].startswith("Opus: mos gets worse with more bits: 3.5")


def test_a_dip_that_the_scatter_of_the_clips_explains_is_not() -> None:
    assert findings(point(8, 3.0) + point(16, 3.5) + point(32, 3.495)) == []


def test_lower_is_better_metrics_dip_the_other_way() -> None:
    table = example_table(clips=10)
    assert [r for r in suspicions(table, leaderboard(table)) if "gets worse" in r.reason] == []


def test_a_delay_that_moves_between_clips_is_stated() -> None:
    late = record(clip="late", kbps=16, alignment=aligned(30.0), scores={"mos": Score(3.0)})
    found = findings([*point(16, clips=9, alignment=aligned(6.5)), late])
    assert "1 of 10 are more than 1 ms from the median of 6.50 ms" in found[0]


def test_a_delay_in_samples_may_be_another_time_at_another_rate() -> None:
    slow = [record(clip=f"s{i}", kbps=16, alignment=aligned(46.04)) for i in range(3)]
    fast = [
        record(clip=f"f{i}", kbps=16, sample_rate_hz=48000, alignment=aligned(23.02))
        for i in range(3)
    ]
    assert findings(slow + fast) == []


def test_alignments_of_a_vocoder_are_not_trusted() -> None:
    lost = [Alignment(0.0, 0.0, 1, correlation=0.1)] * 9 + [Alignment(9.0, 0.0, -1, 0.55)]
    assert findings([record(clip=f"c{i}", alignment=a) for i, a in enumerate(lost)]) == []


def test_a_changed_level_is_stated_but_a_weak_correlation_alone_is_not() -> None:
    quiet = point(16, alignment=Alignment(6.5, gain_db=-20.0, polarity=1, correlation=1.0))
    assert findings(quiet) == ["Opus 16 kbps: the level changes by -20.0 dB (median)"]
    # Half the energy unpredicted: the least-squares gain would be -3 dB at this unchanged level.
    weak = Alignment(6.5, gain_db=0.0, polarity=1, correlation=0.7071)
    assert findings(point(16, alignment=weak)) == []


def test_an_inverted_polarity_is_stated() -> None:
    found = findings(point(16, alignment=aligned(polarity=-1)))
    assert found == ["Opus 16 kbps: the polarity is inverted in 10 of 10 clips"]


def test_a_codec_that_gives_other_audio_in_another_run_is_stated() -> None:
    first = point(16, hashes={"reference": "r", "payload": "p", "decoded": "d1"})
    second = point(16, hashes={"reference": "r", "payload": "p", "decoded": "d2"}, run="second")
    assert "not deterministic" in findings(first + second)[0]
    assert findings(first + first) == []


def test_findings_stand_at_the_foot_of_the_leaderboard(tmp_path: object) -> None:
    from nacbench.report import build

    table = ResultTable(point(16, payload_bytes=40000))
    board, files = build.write(table, str(tmp_path))
    assert board.suspicious
    assert "asked for 16 kbps, wrote 64 kbps (+300%)" in files[1].read_text(encoding="utf-8")
