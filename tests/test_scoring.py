"""Scorer: converts once, prepares each reference once, and turns every failure into a reason."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from signals import changed, noise, with_noise

from nacbench.core import Clip
from nacbench.errors import UnscorableError, UserError
from nacbench.metrics import METRICS
from nacbench.scoring import REFERENCES_KEPT, Scorer


class Recording:
    """A metric that remembers what it was given."""

    name = "recording"
    version = "3"
    unit = ""
    bounds = (0.0, 1.0)
    higher_is_better = True
    sample_rate_hz: int | None = 8000
    mono = True
    domain = "any"
    source = "test"
    prepared: list[Clip]

    def __init__(self) -> None:
        type(self).prepared = []

    def build_id(self) -> str:
        return "lib 1.0"

    def prepare(self, reference: Clip) -> Clip:
        self.prepared.append(reference)
        return reference

    def score(self, prepared: Clip, decoded: Clip) -> float:
        assert prepared.samples.shape == decoded.samples.shape
        return 1.0


class Failing(Recording):
    name = "failing"
    error: Exception | float = UnscorableError("too short")

    def score(self, prepared: Clip, decoded: Clip) -> float:
        if isinstance(self.error, float):
            return self.error
        raise self.error


class Batching(Recording):
    """A metric that hears several clips at once, and refuses what is louder than a power."""

    name = "batching"
    sample_rate_hz = None
    loudest = float("inf")
    sizes: list[int]

    def __init__(self) -> None:
        super().__init__()
        type(self).sizes = []

    def score(self, prepared: Clip, decoded: Clip) -> float:
        power = float(np.mean(np.square(decoded.samples)))
        if power > self.loudest:
            raise UnscorableError("too loud")
        return power

    def score_batch(self, prepared: Clip, decoded: Sequence[Clip]) -> list[float]:
        self.sizes.append(len(decoded))
        return [self.score(prepared, clip) for clip in decoded]


@pytest.fixture(autouse=True)
def metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        METRICS, "_added", {cls.name: cls for cls in (Recording, Failing, Batching)}
    )


def test_both_clips_arrive_at_the_metrics_rate_and_in_mono() -> None:
    reference = noise(1.0, 44100, channels=2)
    scores = Scorer(["recording"]).score(reference, with_noise(reference, 20))
    assert scores["recording"].value == 1.0
    (prepared,) = Recording.prepared
    assert (prepared.sample_rate_hz, prepared.channels, prepared.length) == (8000, 1, 8000)


def test_a_reference_is_prepared_once_for_many_decoded_clips() -> None:
    reference = noise()
    scorer = Scorer(["recording"])
    for snr_db in (10, 20, 30):
        scorer.score(reference, with_noise(reference, snr_db))
    assert len(Recording.prepared) == 1


def test_only_a_few_references_are_kept() -> None:
    scorer = Scorer(["recording"])
    clips = [noise(0.1, seed=seed) for seed in range(REFERENCES_KEPT + 1)]
    for clip in [*clips, clips[-1], clips[0]]:
        scorer.score(clip, clip)
    assert len(Recording.prepared) == len(clips) + 1  # the oldest was dropped and made again


def test_what_is_prepared_for_a_long_reference_is_not_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("nacbench.scoring.LONGEST_KEPT_S", 0.5)
    scorer = Scorer(["recording"])
    for clip in (noise(0.4), noise(0.6)):
        for snr_db in (10, 20):
            scorer.score(clip, with_noise(clip, snr_db))
    assert [clip.duration_s for clip in Recording.prepared] == [0.4, 0.6, 0.6]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (UnscorableError("too short"), "too short"),
        (ZeroDivisionError("by zero"), "ZeroDivisionError: by zero"),
        (float("nan"), "the metric returned nan"),
        (float("-inf"), "the metric returned -inf"),
    ],
)
def test_a_failure_is_a_reason_and_costs_no_other_metric(
    error: Exception | float, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Failing, "error", error)
    scores = Scorer(["failing", "si_sdr"]).score(noise(), with_noise(noise(), 20))
    assert scores["failing"].reason == reason
    assert scores["si_sdr"].ok


def test_a_batch_has_the_scores_of_its_clips_in_their_order() -> None:
    reference = noise()
    decoded = [with_noise(reference, 10), noise(0.9), with_noise(reference, 20)]
    scorer = Scorer(["batching", "si_sdr"])
    together = scorer.score_batch(reference, decoded)
    assert together == [scorer.score(reference, clip) for clip in decoded]
    assert Batching.sizes == [2]  # the clip of another length is not a pair


def test_a_batch_that_fails_is_scored_clip_by_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    reference = noise()
    quiet, loud = with_noise(reference, 20), with_noise(reference, 0)
    monkeypatch.setattr(Batching, "loudest", 1.5 * float(np.mean(np.square(quiet.samples))))
    first, second = Scorer(["batching"]).score_batch(reference, [quiet, loud])
    assert first["batching"].ok
    assert second["batching"].reason == "too loud"


@pytest.mark.parametrize(
    ("decoded", "reason"),
    [
        (noise(1.0, 48000), "decoded at 48000 Hz"),
        (noise(0.9), "(1, 14400)"),
        (noise(1.0, channels=2), "(2, 16000)"),
        (changed(noise(), np.full((1, 16000), np.nan, np.float32)), "16000 samples that are NaN"),
    ],
)
def test_clips_that_are_not_a_pair_get_a_reason(decoded: Clip, reason: str) -> None:
    score = Scorer(["si_sdr"]).score(noise(), decoded)["si_sdr"]
    assert score.value is None
    assert reason in str(score.reason)


def test_an_alias_is_scored_and_named_by_its_recipe() -> None:
    assert Scorer(["mel_distance", "mel:dac"]).names == ("mel:dac",)


def test_only_the_named_recipes_are_computed() -> None:
    scores = Scorer(["recording", "si_sdr"]).score(noise(), noise(), only=["si_sdr"])
    assert list(scores) == ["si_sdr"]
    assert Recording.prepared == []


def test_versions_name_the_build_where_the_metric_tells() -> None:
    versions = Scorer(["recording", "si_sdr"]).versions
    assert versions["recording"] == "3+lib 1.0"
    assert versions["si_sdr"] == "1"


def test_an_unknown_metric_is_a_user_error_with_a_suggestion() -> None:
    with pytest.raises(UserError, match="Did you mean 'si_sdr'"):
        Scorer(["sisdr"])
