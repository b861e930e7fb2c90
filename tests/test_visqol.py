"""ViSQOL: equal to visqol-python to the last bit, and within reach of Google's own values."""

from __future__ import annotations

import csv
import gc
import os
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.signal import hilbert
from signals import changed, noise, voice, with_noise

from nacbench.audio import at_rate, read, to_mono
from nacbench.core import Clip
from nacbench.errors import UnscorableError
from nacbench.metrics import visqol as recipes
from nacbench.metrics.visqol import VisqolAudio, VisqolSpeechExponential, VisqolSpeechLattice
from nacbench.scoring import Scorer

pytest.importorskip("visqol")
api = pytest.importorskip("visqol.api")
analysis = pytest.importorskip("nacbench.metrics.visqol_analysis")

ENVELOPE = 1e-12  # the lag is the place of a maximum; 1e-12 of full scale does not move it
CONFORMANCE = Path(__file__).parents[1].parent / "shared/data/visqol_conformance"
TOLERANCE = {"speech": 0.007, "audio": 0.0002}  # visqol-python's own distance from Google's C++


def degraded(clip: Clip, how: str) -> Clip:
    samples = clip.samples.astype(np.float64)
    length = clip.length
    if how == "noisy":
        return with_noise(clip, 15)
    if how == "late":
        samples = 0.5 * np.roll(samples, 131)
    elif how == "early":
        samples = np.roll(samples, -77) + 0.001 * samples[:, ::-1]
    elif how == "warped":
        at = np.arange(length) + 150 * np.sin(np.arange(length) / length * 12)
        samples = np.interp(at, np.arange(length), samples[0])[np.newaxis]
    elif how == "gap":
        samples[:, length // 3 : length // 2] = 0
    elif how == "other":
        return noise(clip.duration_s, clip.sample_rate_hz, seed=9)
    return changed(clip, samples.astype(np.float32))


@pytest.mark.usefixtures("one_openmp_thread")
@pytest.mark.parametrize("recipe", [VisqolSpeechLattice, VisqolSpeechExponential, VisqolAudio])
def test_values_are_those_of_visqol_python_to_the_last_bit(recipe: Any) -> None:
    theirs = api.VisqolApi()
    lattice = {VisqolSpeechLattice: True, VisqolSpeechExponential: False}.get(recipe)
    theirs.create(mode=recipe.name.split(":")[1].split("-")[0], use_lattice_model=lattice)
    ours, rate = recipe(), recipe.sample_rate_hz
    for reference in (voice(2.2, rate), voice(1.713, rate, seed=3)):
        prepared = ours.prepare(reference)
        for how in ("copy", "noisy", "late", "early", "warped", "gap", "other"):
            decoded = degraded(reference, how)
            result = theirs.measure_from_arrays(reference.samples[0], decoded.samples[0], rate)
            assert ours.score(prepared, decoded) == result.moslqo, how


def test_the_last_bit_does_not_depend_on_the_number_of_threads() -> None:
    from threadpoolctl import threadpool_limits

    metric, reference = VisqolAudio(), voice(2.2, VisqolAudio.sample_rate_hz)
    decoded = degraded(reference, "noisy")
    found = set()
    for threads in (1, 2, 3):
        with threadpool_limits(threads, user_api="openmp"):
            found.add(metric.score(metric.prepare(reference), decoded))
    assert len(found) == 1


@pytest.mark.parametrize("recipe", [VisqolSpeechLattice, VisqolAudio])
def test_spectrograms_are_those_of_visqol_python_to_the_last_bit(recipe: Any) -> None:
    from visqol.audio_utils import AudioSignal
    from visqol.gammatone import GammatoneSpectrogramBuilder

    rate = recipe.sample_rate_hz
    mode = analysis.speech_mode() if recipe is VisqolSpeechLattice else analysis.audio_mode()
    samples = voice(1.713, rate, seed=3).samples[0].astype(np.float64)
    builder = GammatoneSpectrogramBuilder(mode.bands, 50.0, speech_mode=rate == 16000)
    theirs = builder.build(AudioSignal(samples, rate), mode.window).data
    np.testing.assert_array_equal(mode.spectrogram(samples), theirs)


def test_similarities_are_those_of_visqol_python_to_the_last_bit() -> None:
    from visqol.nsim import measure_patch_similarity

    from nacbench.metrics.visqol_kernels import patch_similarities

    random = np.random.default_rng(0)
    patches, width, frames = 40 * random.random((2, 7, 5)), 5, 40
    decoded = np.pad(40 * random.random((7, frames)), ((0, 0), (0, width)))
    decoded[:, 8:12] = 0.0  # a patch that is flat
    decoded[:, 20:25] = patches[1]
    firsts, lasts = np.array([3, 0]), np.array([36, frames - 1])
    ours = patch_similarities(patches, decoded, firsts, lasts)
    for patch in range(2):
        for position in range(frames):
            window = decoded[:, position : position + width]
            theirs = measure_patch_similarity(patches[patch], window).similarity
            inside = firsts[patch] <= position <= lasts[patch]
            assert ours[patch, position] == (theirs if inside else 0.0)
    assert ours[1].argmax() == 20


@pytest.mark.skipif(not CONFORMANCE.exists(), reason=f"{CONFORMANCE} is not there")
@pytest.mark.parametrize("row", range(5))
def test_googles_own_pairs_have_googles_own_values(row: int) -> None:
    with (CONFORMANCE / "conformance.csv").open() as file:
        pair = list(csv.DictReader(file))[row]
    metric = VisqolAudio() if pair["mode"] == "audio" else VisqolSpeechLattice()
    # Google's values for speech mode too are from files of 48 kHz, as they are.
    sides = ("reference", "degraded")
    reference, decoded = (to_mono(read(CONFORMANCE / pair[side])) for side in sides)
    value = metric.score(metric.prepare(reference), decoded)
    assert value == pytest.approx(float(pair["expected_moslqo"]), abs=TOLERANCE[pair["mode"]])


@pytest.mark.parametrize("size", [7, 8, 1000, 1009, 2 * 1009])
def test_an_envelope_of_any_length_is_that_of_the_analytic_signal(size: int) -> None:
    samples = np.random.default_rng(size).standard_normal(size)
    expected = np.abs(hilbert(samples - samples.mean())) + samples.mean()
    ours = analysis.Section(samples, None, analysis.speech_mode()).envelope
    np.testing.assert_allclose(ours, expected, rtol=0, atol=ENVELOPE)


def silent(clip: Clip) -> Clip:
    return changed(clip, np.zeros_like(clip.samples))


@pytest.mark.parametrize("recipe", [VisqolSpeechLattice, VisqolAudio])
def test_silence_and_short_clips_are_reasons(recipe: Any) -> None:
    rate = recipe.sample_rate_hz
    metric, clip = recipe(), voice(1.5, rate)
    with pytest.raises(UnscorableError, match="reference is silent"):
        metric.prepare(silent(clip))
    with pytest.raises(UnscorableError, match="decoded audio is silent"):
        metric.score(metric.prepare(clip), silent(clip))
    for seconds in (0.05, 0.3):
        with pytest.raises(UnscorableError, match="too short"):
            metric.prepare(noise(seconds, rate))


def test_a_48_khz_clip_reaches_speech_mode_at_16_khz() -> None:
    reference = voice(1.5, 48000)
    decoded = with_noise(reference, 15)
    metric = VisqolSpeechLattice()
    at_16_khz = metric.score(metric.prepare(at_rate(reference, 16000)), at_rate(decoded, 16000))
    scores = Scorer(["visqol:speech-lattice"]).score(reference, decoded)
    assert scores["visqol:speech-lattice"].value == at_16_khz


def test_both_speech_recipes_share_the_analysis(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    analyse = analysis._features
    monkeypatch.setattr(analysis, "_features", lambda *args: calls.append(args) or analyse(*args))
    reference = voice(1.5, 48000)
    decoded = with_noise(reference, 15)
    scorer = Scorer(["visqol:speech-lattice", "visqol:speech-exponential"])
    for name in scorer.names:  # one at a time, as the runner does
        assert scorer.score(reference, decoded, only=[name])[name].ok
    assert len(calls) == 1


def test_the_analysis_of_a_reference_goes_with_its_clip() -> None:
    clip, metric = Clip(voice(1.5).samples, 16000), VisqolSpeechExponential()
    metric.score(metric.prepare(clip), clip)
    prepared = weakref.ref(metric.prepare(clip))
    assert prepared() is not None
    del clip
    gc.collect()
    assert prepared() is None


def test_unlike_signals_have_1() -> None:
    reference = voice(1.5)
    decoded = changed(reference, np.sign(np.sin(np.arange(24000) * 3.0))[None].astype(np.float32))
    scores = Scorer(["visqol:speech-exponential"]).score(reference, decoded)
    assert scores["visqol:speech-exponential"].value == 1.0


def fresh_process(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")}
    return subprocess.run(
        [sys.executable, "-c", program],
        env=kept | environment,
        cwd=Path(recipes.__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )


def test_compiled_code_is_kept_in_the_users_cache_unless_told_otherwise(tmp_path: Path) -> None:
    program = "import os, nacbench.metrics.visqol as v; print(os.environ['NUMBA_CACHE_DIR'])"
    found = fresh_process(program, XDG_CACHE_HOME=str(tmp_path)).stdout.strip()
    assert found == str(tmp_path / "nacbench" / "numba")
    assert fresh_process(program, NUMBA_CACHE_DIR="/elsewhere").stdout.strip() == "/elsewhere"


def test_the_version_of_a_recipe_is_told_without_importing_the_library() -> None:
    program = (
        "import sys; from nacbench.scoring import Scorer\n"
        "versions = Scorer(['visqol:audio', 'visqol:speech-lattice']).versions\n"
        "print(sorted(set(versions.values())), 'visqol' in sys.modules, 'numba' in sys.modules)"
    )
    found = fresh_process(program).stdout
    assert found.count(" model ") == 2
    assert found.strip().endswith("False False")


def test_the_lattice_model_loads_without_a_word_on_stderr() -> None:
    program = "from nacbench.metrics.visqol import *; VisqolSpeechLattice()._mapper"
    assert fresh_process(program).stderr == ""
