"""What is done to crops. Each step draws from the crop's own generator, so that a crop depends on
nothing but the seed, the step and its place in the batch.

Everything linear (room, equaliser, band limit) is one multiplication of spectra: the pipeline
shares a processor with the training.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from reference_codec.training.recipe import AugmentOptions, Range

Samples = NDArray[np.float32]
Generator = np.random.Generator

LOWEST_HZ = 60.0  # where the equaliser's first band lies
TRANSITION = 0.12  # of the band limit, share of its frequency
DIRECT_S = 0.0025  # of a room response counts as direct sound; the rest is the room
DITHER = 1 << 20  # samples of noise made once; each crop takes a stretch of it
QUIETEST = 1e-5  # root mean square below which nothing is mixed by ratio


class Draw(Protocol):
    """A stretch of other audio, `[channels, length]`."""

    def __call__(self, rng: Generator, length: int) -> Samples: ...


class Augmentation:
    """All steps, with their probabilities.

    Args:
        rooms: responses `[length]` at the codec's rate; synthetic ones where there are none.
        noise: draws recorded noise; coloured noise where it is None.
    """

    def __init__(
        self,
        options: AugmentOptions,
        sample_rate_hz: int,
        rooms: Sequence[Samples] = (),
        noise: Draw | None = None,
    ) -> None:
        self.options = options
        self.sample_rate_hz = sample_rate_hz
        self._rooms = [with_direct_sound_first(room, sample_rate_hz) for room in rooms]
        self._noise = noise
        # Drawing a normal number per sample would be a third of the pipeline's time.
        self._dither = np.random.default_rng(0).standard_normal(DITHER, dtype=np.float32)

    def speed(self, rng: Generator) -> float:
        """The factor for a crop; 1 leaves it alone."""
        return _drawn(rng, self.options.speed.factor) if self._chosen(rng, "speed") else 1.0

    def mix(self, rng: Generator, audio: Samples, other: Draw) -> Samples:
        """Another speaker below the first."""
        if not self._chosen(rng, "mixing"):
            return audio
        second = other(rng, audio.shape[1])
        return audio + _gain_for(audio, second, _drawn(rng, self.options.mixing.snr_db)) * second

    def colour(self, rng: Generator, audio: Samples) -> Samples:
        """Room, equaliser, band limit: one filter."""
        options, rate_hz = self.options, self.sample_rate_hz
        room = self._room(rng) if self._chosen(rng, "reverberation") else None
        equalise = self._chosen(rng, "equaliser")
        limit_hz = _drawn(rng, options.band_limit.hz) if self._chosen(rng, "band_limit") else np.inf
        limited = limit_hz < rate_hz / 2
        if room is None and not equalise and not limited:
            return audio
        length = audio.shape[1]
        # Long enough that nothing comes round to the start; the filters without delay ring for
        # less than 20 ms, which the padding takes.
        tail = (0 if room is None else room.size) + rate_hz // 50
        size = fft.next_fast_len(length + tail, real=True)
        spectrum = fft.rfft(audio, size, axis=1)
        if room is not None:
            spectrum *= fft.rfft(room, size)
        if equalise or limited:
            hz = fft.rfftfreq(size, 1 / rate_hz).astype(np.float32)
            gain = np.ones(hz.size, np.float32)
            if equalise:
                gain *= _equaliser(rng, hz, rate_hz, options.equaliser.bands, options.equaliser.db)
            if limited:
                gain *= _low_pass(hz, limit_hz)
            spectrum *= gain
        filtered: Samples = fft.irfft(spectrum, size, axis=1)[:, :length].astype(np.float32)
        return filtered

    def add_noise(self, rng: Generator, audio: Samples) -> Samples:
        if not self._chosen(rng, "noise"):
            return audio
        if self._noise is not None:
            noise = self._noise(rng, audio.shape[1])
        else:
            noise = coloured_noise(rng, audio.shape, exponent=rng.uniform(0, 2))
        return audio + _gain_for(audio, noise, _drawn(rng, self.options.noise.snr_db)) * noise

    def finish(self, rng: Generator, audio: Samples, dither_db: float) -> Samples:
        """Level, polarity, channel swap; dither; and no sample beyond full scale."""
        if self._chosen(rng, "channel_swap") and audio.shape[0] == 2:
            audio = audio[::-1]
        gain = 1.0
        if self._chosen(rng, "level"):
            gain = _db(_drawn(rng, self.options.level.db))
        if self._chosen(rng, "polarity"):
            gain = -gain
        start = int(rng.integers(max(1, DITHER - audio.size)))
        dither = np.resize(self._dither[start : start + audio.size], audio.size)
        audio = np.float32(gain) * audio + np.float32(_db(dither_db)) * dither.reshape(audio.shape)
        peak = float(np.abs(audio).max())
        return audio if peak <= 1 else audio / np.float32(peak)

    def _chosen(self, rng: Generator, step: str) -> bool:
        # Drawn even when it is certain, so that one probability does not move another's draws.
        return bool(rng.random() < getattr(self.options, step).probability)

    def _room(self, rng: Generator) -> Samples:
        wet_db = _drawn(rng, self.options.reverberation.wet_db)
        if self._rooms:
            room = self._rooms[int(rng.integers(len(self._rooms)))].copy()
        else:
            room = synthetic_room(
                rng, self.sample_rate_hz, _drawn(rng, self.options.reverberation.rt60_s)
            )
        direct = max(1, round(DIRECT_S * self.sample_rate_hz))
        tail = float(np.sqrt(np.square(room[direct:]).sum()))
        if tail > 0:
            room[direct:] *= np.float32(_db(wet_db) / tail)
        return room


def synthetic_room(rng: Generator, sample_rate_hz: int, rt60_s: float) -> Samples:
    """A click, then noise from 5 ms on that falls by 60 dB in `rt60_s`."""
    length = max(2, round(rt60_s * sample_rate_hz))
    decay = np.exp(np.log(1e-3) / length * np.arange(length, dtype=np.float32))
    room = rng.standard_normal(length, dtype=np.float32) * decay.astype(np.float32)
    room[: max(1, sample_rate_hz // 200)] = 0
    room[0] = 1
    return room


def with_direct_sound_first(room: Samples, sample_rate_hz: int) -> Samples:
    """A recorded response from its peak on, at most 1 s, the direct sound's energy 1."""
    room = room[int(np.abs(room).argmax()) :][:sample_rate_hz].astype(np.float32)
    direct = room[: max(1, round(DIRECT_S * sample_rate_hz))]
    return room / np.float32(max(float(np.sqrt(np.square(direct).sum())), 1e-9))


def coloured_noise(rng: Generator, shape: tuple[int, ...], exponent: float) -> Samples:
    """Noise whose power falls as 1/f^exponent: 0 white, 1 pink, 2 brown."""
    size = fft.next_fast_len(shape[1], real=True)
    spectrum = fft.rfft(rng.standard_normal((shape[0], size), dtype=np.float32), axis=1)
    shaping = np.arange(1, spectrum.shape[1] + 1, dtype=np.float32) ** (-exponent / 2)
    noise: Samples = fft.irfft(spectrum * shaping.astype(np.float32), size, axis=1)
    return noise[:, : shape[1]].astype(np.float32)


def _equaliser(rng: Generator, hz: Samples, rate_hz: int, bands: int, db: float) -> Samples:
    """Gains drawn for bands evenly over octaves, straight lines in dB between them."""
    centres = np.linspace(np.log2(LOWEST_HZ), np.log2(rate_hz / 2), bands)
    gains = rng.uniform(-db, db, bands)
    octaves = np.log2(np.maximum(hz, 1))
    return (10 ** (np.interp(octaves, centres, gains) / 20)).astype(np.float32)


def _low_pass(hz: Samples, limit_hz: float) -> Samples:
    """1 up to the limit, then half a cosine down to -60 dB."""
    over = np.clip((hz / np.float32(limit_hz) - 1) / TRANSITION, 0, 1)
    return (1e-3 + (1 - 1e-3) * (0.5 + 0.5 * np.cos(np.pi * over))).astype(np.float32)


def _gain_for(audio: Samples, other: Samples, snr_db: float) -> np.float32:
    level, added = _rms(audio), _rms(other)
    if level < QUIETEST or added < QUIETEST:
        return np.float32(0)
    return np.float32(level / added * _db(-snr_db))


def _rms(audio: Samples) -> float:
    return float(np.sqrt(np.square(audio).mean()))


def _drawn(rng: Generator, range_: Range) -> float:
    return float(rng.uniform(range_.low, range_.high))


def _db(value: float) -> float:
    return float(10 ** (value / 20))
