"""Scoring audio that is already decoded: files, folders, and everything that can be wrong there."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from signals import changed, voice, with_noise

from nacbench import audio, pairs
from nacbench.cli import cli
from nacbench.commands.score import DEFAULT_METRICS
from nacbench.core import Clip
from nacbench.errors import UserError
from nacbench.metrics import METRICS

METRIC_NAMES = ("si_sdr", "snr")
# A 20 dB mixture measured over 3 s: the noise is orthogonal to the voice within 1 %.
SNR_TOLERANCE_DB = 0.1
DELAY_TOLERANCE_MS = 0.01  # a fifth of a sample at 16 kHz


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two voices in ref/, and in dec/ each with noise at 20 dB and 100 samples late."""
    reference, decoded = tmp_path / "ref", tmp_path / "dec"
    for folder in (reference, decoded):
        (folder / "men").mkdir(parents=True)
    for name, seed in (("anna", 1), ("men/otto", 2)):
        clip = voice(seed=seed)
        audio.write(reference / f"{name}.flac", clip, subtype="PCM_24")
        late = np.pad(with_noise(clip, 20.0).samples, [(0, 0), (100, 0)])
        audio.write(decoded / f"{name}.wav", changed(clip, late))
    return reference, decoded


def invoke(*arguments: Any) -> Result:
    return CliRunner().invoke(cli, ["score", *map(str, arguments)], prog_name="nacbench")


def test_folders_are_paired_by_path_without_suffix_and_scored_after_alignment(
    folders: tuple[Path, Path],
) -> None:
    results = pairs.score(pairs.pair_up(*folders), METRIC_NAMES, workers=2)
    assert [result.name for result in results] == ["anna", "men/otto"]
    for result in results:
        assert result.alignment is not None
        assert result.alignment.delay_ms == pytest.approx(100 / 16, abs=DELAY_TOLERANCE_MS)
        value = result.scores["snr"].value
        assert value == pytest.approx(20.0, abs=SNR_TOLERANCE_DB)


def test_a_file_without_counterpart_has_a_reason_and_the_exit_code_is_3(
    folders: tuple[Path, Path],
) -> None:
    reference, decoded = folders
    (decoded / "anna.wav").rename(decoded / "anne.wav")
    done = invoke(*folders, "--metric", "si_sdr", "--json")
    assert done.exit_code == 3
    by_name = {row["name"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert by_name["anna"]["failure"] == f"{reference}/anna.flac: no decoded file of that name."
    assert by_name["anne"]["failure"] == f"{decoded}/anne.wav: no reference of that name."
    assert by_name["anna"]["si_sdr"] is None
    assert by_name["men/otto"]["failure"] is None


def test_a_file_that_cannot_be_read_costs_its_own_pair_only(folders: tuple[Path, Path]) -> None:
    (folders[1] / "anna.wav").write_bytes(b"RIFF no audio")
    anna, otto = pairs.score(pairs.pair_up(*folders), METRIC_NAMES, workers=1)
    assert anna.failure is not None
    assert "not readable as audio" in anna.failure
    assert otto.scores["si_sdr"].ok


CRASHING = """
import os
class Crashing:
    name, version, unit, bounds, domain, source = "crashing", "1", "", (0.0, 1.0), "any", ""
    higher_is_better, sample_rate_hz, mono = True, None, True
    def prepare(self, reference): return None
    def score(self, prepared, decoded): os.abort()
"""


def test_a_metric_that_crashes_is_a_reason_and_the_others_keep_their_scores(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "crashing_lab").mkdir()
    (tmp_path / "crashing_lab" / "metric.py").write_text(CRASHING)
    monkeypatch.syspath_prepend(tmp_path)
    name = "crashing_lab.metric:Crashing"
    for result in pairs.score(pairs.pair_up(*folders), ("si_sdr", name), workers=1):
        assert result.scores["si_sdr"].ok
        assert "SIGABRT" in str(result.scores[name].reason)
        assert result.failure is None


def test_other_rates_and_channels_are_converted_and_noted(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    mono = audio.read(folders[0] / "anna.flac")
    stereo = Clip(np.repeat(mono.samples, 2, axis=0), mono.sample_rate_hz)
    audio.write(tmp_path / "stereo48.wav", audio.at_rate(stereo, 48_000))
    ((result),) = pairs.score(
        pairs.pair_up(folders[0] / "anna.flac", tmp_path / "stereo48.wav"), ("si_sdr",)
    )
    assert result.notes == ("resampled 48000 -> 16000 Hz", "channels 2 -> 1")
    assert (result.scores["si_sdr"].value or 0) > 40  # what one soxr VHQ round trip leaves


def test_audio_of_another_length_is_scored_and_noted(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    clip = audio.read(folders[0] / "anna.flac")
    audio.write(tmp_path / "long.wav", changed(clip, np.pad(clip.samples, [(0, 0), (0, 16_000)])))
    (result,) = pairs.score(
        pairs.pair_up(folders[0] / "anna.flac", tmp_path / "long.wav"), ("si_sdr",)
    )
    assert result.notes == ("1.00 s longer than the reference",)


@pytest.mark.parametrize(
    ("arrange", "expected"),
    [
        (lambda ref, dec: (ref / "nobody.wav", dec), "no such file or folder"),
        (lambda ref, dec: (ref / "anna.flac", dec), "give two files or two folders"),
        (lambda ref, dec: (ref, dec / "men"), "no file names in common"),
    ],
)
def test_paths_that_do_not_pair_are_refused_in_words(
    folders: tuple[Path, Path], arrange: Any, expected: str
) -> None:
    with pytest.raises(UserError, match=expected):
        pairs.pair_up(*arrange(*folders))


def test_two_files_of_one_name_are_refused(folders: tuple[Path, Path]) -> None:
    (folders[1] / "anna.flac").write_bytes(b"")
    with pytest.raises(UserError, match="has the same name"):
        pairs.pair_up(*folders)


def test_one_pair_is_shown_metric_by_metric(folders: tuple[Path, Path]) -> None:
    done = invoke(
        folders[0] / "anna.flac", folders[1] / "anna.wav", "--metric", "si_sdr,mel_distance"
    )
    assert done.exit_code == 0, done.output
    rows = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert rows["si_sdr"].endswith("dB, higher is better")
    assert "mel:dac" in rows
    assert rows["delay"].split()[1:3] == ["6.250", "ms,"]


def test_several_pairs_are_shown_with_their_mean_and_as_csv(folders: tuple[Path, Path]) -> None:
    shown = invoke(*folders, "--metric", "snr").stdout
    assert [line.split()[0] for line in shown.splitlines()] == ["pair", "anna", "men/otto", "mean"]
    rows = list(csv.DictReader(io.StringIO(invoke(*folders, "--metric", "snr", "--csv").stdout)))
    assert [row["name"] for row in rows] == ["anna", "men/otto"]
    assert float(rows[0]["snr"]) == pytest.approx(20.0, abs=SNR_TOLERANCE_DB)


def test_an_unknown_metric_is_refused_before_anything_is_read(folders: tuple[Path, Path]) -> None:
    done = invoke(*folders, "--metric", "si_sdrr")
    assert done.exit_code == 2
    assert "Did you mean 'si_sdr'?" in done.stderr


def test_the_default_metrics_exist() -> None:
    assert set(DEFAULT_METRICS) <= set(METRICS.names())
