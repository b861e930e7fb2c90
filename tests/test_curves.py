"""What the curves show, read back from the SVG, whose texts stand beside their outlines."""

import re
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
from tables import METRICS, SERIES, example_table, record

from nacbench.core import Score
from nacbench.report import curves
from nacbench.report.palette import KNOWN, looks
from nacbench.results import ResultTable


def texts(table: ResultTable, folder: Path) -> list[str]:
    curves.draw(table, None, folder / "curves.svg")
    return re.findall(r"<!-- (.*?) -->", (folder / "curves.svg").read_text(encoding="utf-8"))


def test_there_is_one_panel_for_each_metric_that_has_a_better(tmp_path: Path) -> None:
    shown = texts(example_table(clips=8), tmp_path)
    for name, (_, better, *_) in METRICS.items():
        titles = [text for text in shown if text.split(" ")[0] == name]
        assert len(titles) == (better is not None), name


def test_the_legend_names_every_competing_series_and_panels_name_the_anchors(
    tmp_path: Path,
) -> None:
    shown = texts(example_table(clips=8), tmp_path)
    for series in SERIES:
        if series not in ("PCM", "lowpass"):
            assert series in shown
    assert "off the scale: PCM 256 kbps" in shown


def test_the_title_says_the_suite_its_condition_and_that_the_pack_is_synthetic(
    tmp_path: Path,
) -> None:
    shown = texts(example_table(conditions=("babble 5 dB", "clean"), clips=8), tmp_path)
    assert "Clean speech · babble 5 dB · 8 clips · synthetic pack" in shown
    assert "Clean speech · clean · 8 clips · synthetic pack" in shown


def test_untrained_codecs_and_declared_rates_are_named_in_the_legend(tmp_path: Path) -> None:
    scores = {"mos": Score(3.0)}
    given = record(series="Lab", scores=scores, notes=("rate declared, not measured",))
    table = ResultTable(
        [given, record(series="Random", scores=scores)],
        manifests={"example": {"untrained": ["Random"]}},
    )
    shown = texts(table, tmp_path)
    assert "Lab (rate declared)" in shown
    assert "Random (untrained)" in shown


@pytest.mark.parametrize("scores", [{}, {"mos": Score(reason="no speech")}])
def test_results_without_any_score_still_make_a_picture(
    scores: dict[str, Score], tmp_path: Path
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        curves.draw(ResultTable([record(scores=scores)]), tmp_path / "none.png")
    assert (tmp_path / "none.png").stat().st_size > 1000


def test_forty_series_all_look_different() -> None:
    names = [*KNOWN, *(f"new {i}" for i in range(30))]
    found = looks(names)
    assert len(set(found.values())) == len(names)


def test_a_known_codec_looks_the_same_whoever_stands_beside_it() -> None:
    assert looks(["Opus", "Zebra"])["Opus"] == looks(["AAC-LC", "Opus"])["Opus"]


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_the_layout_holds_for_any_number_of_panels(tmp_path: Path, count: int) -> None:
    kept = [name for name, (_, better, *_) in METRICS.items() if better is not None][:count]
    table = example_table(clips=2)
    records = [
        replace(record, scores={name: record.scores[name] for name in kept})
        for record in table.records
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib only warns when a panel collapses to nothing
        curves.draw(replace(table, records=records), tmp_path / "curves.png")
