"""A dense electronic piece: detuned saws, FM bass, drum machine, noise, ducking, saturation."""

from __future__ import annotations

import numpy as np

from nacbench.pack.rebuild.midi import pitch
from nacbench.pack.rebuild.models import hertz, place
from nacbench.pack.rebuild.track import Audio

BPM = 126.0
CHORDS = (  # two beats each
    "f2 f3 ab3 c4 eb4 g4",
    "db2 f3 ab3 c4 db4 ab4",
    "ab2 eb3 ab3 c4 eb4 bb4",
    "eb2 eb3 g3 bb3 db4 f4",
)
BEATS = 18


def dance(sample_rate_hz: int, seconds: float, rng: np.random.Generator) -> Audio:
    """`[2, time]`, unit peak."""
    rate = sample_rate_hz
    beat = round(60 / BPM * rate)
    length = round(seconds * rate)
    bars = [CHORDS[index % 4].split() for index in range(BEATS // 2)]

    pads, bass, arpeggio = (np.zeros((2, length)) for _ in range(3))
    for index, (root, *upper) in enumerate(bars):
        place(
            pads,
            _stack([hertz(pitch(name)) for name in upper], 2 * beat, rate, rng),
            2 * index * beat,
        )
        for eighth in range(4):
            note = _fm_bass(hertz(pitch(root)), round(0.46 * beat), rate, 1 + (eighth % 2))
            place(
                bass,
                note,
                (2 * index * beat) + round((eighth / 2 + (0.25 if eighth == 3 else 0)) * beat),
            )
        for sixteenth in range(8):
            name = upper[(sixteenth * 3 + index) % len(upper)]
            tone = _pluck(2 * hertz(pitch(name)), round(0.4 * beat), rate)
            side = np.array([[0.9], [0.35]]) if sixteenth % 2 else np.array([[0.35], [0.9]])
            place(arpeggio, side * tone, 2 * index * beat + sixteenth * beat // 4)
    pads = _swept_low_pass(pads, rate, 500, 15000)
    arpeggio += _ping_pong(arpeggio, 3 * beat // 4, 0.45)

    drums, duck = np.zeros((2, length)), np.ones(length)
    for count in range(BEATS):
        place(drums, 0.95 * _kick(rate), count * beat)
        dip = 1 - 0.75 * np.exp(-np.arange(beat) / (0.28 * beat))
        stop = min(length, (count + 1) * beat)
        duck[count * beat : stop] = dip[: stop - count * beat]
        if count % 2:
            place(drums, 0.5 * _clap(rate, rng), count * beat)
        place(drums, 0.26 * _hat(rate, 0.09, rng), count * beat + beat // 2)
        for sixteenth in (1, 3):
            place(drums, 0.12 * _hat(rate, 0.025, rng), count * beat + sixteenth * beat // 4)
    riser = np.stack([rng.standard_normal(length) for _ in range(2)])
    riser = _swept_low_pass(riser, rate, 200, 12000) * np.linspace(0, 1, length) ** 3
    mix = duck * (0.30 * pads + 0.34 * bass + 0.16 * arpeggio + 0.05 * riser) + 0.75 * drums
    loud: Audio = np.tanh(1.3 * mix)
    return loud / float(np.abs(loud).max())


def _saw(frequency_hz: float, length: int, rate: int, phase: float) -> Audio:
    """A sawtooth whose step is rounded over one sample (PolyBLEP), so it hardly aliases."""
    step = frequency_hz / rate
    position: Audio = np.mod(phase + step * np.arange(length), 1.0).astype(np.float64)
    wave = 2 * position - 1
    after, before = position < step, position > 1 - step
    x = position[after] / step
    wave[after] -= 2 * x - x * x - 1
    x = (position[before] - 1) / step
    wave[before] -= x * x + 2 * x + 1
    return wave


def _stack(chord_hz: list[float], length: int, rate: int, rng: np.random.Generator) -> Audio:
    """Seven detuned saws per note, spread over the stereo width."""
    sound = np.zeros((2, length))
    for frequency in chord_hz:
        for cents, pan in zip((-19, -12, -5, 0, 6, 11, 18), np.linspace(0.1, 0.9, 7), strict=True):
            saw = _saw(frequency * 2 ** (cents / 1200), length, rate, rng.uniform())
            sound += np.array([[np.cos(pan * np.pi / 2)], [np.sin(pan * np.pi / 2)]]) * saw
    edge = round(0.004 * rate)
    sound[:, :edge] *= np.linspace(0, 1, edge)
    sound[:, -edge:] *= np.linspace(1, 0, edge)
    return sound / float(4 * np.sqrt(len(chord_hz)))


def _fm_bass(frequency_hz: float, length: int, rate: int, octave: int) -> Audio:
    time_s = np.arange(length) / rate
    index = 5 * np.exp(-time_s / 0.09) + 0.6
    carrier = 2 * np.pi * frequency_hz * octave * time_s
    envelope: Audio = np.minimum(1, np.arange(length) / 60) * np.minimum(
        1, np.arange(length)[::-1] / 200
    )
    tone: Audio = np.sin(carrier + index * np.sin(carrier)) + 0.5 * np.sin(carrier / octave)
    tone *= envelope
    return tone


def _pluck(frequency_hz: float, length: int, rate: int) -> Audio:
    time_s = np.arange(length) / rate
    tone = np.zeros(length)
    for partial in range(1, 14):
        if partial * frequency_hz < 0.45 * rate:
            decay = np.exp(-time_s * (9 + 4.5 * partial))
            tone += decay * np.sin(2 * np.pi * partial * frequency_hz * time_s) / partial**0.8
    return tone


def _kick(rate: int) -> Audio:
    time_s = np.arange(round(0.32 * rate)) / rate
    sweep = 47 * time_s + 190 * 0.032 * (1 - np.exp(-time_s / 0.032))
    body = np.sin(2 * np.pi * sweep) * np.exp(-time_s / 0.11)
    click = np.exp(-time_s / 0.0012) * np.sin(2 * np.pi * 3400 * time_s)
    kick: Audio = body + 0.35 * click
    return kick


def _clap(rate: int, rng: np.random.Generator) -> Audio:
    from scipy.signal import butter, sosfilt

    time_s = np.arange(round(0.25 * rate)) / rate
    envelope = sum(
        np.exp(-np.maximum(0, time_s - start) / fall) * (time_s >= start)
        for start, fall in ((0, 0.004), (0.011, 0.004), (0.023, 0.06))
    )
    noise = rng.standard_normal((2, time_s.size)) * envelope
    clap: Audio = sosfilt(butter(2, [800, 7000], "bandpass", fs=rate, output="sos"), noise)
    return clap


def _hat(rate: int, fall_s: float, rng: np.random.Generator) -> Audio:
    """Six square waves of no common ratio and noise, above 7 kHz: as drum machines did it."""
    from scipy.signal import butter, sosfilt

    time_s = np.arange(round(6 * fall_s * rate)) / rate
    metal = sum(
        np.sign(np.sin(2 * np.pi * hz * time_s)) for hz in (2053, 3044, 3695, 5400, 7930, 8310)
    )
    source = 0.2 * metal + 0.5 * rng.standard_normal((2, time_s.size))
    hat: Audio = sosfilt(butter(4, 7000, "highpass", fs=rate, output="sos"), source)
    return hat * np.exp(-time_s / fall_s)


def _ping_pong(sound: Audio, delay: int, feedback: float) -> Audio:
    """Echoes that change sides each time."""
    echoes = np.zeros_like(sound)
    tap = sound
    for _ in range(4):
        tap = feedback * np.pad(tap[::-1], ((0, 0), (delay, 0)))[:, : sound.shape[1]]
        echoes += tap
    return echoes


def _swept_low_pass(sound: Audio, rate: int, start_hz: float, stop_hz: float) -> Audio:
    """A second-order low-pass that opens exponentially, by windowed frames of the spectrum."""
    size = 2048
    hop = size // 4
    window = np.sqrt(np.hanning(size + 1)[:-1])
    frequency = np.fft.rfftfreq(size, 1 / rate)
    length = sound.shape[1]
    padded = np.pad(sound, ((0, 0), (size, size)))
    out = np.zeros_like(padded)
    for start in range(0, padded.shape[1] - size + 1, hop):
        position = np.clip((start - size / 2) / length, 0, 1)
        cutoff = start_hz * (stop_hz / start_hz) ** position
        ratio = frequency / cutoff
        gain = 1 / np.sqrt((1 - ratio**2) ** 2 + (0.7 * ratio) ** 2)  # a little resonance
        spectrum = np.fft.rfft(padded[:, start : start + size] * window)
        out[:, start : start + size] += np.fft.irfft(spectrum * gain, size) * window
    return out[:, size : size + length] / 2
