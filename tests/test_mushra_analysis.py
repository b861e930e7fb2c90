"""From stored ratings to the report, on panels whose truth is known."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path

import mushra_studies
import pandas as pd
import pytest
from click.testing import CliRunner

from mushra_app import ratings, report, webmushra
from mushra_app.analysis import Analysis, analyse
from mushra_app.commands import mushra
from mushra_app.prepare import METRICS_FILE
from mushra_app.screening import screen
from mushra_app.store import Store
from mushra_app.study import Study
from nacbench.board import Board, Cell, MetricInfo, Row, Section
from nacbench.errors import UserError
from nacbench.listeners import with_listeners

TRUTH = {"anchor35": 20.0, "anchor70": 50.0, "good": 85.0, "fair": 60.0, "same": 60.0}
ITEMS = 10
Scores = Callable[[str, str, int], int]


def frame_of(tmp_path: Path, study: Study, *listeners: Scores) -> pd.DataFrame:
    store = Store(f"sqlite:///{tmp_path / 'r.sqlite'}")
    for n, scores in enumerate(listeners):
        session = mushra_studies.listen(store, study, scores, seed=n)
    frame = ratings.frame(store.ratings(session.study_id))
    store.close()
    return frame


def rating(hidden_low: int = 0, mid_high: int = 0) -> Scores:
    """A listener who fails on the first so many items."""

    def scores(item: str, condition: str, turn: int) -> int:
        number = int(item.removeprefix("item").removeprefix("training"))
        if condition == "reference":
            return 89 if number < hidden_low else 90
        if condition == "anchor70":
            return 91 if number < mid_high else 90
        return 50

    return scores


# Post-screening


def test_more_than_15_percent_excludes_and_15_percent_does_not(tmp_path: Path) -> None:
    study = mushra_studies.study(items=20)
    frame = frame_of(tmp_path, study, rating(hidden_low=3), rating(hidden_low=4))
    found = screen(frame, 20)
    assert len(found.valid) == 1
    [out] = found.excluded
    assert out.rule == "hidden reference"
    assert "Listener 2 (" in out.sentence
    assert "below 90 on 4 of 20 items (20%, allowed are 15%): item" in out.sentence
    assert sorted(out.sentence.split(": ")[-1].rstrip(".").split(", ")) == [
        f"item{n} 89" for n in range(4)
    ]


def test_the_mid_anchor_excludes_but_not_where_a_quarter_of_the_listeners_slip(
    tmp_path: Path,
) -> None:
    study = mushra_studies.study(items=20)
    # Items 0-3: 2 of 8 rate it above 90, exactly a quarter: these still exclude.
    few = frame_of(tmp_path, study, *[rating(mid_high=4)] * 2, *[rating()] * 6)
    assert [e.rule for e in screen(few, 20).excluded] == ["mid anchor"] * 2
    assert screen(few, 20).guarded == ()


def test_an_item_that_many_find_hard_excludes_nobody(tmp_path: Path) -> None:
    study = mushra_studies.study(items=20)
    many = frame_of(tmp_path, study, *[rating(mid_high=4)] * 3, *[rating()] * 6)
    found = screen(many, 20)
    assert found.excluded == () and len(found.valid) == 9
    assert sorted(found.guarded) == ["item0", "item1", "item2", "item3"]


def test_training_and_replicates_have_no_say(tmp_path: Path) -> None:
    study = mushra_studies.study(items=8, training=4)

    def scores(item: str, condition: str, turn: int) -> int:
        return 10 if item.startswith("training") or turn else 95

    assert screen(frame_of(tmp_path, study, rating(), rating(), rating(), scores), 8).valid
    found = screen(frame_of(tmp_path, study, scores), 8)
    assert all(e.rule != "hidden reference" for e in found.excluded)


def test_who_left_early_is_out_with_a_sentence(tmp_path: Path) -> None:
    study = mushra_studies.study(items=6)
    store = Store(f"sqlite:///{tmp_path / 'r.sqlite'}")
    session = mushra_studies.listen(store, study, rating(), until=3)
    mushra_studies.listen(store, study, rating(), seed=1)
    found = screen(ratings.frame(store.ratings(session.study_id)), 6)
    store.close()
    assert len(found.valid) == 1
    assert found.excluded[0].sentence.endswith(": 2 of 6 items were rated.")
    assert found.excluded[0].sentence.startswith(f"Listener {found.name(session.participant)} is")
    assert found.name(session.participant) == f"1 ({session.participant[:8]})"
    assert found.name(found.valid[0]).startswith("2 (")  # one number each, whoever counts


# The whole analysis


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """With a metric that follows the truth, one that defies it, one with gaps."""
    study = mushra_studies.study(items=ITEMS, systems=("good", "fair", "same"))
    study = study.model_copy(
        update={
            "conditions": tuple(
                c.model_copy(update={"point": f"codec({c.id})", "payload_kbps": 10.0})
                if c.role == "system"
                else c
                for c in study.conditions
            ),
            "suite": "suite",
        }
    )
    folder = tmp_path_factory.mktemp("study")
    study.save(folder)
    with (folder / METRICS_FILE).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["item", "condition", "metric", "value", "unit", "higher_is_better"])
        for n, item in enumerate(study.items):
            for system in ("good", "fair", "same"):
                value = TRUTH[system] / 20 + n / 1000
                writer.writerow([item.id, system, "mos", value, "MOS", "yes"])
                writer.writerow([item.id, system, "distance", 10 - value, "", "no"])
                if n > 2:
                    writer.writerow([item.id, system, "gappy", value, "", "yes"])
    return Study.load(folder)


@pytest.fixture(scope="module")
def result(study: Study) -> tuple[Analysis, pd.DataFrame]:
    store = Store(f"sqlite:///{study.folder / 'ratings.sqlite'}")
    mushra_studies.panel(store, study, TRUTH, listeners=15, seed=4)
    mushra_studies.listen(store, study, lambda item, condition, turn: 30, seed=99)
    number = store.find_study(study)
    assert number is not None
    frame = ratings.frame(store.ratings(number))
    store.close()
    return analyse(study, frame), frame


def test_the_truth_is_inside_the_intervals_and_the_order_is_found(
    result: tuple[Analysis, pd.DataFrame],
) -> None:
    analysis, _ = result
    assert len(analysis.screening.valid) == 15 and len(analysis.screening.excluded) == 1
    means = {s.condition.id: s for s in analysis.summaries}
    for name, true in TRUTH.items():
        assert means[name].low <= true <= means[name].high, name
    assert means["reference"].box.median == 100
    order = [s.condition.id for s in analysis.summaries]
    assert order[:2] == ["reference", "good"] and order[-2:] == ["anchor70", "anchor35"]


def test_true_differences_are_found_and_the_equal_pair_is_not(
    result: tuple[Analysis, pd.DataFrame],
) -> None:
    analysis, _ = result
    contrasts = {frozenset((c.better, c.worse)): c for c in analysis.contrasts}
    assert len(contrasts) == 15
    assert contrasts[frozenset(("good", "fair"))].hochberg < 0.01
    assert contrasts[frozenset(("good", "fair"))].permutation < 0.001
    # Fair and same differ by their draws of items alone, which 15 listeners share.
    assert abs(contrasts[frozenset(("fair", "same"))].difference) < 5
    assert all(c.hochberg >= c.wilcoxon for c in analysis.contrasts)
    chi2, p, w = analysis.friedman
    assert p < 1e-6 and 0.9 < w <= 1 and chi2 > 50


def test_replicates_give_the_error_that_was_put_in(
    result: tuple[Analysis, pd.DataFrame],
) -> None:
    analysis, _ = result
    # Each score carries an error of 5 points, the hidden reference (1 of 6) none.
    assert analysis.typical_error == pytest.approx(5 * math.sqrt(5 / 6), rel=0.15)
    assert analysis.icc > 0.9
    assert len(analysis.reliability) == 15


def test_metrics_are_held_against_the_ratings(result: tuple[Analysis, pd.DataFrame]) -> None:
    found = {a.metric: a for a in result[0].agreements}
    assert found["mos"].pearson[0] > 0.85
    for value, low, high in (found["mos"].spearman, found["mos"].pearson):
        assert low <= value <= high
    assert found["distance"].pearson[0] == pytest.approx(-found["mos"].pearson[0], abs=1e-9)
    assert found["gappy"].cells == 3 * (ITEMS - 3) and found["mos"].cells == 3 * ITEMS


@pytest.fixture(scope="module")
def written(result: tuple[Analysis, pd.DataFrame], study: Study) -> Path:
    """The study's folder, with its report."""
    files = report.write(*result, study.folder / report.FOLDER)
    assert all(file.stat().st_size for file in files)
    return study.folder


def test_the_report_says_all_that_the_standard_asks_for(
    result: tuple[Analysis, pd.DataFrame], written: Path
) -> None:
    analysis, frame = result
    text = (written / "report" / "report.md").read_text()
    page = (written / "report" / "report.html").read_text()
    for part in (
        "15 of 16 listeners count", "Listener 16 (", "below 90 on 10 of 10 items", "median", "IQR",
        "Hochberg", "Kendall's W", "ICC(1)", "typical error", "Spearman", analysis.study.sha256,
    ):  # fmt: skip
        assert part in text, part
        assert part.replace("'", "&#x27;") in page, part
    assert "http" not in page.replace("http://www.w3.org", "")  # it needs no network
    kept = ratings.read_csv(written / "report" / "ratings.csv")
    assert len(kept) == len(frame)  # raw, the excluded listener's too


def test_webmushras_csv_is_analysed_alike(
    result: tuple[Analysis, pd.DataFrame], study: Study, tmp_path: Path
) -> None:
    path = tmp_path / "mushra.csv"
    path.write_text(webmushra.to_csv(result[1], study))
    ours, theirs = (
        {s.condition.id: (s.mean, s.low, s.high) for s in analyse(study, frame).summaries}
        for frame in (result[1], webmushra.from_csv(path, study))
    )
    assert theirs == ours


def test_nobody_left_is_said_in_a_sentence(tmp_path: Path) -> None:
    study = mushra_studies.study(items=6)
    frame = frame_of(tmp_path, study, rating(hidden_low=6))
    with pytest.raises(UserError, match=r"no listener's ratings count yet\. Listener 1"):
        analyse(study, frame)


def test_a_study_that_was_never_served_says_so(tmp_path: Path) -> None:
    mushra_studies.study().save(tmp_path)
    done = CliRunner().invoke(mushra, ["analyze", str(tmp_path)])
    assert isinstance(done.exception, UserError) and "nobody has rated it" in str(done.exception)


def test_listeners_of_two_minds_are_flagged(tmp_path: Path) -> None:
    study = mushra_studies.study(items=6)

    def love_or_hate(number: int) -> Scores:
        def scores(item: str, condition: str, turn: int) -> int:
            if condition == "reference":
                return 100
            return (90 if number % 2 else 10) + number % 3 if condition == "a" else 45 + number

        return scores

    found = analyse(study, frame_of(tmp_path, study, *map(love_or_hate, range(12))))
    assert {s.condition.id for s in found.bimodal} == {"a"}
    assert len(found.bimodal) == 6


# The leaderboard


def board() -> Board:
    cell = Cell(3.0, 2.0, 4.0, 5, 5)
    rows = tuple(
        Row(name, "", name, {}, f"codec({name})", 5, 0, {"mos": cell}, payload_kbps=10.0)
        for name in ("good", "unheard")
    )
    section = Section("suite", "clean", "Suite", False, 5, 5, rows)
    return Board((section,), (MetricInfo("mos", "", True),))


def test_the_leaderboard_gets_the_listeners_column(
    result: tuple[Analysis, pd.DataFrame], written: Path
) -> None:
    joined = with_listeners(board(), written)
    assert joined.listening.startswith(f"Column mushra: 15 listeners on {ITEMS} excerpts, study ")
    assert [m.name for m in joined.headline] == ["mushra", "mos"]
    heard, unheard = (row.cells["mushra"] for row in joined.sections[0].rows)
    good = next(s for s in result[0].summaries if s.condition.id == "good")
    assert heard.mean == pytest.approx(good.mean, abs=1e-6)
    assert heard.low == pytest.approx(good.low, abs=1e-6)
    assert unheard.mean is None and unheard.n == 0


def test_a_study_of_another_run_or_without_analysis_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="First: nacbench mushra analyze"):
        with_listeners(board(), tmp_path)
    (tmp_path / "report").mkdir()
    head = "suite,condition,point,mean,low,high,items,listeners\n"
    path = tmp_path / "report" / "mushra.csv"
    path.write_text(head + "suite,clean,other(),50,40,60,8,10\n")
    with pytest.raises(UserError, match="graded no operating point of this run"):
        with_listeners(board(), tmp_path)
    path.write_text(head + "suite,clean,codec(good),fifty,40,60,8,10\n")
    with pytest.raises(UserError, match=":2: damaged"):
        with_listeners(board(), tmp_path)
