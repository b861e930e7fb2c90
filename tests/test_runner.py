"""A run: what is done, what is taken from the cache, what survives, and what is written."""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile
import yaml
from hostile import codecs
from signals import noise, voice

import nacbench
from nacbench import audio
from nacbench.cache import Cache
from nacbench.leaderboard import leaderboard
from nacbench.records import Timing
from nacbench.results import ResultTable, to_json
from nacbench.runner import execute, plan, work
from nacbench.suite import load

HERE = "hostile.codecs"
ROOT = Path(__file__).parents[1]
CLIP_S = 0.5
IN_PROCESS = 0  # workers, where nothing has to be survived
NOISE = {"noise": {"source": "pink", "snr_db": 5}}
IDLE_CPU_S = 2.0  # processor time of a run with nothing to do; measured 0.9 s


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Bench":
    # Seconds of Matplotlib for every run; the runs through the command line do draw.
    monkeypatch.setattr("nacbench.report.curves.draw", _draw_nothing)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NACBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(codecs.PARENT_VARIABLE, str(os.getpid()))
    monkeypatch.setenv(codecs.LOG_VARIABLE, str(tmp_path / "log"))
    return Bench(tmp_path)


def _draw_nothing(board: object, path_png: Path, path_svg: Path) -> None:
    path_png.touch()
    path_svg.touch()


class Bench:
    """A suite of short clips in a folder, and what the codecs did to them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.audio = folder / "audio"
        self.audio.mkdir()
        for number in range(3):
            clip = voice(CLIP_S, seed=number)
            soundfile.write(self.audio / f"clip{number}.wav", clip.samples[0], 16000)

    def suite(self, codecs: list, metrics: tuple[str, ...] = ("si_sdr", "snr"), **more) -> Path:
        content = {
            "name": "small",
            "version": 1,
            "sources": [{"folder": {"path": str(self.audio)}}],
            "codecs": codecs,
            "metrics": list(metrics),
            **more,
        }
        path = self.folder / "small.yaml"
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        return path

    def log(self) -> Counter[str]:
        """What was done since the last look, by first word."""
        path = self.folder / "log"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return Counter(line.split()[0] for line in lines)


def quantised(*bits: int, **options) -> dict:
    return {f"{HERE}:Quantised": {"bits": list(bits), **options}}


def content(records) -> list[str]:
    """Records without the name of their run."""
    return [json.dumps({**json.loads(to_json(r)), "run": ""}, sort_keys=True) for r in records]


def test_a_run_writes_one_record_per_clip_condition_and_point(bench: Bench) -> None:
    suite = bench.suite([quantised(4, 8)], conditions=["clean", NOISE])
    table = nacbench.run(suite, workers=2, timing=False)
    assert len(table.records) == 3 * 2 * 2
    assert [r.clip for r in table.records[:5]] == ["clip0.wav"] * 4 + ["clip1.wav"]
    first = table.records[0]
    assert first.failure is None
    assert first.payload_bytes == CLIP_S * 16000
    assert first.payload_kbps == pytest.approx(128.0)
    assert first.compression_ratio == pytest.approx(2.0)
    assert first.nominal_kbps == 128.0
    assert set(first.hashes) == {"source", "reference", "payload", "decoded"}
    assert set(first.versions) == {"codec", "bench", "si_sdr", "snr"}
    references = {r.hashes["reference"] for r in table.records if r.clip == "clip0.wav"}
    assert len(references) == 2, "one per condition"
    (directory,) = (bench.folder / "results" / "small").iterdir()
    written = {path.name for path in directory.iterdir() if not path.name.startswith(".")}
    assert written == {
        "records.jsonl", "manifest.json", "leaderboard.csv", "leaderboard.md", "curves.png",
        "curves.svg",
    }  # fmt: skip
    manifest = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["machine"]["fingerprint"] and manifest["libraries"]["numpy"] == np.__version__
    assert manifest["resolved_suite"]["seed"] == manifest["seed"] == 0
    assert manifest["begun"] <= manifest["ended"]
    assert str(ROOT) not in json.dumps(manifest)


def test_worker_count_and_executor_do_not_change_a_record(bench: Bench) -> None:
    suite = bench.suite(
        [quantised(3, 6, 8), {"opus": {"kbps": 12}}],
        metrics=("si_sdr", "mel:dac"),
        conditions=["clean", NOISE],
    )
    runs = [
        nacbench.run(suite, workers=workers, timing=False, fresh=True, cache=f"cache-{workers}")
        for workers in (0, 1, 3)
    ]
    serial, one, three = (content(run.records) for run in runs)
    assert serial == one == three
    assert all(record.failure is None for record in runs[0].records)


def test_a_second_run_does_nothing_and_says_so_quickly(bench: Bench) -> None:
    suite = bench.suite([quantised(4, 8)])
    first = nacbench.run(suite, workers=1)
    assert bench.log()["encode"] >= 6
    (directory,) = (bench.folder / "results" / "small").iterdir()
    stamps = {path.name: path.stat().st_mtime_ns for path in directory.iterdir()}
    before = _cpu_s()
    assert _run_cli(suite).returncode == 0
    assert _cpu_s() - before < IDLE_CPU_S
    assert bench.log() == {}
    assert stamps == {path.name: path.stat().st_mtime_ns for path in directory.iterdir()}
    assert content(nacbench.run(suite, workers=1).records) == content(first.records)


def test_adding_a_metric_encodes_nothing_and_scores_only_the_new_one(bench: Bench) -> None:
    listed = [quantised(4, 8)]
    likeness, other = f"{HERE}:Likeness", f"{HERE}:Likeness2"
    nacbench.run(bench.suite(listed, metrics=(likeness,)), workers=IN_PROCESS, timing=False)
    assert bench.log() == {"encode": 6, "decode": 6, "prepare": 3, "score": 6}
    table = nacbench.run(
        bench.suite(listed, metrics=(likeness, other)), workers=IN_PROCESS, timing=False
    )
    assert bench.log() == {"prepare": 3, "score": 6}
    assert all(record.scores[likeness].ok and record.scores[other].ok for record in table.records)


def test_adding_a_codec_rescores_nothing(bench: Bench) -> None:
    metrics = (f"{HERE}:Likeness",)
    nacbench.run(bench.suite([quantised(4, 8)], metrics), workers=IN_PROCESS, timing=False)
    bench.log()
    nacbench.run(bench.suite([quantised(4, 6, 8)], metrics), workers=IN_PROCESS, timing=False)
    assert bench.log() == {"encode": 3, "decode": 3, "prepare": 3, "score": 3}


def test_the_same_decoded_audio_is_scored_once_whoever_made_it(bench: Bench) -> None:
    metrics = (f"{HERE}:Likeness",)
    listed = [quantised(8), {f"{HERE}:Tokens": {}}]
    nacbench.run(bench.suite(listed, metrics), workers=IN_PROCESS, timing=False)
    assert bench.log()["score"] == 3


def test_a_new_version_of_a_codec_expires_its_records_in_the_same_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = bench.suite([quantised(4), {"pcm": {"bits": 8}}])
    nacbench.run(suite, workers=IN_PROCESS, timing=False)
    bench.log()
    monkeypatch.setenv(codecs.VERSION_VARIABLE, "2")
    settled = plan(load(suite), workers=IN_PROCESS, timing=False)
    assert (settled.done, len(settled.tasks)) == (3, 3)
    table = execute(settled)
    assert bench.log()["encode"] == 3
    assert len(table.records) == 6
    assert {r.versions["codec"] for r in table.records if "Quantised" in r.codec} == {"2"}
    assert len(list((bench.folder / "results" / "small").iterdir())) == 1


def test_fresh_begins_a_new_run_and_trusts_no_cache(bench: Bench) -> None:
    suite = bench.suite([quantised(4)])
    nacbench.run(suite, workers=IN_PROCESS, timing=False)
    bench.log()
    time.sleep(1.0)  # names of runs have seconds
    nacbench.run(suite, workers=IN_PROCESS, timing=False, fresh=True)
    assert bench.log()["encode"] == 3
    assert len(list((bench.folder / "results" / "small").iterdir())) == 2


def test_a_changed_file_is_another_run(bench: Bench) -> None:
    suite = bench.suite([quantised(4)])
    nacbench.run(suite, workers=IN_PROCESS, timing=False)
    bench.log()
    clip = voice(CLIP_S, seed=9)
    soundfile.write(bench.audio / "clip1.wav", clip.samples[0], 16000)
    table = nacbench.run(suite, workers=IN_PROCESS, timing=False)
    assert bench.log()["encode"] == 1, "the two others are in the cache"
    assert len(table.records) == 3


def test_damaged_cache_entries_are_noticed_and_made_again(bench: Bench) -> None:
    suite = bench.suite([quantised(4, 8)])
    first = nacbench.run(suite, workers=IN_PROCESS, timing=False)
    bench.log()
    files = [path for path in (bench.folder / "cache").rglob("*") if path.is_file()]
    assert len(files) >= 18
    for number, path in enumerate(files):
        data = bytearray(path.read_bytes())
        damage = [data[: len(data) // 2], b"", data[:-1] + bytes([data[-1] ^ 1]), b"\0" * 100]
        path.write_bytes(bytes(damage[number % 4]))
    for directory in (bench.folder / "results" / "small").iterdir():
        (directory / "records.jsonl").unlink()
    again = nacbench.run(suite, workers=IN_PROCESS, timing=False)
    assert bench.log()["encode"] == 6
    assert content(again.records) == content(first.records)


@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        ("segfault", "crashed (SIGSEGV)"),
        ("abort", "crashed (SIGABRT)"),
        ("hang", "still running after 1 s"),
        ("eat", "used more than 600 MB"),
        ("refuse", "the payload is damaged"),
        ("nan", "not finite"),
        ("half", "returned 0.1"),
        ("nothing", "no samples"),
        ("text", "str"),
    ],
)
def test_a_hostile_codec_costs_its_own_records_and_names_the_stage(
    bench: Bench, deed: str, reason: str
) -> None:
    stages = ["decode"] if deed in ("nan", "half", "nothing") else ["encode", "decode"]
    suite = bench.suite(
        [{f"{HERE}:Hostile": {"deed": deed, "at": stages}}, quantised(8)],
        limits={"seconds": 1 if deed == "hang" else 30, "memory_mb": 600},
    )
    table = nacbench.run(suite, limit=1, workers=2, timing=False)
    hostile = {r.options["at"]: r for r in table.records if "Hostile" in r.codec}
    (good,) = [r for r in table.records if "Quantised" in r.codec]
    assert good.failure is None and all(score.ok for score in good.scores.values())
    for at, record in hostile.items():
        assert record.failure is not None
        assert record.failure.startswith(f"{at}: "), record.failure
        assert reason in record.failure
        assert {score.reason for score in record.scores.values()} == {record.failure}
        assert record.payload_bytes is None
        assert record.duration_s == CLIP_S, "what is known of the clip is told"


def test_failures_end_a_run_with_status_3_and_are_retried_only_on_request(bench: Bench) -> None:
    suite = bench.suite([{f"{HERE}:Hostile": {"deed": "refuse"}}, quantised(8)])
    done = _run_cli(suite, "--no-timing")
    assert done.returncode == 3, done.stderr
    bench.log()
    assert _run_cli(suite, "--no-timing").returncode == 3
    assert bench.log() == {}
    assert _run_cli(suite, "--no-timing", "--retry-failed").returncode == 3
    assert bench.log() == {"decode": 3}


@pytest.mark.parametrize("deed", ["segfault", "refuse", "hang"])
def test_a_codec_that_cannot_be_built_has_records_that_say_why(bench: Bench, deed: str) -> None:
    suite = bench.suite(
        [{f"{HERE}:Hostile": {"deed": deed, "at": "build"}}, quantised(8)], limits={"seconds": 1}
    )
    table = nacbench.run(suite, workers=1)
    failures = Counter(record.failure for record in table.records)
    assert failures.pop(None) == 3
    ((reason, count),) = failures.items()
    assert count == 3
    assert str(reason).startswith("build: ")
    assert [timing.failure for timing in table.timings] == [reason, None]


@pytest.mark.parametrize(
    ("metric", "reason"),
    [("Segfaulting", "crashed (SIGSEGV)"), ("Hanging", "still running after 1 s")],
)
def test_a_metric_that_crashes_or_hangs_costs_only_its_own_scores(
    bench: Bench, metric: str, reason: str
) -> None:
    names = ("si_sdr", f"{HERE}:{metric}", "snr")
    suite = bench.suite([quantised(8)], names, limits={"seconds": 1})
    table = nacbench.run(suite, limit=2, workers=1, timing=False)
    for record in table.records:
        assert record.failure is None
        assert record.scores["si_sdr"].ok and record.scores["snr"].ok
        assert record.scores[names[1]].reason == f"score {names[1]}: {reason}"
    assert table.something_failed


def test_an_unscorable_pair_has_its_reason_and_no_number(bench: Bench) -> None:
    table = nacbench.run(
        bench.suite([quantised(8)], ("snr", f"{HERE}:Unscorable")), workers=IN_PROCESS, timing=False
    )
    assert {r.scores[f"{HERE}:Unscorable"].reason for r in table.records} == {"nobody speaks"}
    assert not table.something_failed


def test_decode_shares_no_process_with_encode(bench: Bench) -> None:
    table = nacbench.run(bench.suite([{f"{HERE}:Telepath": {}}]), workers=1, timing=False)
    assert all(str(r.failure).startswith("decode: KeyError") for r in table.records)


def test_a_noisy_codec_reaches_no_output_of_ours(bench: Bench) -> None:
    suite = bench.suite([{f"{HERE}:Hostile": {"deed": "shout"}}])
    done = _run_cli(suite, "--no-timing")
    assert done.returncode == 0
    assert "noise" not in done.stdout + done.stderr


def test_broken_files_become_records_with_reasons(bench: Bench) -> None:
    whole = (bench.audio / "clip0.wav").read_bytes()
    (bench.audio / "clip0.wav").write_bytes(whole[:30])
    (bench.audio / "clip1.wav").write_bytes(b"this is text")
    soundfile.write(bench.audio / "silent.wav", np.zeros(8000), 16000)
    soundfile.write(bench.audio / "one.wav", np.full(1, 0.5), 16000)
    soundfile.write(bench.audio / "eight.wav", noise(0.3, 16000, channels=8).samples.T, 16000)
    table = nacbench.run(bench.suite([quantised(8)]), workers=IN_PROCESS, timing=False)
    records = {record.clip: record for record in table.records}
    assert str(records["clip0.wav"].failure).startswith("load: ")
    assert str(records["clip1.wav"].failure).startswith("load: ")
    assert records["clip2.wav"].failure is None
    assert records["silent.wav"].failure is None and records["silent.wav"].scores["si_sdr"].reason
    assert records["eight.wav"].failure is None and records["eight.wav"].channels == 8
    assert records["eight.wav"].payload_bytes == 8 * 4800


# The timing pass


def test_the_timing_pass_measures_speed_and_memory_and_is_kept(bench: Bench) -> None:
    suite = bench.suite(
        [quantised(8, seconds=0.05), {f"{HERE}:Glutton": {}}],
        timing={"repeats": 3, "seconds": 0.8},
    )
    table = nacbench.run(suite, workers=1)
    slow, glutton = table.timings
    assert slow.encode_rtf == pytest.approx(2 * 0.05 / 0.8, rel=0.5), "two clips make 0.8 s"
    assert slow.decode_rtf is not None and slow.decode_rtf < 0.05
    assert (slow.audio_s, slow.repeats, slow.threads) == (pytest.approx(0.8), 3, 1)
    assert glutton.peak_memory_mb == pytest.approx(200, abs=40)
    assert slow.peak_memory_mb is not None and slow.peak_memory_mb < 100
    bench.log()
    (directory,) = (bench.folder / "results" / "small").iterdir()
    (directory / "records.jsonl").unlink()
    again = nacbench.run(suite, workers=1)
    assert bench.log() == {}, "this machine has timed this codec"
    assert [to_json(t) for t in again.timings] == [to_json(t) for t in table.timings]
    nacbench.run(bench.suite([quantised(8, seconds=0.05)], timing={"repeats": 2}), workers=1)
    assert bench.log()["encode"] > 0


def test_a_codec_that_dies_while_it_is_timed_has_a_reason(bench: Bench) -> None:
    table = nacbench.run(bench.suite([{f"{HERE}:Hostile": {"deed": "segfault"}}]), workers=1)
    (timing,) = table.timings
    assert isinstance(timing, Timing)
    assert timing.failure == "decode: crashed (SIGSEGV)"


# Tokens


def test_codebook_usage_and_entropy_are_those_of_the_tokens(bench: Bench) -> None:
    table = nacbench.run(bench.suite([{f"{HERE}:Tokens": {}}]), workers=IN_PROCESS, timing=False)
    (use,) = table.token_uses
    assert use.frames == 3 * 80
    assert use.usage == (0.5, 0.25)
    assert use.entropy_bits == (1.0, 0.0)
    assert use.entropy_kbps == pytest.approx(80 / CLIP_S / 1000)
    assert not plan(load(bench.folder / "small.yaml"), workers=IN_PROCESS, timing=False).untallied


def test_the_rate_of_an_own_entropy_coder_is_that_of_the_true_payload(bench: Bench) -> None:
    suite = bench.suite([{f"{HERE}:EntropyCoded": {}}])
    table = nacbench.run(suite, workers=IN_PROCESS, timing=False)
    (use,) = table.token_uses
    payload_bits = sum(8 * (record.payload_bytes or 0) for record in table.records)
    assert use.entropy_kbps == pytest.approx(payload_bits / (3 * CLIP_S) / 1000)


def test_an_entropy_that_lacks_a_clip_says_so(bench: Bench) -> None:
    suite = bench.suite([{f"{HERE}:Forgetful": {}}])
    table = nacbench.run(suite, workers=IN_PROCESS, timing=False)
    (use,) = table.token_uses
    assert (use.frames, use.uncounted) == (2 * 80, 1)
    (remark,) = leaderboard(table).incomplete
    assert remark.subject == "small: Forgetful"
    assert remark.reason.startswith("entropy without 1 of the clips: ")
    assert "forgotten" in remark.reason


def test_tokens_outside_their_codebook_are_refused(bench: Bench) -> None:
    told: list[str | None] = []

    class Progress(nacbench.runner.Progress):
        def advanced(self, what: str, failure: str | None = None) -> None:
            told.append(failure)

    suite = bench.suite([{f"{HERE}:Tokens": {"largest": 4}}])
    table = nacbench.run(suite, workers=IN_PROCESS, timing=False, progress=Progress())
    assert table.token_uses == []
    assert "codebook 1 has 4 entries" in str(told[-1])


# Interruptions


def test_kill_it_ten_times_and_the_table_is_that_of_an_uninterrupted_run(bench: Bench) -> None:
    suite = bench.suite(
        [quantised(2, 3, 4, 5, 6, 7, 8, seconds=0.03), {f"{HERE}:Hostile": {"deed": "refuse"}}],
        conditions=["clean", NOISE],
    )
    whole = nacbench.run(suite, workers=2, timing=False, cache="other-cache", out="whole")
    bench.log()
    random = np.random.default_rng(2026)
    kills = 0
    for attempt in range(10):
        run = _start_cli(suite, "--no-timing", "--workers", "2", "--out", "cut")
        if attempt % 2:
            time.sleep(random.uniform(0.0, 1.5))
        else:  # amid the records
            _wait_for_records(bench.folder / "cut", int(random.integers(1, 6)), run)
            time.sleep(random.uniform(0, 0.05))
        children = psutil.Process(run.pid).children() if run.poll() is None else []
        kills += run.poll() is None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
        run.communicate()
        _, alive = psutil.wait_procs(children, timeout=10)
        assert not alive, "workers die with their parent"
    assert kills >= 8
    resumed = nacbench.run(suite, workers=2, timing=False, out="cut")
    assert content(resumed.records) == content(whole.records)
    cut, uncut = (next(bench.folder.glob(f"{out}/small/*")) for out in ("cut", "whole"))
    for name in ("leaderboard.csv", "leaderboard.md"):
        written = (cut / name).read_text("utf-8").replace(cut.name, uncut.name)
        assert written == (uncut / name).read_text("utf-8")
    done = bench.log()
    assert done["encode"] <= len(whole.records) + 2 * kills, "finished work is not repeated"


def test_control_c_keeps_what_is_finished(bench: Bench) -> None:
    suite = bench.suite([quantised(4, 8, seconds=0.3)])
    others = set(psutil.Process().children(recursive=True))  # of tests before this one
    run = _start_cli(suite, "--no-timing", "--workers", "1")
    _wait_for_records(bench.folder / "results", 2, run)
    run.send_signal(signal.SIGINT)
    _, errors = run.communicate(timeout=20)
    assert run.returncode == 130, errors
    assert "Nothing is lost" in errors
    settled = plan(load(suite), workers=1, timing=False)
    assert settled.done >= 2
    assert settled.done + len(settled.tasks) == 6
    assert not set(psutil.Process().children(recursive=True)) - others


def test_runs_merge(bench: Bench) -> None:
    one = nacbench.run(bench.suite([quantised(4)]), workers=IN_PROCESS, timing=False, out="one")
    two = nacbench.run(bench.suite([quantised(8)]), workers=IN_PROCESS, timing=False, out="two")
    directories = [next(bench.folder.glob(f"{out}/small/*")) for out in ("one", "two")]
    both = ResultTable.load(*directories)
    assert content(both.records) == content([*one.records, *two.records])
    assert len(both.manifests) == 2
    assert len(both.to_pandas()) == 2 * len(both.records)


def test_what_another_version_of_a_codec_made_can_be_pruned(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = bench.suite([quantised(4), {"pcm": {"bits": 8}}])
    nacbench.run(suite, workers=IN_PROCESS, timing=False)
    work._current_version.cache_clear()
    cache = Cache(bench.folder / "cache")
    assert cache.prune(stale=work.outdated) == (0, 0)
    monkeypatch.setenv(codecs.VERSION_VARIABLE, "2")
    work._current_version.cache_clear()
    assert cache.prune(stale=work.outdated)[0] == 6
    assert cache.usage()["bitstream"][0] == 3
    work._current_version.cache_clear()


def test_a_record_leads_to_its_decoded_audio(bench: Bench) -> None:
    table = nacbench.run(bench.suite([quantised(8)]), workers=IN_PROCESS, timing=False)
    cache = Cache(bench.folder / "cache")
    for record in table.records:
        clip = work.decoded_of(record, cache)
        assert clip is not None
        assert audio.sha256(clip) == record.hashes["decoded"]
    cache.prune(limit_bytes=0)
    assert work.decoded_of(table.records[0], cache) is None


def test_the_cache_is_pruned_by_age_size_and_version(bench: Bench) -> None:
    nacbench.run(bench.suite([quantised(4, 8)]), workers=IN_PROCESS, timing=False)
    cache = Cache(bench.folder / "cache")
    usage = cache.usage()
    assert usage["bitstream"][0] == usage["decoded"][0] == usage["scores"][0] == 6
    assert cache.prune(older_than_days=1) == (0, 0)
    old = next(entry for entry in cache.entries() if entry.kind == "decoded")
    os.utime(old.path, (0, 0))
    assert cache.prune(older_than_days=1) == (1, old.size_bytes)
    total = sum(size for _, size in cache.usage().values())
    count, freed = cache.prune(limit_bytes=total - 10)
    assert (count, cache.usage()["decoded"][0]) == (1, 4), "decoded audio goes first"
    assert freed >= 10
    assert cache.prune(stale=lambda about: about.get("version") == "1")[0] == 6 + 4
    cache.prune(limit_bytes=0)
    assert sum(count for count, _ in cache.usage().values()) == 0


def _run_cli(suite: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        _command(suite, arguments), capture_output=True, text=True, env=_environment()
    )


def _start_cli(suite: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        _command(suite, arguments),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=_environment(),
    )


def _command(suite: Path, arguments: tuple[str, ...]) -> list[str]:
    return [sys.executable, "-m", "nacbench", "run", str(suite), *arguments]


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}


def _wait_for_records(folder: Path, more: int, run: subprocess.Popen[str]) -> None:
    """Until a running session has added so many records, or is over."""

    def count() -> int:
        return sum(p.read_bytes().count(b"\n") for p in folder.glob("*/*/records.jsonl"))

    start, deadline = count(), time.monotonic() + 60
    while run.poll() is None and count() < start + more:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
