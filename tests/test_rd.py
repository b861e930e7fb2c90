"""Pareto fronts, BD tables and `nacbench rd`."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from tables import SERIES, example_table, record

from nacbench.cli import cli
from nacbench.core import Score
from nacbench.leaderboard import leaderboard
from nacbench.pareto import BY_RATE, BY_SPEED, dominated, fronts
from nacbench.report import bd_table, build
from nacbench.results import RecordWriter, ResultTable


def test_a_point_is_dominated_by_one_that_is_nowhere_worse_and_somewhere_better() -> None:
    costs = np.array([[1, 4], [2, 2], [4, 1], [2, 3], [4, 4], [2, 2]], float)
    assert dominated(costs).tolist() == [False, False, False, True, True, False]


def test_dominance_agrees_with_its_definition_on_random_points() -> None:
    costs = np.random.default_rng(0).integers(0, 6, (60, 3)).astype(float)
    expected = [
        any((other <= one).all() and (other < one).any() for other in costs) for one in costs
    ]
    assert dominated(costs).tolist() == expected


def table_of(*points: tuple[str, float, float, float], anchor: bool = False) -> ResultTable:
    """Series with one point each: name, kbps, score, RTF; two clips."""
    example = example_table()
    records = [
        record(series=name, kbps=kbps, clip=clip, scores={"stoi": Score(value=score)})
        for name, kbps, score, _ in points
        for clip in ("one", "two")
    ]
    timings = [
        replace(example.timings[0], codec=name.lower(), options={"kbps": kbps}, series=name,
                setting=f"{kbps:g} kbps", encode_rtf=rtf, decode_rtf=0.0)
        for name, kbps, _, rtf in points
    ]  # fmt: skip
    return ResultTable(records, timings, manifests=example.manifests)


def test_speed_saves_a_point_that_quality_and_rate_give_up() -> None:
    table = table_of(
        ("Good", 10, 0.9, 0.5), ("Quick", 12, 0.8, 0.1), ("Bad", 14, 0.7, 0.6), ("PCM", 8, 0.99, 0)
    )
    found = {p.row.series: p.front for p in fronts(leaderboard(table))}
    assert found == {"Good": BY_RATE, "Quick": BY_SPEED}  # PCM is an anchor and does not compete


def test_speed_does_not_count_across_machines() -> None:
    table = table_of(("Good", 10, 0.9, 0.5), ("Quick", 12, 0.8, 0.1))
    elsewhere = replace(table.timings[1], machine="another")
    table = ResultTable(table.records, [table.timings[0], elsewhere], manifests=table.manifests)
    assert [p.row.series for p in fronts(leaderboard(table))] == ["Good"]


def test_a_metric_where_lower_is_better_has_its_front_below() -> None:
    points = [p for p in fronts(leaderboard(example_table())) if p.metric.name == "mel:dac"]
    scores = [p.row.cells["mel:dac"].mean for p in points if p.front == BY_RATE]
    assert len(scores) > 3 and scores == sorted(scores, reverse=True)


def test_bd_tables_hold_every_series_with_a_value_or_a_reason(tmp_path: Path) -> None:
    table = example_table()
    gaps, files = bd_table.write(table, leaderboard(table), tmp_path)
    text = files[1].read_text(encoding="utf-8")
    with files[0].open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    competing = [name for name in SERIES if name not in ("Opus", "PCM", "lowpass")]
    assert {row["series"] for row in rows} == set(competing)
    assert all(bool(row["bd_rate_percent"]) != bool(row["reason"]) for row in rows)
    for series, (rates, _) in SERIES.items():
        if series in competing and len(rates) >= 4:
            assert f"| {series} |" in text or f"- {series}: " in text
    assert "- G.722: " in text and "4 are needed" in text
    # AMR-WB lies 0.3 octaves above Opus by construction: 2 ** -0.3 of the bits, 19 % fewer.
    (amr,) = (g for g in gaps if g.series == "AMR-WB" and g.metric.name == "si_sdr")
    assert amr.rate.low is not None and amr.rate.high is not None
    assert amr.rate.low < 100 * (2**-0.3 - 1) < amr.rate.high


def test_a_report_brings_bd_rates_where_opus_is_there_and_none_elsewhere(tmp_path: Path) -> None:
    _, files = build.write(example_table(), tmp_path / "with")
    assert [file.name for file in files][-2:] == ["bd_rate.csv", "bd_rate.md"]
    alone = ResultTable([r for r in example_table().records if r.series != "Opus"])
    _, files = build.write(alone, tmp_path / "without")
    assert not [file for file in files if "bd_rate" in file.name]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("run")
    table = example_table(clips=8)
    with RecordWriter(directory) as writer:
        for entry in (*table.records, *table.timings):
            writer.write(entry)
    return directory


def test_the_command_writes_pictures_and_tables_and_prints_both(run: Path) -> None:
    result = CliRunner().invoke(cli, ["rd", str(run), "--anchor", "AMR-WB"])
    assert result.exit_code == 0, result.output
    for name in ("rd_curves.png", "rd_clips.svg", "pareto.csv", "bd_rate.csv", "bd_rate.md"):
        assert (run / name).stat().st_size > 100, name
    assert "Pareto front" in result.output and "BD-rate against AMR-WB" in result.output
    assert "against AMR-WB" in (run / "bd_rate.md").read_text(encoding="utf-8")


def test_an_unknown_anchor_is_named_with_a_suggestion(run: Path) -> None:
    result = CliRunner().invoke(cli, ["rd", str(run), "--anchor", "AMRWB"])
    assert result.exit_code == 2 and "Did you mean 'AMR-WB'?" in result.output
