"""PESQ: the published values, and reasons where its C code fails or would overrun its arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from signals import changed, noise, voice, with_noise

from nacbench.audio import read
from nacbench.core import Clip
from nacbench.errors import UnscorableError
from nacbench.metrics.pesq import PesqNarrowband, PesqWideband, utterances_at_most

PAIR = Path(__file__).parents[1].parent / "shared/data/metric_refs"
PUBLISHED = {PesqWideband: 1.0832337141036987, PesqNarrowband: 1.6072081327438354}


def score(
    metric: type[PesqWideband] | type[PesqNarrowband], reference: Clip, decoded: Clip
) -> float:
    return metric().score(metric().prepare(reference), decoded)


@pytest.mark.skipif(not PAIR.exists(), reason="../shared/data/metric_refs is not there")
@pytest.mark.parametrize(("metric", "published"), PUBLISHED.items())
def test_the_published_pair_has_exactly_its_values(
    metric: type[PesqWideband] | type[PesqNarrowband], published: float
) -> None:
    reference, decoded = read(PAIR / "pesq_speech.wav"), read(PAIR / "pesq_speech_bab_0dB.wav")
    assert score(metric, reference, decoded) == published


def test_a_copy_has_the_highest_value_of_the_mapping() -> None:
    # P.862.2 and P.862.1 map the raw score 4.5 to these.
    wideband = 0.999 + 4 / (1 + np.exp(-1.3669 * 4.5 + 3.8224))
    narrowband = 0.999 + 4 / (1 + np.exp(-1.4945 * 4.5 + 4.6607))
    assert score(PesqWideband, voice(), voice()) == pytest.approx(wideband, abs=1e-6)
    assert score(PesqNarrowband, voice(), voice()) == pytest.approx(narrowband, abs=1e-6)


def test_level_does_not_count() -> None:
    reference, decoded = voice(), with_noise(voice(), 15)
    quiet = changed(decoded, np.float32(0.25) * decoded.samples)
    assert score(PesqWideband, reference, quiet) == pytest.approx(
        score(PesqWideband, reference, decoded), abs=0.01
    )


def silent(clip: Clip) -> Clip:
    return changed(clip, np.zeros_like(clip.samples))


def burst() -> Clip:
    return Clip(np.pad(noise(0.1).samples, ((0, 0), (3000, 3000))), 16000)


def at_the_end() -> Clip:
    return Clip(np.pad(noise(0.005).samples, ((0, 0), (4200, 0))), 16000)


@pytest.mark.parametrize(
    ("reference", "decoded", "reason"),
    [
        (noise(0.2), noise(0.2), "too short"),
        (silent(voice()), voice(), "reference is silent"),
        (voice(), silent(voice()), "decoded audio is silent"),
        (burst(), burst(), "no speech"),
        (at_the_end(), at_the_end(), "not a number"),
    ],
)
def test_what_cannot_be_scored_is_a_reason(reference: Clip, decoded: Clip, reason: str) -> None:
    with pytest.raises(UnscorableError, match=reason):
        score(PesqWideband, reference, decoded)


def bursts(count: int) -> Clip:
    one = np.pad(noise(0.3).samples, ((0, 0), (0, 4800)))
    return Clip(np.tile(one, count), 16000)


def test_more_utterances_than_the_c_code_has_room_for_are_refused() -> None:
    assert utterances_at_most(bursts(30).samples[0].astype(np.float64)) == 30
    PesqWideband().prepare(bursts(30))
    with pytest.raises(UnscorableError, match="50 utterances"):
        PesqWideband().prepare(bursts(60))  # the C code overruns its arrays and dies on it
