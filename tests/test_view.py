"""Many runs over time: the numbers of the trend, and the local page."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from tables import example_table, manifest

from nacbench.cli import cli
from nacbench.commands.view import command
from nacbench.core import Score
from nacbench.errors import UserError
from nacbench.leaderboard import leaderboard
from nacbench.report.trend import find_runs, trend
from nacbench.results import ResultTable, to_json

PAGE = Path(__file__).parents[1] / "nacbench" / "view.py"
GAIN = 0.5  # of every score from one run to the next


def write_runs(folder: Path, count: int = 3) -> list[Path]:
    """Runs a day apart in which every score rises by `GAIN` and the last has another codec."""
    runs = []
    few = [r for r in example_table(clips=6).records if r.series in ("Opus", "MP3")]
    for day in range(count):
        name = f"2026-11-0{day + 1}-120000-abcdef01"
        run = folder / "speech" / name
        run.mkdir(parents=True)
        records = [
            replace(
                r,
                run=name,
                versions={"codec": "2" if day == count - 1 else "1"},
                scores={
                    n: Score(value=s.value + day * GAIN) if s.value is not None else s
                    for n, s in r.scores.items()
                },
            )
            for r in few
        ]
        text = "".join(to_json(r) + "\n" for r in records)
        (run / "records.jsonl").write_text(text, encoding="utf-8")
        about = {**manifest(), "run": name, "begun": f"2026-11-0{day + 1}T12:00:00+00:00"}
        (run / "manifest.json").write_text(json.dumps(about), encoding="utf-8")
        runs.append(run)
    return runs


def test_runs_are_found_below_a_folder_oldest_first_and_once(tmp_path: Path) -> None:
    runs = write_runs(tmp_path)
    assert find_runs([tmp_path, runs[2]]) == runs
    with pytest.raises(UserError, match="no run here"):
        find_runs([tmp_path / "speech" / "nothing"])


def test_a_trend_has_each_runs_leaderboard_in_order_of_time(tmp_path: Path) -> None:
    tables = [ResultTable.load(run) for run in write_runs(tmp_path)]
    lines = trend(tables[::-1])
    assert list(lines["run"].unique()) == [table.records[0].run for table in tables]
    one = lines[(lines["name"] == "Opus 16 kbps") & (lines["metric"] == "si_sdr")]
    steps = one["mean"].diff().dropna().tolist()
    assert steps == pytest.approx([GAIN, GAIN])
    assert list(one["codec_version"]) == ["1", "1", "2"]
    rows = leaderboard(tables[0]).sections[0].rows
    (row,) = [row for row in rows if row.name == "Opus 16 kbps"]
    cell = row.cells["si_sdr"]
    assert tuple(one.iloc[0][["mean", "low", "high", "n_ok"]]) == (
        cell.mean,
        cell.low,
        cell.high,
        cell.n_ok,
    )


def test_the_page_is_served_to_this_machine_alone_and_tells_nobody() -> None:
    words = command(["runs/a"], 8765)
    assert words[0] == sys.executable
    assert "--server.address=127.0.0.1" in words
    assert "--browser.gatherUsageStats=false" in words
    assert "--server.headless=true" in words
    assert words[words.index("--") + 1 :] == ["runs/a"]


def test_view_without_a_run_says_what_to_give(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["view", str(tmp_path)])
    assert result.exit_code == 2
    assert "no run here" in result.output


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    testing = pytest.importorskip("streamlit.testing.v1", reason="needs the extra 'mushra'")
    write_runs(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(PAGE), str(tmp_path)])
    monkeypatch.setenv("NACBENCH_CACHE", str(tmp_path / "cache"))
    return testing.AppTest.from_file(str(PAGE), default_timeout=60).run()


def test_the_page_shows_the_trend_of_the_chosen_metric(page) -> None:  # type: ignore[no-untyped-def]
    assert not page.exception
    page.sidebar.selectbox(key="metric").select("si_sdr").run()
    shown = page.tabs[0].dataframe[0].value
    assert set(shown["name"]) <= set(page.multiselect(key="points").options)
    means = shown[shown["name"] == shown["name"].iloc[0]]["mean"].tolist()
    assert np.diff(means) == pytest.approx([GAIN, GAIN])
    newest = page.sidebar.multiselect(key="runs").value[0]
    page.sidebar.multiselect(key="runs").set_value([newest]).run()
    assert set(page.tabs[0].dataframe[0].value["run"]) == {newest}
    assert not page.exception


def test_the_page_filters_clips_and_writes_the_report(page) -> None:  # type: ignore[no-untyped-def]
    page.text_input(key="filter").set_value("clip03 opus").run()
    shown = page.tabs[2].dataframe[0].value
    assert set(shown["clip"]) == {"clip03"}
    assert set(shown["series"]) == {"Opus"}
    page.number_input(key="items").set_value(1).run()
    page.button(key="show").click().run()
    assert not page.exception
    assert len(page.get("iframe")) == 1


def test_a_page_whose_runs_are_gone_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    testing = pytest.importorskip("streamlit.testing.v1", reason="needs the extra 'mushra'")
    monkeypatch.setattr(sys, "argv", [str(PAGE), str(tmp_path / "gone")])
    page = testing.AppTest.from_file(str(PAGE), default_timeout=60).run()
    assert "no run here" in page.error[0].value
