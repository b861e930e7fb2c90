"""Rows, means, marks and feet of the leaderboard, on tables whose truth is known."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest
from tables import example_table, record

from nacbench.board import band_name
from nacbench.core import Score
from nacbench.leaderboard import leaderboard
from nacbench.report import build, curves, tables
from nacbench.results import ResultTable


def table_of(*records: object, **manifest: object) -> ResultTable:
    metrics = {"mos": {"unit": "MOS", "higher_is_better": True}}
    return ResultTable(list(records), manifests={"example": {"metrics": metrics, **manifest}})  # type: ignore[arg-type]


def clips(series: str, values: list[float | None], **over: object) -> list[object]:
    scores = [Score(reason="no speech") if v is None else Score(value=v) for v in values]
    return [
        record(series=series, clip=f"c{i}", scores={"mos": score}, **over)  # type: ignore[arg-type]
        for i, score in enumerate(scores)
    ]


def test_the_rate_of_a_row_is_all_its_bits_over_all_its_seconds() -> None:
    short = record(clip="short", duration_s=1.0, payload_bytes=4000, scores={"mos": Score(3.0)})
    long = record(clip="long", duration_s=9.0, payload_bytes=9000, scores={"mos": Score(3.0)})
    row = leaderboard(table_of(short, long)).sections[0].rows[0]
    assert row.payload_kbps == pytest.approx(13000 * 8 / 10 / 1000)
    assert row.compression_ratio == pytest.approx(10 * 16000 * 2 / 13000)


def test_a_missing_score_is_counted_and_never_averaged_in() -> None:
    row = leaderboard(table_of(*clips("Opus", [3.0, None, 5.0]))).sections[0].rows[0]
    assert (row.cells["mos"].mean, row.cells["mos"].n_ok, row.cells["mos"].n) == (4.0, 2, 3)


def test_a_codec_does_not_win_its_band_by_failing_on_a_clip() -> None:
    good = clips("Good", [3.0, 3.1, 3.2, 3.0, 3.1, 3.3, 3.2, 1.0])
    picky = clips("Picky", [4.0, 4.1, 4.2, 4.0, 4.1, 4.3, 4.2, None])
    rows = {r.series: r for r in leaderboard(table_of(*good, *picky)).sections[0].rows}
    assert rows["Good"].cells["mos"].mark == "best"
    assert rows["Picky"].cells["mos"].mark == ""


def test_anchors_are_shown_and_do_not_compete() -> None:
    rows = (
        leaderboard(table_of(*clips("PCM", [4.5] * 8, codec="pcm"), *clips("Opus", [4.0] * 8)))
        .sections[0]
        .rows
    )
    assert {r.series: r.cells["mos"].mark for r in rows} == {"PCM": "", "Opus": "best"}


def test_what_the_data_cannot_separate_is_shown_as_a_tie() -> None:
    best = clips("Best", [4.0, 4.1, 4.2, 3.9, 4.1, 4.0, 4.2, 4.1])
    close = clips("Close", [4.1, 4.0, 4.1, 4.0, 4.0, 4.1, 4.1, 4.1])
    far = clips("Far", [3.0, 3.1, 3.2, 2.9, 3.0, 3.1, 3.1, 3.2])
    rows = {r.series: r for r in leaderboard(table_of(*best, *close, *far)).sections[0].rows}
    assert [rows[n].cells["mos"].mark for n in ("Best", "Close", "Far")] == ["tie", "tie", ""]


def test_rows_compete_only_within_their_rate_band() -> None:
    low = clips("Low", [2.0] * 8, kbps=6.0)
    high = clips("High", [4.0] * 8, kbps=24.0)
    rows = leaderboard(table_of(*low, *high)).sections[0].rows
    assert [(r.series, r.cells["mos"].mark) for r in rows] == [("Low", "best"), ("High", "best")]


def test_a_rate_on_an_edge_belongs_to_the_band_below() -> None:
    rows = leaderboard(table_of(*clips("Edge", [3.0], kbps=8.0))).sections[0].rows
    assert band_name(rows[0].band) == "4–8 kbps"


def test_conditions_are_never_averaged_together() -> None:
    clean = clips("Opus", [4.0, 4.0])
    noisy = clips("Opus", [2.0, 2.0], condition="babble 5 dB")
    sections = leaderboard(table_of(*clean, *noisy)).sections
    assert [(s.condition, s.rows[0].cells["mos"].mean) for s in sections] == [
        ("clean", 4.0),
        ("babble 5 dB", 2.0),
    ]


def test_failures_skips_and_missing_scores_stand_at_the_foot() -> None:
    failure = "decode: crashed with SIGSEGV"
    broken = record(
        series="Broken", failure=failure, payload_bytes=None, container_bytes=None,
        scores={"mos": Score(reason=failure)},
    )  # fmt: skip
    skipped = [{"series": "EVS", "setting": "9.6 kbps", "reason": "install EVS_cod"}]
    board = leaderboard(
        table_of(
            broken,
            *clips("Opus", [3.0, None]),
            skipped=skipped,
            skipped_metrics={"visqol": "pip install visqol-python"},
        )
    )
    text = tables.to_markdown(board)
    for line in (
        f"- Broken 16 kbps: {failure}",
        "- EVS 9.6 kbps: install EVS_cod",
        "- mos: no speech",
        "- metric visqol: pip install visqol-python",
    ):
        assert line in text


def test_declared_rates_untrained_codecs_and_synthetic_packs_are_named() -> None:
    given = clips("Lab", [3.0, 3.0], notes=("rate declared, not measured",))
    random = clips("Random", [1.0, 1.0])
    board = leaderboard(table_of(*given, *random, synthetic=True, untrained=["Random"]))
    text = tables.to_markdown(board)
    assert "16.0 declared" in text
    assert "Random (untrained)" in text
    assert "Synthetic pack" in text


def test_the_later_of_two_runs_counts() -> None:
    old, new = clips("Opus", [2.0, 2.0]), clips("Opus", [3.0, 3.0], run="second")
    assert leaderboard(table_of(*old, *new)).sections[0].rows[0].cells["mos"].mean == 3.0


def test_a_codec_that_has_not_run_on_every_clip_is_called_incomplete() -> None:
    board = leaderboard(table_of(*clips("Opus", [3.0, 3.0]), *clips("MP3", [3.0])))
    assert board.incomplete[0].reason == "1 of 2 clips were run"


def test_csv_holds_every_row_with_full_precision(tmp_path: Path) -> None:
    board = leaderboard(example_table(clips=8))
    tables.write_csv(board, tmp_path / "board.csv")
    with (tmp_path / "board.csv").open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    rows = board.sections[0].rows
    assert len(lines) == len(rows)
    assert float(lines[0]["si_sdr"]) == rows[0].cells["si_sdr"].mean


def test_markdown_tables_have_the_same_number_of_cells_in_every_line() -> None:
    table = example_table(clips=8)
    table = replace(table, records=[replace(r, series="a|b") for r in table.records])
    blocks = tables.to_markdown(leaderboard(table)).replace("\\|", "").split("\n\n")
    widths = [{line.count("|") for line in b.splitlines()} for b in blocks if b.startswith("|")]
    assert [len(w) for w in widths] == [1] * len(widths)


def test_the_same_records_give_the_same_files(tmp_path: Path) -> None:
    table = example_table(clips=8)
    first, second = tmp_path / "a", tmp_path / "b"
    _, files = build.write(table, first)
    build.write(table, second)
    assert [f.name for f in files if f.read_bytes() != (second / f.name).read_bytes()] == []


@pytest.mark.parametrize("kbps", [16.0, 334.75929041872985])  # at the latter, margins vanish
def test_curves_can_be_drawn_from_a_single_point(tmp_path: Path, kbps: float) -> None:
    board = leaderboard(table_of(*clips("Opus", [3.0])))
    (section,) = board.sections
    row = replace(section.rows[0], payload_kbps=kbps)
    board = replace(board, sections=(replace(section, rows=(row,)),))
    curves.draw(board, tmp_path / "one.png")
    assert (tmp_path / "one.png").stat().st_size > 5000
