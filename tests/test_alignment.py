"""Delay, gain and polarity against closed forms: shifts whose value is known exactly."""

import functools
import math

import numpy as np
import pytest
import signals
from signals import noise, sine, with_noise

from nacbench.alignment import UNKNOWN, align
from nacbench.core import Clip, Samples

voice = functools.cache(signals.voice)  # clips are immutable
CLEAN_SAMPLES = 1e-3  # Newton stops at 1e-4; float32 spectra add the rest
NOISY_SAMPLES = 0.05  # Cramér-Rao bound of 3 s of voice at 20 dB SNR is 0.01
GAIN_DB = 0.01
EXACT_DB = 80.0  # a truncated band-limited signal rings a little at its ends


def delayed(clip: Clip, delay: float, pad: int = 30_000) -> Clip:
    """The clip later by a fraction of samples too, by a phase ramp on the zero-padded spectrum."""
    size = clip.length + 2 * pad
    spectrum = np.fft.rfft(clip.samples.astype(np.float64), size)
    spectrum *= np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size * delay)
    samples = np.fft.irfft(spectrum, size)[:, : clip.length + pad]
    return Clip(samples, clip.sample_rate_hz)


def si_sdr_db(reference: Samples, decoded: Samples) -> float:
    scaled = reference * (np.vdot(reference, decoded) / np.vdot(reference, reference))
    return 10 * math.log10(float((scaled**2).sum() / ((decoded - scaled) ** 2).sum()))


@pytest.mark.parametrize("delay", [0, 1, 312, 1105, 7999])
@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
def test_a_whole_shift_is_found_and_undone_bit_exactly(delay: int, rate: int) -> None:
    reference = voice(2.0, rate)
    delay = min(delay, rate // 2 - 1)
    late = Clip(np.pad(reference.samples, ((0, 0), (delay, 100))), rate)
    aligned, found = align(reference, late)
    assert found.delay_ms * rate / 1000 == pytest.approx(delay, abs=CLEAN_SAMPLES)
    assert np.array_equal(aligned.samples, reference.samples)
    assert (found.polarity, found.correlation) == (1, pytest.approx(1, abs=1e-4))


@pytest.mark.parametrize("delay", [0.5, 39.9, 286.65, -3.25, -1000.3])
def test_a_fractional_shift_is_found_and_undone(delay: float) -> None:
    reference = voice(2.0, 44_100)
    aligned, found = align(reference, delayed(reference, delay))
    assert found.delay_ms * 44.1 == pytest.approx(delay, abs=CLEAN_SAMPLES)
    inner = slice(2000, -2000)  # a negative delay has cut the start off for good
    assert si_sdr_db(reference.samples[:, inner], aligned.samples[:, inner]) > EXACT_DB


def test_a_half_sample_left_in_would_cost_most_of_the_si_sdr() -> None:
    reference = noise(1.0)
    late = delayed(reference, 0.5)
    uncompensated = si_sdr_db(reference.samples, late.samples[:, : reference.length])
    assert uncompensated < 5
    assert si_sdr_db(reference.samples, align(reference, late)[0].samples) > 30


@pytest.mark.parametrize("gain_db", [-30.0, -1.0, 6.0])
@pytest.mark.parametrize("polarity", [1, -1])
def test_gain_and_polarity_are_measured_and_left_alone(gain_db: float, polarity: int) -> None:
    reference = voice(1.5)
    gain = polarity * 10 ** (gain_db / 20)
    changed = Clip(gain * np.pad(reference.samples, ((0, 0), (40, 0))), 16_000)
    aligned, found = align(reference, changed)
    assert found.gain_db == pytest.approx(gain_db, abs=GAIN_DB)
    assert found.polarity == polarity
    assert found.delay_ms == pytest.approx(2.5, abs=1e-4)
    assert np.allclose(aligned.samples, np.float32(gain) * reference.samples, rtol=0, atol=1e-6)


def test_a_poor_waveform_at_the_same_level_is_no_change_of_gain() -> None:
    reference = noise(3.0, seed=1)
    mixed = (reference.samples + noise(3.0, seed=2).samples) / math.sqrt(2)
    _, found = align(reference, Clip(mixed, 16_000))
    assert found.correlation == pytest.approx(math.sqrt(0.5), abs=0.03)
    assert found.gain_db == pytest.approx(0, abs=0.2)


@pytest.mark.parametrize("snr_db", [20.0, 0.0])
def test_noise_moves_the_delay_by_a_fraction_of_a_sample(snr_db: float) -> None:
    reference = voice(3.0, 48_000)
    for delay in (0.0, 311.7):
        _, found = align(reference, with_noise(delayed(reference, delay), snr_db))
        tolerance = NOISY_SAMPLES * 10 ** ((20 - snr_db) / 20)
        assert found.delay_ms * 48 == pytest.approx(delay, abs=tolerance)


def test_a_high_pass_does_not_move_the_delay_as_it_would_over_the_full_band() -> None:
    from scipy import signal

    voiced = signal.butter(4, 600, fs=48_000, output="sos")
    low = signal.sosfilt(voiced, noise(3.0, 48_000).samples)
    reference = Clip(low + 0.02 * noise(3.0, 48_000, seed=1).samples, 48_000)
    high_pass = signal.butter(2, 120, "highpass", fs=48_000, output="sos")
    filtered = signal.sosfilt(high_pass, reference.samples)
    _, found = align(reference, Clip(filtered, 48_000))
    full_band = signal.correlate(filtered[0], reference.samples[0], method="fft")
    misjudged = abs(int(np.argmax(full_band)) - (reference.length - 1))
    assert abs(found.delay_ms * 48) < 2 < 5 < misjudged


def test_a_signal_outside_the_band_is_aligned_over_the_full_band() -> None:
    for frequency_hz in (100.0, 6000.0):
        reference = sine(frequency_hz, 1.0, 16_000)
        late = Clip(np.pad(reference.samples, ((0, 0), (77, 0))), 16_000)
        _, found = align(reference, late)
        assert found.delay_ms * 16 == pytest.approx(77, abs=0.01)
        assert found.correlation > 0.99


def test_a_steady_tone_in_the_band_does_not_slip_by_a_period() -> None:
    """In 800-3400 Hz a period more fits as well; the tone below the band tells which is right."""
    reference = Clip(sine(440, 1.0).samples + sine(1500, 1.0).samples, 16_000)
    late = np.pad(reference.samples, ((0, 0), (370, 0)))
    late[:, :500] *= np.linspace(0, 1, 500)  # as a transform codec blurs the onset
    _, found = align(reference, Clip(late, 16_000))
    assert found.delay_ms * 16 == pytest.approx(370, abs=0.1)


def test_a_vocoder_is_aligned_by_its_envelope() -> None:
    """Noise under the envelope of speech: nothing of the waveform is left."""
    reference = voice(4.0, 8000)
    envelope = np.sqrt(np.convolve(reference.samples[0] ** 2, np.ones(80) / 80, "same"))
    carrier = np.random.default_rng(5).standard_normal(reference.length)
    imitation = np.pad(envelope * carrier, (160, 0))
    _, found = align(reference, Clip(imitation, 8000))
    assert found.correlation < 0.3
    assert found.delay_ms == pytest.approx(20, abs=3)


def test_channels_share_one_delay() -> None:
    reference = noise(1.0, 16_000, channels=2)
    late = np.pad(reference.samples, ((0, 0), (50, 0)))
    aligned, found = align(reference, Clip(late, 16_000))
    assert found.delay_ms == pytest.approx(50 / 16, abs=1e-4)
    assert np.array_equal(aligned.samples, reference.samples)


@pytest.mark.parametrize(
    "decoded",
    [np.zeros(16_000), np.zeros(0), np.full(16_000, np.nan), np.zeros(1)],
    ids=["silence", "empty", "not a number", "one zero"],
)
def test_what_cannot_be_aligned_keeps_its_place_and_says_so(decoded: np.ndarray) -> None:
    reference = voice(1.0)
    aligned, found = align(reference, Clip(decoded, 16_000))
    assert found == UNKNOWN
    assert aligned.samples.shape == reference.samples.shape


def test_a_silent_reference_says_so() -> None:
    silence = Clip(np.zeros(1000), 16_000)
    assert align(silence, noise(0.1))[1] == UNKNOWN
    assert align(silence, silence)[1] == UNKNOWN


@pytest.mark.parametrize("length", [1, 2, 3, 7, 50])
def test_very_short_clips_are_aligned_without_fuss(length: int) -> None:
    reference = Clip(noise(0.1).samples[:, :length], 16_000)
    aligned, found = align(reference, reference)
    assert np.array_equal(aligned.samples, reference.samples)
    assert found.delay_ms == pytest.approx(0, abs=1e-4)


def test_audio_unrelated_to_the_reference_is_not_moved() -> None:
    _, found = align(noise(3.0, seed=1), noise(3.0, seed=2))
    assert found.delay_ms == 0
    assert found.correlation < 0.1


def test_the_length_is_the_reference_s_whatever_came() -> None:
    reference = voice(1.0)
    for length in (10, 15_000, 16_001, 60_000):
        decoded = Clip(np.resize(reference.samples, (1, length)), 16_000)
        assert align(reference, decoded)[0].samples.shape == reference.samples.shape


def test_a_delay_beyond_the_search_range_is_not_invented() -> None:
    reference = noise(2.0)
    late = Clip(np.pad(reference.samples, ((0, 0), (12_000, 0))), 16_000)
    assert align(reference, late)[1].correlation < 0.1


def test_clips_of_different_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="2 x 16000 Hz"):
        align(noise(0.1), noise(0.1, channels=2))
