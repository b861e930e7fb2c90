"""Defects read in other harnesses' own code, each as a test that this bench passes.

Where they were read, with commits, is said at each test.
"""

from typing import Any

import numpy as np
from tables import record

from nacbench.core import Bitstream, Record, Score
from nacbench.leaderboard import leaderboard
from nacbench.results import ResultTable
from nacbench.suspicions import suspicions


def table_of(records: list[Record]) -> ResultTable:
    metrics = {"pesq:wb": {"unit": "MOS", "higher_is_better": True}}
    return ResultTable(records, manifests={"example": {"metrics": metrics}})


def pesq(value: float | None) -> dict[str, Score]:
    return {"pesq:wb": Score(reason="no utterance detected") if value is None else Score(value)}


# Codec-SUPERB at cfccafc, scripts/update_leaderboard.py:12-103: rates from a hand-typed table
# ("Assumed 6kbps from 320d?", "Let's set 0.5 for now").


def test_the_rate_comes_from_the_bytes_whatever_the_label_says() -> None:
    labelled = record(nominal_kbps=0.5, payload_bytes=3750, duration_s=5.0, scores=pesq(3.0))
    table = table_of([labelled])
    board = leaderboard(table)
    assert board.sections[0].rows[0].payload_kbps == 6.0
    assert "asked for 0.5 kbps, wrote 6 kbps" in suspicions(table, board)[0].reason


def test_a_bitstream_has_no_field_in_which_a_rate_could_be_claimed() -> None:
    fields = set(Bitstream(b"").__dataclass_fields__)
    assert fields == {"payload", "packet_sizes", "container_bytes"}


# Codec-SUPERB, SoundCodec/metrics.py: PESQ's exception becomes 1.0, STOI's 0.0. VERSA at c398480,
# versa/utterance_metrics/pesq_score.py:98-102: 0.0, and averaged in.


def test_a_score_that_failed_moves_no_mean_and_stays_visible() -> None:
    values = [3.0, 3.2, None, 3.4]
    board = leaderboard(
        table_of([record(clip=f"c{i}", scores=pesq(v)) for i, v in enumerate(values)])
    )
    cell = board.sections[0].rows[0].cells["pesq:wb"]
    assert cell.mean == np.mean([3.0, 3.2, 3.4])
    assert (cell.n_ok, cell.n) == (3, 4)
    assert board.unscored[0].reason == "no utterance detected"


# Codec-SUPERB: failed items are filtered out and what is left is zipped with the full metadata, so
# that every later item gets its neighbour's category.


def test_a_failed_clip_does_not_shift_the_others_speakers() -> None:
    speakers = ["ann", "ann", "ben", "ben", "cy", "cy", "di", "di", "eve", "eve", "flo", "flo"]
    level = {"ann": 1.5, "ben": 2.0, "cy": 2.5, "di": 3.0, "eve": 3.5, "flo": 4.0}

    def interval(failed: set[int], listed: set[int]) -> tuple[Any, ...]:
        records = [
            record(
                clip=f"c{i}",
                tags={"speaker": name},
                scores=pesq(None if i in failed else level[name]),
            )
            for i, name in enumerate(speakers)
            if i in listed
        ]
        cell = leaderboard(table_of(records)).sections[0].rows[0].cells["pesq:wb"]
        return cell.mean, cell.low, cell.high

    everything = set(range(len(speakers)))
    assert interval({0}, everything) == interval(set(), everything - {0})


# Codec-SUPERB: sqcodec's mel distance grows from 3.47 to 4.08 between 0.75 and 12 kbps and is on
# the board without a word.


def test_a_codec_that_gets_worse_with_more_bits_is_pointed_out() -> None:
    rng = np.random.default_rng(0)
    records = [
        record(clip=f"c{i}", kbps=kbps, scores=pesq(value + rng.normal(scale=0.1)))
        for kbps, value in ((0.75, 2.6), (3.0, 2.3), (12.0, 1.9))
        for i in range(12)
    ]
    table = table_of(records)
    found = [r.reason for r in suspicions(table, leaderboard(table))]
    assert sum("gets worse with more bits" in reason for reason in found) == 2


# VERSA at c398480: a run in which a metric failed ends like any other; a truncated score set then
# reads like a complete one (ESPnet3 says so in its wrapper).


def test_a_codec_scored_on_fewer_clips_neither_wins_nor_looks_complete() -> None:
    full = [record(series="Full", clip=f"c{i}", scores=pesq(3.0 + i / 100)) for i in range(8)]
    partial = [record(series="Partial", clip=f"c{i}", scores=pesq(4.0)) for i in range(6)]
    board = leaderboard(table_of(full + partial))
    rows = {row.series: row for row in board.sections[0].rows}
    assert rows["Full"].cells["pesq:wb"].mark == "best"
    assert rows["Partial"].cells["pesq:wb"].mark == ""
    assert board.incomplete[0].reason == "6 of 8 clips were run"
