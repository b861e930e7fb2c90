"""DNSMOS and PLCMOS against the calls of speechmos itself, which carries the models."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from signals import changed, voice, with_noise

from nacbench.core import Clip
from nacbench.errors import UnscorableError
from nacbench.identity import file_sha256
from nacbench.metrics import METRICS
from nacbench.metrics.dnsmos import DnsmosOverall
from nacbench.metrics.plcmos import Plcmos

pytest.importorskip("speechmos")

EQUAL = 1e-4  # MOS; ONNX Runtime adds in another order in another graph
DNSMOS = {
    "dnsmos:sig": "sig_mos",
    "dnsmos:bak": "bak_mos",
    "dnsmos:ovrl": "ovrl_mos",
    "dnsmos:p808": "p808_mos",
}


def speech(seconds: float) -> Clip:
    return with_noise(voice(seconds), 25)


def score(name: str, clip: Clip) -> float:
    metric: Any = METRICS.get(name)()
    return float(metric.score(metric.prepare(clip), clip))


# One window; a clip that is doubled to three and overlaps itself; windows that the float rounding
# of speechmos leaves out, over more frames than are convolved at once.
@pytest.mark.parametrize("seconds", [9.3, 3.05, 14.0])
def test_dnsmos_has_the_values_of_speechmos(seconds: float) -> None:
    pytest.importorskip("librosa", reason="speechmos.dnsmos imports it")
    from speechmos import dnsmos

    clip = speech(seconds)
    theirs = dnsmos.run(clip.samples[0], 16000)
    for name, key in DNSMOS.items():
        assert score(name, clip) == pytest.approx(float(theirs[key]), abs=EQUAL), name


@pytest.mark.parametrize("seconds", [0.3, 3.0])
def test_plcmos_has_the_value_of_speechmos_with_its_seed(seconds: float) -> None:
    from speechmos import plcmos

    clip = speech(seconds)
    np.random.seed(0)  # noqa: NPY002 - speechmos draws its listeners from the global generator
    assert score("plcmos", clip) == pytest.approx(
        plcmos.run(clip.samples[0], 16000)["plcmos"], abs=EQUAL
    )


def test_what_exceeds_full_scale_counts_as_a_player_would_clip_it() -> None:
    loud = changed(voice(), 3 * voice().samples)
    clipped = changed(loud, np.clip(loud.samples, -1, 1))
    for name in ("dnsmos:ovrl", "plcmos"):
        assert score(name, loud) == score(name, clipped)


@pytest.mark.parametrize("metric", [DnsmosOverall, Plcmos])
def test_silence_and_a_click_are_refused_with_a_reason(metric: Any) -> None:
    with pytest.raises(UnscorableError, match="silent"):
        metric().score(None, changed(voice(), np.zeros_like(voice().samples)))
    with pytest.raises(UnscorableError, match="too short"):
        metric().score(None, changed(voice(), voice().samples[:, :100]))


@pytest.mark.parametrize("metric", [DnsmosOverall, Plcmos])
def test_the_weights_are_named_with_licence_origin_and_hash(metric: Any) -> None:
    (weights,) = metric().weights()
    assert weights.about == {
        "file": weights.path.name,
        "sha256": file_sha256(weights.path),
        "origin": weights.origin,
        "licence": "MIT",
    }
    assert "speechmos" in weights.origin
    assert metric().build_id() == f"{weights.path.name} {weights.sha256[:8]}"
