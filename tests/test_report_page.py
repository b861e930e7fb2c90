"""The HTML report in a real browser, from a file on the disk."""

import itertools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from pages import CLIP_S, HOSTILE, opened, run
from tables import example_table

from nacbench.cli import cli
from nacbench.report import html
from nacbench.report.html.listening import Decoded
from nacbench.results import ResultTable


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[ResultTable, Decoded]:
    return run(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def report(tiny: tuple[ResultTable, Decoded], tmp_path_factory: pytest.TempPathFactory) -> Path:
    table, stored = tiny
    path = tmp_path_factory.mktemp("page") / "report.html"
    return html.write(table, path, stored, audio="flac", items=2)


def column(page: Any, part: str, number: int) -> list[str]:
    cells = page.locator(f"#{part} tbody tr:not(.group) > :nth-child({number})")
    return [text.strip() for text in cells.all_inner_texts()]


def test_the_page_sorts_filters_toggles_and_plays_without_a_request_or_an_error(
    report: Path,
) -> None:
    with opened(report) as (page, requests, complaints):
        # Sorting says so to a screen reader, and missing values stay last.
        head = page.locator("#leaderboard th", has_text="kbps").first
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == "ascending"
        rates = [float(text) for text in column(page, "leaderboard", 3)]
        assert rates == sorted(rates)
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == "descending"
        assert [float(text) for text in column(page, "leaderboard", 3)] == sorted(rates)[::-1]

        # Filtering by words, which may stand in different fields.
        assert len(column(page, "clips", 1)) == 18
        page.locator("#clips input[type=search]").fill("img opus")
        assert set(column(page, "clips", 1)) == {HOSTILE[1]}
        assert all("Opus" in text for text in column(page, "clips", 2))
        assert page.locator("#clips output").inner_text() == "4 of 18 rows"

        # A series disappears from the chart and comes back.
        points = page.locator("#curves .chart .mark")
        shown = points.count()
        page.locator("#curves input[data-series=Opus]").uncheck()
        assert points.count() == shown - 4
        page.locator("#curves input[data-series=Opus]").check()
        assert points.count() == shown

        # A voice switches while the clock goes on.
        item = page.locator("#listening .item").first
        item.get_by_role("button", name="Play").click()
        wait_until(page, item, 0.1)
        item.locator("input[type=radio]").nth(0).check()
        assert item.get_attribute("data-voice") == "Reference"
        item.locator("input[type=radio]").nth(0).press("2")
        assert item.locator("input[type=radio]").nth(2).is_checked()
        item.press("x")
        assert item.get_attribute("data-voice") == "Reference"
        assert item.get_by_role("button", name="Pause").is_visible()
        item.locator("input[type=radio]").nth(0).press(" ")
        assert item.get_by_role("button", name="Play").is_visible()

        assert requests == [report.as_uri()]
        assert complaints == []


# Keeps what reaches the speakers as `heard`, and when each voice began, from where, as `starts`.
RECORDER = """
window.heard = [];
window.starts = [];
const start = AudioBufferSourceNode.prototype.start;
AudioBufferSourceNode.prototype.start = function (when, offset) {
  starts.push([when, offset]);
  return start.call(this, when, offset);
};
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (to, ...rest) {
  if (to instanceof AudioDestinationNode && !(this instanceof ScriptProcessorNode)) {
    if (!window.tape) {
      window.tape = this.context.createScriptProcessor(1024, 1, 1);
      window.tape.onaudioprocess = (event) => heard.push(...event.inputBuffer.getChannelData(0));
      connect.call(window.tape, to);
    }
    connect.call(this, window.tape);
  }
  return connect.call(this, to, ...rest);
};
"""
SAME_PLAYHEAD_S = 1e-6  # one clock for all voices: rounding alone
QUIET = 0.02  # a tenth of the tone's level; two equal signals in a cross-fade never fall below half


def test_a_switch_of_voices_leaves_no_gap_and_keeps_the_playhead(report: Path) -> None:
    """What reaches the speakers is recorded and searched for silence."""
    with opened(report, RECORDER) as (page, _, _):
        item = page.locator("#listening .item").first
        item.get_by_role("button", name="Play").click()
        wait_until(page, item, 0.3)
        for voice in (0, 2, 1, 0):
            item.locator("input[type=radio]").nth(voice).check()
            page.wait_for_timeout(150)
        when, offset = np.array(page.evaluate("starts")).T
        assert when.size == 5
        moved = (offset - when - (offset[0] - when[0]) + CLIP_S / 2) % CLIP_S - CLIP_S / 2
        assert np.abs(moved).max() < SAME_PLAYHEAD_S
        heard = np.array(page.evaluate("heard"))
        sounding = np.flatnonzero(np.abs(heard) > QUIET)
        heard = heard[sounding[0] : sounding[-1]]
        windows = heard[: heard.size // 256 * 256].reshape(-1, 256)
        assert windows.shape[0] > 50
        assert np.sqrt((windows**2).mean(axis=1)).min() > QUIET


def playhead(item: Any) -> float:
    return float(item.locator("input[type=range]").input_value())


def wait_until(page: Any, item: Any, seconds: float) -> None:
    for _ in range(200):
        if playhead(item) >= seconds:
            return
        page.wait_for_timeout(50)
    raise AssertionError("the playhead does not move")


def test_hostile_names_are_shown_as_text(report: Path) -> None:
    with opened(report) as (page, _, complaints):
        shown = set(column(page, "clips", 1))
        assert shown == set(HOSTILE)
        assert page.title() == "Tiny <b>run</b>"
        assert page.locator("img").count() == 0
        assert page.locator("h1").inner_text() == "Tiny <b>run</b>"
        assert complaints == []


@pytest.mark.parametrize("width", [1280, 400])
def test_the_page_is_no_wider_than_the_screen(report: Path, width: int) -> None:
    size = {"width": width, "height": 800}
    with opened(report, viewport=size) as (page, _, _):
        assert page.evaluate("document.documentElement.scrollWidth") == width


def test_every_control_has_a_name(report: Path) -> None:
    with opened(report) as (page, _, _):
        unnamed = page.evaluate(
            "[...document.querySelectorAll('button, input, select, canvas, [role=region]')]"
            ".filter(e => !e.textContent.trim() && !e.labels?.length && !e.ariaLabel).length"
        )
        assert unnamed == 0


def test_without_stored_audio_the_players_say_why_and_the_rest_works(
    tiny: tuple[ResultTable, Decoded], tmp_path: Path
) -> None:
    table, _ = tiny
    path = html.write(table, tmp_path / "report.html", lambda record: None, items=1)
    with opened(path) as (page, _, complaints):
        assert "pruned" in page.locator("#listening .voices").inner_text()
        assert page.locator("#listening input[type=radio]:enabled").count() == 1
        assert complaints == []


def test_audio_that_a_browser_cannot_decode_is_said_to_be_so(report: Path) -> None:
    script = "AudioContext.prototype.decodeAudioData = () => Promise.reject(new Error('no FLAC'));"
    with opened(report, script) as (page, _, complaints):
        item = page.locator("#listening .item").first
        item.get_by_role("button", name="Play").click()
        item.get_by_role("alert").wait_for()
        assert "no FLAC" in item.get_by_role("alert").inner_text()
        assert complaints == []


def test_the_content_of_records_cannot_close_its_script(tiny: tuple[ResultTable, Decoded]) -> None:
    table, _ = tiny
    board = html.leaderboard(table)
    text = html.page.render(html.contents.of(table, board), {})
    found = re.search(r'<script type="application/json" id="content">(.*?)</script>', text, re.S)
    assert found is not None
    assert "<" not in found[1]
    clips = json.loads(found[1])["sections"][0]["clips"]
    assert {clip["id"] for clip in clips} == set(HOSTILE)


def test_numbers_of_the_page_are_those_of_the_leaderboard() -> None:
    table = example_table(clips=8, conditions=("clean", "noise"))
    board = html.leaderboard(table)
    content = html.contents.of(table, board)
    for section, shown in zip(board.sections, content["sections"], strict=True):
        for row, line in zip(section.rows, shown["rows"], strict=True):
            assert line["payload_kbps"] == pytest.approx(row.payload_kbps, rel=1e-5)
            for metric, cell in zip(board.metrics, line["cells"], strict=True):
                assert cell[0] == pytest.approx(row.cells[metric.name].mean, rel=1e-5)
                assert cell[3:] == [
                    row.cells[metric.name].n_ok,
                    row.cells[metric.name].n,
                    row.cells[metric.name].mark,
                ]
        records = shown["records"]
        count = sum(row.clips for row in section.rows)
        columns = [records[name] for name in ("row", "clip", "kbps")] + records["scores"]
        assert {len(values) for values in columns} == {count}


def test_the_worst_clip_is_the_one_that_fails_and_then_the_one_that_scores_low() -> None:
    from dataclasses import replace

    from nacbench.core import Score

    table = example_table(clips=6)
    low = [
        replace(r, scores={n: Score(value=(s.value or 0) - 3) for n, s in r.scores.items()})
        if r.clip == "clip03"
        else r
        for r in table.records
    ]
    failing = [
        replace(r, failure="decode: no") if (r.clip, r.series) == ("clip05", "Opus") else r
        for r in low
    ]
    table = ResultTable(failing, manifests=table.manifests)
    worst = html.listening.worst(table, html.leaderboard(table), 2)
    assert [item.clip for item in worst] == ["clip05", "clip03"]


def test_sounds_stay_within_their_room(tiny: tuple[ResultTable, Decoded]) -> None:
    table, stored = tiny
    board = html.leaderboard(table)
    items = html.listening.worst(table, board, 3)
    all_items, everything = html.listening.embed(items, table, stored, "flac", 10**7)
    size = sum(len(data) for _, data in everything.values())
    room = size // 2
    shown, sounds = html.listening.embed(items, table, stored, "flac", room)
    assert sum(len(data) for _, data in sounds.values()) <= room
    reasons = [voice["reason"] for item in shown for voice in item["voices"]]
    assert any(reason and reason.startswith("left out") for reason in reasons)
    assert not any(voice["reason"] for item in all_items for voice in item["voices"])


def test_the_file_stays_within_its_size_whatever_is_asked_for(
    tiny: tuple[ResultTable, Decoded], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, stored = tiny
    whole = html.write(table, tmp_path / "whole.html", stored, audio="flac", items=3)
    limit = whole.stat().st_size * 2 // 3
    monkeypatch.setattr(html, "MAX_BYTES", limit)
    cut = html.write(table, tmp_path / "cut.html", stored, audio="flac", items=3)
    assert limit // 2 < cut.stat().st_size <= limit


def test_the_command_writes_the_page_into_the_run(
    tiny: tuple[ResultTable, Decoded], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, stored = tiny
    cache = stored.keywords["cache"].root  # type: ignore[attr-defined]
    monkeypatch.setenv("NACBENCH_CACHE", str(cache))
    (run_directory,) = (cache.parent / "results" / "tiny").iterdir()
    done = CliRunner().invoke(cli, ["report", str(run_directory), "--html", "--items", "1"])
    assert done.exit_code == 0, done.output
    assert "report.html" in done.output
    text = (run_directory / "report.html").read_text(encoding="utf-8")
    assert text.count('data-type="audio/ogg"') == 1 + 6  # the reference and every codec


def test_forty_points_of_forty_eight_clips_leave_the_room_to_audio() -> None:
    table = example_table(clips=48)
    content = html.contents.of(table, html.leaderboard(table))
    assert sum(len(section["rows"]) for section in content["sections"]) > 40
    assert len(html.page.render(content, {})) < html.MAX_BYTES / 20


def test_the_looks_of_two_series_are_never_alike() -> None:
    table = example_table(clips=6)
    looks = html.contents.of(table, html.leaderboard(table))["looks"]
    for one, other in itertools.combinations(looks.values(), 2):
        assert (one["marker"], one["line"], one["open"]) != (
            other["marker"],
            other["line"],
            other["open"],
        ), "told apart by colour alone"
