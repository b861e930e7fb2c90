"""Singing by source and filter: harmonics of a glottal pulse, weighted by moving formants.

The harmonics are summed one by one, so nothing aliases and vowels can glide. Formants are those
of textbook vowels (Peterson and Barney 1952), lightly moved for singers; the cluster near 3 kHz
is the singer's formant (Sundberg 1974).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nacbench.pack.rebuild.track import Audio

# Formant frequencies in Hz for an adult male tract; bandwidths follow from frequency.
VOWELS = {
    "a": (720, 1180, 2480, 3000, 3600),
    "e": (510, 1820, 2500, 3100, 3700),
    "i": (300, 2220, 2750, 3150, 3750),
    "o": (470, 850, 2450, 2950, 3550),
    "u": (330, 760, 2300, 2900, 3500),
}
SPACING_HZ, HIGHER_FORMANTS = 1150, 12  # of a plain tube, above the fifth formant
CONTROL_HZ = 500  # rate at which pitch, formants and levels move


@dataclass(frozen=True)
class Sung:
    """One syllable: MIDI pitch, vowel, length, and whether it is slurred from the last one."""

    pitch: float
    vowel: str
    seconds: float
    slurred: bool = True


@dataclass(frozen=True)
class Singer:
    """Attributes:
    tract: formant scale; 1 is a man, 1.17 a woman.
    vibrato_hz, vibrato_cents: full depth is reached 0.5 s into a syllable.
    breath: level of aspiration noise beside the harmonics.
    brightness_db_per_octave: slope of the glottal source, near -15 when soft, -10 when loud.
    """

    tract: float = 1.0
    vibrato_hz: float = 5.6
    vibrato_cents: float = 45.0
    breath: float = 0.02
    brightness_db_per_octave: float = -11.0


def sing(
    line: Sequence[Sung], singer: Singer, sample_rate_hz: int, rng: np.random.Generator
) -> Audio:
    """`[time]` of a whole line, unit peak."""
    pitch, formants, level, age_s = _controls(line, singer, rng)
    steps = pitch.size
    time_s = np.arange(round(steps / CONTROL_HZ * sample_rate_hz)) / sample_rate_hz
    control_s = np.arange(steps) / CONTROL_HZ

    drift = np.cumsum(rng.normal(0, 1, steps)) * 0.25
    drift -= np.linspace(drift[0], drift[-1], steps)
    depth = singer.vibrato_cents * np.clip((age_s - 0.15) / 0.4, 0, 1)
    wobble = 2 * np.pi * np.cumsum(singer.vibrato_hz * (1 + 0.05 * drift)) / CONTROL_HZ
    cents = depth * np.sin(wobble) + 3 * drift + rng.normal(0, 2, steps)
    f0_hz = 440 * 2 ** ((pitch - 69) / 12 + cents / 1200)
    phase = 2 * np.pi * np.cumsum(np.interp(time_s, control_s, f0_hz)) / sample_rate_hz

    weights = []
    for harmonic in range(1, int(0.42 * sample_rate_hz / f0_hz.min())):
        frequency = harmonic * f0_hz
        audible = np.clip((0.46 * sample_rate_hz - frequency) / 1000, 0, 1)
        source = harmonic ** (singer.brightness_db_per_octave / 6.02)
        weights.append(source * audible * _tract_gain(frequency, formants))
    # A singer evens out what a formant on top of a harmonic would add: half of it, in dB.
    power = np.square(weights).sum(axis=0)
    even = level * (power / power.mean()) ** -0.25
    sound = np.zeros(time_s.size)
    for harmonic, weight in enumerate(weights, start=1):
        sound += np.interp(time_s, control_s, even * weight) * np.sin(harmonic * phase)
    breath = _breath(formants, level, sample_rate_hz, time_s.size, rng)
    sound += singer.breath * float(sound.std()) / float(breath.std()) * breath
    return sound / float(np.abs(sound).max())


def _controls(
    line: Sequence[Sung], singer: Singer, rng: np.random.Generator
) -> tuple[Audio, Audio, Audio, Audio]:
    """Pitch, formants `[steps, 5]`, level and time since the syllable began, at CONTROL_HZ."""
    counts = [round(sung.seconds * CONTROL_HZ) for sung in line]
    pitch = np.repeat([sung.pitch for sung in line], counts)
    formants = np.repeat([VOWELS[sung.vowel] for sung in line], counts, axis=0) * singer.tract
    age_s = np.concatenate([np.arange(count) for count in counts]) / CONTROL_HZ
    level = np.ones(pitch.size)
    edges = np.cumsum([0, *counts])
    for sung, start, stop in zip(line, edges, edges[1:], strict=False):
        span = np.arange(stop - start) / max(1, stop - start)
        level[start:stop] = 0.75 + 0.25 * np.sin(np.pi * np.minimum(1, span * 1.15))
        if not sung.slurred:  # a breath before a new phrase
            gap = min(stop - start, round(0.09 * CONTROL_HZ))
            level[start : start + gap] *= np.linspace(0, 1, gap) ** 1.5
            quiet = min(start, round(0.07 * CONTROL_HZ))
            level[start - quiet : start] *= np.linspace(1, 0, quiet)
    release = round(0.25 * CONTROL_HZ)
    level[-release:] *= np.linspace(1, 0, release) ** 1.2
    glide = np.hanning(round(0.07 * CONTROL_HZ))
    morph = np.hanning(round(0.12 * CONTROL_HZ))
    pitch = _smooth(pitch, glide)
    formants = np.stack([_smooth(track, morph) for track in formants.T], axis=1)
    formants *= rng.normal(1, 0.012, 5)  # no two throats are alike
    return pitch, formants, _smooth(level, np.hanning(12)), age_s


def _smooth(track: Audio, window: Audio) -> Audio:
    half = window.size // 2
    padded = np.pad(track.astype(float), half, mode="edge")
    return np.convolve(padded, window / window.sum(), mode="same")[half : half + track.size]


def _tract_gain(frequency_hz: Audio, formants_hz: Audio) -> Audio:
    """Magnitude of a cascade of resonances and of the lips' radiation, `[steps]`.

    Above the five moving formants come the evenly spaced ones of a plain tube; those beyond the
    last one are summed up as in Fant's higher-pole correction, to its second term.
    """
    gain = 1 + frequency_hz / 600  # radiation
    above = [formants_hz[:, -1] + SPACING_HZ * (1 + step) for step in range(HIGHER_FORMANTS)]
    for centre_hz in [*formants_hz.T, *above]:
        bandwidth_hz = 45 + 0.04 * centre_hz + 4e-6 * centre_hz**2
        distance = (centre_hz**2 - frequency_hz**2) ** 2 + (bandwidth_hz * frequency_hz) ** 2
        gain = gain * centre_hz**2 / np.sqrt(distance)
    top_hz = above[-1] + SPACING_HZ / 2
    missing = frequency_hz**2 / (SPACING_HZ * top_hz)
    missing += frequency_hz**4 / (6 * SPACING_HZ * top_hz**3)
    corrected: Audio = gain * np.exp(missing)
    return corrected


def _breath(
    formants: Audio, level: Audio, sample_rate_hz: int, length: int, rng: np.random.Generator
) -> Audio:
    """Noise through the tract, frame by frame with half-overlapping windows."""
    size = 1024
    frequency: Audio = np.fft.rfftfreq(size, 1 / sample_rate_hz).astype(np.float64)
    window = np.hanning(size + 1)[:-1]
    noise = rng.standard_normal(length + size)
    out = np.zeros(length + size)
    for start in range(0, length, size // 2):
        step = min(formants.shape[0] - 1, round(start / sample_rate_hz * CONTROL_HZ))
        shape = _tract_gain(frequency, np.tile(formants[step], (frequency.size, 1)))
        shape *= (1 + (frequency / 9000) ** 2) ** -0.5
        frame = np.fft.irfft(np.fft.rfft(noise[start : start + size]) * shape, size)
        out[start : start + size] += frame * window * level[step]
    return out[:length]
