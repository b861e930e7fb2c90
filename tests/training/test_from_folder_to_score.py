"""docs/training-your-own.md, run: twenty WAV files, `nac train tiny`, a score by the bench."""

import base64
import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from nacbench import audio
from nacbench.sources.embedded import Embedded
from nacbench.sources.loading import load
from reference_codec.cli import nac
from reference_codec.errors import UserError

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(900)  # 40 s on a free core

PROGRAMS = {"nac": "reference_codec.cli", "nacbench": "nacbench.cli"}


def run(program: str, *words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "NACBENCH_CACHE": str(cwd / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    code = f"from {PROGRAMS[program]} import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, words)],
        cwd=cwd, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with twenty recordings and a text file."""
    place = tmp_path_factory.mktemp("training")
    (place / "recordings").mkdir()
    for number, ref in enumerate(Embedded("speech").clips()[:20]):
        audio.write(place / "recordings" / f"{number:02}.wav", load(ref), "PCM_16")
    (place / "recordings" / "broken.wav").write_text("no audio")
    yield place


@pytest.fixture(scope="module")
def trained(place: Path) -> Path:
    done = run("nac", "train", "tiny", "--data", "recordings", "validation.every_n_steps=60",
               cwd=place)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "broken.wav" in done.stderr
    assert "finished at step 100" in done.stderr
    return place / "runs" / "tiny"


@pytest.fixture(scope="module")
def scored(place: Path, trained: Path) -> Path:
    """The bench's run, two operating points of the trained codec on one clip."""
    done = run(
        "nacbench", "run", "speech", "--codec", f"reference:{trained / 'tiny.safetensors'}",
        "--kbps", "0.8,3.2", "--limit", "1", "--metric", "mel:dac,si_sdr",
        "--workers", "1", "--no-timing",
        "--out", "results", cwd=place,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (file,) = place.glob("results/**/records.jsonl")
    return file.parent


def test_the_bench_scores_what_was_trained(scored: Path) -> None:
    file = scored / "records.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    records = [line for line in lines if line["kind"] == "record"]
    assert {record["options"]["kbps"] for record in records} == {0.8, 3.2}
    for record in records:
        assert record["options"]["model"].endswith("tiny.safetensors")
        kbps = record["payload_bytes"] * 8 / record["duration_s"] / 1000
        # Entropy coding writes fewer bits than the name says; a header weighs in a short clip.
        assert 0.1 < kbps < 1.2 * record["options"]["kbps"]
        assert record["scores"]["mel:dac"] < 8  # an untrained model has 9, silence over 20


def test_the_report_plays_the_clip_before_and_after(scored: Path, here: Path) -> None:
    from nacbench.cli import cli

    done = CliRunner().invoke(cli, ["report", str(scored.parent), "--html", "--audio", "flac"])
    assert done.exception is None, done.output
    page = (scored / "report.html").read_text("utf-8")
    sounds = re.findall(r'id="(sound-[^"]+)" data-type="audio/flac">([^<]+)<', page)
    assert [name for name, _ in sounds] == ["sound-0-reference", "sound-0-0", "sound-0-1"]
    before, *after = (soundfile.read(io.BytesIO(base64.b64decode(data)))[0] for _, data in sounds)
    for decoded in after:
        assert decoded.shape == before.shape
        assert 0.1 < np.std(decoded) / np.std(before) < 10  # it is heard


def test_the_run_left_what_a_person_looks_at(trained: Path) -> None:
    with (trained / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == list(range(1, 101))
    first, last = (sum(float(r["mel"]) for r in part) / 10 for part in (rows[:10], rows[-10:]))
    assert last < 0.75 * first
    waited = sum(float(row["waited_s"]) for row in rows)
    assert waited < 0.05 * sum(float(row["seconds"]) for row in rows)
    with (trained / "validation.csv").open() as file:
        assert [int(row["step"]) for row in csv.DictReader(file)] == [60, 100]
    assert list((trained / "tensorboard").glob("events.*"))
    assert (trained / "recipe.yaml").read_text().startswith("name: tiny")
    assert "broken.wav" in (trained / "left_out.csv").read_text()


@pytest.fixture
def here(place: Path, trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """For commands in this process, which has PyTorch loaded already."""
    monkeypatch.chdir(place)
    monkeypatch.setenv("NACBENCH_CACHE", str(place / "cache"))
    return place


def test_a_run_is_not_overwritten_but_resumed(here: Path, trained: Path) -> None:
    words = ["train", "tiny", "--data", "recordings", "--no-tensorboard"]
    refused = CliRunner().invoke(nac, words)
    assert isinstance(refused.exception, UserError)
    assert "--resume" in str(refused.exception)
    again = CliRunner().invoke(nac, [*words, "--resume"])
    assert again.exception is None, again.output
    assert "resumed at step 100" in again.stderr
    assert len((trained / "metrics.csv").read_text().splitlines()) == 101


def test_a_finished_codec_is_tuned_to_other_recordings(here: Path, trained: Path) -> None:
    words = ["finetune", str(trained / "tiny.safetensors"), "--data", "recordings"]
    done = CliRunner().invoke(nac, [*words, "--no-tensorboard", "steps=2"])
    assert done.exception is None, done.output
    tuned = here / "runs" / "tiny-tuned"
    assert (tuned / "tiny-tuned.safetensors").is_file()
    with (tuned / "metrics.csv").open() as file:
        first = float(next(csv.DictReader(file))["mel"])
    with (trained / "metrics.csv").open() as file:
        assert first < 0.75 * float(next(csv.DictReader(file))["mel"])


def test_a_dry_run_prints_and_trains_nothing(here: Path) -> None:
    words = ["train", "tiny", "--data", "recordings", "--out", "dry", "--dry-run"]
    done = CliRunner().invoke(nac, words)
    assert done.exception is None, done.output
    assert "GFLOP per second of audio" in done.stdout
    assert "broken.wav: not readable as audio" in done.stdout
    assert not (here / "dry").exists()
