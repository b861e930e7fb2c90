"""Each thing that the doctor looks for is planted once and found; the healthy get a clean bill."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from tables import record

from nacbench.cli import cli
from nacbench.core import Score
from nacbench.diagnosis import KINDS, SEVERITIES, diagnose
from nacbench.leaderboard import leaderboard
from nacbench.records import Record
from nacbench.results import RecordWriter, ResultTable
from nacbench.suspicions import Finding

CLIPS = 12
METRICS = {
    "mos": {"unit": "MOS", "higher_is_better": True},
    "mel": {"unit": "", "higher_is_better": False},
    "bandwidth_hz": {"unit": "Hz", "higher_is_better": None},
}
SERIES = {"A": 3.0, "B": 3.2, "C": 3.4, "D": 3.6, "E": 3.8}


def healthy() -> list[Record]:
    """Five codecs at about one rate, whose two metrics agree."""
    rng = np.random.default_rng(3)
    difficulty = rng.normal(scale=0.2, size=CLIPS)
    return [
        record(
            series=name,
            clip=f"c{clip}",
            scores={
                "mos": Score(mos + difficulty[clip] + rng.normal(scale=0.03)),
                "mel": Score(5 - mos - difficulty[clip] + rng.normal(scale=0.03)),
                "bandwidth_hz": Score(7800 + 10 * clip),
            },
        )
        for name, mos in SERIES.items()
        for clip in range(CLIPS)
    ]


def found(records: list[Record]) -> list[Finding]:
    table = ResultTable(records, manifests={"example": {"metrics": METRICS}})
    return diagnose(table, leaderboard(table))


def with_scores(one: Record, **scores: Score) -> Record:
    return replace(one, scores={**one.scores, **scores})


def test_the_healthy_get_a_clean_bill() -> None:
    assert found(healthy()) == []


def test_a_failed_clip_and_a_lost_score_are_errors_with_their_reasons() -> None:
    records = healthy()
    lost = Score(reason="decode: crashed (SIGSEGV)")
    records[3] = replace(
        records[3], failure=lost.reason, scores=dict.fromkeys(METRICS, lost), payload_bytes=None
    )
    records[20] = with_scores(records[20], mos=Score(reason="silent"))
    first, second = sorted(found(records), key=lambda f: f.sentence)
    assert {KINDS[f.kind].severity for f in (first, second)} == {"error"}
    assert first.sentence == "1 of 12 clips failed, c3: decode: crashed (SIGSEGV)"
    assert second.sentence == "mos has no score on 1 of 12 clips, c8: silent"


def test_a_codec_without_high_frequencies_is_band_limited() -> None:
    records = [
        with_scores(r, bandwidth_hz=Score(3500.0)) if r.series == "B" else r for r in healthy()
    ]
    (only,) = found(records)
    assert (only.kind, only.subject) == ("band", "B 16 kbps")
    assert "3.5 kHz where others keep 7.9 kHz" in only.sentence


def test_a_codec_that_metrics_rank_first_and_last_is_named_with_both() -> None:
    records = [
        with_scores(r, mel=Score((r.scores["mel"].value or 0) + 2.0)) if r.series == "E" else r
        for r in healthy()
    ]
    (only,) = found(records)
    assert (only.kind, only.subject) == ("rank", "E 16 kbps")
    assert only.sentence == "mos ranks it 1 of 5 at its rate, mel 5"


@pytest.mark.parametrize(("metric", "change"), [("mos", -1.0), ("mel", 1.0)])
def test_one_clip_on_which_one_codec_breaks_down_is_named_with_what_was_expected(
    metric: str, change: float
) -> None:
    records = healthy()
    index = 2 * CLIPS + 5  # C on c5
    good = records[index].scores[metric].value or 0.0
    records[index] = with_scores(records[index], **{metric: Score(good + change)})
    (only,) = found(records)
    assert (only.kind, only.subject) == ("clip", "C 16 kbps")
    assert only.sentence.startswith(f"c5: {metric} {good + change:.3g} where ")
    expected = float(only.sentence.split(" where ")[1].split()[0])
    assert abs(expected - good) < 0.15  # the planted scatter is 0.03, the clips' 0.2


def test_an_unusually_good_score_is_no_outlier() -> None:
    records = healthy()
    records[7] = with_scores(records[7], mos=Score(4.7))
    assert found(records) == []


def test_a_clip_that_all_codecs_find_hard_is_a_note() -> None:
    records = [
        with_scores(r, mos=Score((r.scores["mos"].value or 0) - 1.8)) if r.clip == "c4" else r
        for r in healthy()
    ]
    (only,) = found(records)
    assert (only.kind, only.subject) == ("hard", "c4")
    assert KINDS[only.kind].severity == "note"


def test_every_kind_has_a_severity_and_advice() -> None:
    for kind in KINDS.values():
        assert kind.severity in SEVERITIES and kind.advice.endswith(".")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    records = healthy()
    records[0] = replace(records[0], payload_bytes=3 * (records[0].payload_bytes or 0))
    records[3] = replace(records[3], failure="encode: hung", payload_bytes=None)
    with RecordWriter(tmp_path) as writer:
        for entry in records:
            writer.write(entry)
    return tmp_path


def test_the_command_groups_by_severity_says_what_to_do_and_exits_0(run: Path) -> None:
    result = CliRunner().invoke(cli, ["doctor", str(run)])
    assert result.exit_code == 0, result.output
    assert result.output.index("1 error") < result.output.index("1 warning")
    assert "encode: hung" in result.output and KINDS["failure"].advice in result.output
    assert "A 16 kbps: asked for 16 kbps" in result.output


def test_json_has_a_finding_per_line(run: Path) -> None:
    result = CliRunner().invoke(cli, ["doctor", str(run), "--json"])
    lines = [json.loads(line) for line in result.output.splitlines()]
    assert [(line["severity"], line["kind"]) for line in lines] == [
        ("error", "failure"),
        ("warning", "rate"),
    ]
    assert all(line["advice"] for line in lines)


def test_a_run_without_records_is_a_mistake_of_the_user(tmp_path: Path) -> None:
    with RecordWriter(tmp_path):
        pass
    result = CliRunner().invoke(cli, ["doctor", str(tmp_path)])
    assert result.exit_code == 2
