"""The loop learns, resumes to the same weights, skips what is not finite, ends in a codec."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_run import SMALL_PRIOR, Tones, adversarial, recipe
from torch import Tensor

import reference_codec
from reference_codec.errors import UserError
from reference_codec.training import checkpoints
from reference_codec.training.observing import Observer, Outcome
from reference_codec.training.trainer import Trainer


class Diary(Observer):
    """Keeps what it is told; stops the run after a step if asked to."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.stop_after = stop_after
        self.steps: list[tuple[str, int]] = []
        self.losses: list[Mapping[str, float]] = []
        self.saved: list[Path] = []
        self.outcome: Outcome | None = None

    def step_done(
        self, trainer: Trainer, step: int, losses: Mapping[str, float], seconds: float
    ) -> None:
        self.steps.append((trainer.stage, step))
        self.losses.append(losses)
        if len(self.steps) == self.stop_after:
            trainer.stop()

    def checkpoint_saved(self, trainer: Trainer, path: Path) -> None:
        self.saved.append(path)

    def stopped(self, trainer: Trainer, outcome: Outcome) -> None:
        self.outcome = outcome


def tensors(directory: Path) -> dict[str, Tensor]:
    path = checkpoints.latest(directory)
    assert path is not None
    return checkpoints.load(path)[0]


def test_the_losses_fall(tmp_path: Path) -> None:
    few = recipe(steps=20)
    diary = Diary()
    Trainer(few, Tones(few), tmp_path, [diary]).run()
    first, last = (
        np.mean([d["mel"] for d in part]) for part in (diary.losses[:4], diary.losses[-4:])
    )
    assert last < 0.9 * first


@pytest.mark.parametrize("balancer", [False, True])
def test_a_run_in_slices_has_the_weights_of_an_uninterrupted_one(
    tmp_path: Path, balancer: bool
) -> None:
    run = recipe(**adversarial(balancer=balancer), prior=SMALL_PRIOR, steps=6)
    Trainer(run, Tones(run), tmp_path / "whole").run()
    reasons = []
    for stop_after in (1, 3, 4, None):  # within both stages
        diary = Diary(stop_after)
        trainer = Trainer(run, Tones(run), tmp_path / "slices", [diary], split_checkpoints=True)
        reasons.append(trainer.run().reason)
    assert reasons == ["interrupted", "interrupted", "interrupted", "finished"]
    whole, slices = tensors(tmp_path / "whole"), tensors(tmp_path / "slices")
    assert whole.keys() == slices.keys()
    assert [name for name in whole if not torch.equal(whole[name], slices[name])] == []
    for name in ("tiny.safetensors", "tiny.prior.safetensors"):
        one, other = (load_file(tmp_path / run / name) for run in ("whole", "slices"))
        assert [key for key in one if not torch.equal(one[key], other[key])] == []


def test_time_that_is_up_stops_with_a_checkpoint(tmp_path: Path) -> None:
    run = recipe()
    outcome = Trainer(run, Tones(run), tmp_path).run(max_minutes=0)
    assert (outcome.reason, outcome.step, outcome.codec) == ("time", 1, None)
    assert Trainer(run, Tones(run), tmp_path).step == 1


def test_the_finished_codec_loads_by_path_and_codes_with_its_prior(tmp_path: Path) -> None:
    run = recipe(steps=2, prior={**SMALL_PRIOR, "steps": 1})
    outcome = Trainer(run, Tones(run), tmp_path).run()
    assert outcome.codec is not None
    codec = reference_codec.load(outcome.codec)
    audio = Tones(run).audio(99)[0].numpy()
    data = codec.encode(audio, 16_000)
    decoded, rate_hz = codec.decode(data)
    assert (decoded.shape, rate_hz) == (audio.shape, 16_000)
    assert codec.codings[-1].name == "NEURAL"


def test_steps_that_are_not_finite_leave_no_trace(tmp_path: Path) -> None:
    run = recipe(**adversarial(start_step=0, every_n_steps=1), steps=5)
    diary = Diary()
    trainer = Trainer(run, Tones(run, spoilt=range(3, 4)), tmp_path, [diary])
    outcome = trainer.run()
    assert (outcome.reason, outcome.skipped_steps) == ("finished", 1)
    assert all(t.isfinite().all() for t in tensors(tmp_path).values() if t.is_floating_point())
    assert np.isnan(diary.losses[3]["mel"])
    assert np.isfinite(diary.losses[4]["mel"])


def test_too_many_of_them_in_a_row_stop_the_run(tmp_path: Path) -> None:
    run = recipe(max_nan_steps=3, steps=20)
    diary = Diary()
    with pytest.raises(UserError, match=r"stopped at step 10: 3 steps in a row .* not finite"):
        Trainer(run, Tones(run, spoilt=range(7, 20)), tmp_path, [diary]).run()
    assert diary.outcome is not None
    assert diary.outcome.reason == "diverged"


def test_a_directory_with_a_run_is_not_begun_anew_by_accident(tmp_path: Path) -> None:
    run = recipe(steps=1)
    Trainer(run, Tones(run), tmp_path).run()
    with pytest.raises(UserError, match="has a run at 00000001"):
        Trainer(run, Tones(run), tmp_path, resume=False)


def test_a_run_of_another_model_is_refused(tmp_path: Path) -> None:
    run = recipe(steps=1)
    Trainer(run, Tones(run), tmp_path).run()
    other = recipe(model={"preset": "seanet-16k"})
    with pytest.raises(UserError, match="another model"):
        Trainer(other, Tones(other), tmp_path)


def test_fine_tuning_starts_from_the_given_weights_and_keeps_their_codebooks(
    tmp_path: Path,
) -> None:
    run = recipe(steps=3)
    finished = Trainer(run, Tones(run), tmp_path / "first")
    finished.run()
    codec = finished.codec()
    again = Trainer(run, Tones(run), tmp_path / "second", initial=codec)
    before = {name: value.clone() for name, value in again.codec().weights().items()}
    for name, value in codec.weights().items():
        # Weight norm splits weights into length and direction, and rounds.
        torch.testing.assert_close(before[name], value, rtol=0, atol=1e-6)
    moved = next(Tones(run).batches(0)).audio
    again.codec_step(moved, 0)
    assert int(again.codec_step.model.quantizer.codebooks[0].updates) == 2  # no k-means anew
