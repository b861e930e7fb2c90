"""F0 and voicing against signals of known pitch; nacmos against its own promises."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from signals import changed, noise, sine, voice, with_noise

from nacbench.core import Clip
from nacbench.errors import UnscorableError
from nacbench.metrics import nacmos
from nacbench.metrics.pitch import F0Error, VoicingError, pitch_hz

CENTS = 2.0  # a parabola through three lags of 16 kHz; a sample at 200 Hz is 21 cents


def harmonics(pitch_hz: float, seconds: float = 1.0) -> Clip:
    parts = [sine(k * pitch_hz, seconds, level=0.3 / k).samples for k in range(1, 8)]
    return changed(sine(pitch_hz, seconds), np.sum(parts, axis=0, dtype=np.float32))


def cents(found: np.ndarray, wanted: float) -> float:
    return float(np.abs(1200 * np.log2(found / wanted)).max())


@pytest.mark.parametrize("frequency_hz", [80.0, 123.4, 220.0, 399.0])
def test_the_pitch_of_harmonics_is_found(frequency_hz: float) -> None:
    assert cents(pitch_hz(harmonics(frequency_hz)), frequency_hz) < CENTS


def test_noise_and_silence_are_unvoiced() -> None:
    assert np.mean(pitch_hz(noise(1.0)) > 0) < 0.05
    assert not pitch_hz(changed(noise(1.0), np.zeros((1, 16000), np.float32))).any()


LIBROSAS_YIN = """
import sys
import librosa, numpy
samples = numpy.load(sys.argv[1])
options = dict(fmin=60, fmax=500, sr=16000, frame_length=1024, hop_length=160, center=False)
numpy.save(sys.argv[2], librosa.yin(samples, **options))
"""


def test_the_pitch_track_agrees_with_librosas_yin(tmp_path: Path) -> None:
    if importlib.util.find_spec("librosa") is None:
        pytest.skip("librosa is not installed")
    clip = voice(2.0)
    own = pitch_hz(clip)
    paths = [str(tmp_path / name) for name in ("samples.npy", "pitch.npy")]
    np.save(paths[0], clip.samples[0])
    # With a cache of its own: librosa's compiled functions crash when numba loads them from one.
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "numba")}
    subprocess.run([sys.executable, "-c", LIBROSAS_YIN, *paths], env=environment, check=True)
    theirs = np.load(paths[1])
    count = min(len(own), len(theirs))
    voiced = own[:count] > 0
    apart = np.abs(1200 * np.log2(own[:count][voiced] / theirs[:count][voiced]))
    assert np.median(apart) < 10  # cents; its window is longer, and the pitch glides


def test_a_shift_by_a_semitone_is_100_cents_and_a_copy_none() -> None:
    metric = F0Error()
    own = metric.prepare(harmonics(150.0))
    assert metric.score(own, harmonics(150.0)) == 0.0
    shifted = harmonics(150.0 * 2 ** (1 / 12))
    assert metric.score(own, shifted) == pytest.approx(100, abs=CENTS)


def test_voicing_error_is_the_share_of_frames_that_lost_their_voice() -> None:
    tone = harmonics(150.0, 2.0)
    half = tone.samples.copy()
    half[:, 16000:] = noise(1.0).samples
    metric = VoicingError()
    assert metric.score(metric.prepare(tone), changed(tone, half)) == pytest.approx(0.5, abs=0.05)


def test_what_has_no_voice_has_no_pitch_error() -> None:
    with pytest.raises(UnscorableError, match="no voiced frames"):
        F0Error().prepare(noise(1.0))


def test_nacmos_falls_with_noise_and_heeds_no_reference() -> None:
    scores = [
        nacmos.NacmosVisqol().score(None, clip)
        for clip in (voice(), with_noise(voice(), 20), with_noise(voice(), 0))
    ]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] - scores[2] > 1


def test_nacmos_is_small_and_its_card_lies_beside_its_weights() -> None:
    parameters = sum(array.size for member in nacmos._members() for array in member.values())
    assert parameters <= 2_000_000
    card = nacmos.FILE.with_suffix(".md").read_text(encoding="utf-8")
    assert "not listeners" in card
    assert nacmos.NacmosPesq().weights()[0].sha256 in card


# Sums of float32 in another order, of estimates up to 5; measured 2e-6.
SAME_ESTIMATE = 1e-4


def test_nacmos_runs_as_it_was_trained() -> None:
    torch = pytest.importorskip("torch")
    from benchmarks.nacmos.network import Nacmos

    relative, level = nacmos.spectra(voice())
    for member in nacmos._members():
        state = {name: torch.from_numpy(array) for name, array in member.items()}
        mean, deviation = state.pop("mean"), state.pop("deviation")
        network = Nacmos(normalised=False)
        missing, unexpected = network.load_state_dict(state, strict=False)
        assert missing == ["damage.weight", "damage.bias"]  # the head that only teaches
        assert not unexpected
        with torch.no_grad():
            found, _ = network.eval()(torch.from_numpy(relative)[None], torch.tensor([level]))
        expected = (found * deviation + mean)[0].numpy()
        own = nacmos.run(relative, level, member)
        np.testing.assert_allclose(own, expected, rtol=0, atol=SAME_ESTIMATE)


def test_folding_batch_normalisation_changes_no_estimate_of_nacmos() -> None:
    torch = pytest.importorskip("torch")
    from benchmarks.nacmos.network import Nacmos

    torch.manual_seed(0)
    network, folded = Nacmos(normalised=True), Nacmos(normalised=False)
    with torch.no_grad():
        for _, norm in network.layers:
            for statistic in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
                statistic.uniform_(0.5, 1.5)
        folded.load_state_dict(network.shipped(), strict=False)
        relative, level = nacmos.spectra(voice())
        heard = torch.from_numpy(relative)[None], torch.tensor([level])
        expected, found = network.eval()(*heard)[0], folded.eval()(*heard)[0]
    np.testing.assert_allclose(found, expected, rtol=0, atol=SAME_ESTIMATE)


def test_damage_is_none_of_a_copy_and_lies_where_the_spectrum_was_changed() -> None:
    from benchmarks.nacmos.features import BLOCKS, STEP, damage

    spectrum = np.random.default_rng(0).uniform(0.5, 1, (10 * STEP, nacmos.BANDS))
    assert np.abs(damage(spectrum, spectrum)).max() < 1e-6
    changed_spectrum = spectrum.copy()
    changed_spectrum[: 5 * STEP, : nacmos.BANDS // 2] -= 0.4  # 8 dB down
    unlike, apart, louder = np.split(damage(spectrum, changed_spectrum), 3, axis=1)
    half = BLOCKS // 2
    assert unlike[:4, :half].min() > 0.005
    np.testing.assert_allclose(apart[:4, :half], 8 / 45, atol=0.03)
    assert louder[:4, :half].max() < 0
    for spared in (unlike[6:], apart[6:], louder[6:], unlike[:4, half + 1 :]):
        assert np.abs(spared).max() < 1e-6
