"""Signals that tests build instead of reading: seeded, so that every run sees the same."""

from __future__ import annotations

import functools

import numpy as np

from nacbench.core import Clip, Samples


def noise(
    seconds: float = 1.0, sample_rate_hz: int = 16000, channels: int = 1, seed: int = 0
) -> Clip:
    """White Gaussian noise at -20 dB, independent per channel."""
    shape = (channels, round(seconds * sample_rate_hz))
    samples = 0.1 * np.random.default_rng(seed).standard_normal(shape)
    return Clip(samples.astype(np.float32), sample_rate_hz, f"noise-{seed}")


@functools.cache
def voice(seconds: float = 3.0, sample_rate_hz: int = 16000, seed: int = 0) -> Clip:
    """Speech-like: harmonics of a gliding pitch under formants, in syllables with pauses.

    Loud and modulated enough for speech metrics to find utterances in it.
    """
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * sample_rate_hz)) / sample_rate_hz
    pitch_hz = 120 + 25 * np.sin(2 * np.pi * 0.7 * time) + 8 * np.sin(2 * np.pi * 2.3 * time)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / sample_rate_hz
    samples = np.zeros_like(time)
    formants = (
        500 + 250 * np.sin(2 * np.pi * 1.1 * time),
        1500 + 500 * np.sin(2 * np.pi * 0.8 * time),
    )
    for harmonic in range(1, int(0.45 * sample_rate_hz / 160)):
        frequency = harmonic * pitch_hz
        weight = sum(np.exp(-(((frequency - formant) / 300) ** 2)) for formant in formants)
        samples += (weight + 0.02) * np.sin(harmonic * phase + random.uniform(0, 2 * np.pi))
    syllables = np.clip(np.sin(2 * np.pi * 2.1 * time), 0, 1) ** 0.5
    samples = samples * syllables + 0.01 * random.standard_normal(time.size)
    return Clip(
        (0.5 * samples / np.abs(samples).max()).astype(np.float32), sample_rate_hz, f"voice-{seed}"
    )


def sine(
    frequency_hz: float, seconds: float = 1.0, sample_rate_hz: int = 16000, level: float = 0.5
) -> Clip:
    time = np.arange(round(seconds * sample_rate_hz)) / sample_rate_hz
    samples = level * np.sin(2 * np.pi * frequency_hz * time)
    return Clip(samples.astype(np.float32), sample_rate_hz, f"sine-{frequency_hz:g}")


def with_noise(clip: Clip, snr_db: float, seed: int = 1) -> Clip:
    """The clip plus white noise whose power lies `snr_db` below its own, channel by channel."""
    added = np.random.default_rng(seed).standard_normal(clip.samples.shape)
    power = np.mean(clip.samples.astype(np.float64) ** 2, axis=-1, keepdims=True)
    added *= np.sqrt(power / np.mean(added**2, axis=-1, keepdims=True) * 10 ** (-snr_db / 10))
    return changed(clip, (clip.samples + added).astype(np.float32))


def changed(clip: Clip, samples: Samples) -> Clip:
    """Other samples under the clip's name and rate."""
    return Clip(samples, clip.sample_rate_hz, clip.id, clip.tags)
