"""What people see of a run: the bar, the tables, TensorBoard, scores, and the dry run."""

import csv
import io
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import nn

from reference_codec.errors import UserError
from reference_codec.neural_codec import NeuralCodec
from reference_codec.training import command, dry_run, progress, recipe_file
from reference_codec.training.data import HeldOut
from reference_codec.training.metrics_log import MetricsLog
from reference_codec.training.observing import Outcome
from reference_codec.training.recipe import ValidationOptions
from reference_codec.training.tensorboard import TensorBoard, spectrogram
from reference_codec.training.validation import Point, Validation

RECIPE = recipe_file.load("tiny", ["steps=20", "prior.steps=4"])
LOSSES = {"mel": 2.0, "waveform": 0.5, "gradient_norm": 3.0, "learning_rate": 1e-3}
FINISHED = Outcome("finished", 20, 0, 0)


def trainer(step: int = 0, prior_step: int = 0, **more: Any) -> Any:
    """As much of a Trainer as observers see."""
    return SimpleNamespace(recipe=RECIPE, step=step, prior_step=prior_step, waited_s=0.001, **more)


def held_out() -> list[HeldOut]:
    time = np.arange(12_000) / 16_000
    chirp = 0.3 * np.sin(2 * np.pi * (200 + 800 * time) * time)
    return [HeldOut(f"clip{i}", "anna", (chirp[None] * (1 - 0.3 * i)).astype("f4")) for i in (0, 1)]


def written(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def log_steps(log: MetricsLog, at: Any, steps: range, losses: Mapping[str, float] = LOSSES) -> None:
    log.started(at)
    for step in steps:
        log.step_done(at, step, losses, 0.1)
    log.stopped(at, FINISHED)


def test_rows_beyond_the_resumed_step_are_cut_and_written_again(tmp_path: Path) -> None:
    log_steps(MetricsLog(tmp_path), trainer(), range(1, 8))
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("codec,8,0.1")  # killed while it was written
    log_steps(MetricsLog(tmp_path), trainer(step=5), range(6, 10), {**LOSSES, "mel": 9.0})
    table = written(tmp_path / "metrics.csv")
    assert [int(row["step"]) for row in table] == list(range(1, 10))
    assert [float(row["mel"]) for row in table] == [2.0] * 5 + [9.0] * 4


def test_both_stages_have_their_rows_and_losses_their_columns(tmp_path: Path) -> None:
    log_steps(MetricsLog(tmp_path), trainer(), range(1, 4))
    late = {**LOSSES, "adversarial": 1.5}
    log_steps(MetricsLog(tmp_path), trainer(step=3), range(4, 6), late)
    log_steps(MetricsLog(tmp_path), trainer(step=20), range(1, 4), {"prior_bits_per_code": 7.0})
    log_steps(
        MetricsLog(tmp_path), trainer(step=20, prior_step=2), range(3, 5),
        {"prior_bits_per_code": 6.0},
    )  # fmt: skip
    table = written(tmp_path / "metrics.csv")
    assert [(row["stage"], row["step"]) for row in table[5:]] == [
        ("prior", "1"), ("prior", "2"), ("prior", "3"), ("prior", "4"),
    ]  # fmt: skip
    assert table[0]["adversarial"] == ""
    assert table[4]["adversarial"] == "1.5"
    assert [row["prior_bits_per_code"] for row in table[5:]] == ["7", "7", "6", "6"]


def test_a_log_without_a_terminal_gets_few_lines_with_losses_speed_and_time_left() -> None:
    text = io.StringIO()
    bar = progress.ProgressBar(Console(file=text, width=200))
    at = trainer()
    bar.started(at)
    for step in range(1, 21):
        bar.step_done(at, step, LOSSES, 0.5)
    bar.stopped(at, FINISHED)
    lines = text.getvalue().splitlines()
    assert len(lines) == 3
    assert "codec 1/20  mel 2  waveform 0.5  2.00 steps/s  0:10 left" in lines[0]
    assert "codec 20/20" in lines[1]
    assert "learning_rate" not in text.getvalue()
    assert lines[2] == "finished at step 20"


def test_waiting_for_data_is_said_aloud() -> None:
    text = io.StringIO()
    bar = progress.ProgressBar(Console(file=text, width=200))
    at = trainer()
    at.waited_s = 0.2
    bar.step_done(at, 1, LOSSES, 0.5)
    assert "waits 40% for data" in text.getvalue()


def test_a_terminal_gets_a_bar_for_each_stage() -> None:
    text = io.StringIO()
    bar = progress.ProgressBar(Console(file=text, width=160, force_terminal=True))
    at = trainer()
    for step in range(1, 21):
        bar.step_done(at, step, LOSSES, 0.1)
    for step in range(1, 5):
        bar.step_done(at, step, {"prior_bits_per_code": 8.0}, 0.1)
    bar.stopped(at, FINISHED)
    assert "20/20" in text.getvalue()
    assert "prior_bits_per_code 8" in text.getvalue()


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00"), (59.6, "1:00"), (3599, "59:59"), (3600, "1:00:00")]
)
def test_clocks_read_as_people_say_them(seconds: float, shown: str) -> None:
    assert progress.clock(seconds) == shown


def test_validation_scores_held_out_clips_with_the_benchs_metrics(tmp_path: Path) -> None:
    class Told:
        points: tuple[Point, ...] = ()

        def validated(self, step: int, clips: object, points: Any) -> None:
            self.step, self.points = step, tuple(points)

    told = Told()
    model = NeuralCodec.untrained(RECIPE.config)
    options = ValidationOptions(every_n_steps=10, kbps=(0.8, 3.2), metrics=("si_sdr", "lsd"))
    at = trainer(codec=lambda: model)
    watch = Validation(options, held_out(), tmp_path, [told])
    watch.started(at)
    for step in range(1, 21):
        watch.step_done(at, step, LOSSES, 0.1)
    watch.stopped(at, FINISHED)
    table = written(tmp_path / "validation.csv")
    assert [(row["step"], row["kbps"]) for row in table] == [
        ("10", "0.8"), ("10", "3.2"), ("20", "0.8"), ("20", "3.2"),
    ]  # fmt: skip
    assert all(np.isfinite(float(row[name])) for row in table for name in ("si_sdr", "lsd"))
    assert told.step == 20
    assert [len(point.usage) for point in told.points] == [2, 8]
    assert all(0 < share <= 1 for point in told.points for share in point.usage)
    assert told.points[0].scored == {"si_sdr": 2, "lsd": 2}
    # The very scores that the bench gives the same pairs.
    from nacbench.alignment import align
    from nacbench.core import Clip
    from nacbench.scoring import Scorer

    values = []
    for clip, audio in zip(held_out(), told.points[1].decoded, strict=True):
        reference = Clip(clip.samples, 16_000, clip.name)
        aligned, _ = align(reference, Clip(audio, 16_000, clip.name))
        values.append(Scorer(["lsd"]).score(reference, aligned)["lsd"].value)
    assert told.points[1].scores["lsd"] == pytest.approx(np.mean(values))


def test_an_unknown_metric_is_refused_before_training(tmp_path: Path) -> None:
    options = ValidationOptions(every_n_steps=1, metrics=("sisdr",))
    with pytest.raises(UserError, match=r"validation.metrics.*Did you mean 'si_sdr'"):
        Validation(options, held_out(), tmp_path)


def test_tensorboard_holds_scalars_usage_spectrograms_and_audio(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = TensorBoard(tmp_path, 16_000)
    at = trainer()
    board.started(at)
    for step in range(1, 21):
        board.step_done(at, step, LOSSES, 0.1)
    clips = held_out()
    point = Point(3.2, {"si_sdr": 4.0}, {"si_sdr": 2}, [0.5, 0.25], [c.samples for c in clips])
    board.validated(20, clips, [point])
    board.stopped(at, FINISHED)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    tags = events.Tags()
    assert {"train/mel", "validation/si_sdr/3.2_kbps", "codebook_usage/00"} <= set(tags["scalars"])
    assert events.Scalars("codebook_usage/01")[0].value == 0.25
    assert [event.step for event in events.Scalars("train/mel")] == [1, 10, 20]
    for kind in ("audio", "images"):
        assert {"clip_0/reference", "clip_1/3.2_kbps"} <= set(tags[kind])


def test_a_spectrogram_shows_a_tone_where_it_is() -> None:
    tone = np.sin(2 * np.pi * 2000 * np.arange(16_000) / 16_000).astype("f4")
    image = spectrogram(tone)
    assert image.shape[0] == 257
    row = int(image[:, 20].argmax())
    assert 256 - row == 64  # 2 kHz of 8 kHz
    assert image[row, 20] == pytest.approx(1, abs=0.02)  # full scale is 0 dB


def small_data() -> Any:
    return SimpleNamespace(
        crops=lambda step: 0.1 * np.random.default_rng(0).standard_normal((1, 1, 8000), "f4"),
        hours=(2.0, 0.1), world=1, cache=SimpleNamespace(left_out=()),
    )  # fmt: skip


def test_operations_are_counted_as_the_closed_form_says() -> None:
    convolution = nn.Conv1d(3, 5, 7, bias=False)
    with torch.no_grad():
        assert dry_run._forward_flops(convolution, torch.zeros(1, 3, 106)) == 2 * 3 * 5 * 7 * 100


def test_a_gradient_costs_as_much_as_the_way_there() -> None:
    convolution = nn.Conv1d(3, 5, 7, bias=False)
    audio = torch.zeros(1, 3, 106, requires_grad=True)
    with dry_run.Operations() as operations:
        torch.autograd.grad(convolution(audio).sum(), audio)
    assert operations.total == 2 * (2 * 3 * 5 * 7 * 100)


def test_a_dry_run_counts_the_discriminators_too() -> None:
    changes = [
        "losses.adversarial=1",
        "losses.feature_matching=1",
        "adversarial.discriminators=[{kind: ms_stft, n_ffts: [256], channels: 4}]",
        "adversarial.start_step=5",
    ]
    plain, adversarial = (
        {line[:16].strip(): line[16:] for line in dry_run.describe(chosen, small_data())}
        for chosen in (RECIPE, recipe_file.load("tiny", changes))
    )
    assert "discriminators" not in plain
    assert adversarial["discriminators"].endswith("M parameters")
    assert adversarial["coding"] == plain["coding"]
    assert float(adversarial["training"].split()[0]) > float(plain["training"].split()[0])


def test_a_dry_run_tells_what_a_run_would_take() -> None:
    lines = {line[:16].strip(): line[16:] for line in dry_run.describe(RECIPE, small_data())}
    model = NeuralCodec(RECIPE.config)
    parameters = sum(p.numel() for p in model.encoder.parameters())
    assert lines["encoder"].startswith(f"{parameters / 1e6:.2f} M")
    assert "50 frames/s, 8 codebooks, 0.4 to 3.2 kbps" in lines["codec"]
    coding, training = (float(lines[name].split()[0]) for name in ("coding", "training"))
    assert 2 * coding < training < 20 * coding
    assert "GiB" in lines["memory"]
    assert lines["data"] == "2.00 h, and 0.10 h held out"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_for_a_checkpoint_and_the_second_does_not_wait(number: int) -> None:
    asked = []
    before = signal.signal(number, lambda *_: asked.append("at once"))
    try:
        watched: Any = SimpleNamespace(stop=lambda: asked.append("stop"))
        with command._stopping_on_signals(watched):
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
    finally:
        signal.signal(number, before)
    assert asked == ["stop", "at once", "at once"]
