"""The command line: exit codes, one-line errors, help that answers at once."""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from tables import example_table

from nacbench.cli import cli
from nacbench.commands import terminal
from nacbench.core import OperatingPoint
from nacbench.errors import UserError
from nacbench.results import ResultTable, to_json

ROOT = Path(__file__).parents[1]
# Each takes 0.05 s or more to import; help has 0.3 s in all.
HEAVY = {
    *("av", "matplotlib", "numba", "numpy", "pandas", "pydantic", "rich", "scipy", "soundfile"),
    *("torch", "torchaudio", "transformers", "visqol", "yaml"),
}


def small_table(suite: str = "speech") -> ResultTable:
    """Two codecs, two metrics, four clips: what there is to draw takes the time."""
    table = example_table(suite, clips=4)
    kept = [record for record in table.records if record.series in ("Opus CBR", "EnCodec")]
    return replace(
        table,
        records=[
            replace(record, scores={name: record.scores[name] for name in ("pesq:wb", "mel:dac")})
            for record in kept
        ],
    )


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments, prog_name="nacbench")


def run_python(code: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every command that does something: ("run",), ("list", "codecs"), …"""
    if isinstance(command, click.Group):
        return [
            leaf for name, sub in command.commands.items() for leaf in leaves(sub, (*path, name))
        ]
    return [path]


@pytest.mark.parametrize("path", [(), *leaves(cli)], ids=" ".join)
def test_help_imports_nothing_heavy(path: tuple[str, ...]) -> None:
    code = (
        "import sys; from nacbench.cli import cli\n"
        "cli(sys.argv[1:], prog_name='nacbench', standalone_mode=False)\n"
        "print('|', *sorted(sys.modules))"
    )
    done = run_python(code, *path, "--help")
    assert done.returncode == 0, done.stderr
    shown, _, modules = done.stdout.rpartition("|")
    assert shown.startswith(f"Usage: {' '.join(('nacbench', *path))}")
    assert HEAVY.isdisjoint(modules.split())


def test_python_m_nacbench_is_nacbench() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nacbench", "--version"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout.split()[0]) == (0, "nacbench")


def test_an_error_that_the_user_can_mend_is_one_line_on_stderr_and_exit_code_2() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nacbench", "validate", "suites/no_such_suite.yaml"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[0].startswith("suites/no_such_suite.yaml: no such suite.")


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    from nacbench import suite

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(suite, "load", broken)
    assert isinstance(invoke("validate", "speech").exception, ZeroDivisionError)


def test_validate_shows_every_problem_of_every_suite(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("name: a\ncolour: red\n")
    result = invoke("validate", str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml"))
    assert result.exit_code == 2
    assert "a.yaml:2 colour: unknown key 'colour'." in result.stderr
    assert "a.yaml:1 codecs: is missing." in result.stderr
    assert "b.yaml: no such suite." in result.stderr
    assert result.stderr.splitlines()[-1] == "6 problems."


@pytest.mark.parametrize("what", ["codecs", "metrics", "suites", "sources", "conditions"])
def test_list_names_everything_registered(what: str) -> None:
    from nacbench import suite
    from nacbench.codecs import CODECS
    from nacbench.conditions import CONDITIONS
    from nacbench.metrics import METRICS
    from nacbench.sources import SOURCES

    names = {
        "codecs": CODECS.names,
        "metrics": METRICS.names,
        "sources": SOURCES.names,
        "conditions": CONDITIONS.names,
        "suites": suite.names,
    }[what]()
    result = invoke("list", what)
    assert result.exit_code == 0, result.output
    first = [line.split()[0] for line in result.output.splitlines() if line.strip()]
    assert set(names) <= set(first)


def test_a_codec_without_its_weights_is_listed_as_missing_with_the_way_to_get_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("transformers")
    monkeypatch.setenv("NACBENCH_CACHE", str(tmp_path))
    monkeypatch.delenv("NACBENCH_DATA", raising=False)
    monkeypatch.setenv("COLUMNS", "1000")
    states = {line.split()[0]: line for line in invoke("list", "codecs").output.splitlines()[1:]}
    assert "missing: kyutai/mimi at '89091b3' is not in the hub's cache" in states["mimi"]
    assert "hf download kyutai/mimi config.json model.safetensors" in states["mimi"]
    assert "here; needs the option 'model'" in states["tokens"]
    assert states["pcm"].rstrip().endswith("here")


# Run: a stand-in for the runner, to see what is shown and how it ends


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Replace the runner by one that reports two clips and returns a table, or raises."""
    # By name: `nacbench.runner` also has a function `run`.
    runner = importlib.import_module("nacbench.runner")
    suites = importlib.import_module("nacbench.suite")

    def install(outcome: ResultTable | BaseException) -> dict[str, Any]:
        called: dict[str, Any] = {}

        def run(suite: Any, *, progress: Any, **options: Any) -> ResultTable:
            called.update(options)
            plan = SimpleNamespace(
                suite=suite, directory=tmp_path / "out", clips=["a", "b"], total=8, done=3,
                tasks=[None] * 5, estimate_s=80.0,
            )  # fmt: skip
            progress.planned(plan)
            progress.began("score", 2)
            progress.advanced("Opus 6 kbps: a")
            progress.advanced("Opus 6 kbps: b", "encode: crashed")
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        def load(name: str, **changes: Any) -> Any:
            called.update(changes)
            shape = {"conditions": ["clean"], "points": [1, 2, 3, 4], "metrics": ["si_sdr"]}
            shape["set_metrics"] = []
            evs = [OperatingPoint("evs", {"kbps": k}, "EVS", f"{k} kbps") for k in (9.6, 13.2)]
            skipped = {
                "skipped": [(point, "install [evs] first") for point in evs],
                "skipped_metrics": [("squim", "pip install torchaudio")],
            }
            return SimpleNamespace(title="Clean speech", synthetic=True, **shape, **skipped)

        monkeypatch.setattr(runner, "run", run)
        monkeypatch.setattr(suites, "load", load)
        return called

    return install


def test_run_shows_plan_progress_leaderboard_and_where_it_lies(
    stand_in: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    called = stand_in(small_table())
    result = invoke("run", "speech", "--codec", "opus,mp3", "--kbps", "6", "--limit", "2")
    assert result.exit_code == 0, result.output
    assert called["codecs"] == ("opus", "mp3")
    assert (called["kbps"], called["limit"]) == ((6.0,), 2)
    plan, _, rest = result.stdout.partition("to go")
    assert plan == (
        "Clean speech (synthetic pack)\n"
        "2 clips × 1 condition × 4 operating points = 8 coded clips, each scored by 1 metric\n"
        "skipped EVS (2 points): install [evs] first\n"
        "skipped squim: pip install torchaudio\n"
        "3 are done already, 5 "
    )
    assert "scoring: 2/2, 1 failed" in result.stderr
    for series in ("Opus CBR", "EnCodec"):
        assert series in rest
    written, prepare, serve = result.stdout.splitlines()[-3:]
    assert written.startswith(f"Written to {tmp_path / 'out'}: ")
    assert f"nacbench mushra prepare {tmp_path / 'out'} --kbps " in prepare
    assert "then: nacbench mushra serve studies/" in serve
    assert (tmp_path / "out" / "leaderboard.csv").exists()


def test_a_run_with_failed_records_exits_with_3_after_showing_everything(
    stand_in: Callable[..., dict[str, Any]],
) -> None:
    table = small_table()
    failed = replace(table.records[0], failure="decode: crashed with SIGSEGV")
    stand_in(replace(table, records=[failed, *table.records[1:]]))
    result = invoke("run", "speech")
    assert result.exit_code == 3
    assert "decode: crashed with SIGSEGV" in result.stdout
    assert "Written to" in result.stdout


def test_control_c_says_that_nothing_is_lost_and_exits_with_130(
    stand_in: Callable[..., dict[str, Any]],
) -> None:
    stand_in(KeyboardInterrupt())
    result = invoke("run", "speech")
    assert result.exit_code == 130
    assert "Nothing is lost: the same command goes on from here." in result.stderr


def test_a_user_error_of_the_runner_exits_with_2(
    stand_in: Callable[..., dict[str, Any]],
) -> None:
    stand_in(UserError("out: holds another run."))
    result = invoke("run", "speech")
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (2, "out: holds another run.")


@pytest.mark.parametrize("kbps", ["six", "0", "-6", "nan", "inf"])
def test_a_rate_that_is_none_is_refused(kbps: str) -> None:
    result = invoke("run", "speech", "--kbps", kbps)
    assert result.exit_code == 2
    assert f"'{kbps}' is not a positive number" in result.stderr


# Report


def write_run(directory: Path, table: ResultTable) -> Path:
    directory.mkdir(parents=True)
    lines = [to_json(entry) for entry in (*table.records, *table.timings)]
    (directory / "records.jsonl").write_text("\n".join(lines) + "\n")
    (directory / "manifest.json").write_text(json.dumps(table.manifests["example"]))
    return directory


def test_report_rebuilds_tables_and_takes_the_latest_run_of_a_suite(tmp_path: Path) -> None:
    run = write_run(tmp_path / "results" / "speech" / "first", small_table())
    result = invoke("report", str(tmp_path / "results" / "speech"))
    assert result.exit_code == 0, result.output
    written = result.stdout.splitlines()[-1].partition(": ")[2].split(", ")
    assert {"leaderboard.csv", "leaderboard.md", "curves.png", "curves.svg"} <= set(written)
    assert all((run / name).exists() for name in written)


def test_several_runs_merge_into_a_place_of_their_own(tmp_path: Path) -> None:
    runs = [str(write_run(tmp_path / suite, small_table(suite))) for suite in ("speech", "music")]
    refused = invoke("report", *runs)
    assert refused.exit_code == 2
    assert "--out" in refused.stderr
    merged = invoke("report", *runs, "--out", str(tmp_path / "both"))
    assert merged.exit_code == 0, merged.output
    text = (tmp_path / "both" / "leaderboard.csv").read_text()
    assert "\nspeech," in text
    assert "\nmusic," in text


def test_report_writes_parquet_that_holds_every_score(tmp_path: Path) -> None:
    import pandas as pd

    table = small_table()
    run = write_run(tmp_path / "run", table)
    assert invoke("report", str(run), "--parquet").exit_code == 0
    frame = pd.read_parquet(run / "records.parquet")
    assert len(frame) == sum(len(record.scores) for record in table.records)


def test_a_directory_without_a_run_is_named(tmp_path: Path) -> None:
    result = invoke("report", str(tmp_path))
    assert result.exit_code == 2
    assert result.stderr.startswith(f"{tmp_path}: no records.jsonl here.")


# Cache


def test_cache_shows_sizes_and_prunes_what_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nacbench.cache import Cache

    monkeypatch.setenv("NACBENCH_CACHE", str(tmp_path))
    store = Cache(tmp_path)
    for key in ("ab12", "cd34"):
        store.put_json("scores", key, {"si_sdr": 1.0})
    shown = invoke("cache", "show")
    assert str(tmp_path) in shown.stdout
    assert ["scores", "2"] in [line.split()[:2] for line in shown.stdout.splitlines()]
    assert invoke("cache", "prune").exit_code == 2
    assert invoke("cache", "prune", "--max-size", "lots").exit_code == 2
    assert "Deleted 0 entries" in invoke("cache", "prune", "--max-size", "1GB").stdout
    assert "Deleted 2 entries" in invoke("cache", "prune", "--all").stdout
    assert store.get_json("scores", "ab12") is None


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "1 s"), (75, "75 s"), (300, "5 min"), (9000, "2.5 h")]
)
def test_an_estimate_is_as_precise_as_it_can_be(seconds: float, text: str) -> None:
    assert terminal.about(seconds) == text


@pytest.mark.parametrize(
    ("per_second", "left_s", "text"),
    [
        (4.21, 151, "4.2/s, 2:31 left"),
        (0.05, 3751, "3.0/min, 1:02:31 left"),
        (12.0, None, "12.0/s"),
        (None, None, ""),
    ],
)
def test_pace_is_written_for_people(
    per_second: float | None, left_s: float | None, text: str
) -> None:
    assert terminal.pace(per_second, left_s) == text


# A whole run, in a process of its own

SUITE = """\
name: tiny
version: 1
sources: [folder: {path: clips}]
codecs: [pcm:8, "pcm:12", lowpass:3500]
metrics: [snr]
"""


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    from signals import noise

    from nacbench import audio

    (tmp_path / "clips").mkdir()
    for seed in range(6):
        audio.write(tmp_path / "clips" / f"{seed}.wav", noise(0.5, seed=seed), subtype="PCM_16")
    (tmp_path / "tiny.yaml").write_text(SUITE)
    return tmp_path


def bench(workplace: Path, *arguments: str) -> "subprocess.Popen[str]":
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "NACBENCH_CACHE": str(workplace / "cache"),
        "SLOW_CODEC_S": "0.3",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "nacbench", *arguments],
        cwd=workplace, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_a_second_run_has_nothing_to_do_and_shows_the_same_board(workplace: Path) -> None:
    first = bench(workplace, "run", "tiny.yaml", "--no-timing")
    out, err = first.communicate(timeout=120)
    assert first.returncode == 0, err
    assert "6 clips × 1 condition × 3 operating points = 18 coded clips" in out
    second = bench(workplace, "run", "tiny.yaml", "--no-timing")
    again, _ = second.communicate(timeout=60)
    assert second.returncode == 0
    assert "18 are done already, 0 to go" in again
    board = out[out.index("tiny: clean") :]
    assert again.endswith(board)


SLOW = """\
import os, time
from nacbench.codecs.pcm import Pcm

class Slow(Pcm):
    name = "slow"
    def encode(self, clip):
        time.sleep(float(os.environ["SLOW_CODEC_S"]))
        return super().encode(clip)

class Broken(Pcm):
    name = "broken"
    def decode(self, bitstream):
        raise RuntimeError("out of tune")
"""


def test_control_c_in_mid_run_loses_nothing_and_the_same_command_goes_on(workplace: Path) -> None:
    (workplace / "lab").mkdir()
    (workplace / "lab" / "codec.py").write_text(SLOW)
    command = ("run", "tiny.yaml", "--no-timing", "--limit", "2")
    command += ("--codec", "lab.codec:Slow", "--workers", "1")
    first = bench(workplace, *command)
    deadline = time.monotonic() + 60
    while not (records := list(workplace.glob("results/tiny/*/records.jsonl"))) or (
        records[0].stat().st_size == 0
    ):
        assert time.monotonic() < deadline, "no record after a minute"
        time.sleep(0.05)
    first.send_signal(signal.SIGINT)
    _, err = first.communicate(timeout=60)
    assert first.returncode == 130, err
    assert err.strip().endswith("Nothing is lost: the same command goes on from here.")
    assert "Traceback" not in err
    kept = len(records[0].read_text().splitlines())
    second = bench(workplace, *command)
    out, err = second.communicate(timeout=120)
    assert second.returncode == 0, err
    assert f"{kept} are done already, {2 * 4 - kept} to go" in out
    assert list(workplace.glob("results/tiny/*/records.jsonl")) == records


def test_failed_records_are_shown_and_the_exit_code_is_3(workplace: Path) -> None:
    (workplace / "lab").mkdir()
    (workplace / "lab" / "codec.py").write_text(SLOW)
    codecs = "lab.codec:Broken,pcm:8"
    done = bench(workplace, "run", "tiny.yaml", "--no-timing", "--codec", codecs, "--limit", "2")
    out, err = done.communicate(timeout=120)
    assert done.returncode == 3, err
    assert "decode: RuntimeError: out of tune" in out
