"""Our own instruments: strings, bars, shells, hands, all from their physics."""

from __future__ import annotations

import numpy as np

from nacbench.pack.rebuild.track import Audio, noise_of_slope

A4_HZ = 440.0


def hertz(pitch: float) -> float:
    """Equal temperament from a MIDI pitch."""
    return float(A4_HZ * 2 ** ((pitch - 69) / 12))


def place(mix: Audio, sound: Audio, start: int) -> None:
    """Add `[time]` or `[channels, time]` into `[channels, time]`, cut at the end."""
    stop = min(start + sound.shape[-1], mix.shape[1])
    if start < stop:
        mix[:, start:stop] += sound[..., : stop - start]


def modes(
    frequencies_hz: Audio, decays_s: Audio, amplitudes: Audio, sample_rate_hz: int, seconds: float
) -> Audio:
    """A struck body: damped sinusoids below the Nyquist frequency. Decay: time to fall by 60 dB."""
    time_s = np.arange(round(seconds * sample_rate_hz)) / sample_rate_hz
    sound = np.zeros(time_s.size)
    for frequency, decay, level in zip(frequencies_hz, decays_s, amplitudes, strict=True):
        if frequency < 0.48 * sample_rate_hz:
            damped = np.exp(-np.log(1000) / decay * time_s)
            sound += level * damped * np.sin(2 * np.pi * frequency * time_s)
    return sound


def plucked_string(
    frequency_hz: float,
    velocity: float,
    sample_rate_hz: int,
    seconds: float,
    rng: np.random.Generator,
    decay_s: float = 3.0,
) -> Audio:
    """Karplus-Strong with a tuned loop, a pluck position and two polarisations.

    The loop is one long IIR filter: a delay of one period, a three-tap low-pass for the losses and
    a linear interpolator for the fraction of a sample. Velocity 0…1 brightens the pluck.
    """
    from scipy.signal import butter, lfilter

    length = round(seconds * sample_rate_hz)
    sound = np.zeros(length)
    for detune, share in ((1.0, 0.62), (1.0011, 0.38)):
        period = sample_rate_hz / (frequency_hz * detune)
        smooth = 0.06 + 0.10 * (1 - velocity)
        loss = np.array([smooth, 1 - 2 * smooth, smooth])  # delays by one sample
        whole = int(period - 1)
        fraction = period - 1 - whole
        # Gain per round trip for the wanted decay; higher partials fall faster through `loss`.
        gain = 10 ** (-3 * period / sample_rate_hz / decay_s)
        loop = gain * np.convolve(loss, [1 - fraction, fraction])
        denominator = np.concatenate(([1.0], np.zeros(whole - 1), -loop))
        burst = np.zeros(length)
        samples = round(period)
        burst[:samples] = rng.uniform(-1, 1, samples)
        pick = max(1, round(period * 0.17))  # plucked at a sixth of the string
        burst[pick:] -= 0.9 * burst[:-pick]
        b, a = butter(1, min(0.9, 0.08 + 0.6 * velocity**1.5))
        sound += share * lfilter([1.0], denominator, lfilter(b, a, burst))
    return sound * (0.25 + 0.75 * velocity)


def wooden_body(sound: Audio, sample_rate_hz: int, rng: np.random.Generator) -> Audio:
    """Resonances of a box with a sound hole: the air, two plates, then ever denser modes."""
    from scipy.signal import fftconvolve

    frequencies = np.concatenate(([98, 204, 286, 412], np.sort(rng.uniform(500, 5200, 46))))
    decays = 0.35 * (98 / frequencies) ** 0.45
    levels = rng.choice([-1, 1], frequencies.size) * (frequencies / 98) ** -0.35
    body = modes(frequencies, decays, levels, sample_rate_hz, 0.4)
    body /= np.linalg.norm(body)
    wet: Audio = fftconvolve(sound, body)[: sound.size]
    return 0.6 * sound + 0.9 * wet


def glockenspiel_bar(
    frequency_hz: float, velocity: float, sample_rate_hz: int, rng: np.random.Generator
) -> Audio:
    """A free steel bar: the ratios are those of the Euler-Bernoulli beam.

    Each mode is split by a few tenths of a hertz, which makes it beat; a hard mallet adds a click.
    """
    ratios = np.array([1.0, 2.756, 5.404, 8.933, 13.34])
    levels = np.array([1.0, 0.5, 0.28, 0.14, 0.06]) * velocity ** np.array([1, 1.3, 1.6, 2, 2.4])
    frequencies = np.concatenate(
        [ratios * frequency_hz, ratios * frequency_hz + rng.uniform(0.3, 1.2, 5)]
    )
    decays = np.tile(4.2 / ratios**0.9, 2)
    sound = modes(frequencies, decays, np.concatenate([levels, 0.5 * levels]), sample_rate_hz, 5.0)
    knock = rng.standard_normal(round(0.004 * sample_rate_hz))
    knock = np.diff(knock * np.exp(-np.arange(knock.size) / (0.0006 * sample_rate_hz)))
    sound[: knock.size] += 0.22 * velocity * knock
    return sound


def castanet(velocity: float, size: float, sample_rate_hz: int, rng: np.random.Generator) -> Audio:
    """Two hardwood shells: a contact of a tenth of a millisecond and modes that die in 20 ms.

    `size` scales the modes; the right hand's pair is smaller and brighter than the left's.
    """
    base = np.array([1180, 1730, 2440, 3150, 4300, 5650, 7400, 9800, 12600]) / size
    frequencies = base * rng.normal(1, 0.012, base.size)
    decays = 0.055 * (base / base[0]) ** -0.75 * rng.uniform(0.8, 1.2, base.size)
    levels = np.array([0.9, 1, 0.8, 0.7, 0.55, 0.4, 0.3, 0.2, 0.12]) * rng.uniform(
        0.7, 1.2, base.size
    )
    sound = modes(frequencies, decays, levels * velocity, sample_rate_hz, 0.12)
    contact = rng.standard_normal(round(0.003 * sample_rate_hz))
    contact *= np.exp(-np.arange(contact.size) / (0.00025 * sample_rate_hz))
    sound[: contact.size] += 1.1 * velocity * contact
    # The shells bounce once more, weakly, a few milliseconds later.
    bounce = round(rng.uniform(0.004, 0.007) * sample_rate_hz)
    sound[bounce:] += 0.25 * sound[:-bounce]
    return sound


def hand_clap(sample_rate_hz: int, rng: np.random.Generator) -> Audio:
    """Air pushed out between two palms: a burst through the resonance of their cavity."""
    from scipy.signal import butter, sosfilt

    length = round(0.045 * sample_rate_hz)
    time_s = np.arange(length) / sample_rate_hz
    cavity_hz = rng.uniform(700, 2100)
    burst = rng.standard_normal(length) * np.exp(-time_s / rng.uniform(0.0025, 0.007))
    burst *= 1 - np.exp(-time_s / 0.0002)
    band = [cavity_hz * 0.65, min(cavity_hz * 1.6, 0.45 * sample_rate_hz)]
    hollow = sosfilt(butter(1, band, "bandpass", fs=sample_rate_hz, output="sos"), burst)
    bright = sosfilt(butter(1, 2500, "highpass", fs=sample_rate_hz, output="sos"), burst)
    clap: Audio = hollow + rng.uniform(0.1, 0.35) * bright
    return clap / float(np.linalg.norm(clap))


def applause(sample_rate_hz: int, seconds: float, people: int, rng: np.random.Generator) -> Audio:
    """`[2, time]`: a crowd that swells and thins out, near claps in front of a far wash."""
    from scipy.signal import butter, sosfilt

    length = round(seconds * sample_rate_hz)
    near, far = np.zeros((2, length)), np.zeros((2, length))
    for person in range(people):
        distance = rng.uniform(1, 14)
        pan = rng.uniform(0, np.pi / 2)
        gains = np.array([[np.cos(pan)], [np.sin(pan)]]) / distance
        claps = [hand_clap(sample_rate_hz, rng) for _ in range(3)]  # nobody claps alike twice
        begin_s, end_s = rng.gamma(2, 0.35), seconds - rng.gamma(2, 0.5)
        moment_s = begin_s + rng.uniform(0, 0.25)
        interval_s = 1 / rng.normal(4.1, 0.5)
        late = round(rng.uniform(0, 0.0006) * sample_rate_hz)  # between the two microphones
        while moment_s < end_s:
            clap = claps[rng.integers(3)] * rng.uniform(0.6, 1.1)
            start = round(moment_s * sample_rate_hz)
            stereo = np.stack([np.pad(clap, (0, late)), np.pad(clap, (late, 0))]) * gains
            place(near if person % 4 == 0 else far, stereo, start)
            moment_s += interval_s * rng.normal(1, 0.06)
    low_pass = butter(1, 4500, fs=sample_rate_hz, output="sos")  # air and heads in between
    mix: Audio = near + sosfilt(low_pass, far)
    hall = np.stack([noise_of_slope(rng, length, 1.0) for _ in range(2)])
    return mix + hall * float(mix.std()) * 0.01
