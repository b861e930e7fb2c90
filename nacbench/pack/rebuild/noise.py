"""Background noise in the manner of a café, a street and an office, all synthetic."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.signal import butter, sosfilt

from nacbench.pack.rebuild import models
from nacbench.pack.rebuild.models import place
from nacbench.pack.rebuild.room import Room
from nacbench.pack.rebuild.speech import ALAN, BDL, CLB, LGPL, Voice, flite
from nacbench.pack.rebuild.track import (
    OWN_LICENCE,
    Audio,
    Track,
    debian_versions,
    fade,
    high_pass,
    noise_of_slope,
    numpy_version,
    to_active_level,
)

SAMPLE_RATE_HZ = 48000
SECONDS = 8.5
LEVEL_DBFS = -26.0
HIGH_PASS_HZ = 40.0  # below it, pink noise is mostly wind

# The guests talk about what no clip of the speech set says.
GUESTS: tuple[tuple[Voice, str], ...] = (
    (
        BDL,
        "So I told him the printer was fine, and of course it was out of paper again. "
        "You would think after four years somebody might have ordered some more.",
    ),
    (
        CLB,
        "We could take the late train on Friday and be there for breakfast. "
        "My sister keeps saying the beach is empty in May, and I believe her.",
    ),
    (
        ALAN,
        "Two flat whites, please, and one of those almond things. No, the other one. "
        "And is there any chance of a table by the window?",
    ),
    (
        flite("rms", "en-US", "male"),
        "The second half was much better than the first. They moved the "
        "winger inside and suddenly there was room everywhere.",
    ),
    (
        flite("awb", "en-GB", "male"),
        "If the plumber comes on Tuesday we shall be lucky. "
        "Last time it took a fortnight and he brought the wrong tap.",
    ),
    (
        flite("slt", "en-US", "female"),
        "She is learning the cello now, every evening from seven to "
        "eight. The neighbours have been remarkably patient about it.",
    ),
)


def cafe(rng: np.random.Generator) -> Audio:
    """Six tables of talk behind cups, spoons and the hiss of a coffee machine."""
    length = round(SECONDS * SAMPLE_RATE_HZ)
    mix = np.zeros((1, length))
    for voice, text in GUESTS:
        spoken = _at_pack_rate(*voice.speak(text))
        for _ in range(2):  # each guest is heard twice, at different moments
            turned = np.roll(np.resize(spoken, length), rng.integers(length))
            distance = rng.uniform(1.0, 4.0)
            mix[0] += turned / float(turned.std()) / distance
    mix = Room(0.8, 2).apply(mix, SAMPLE_RATE_HZ, rng)
    mix /= float(mix.std())
    for _ in range(26):
        cup = models.glockenspiel_bar(rng.uniform(1900, 4200), 0.8, SAMPLE_RATE_HZ, rng)
        cup *= np.exp(-np.arange(cup.size) / (rng.uniform(0.01, 0.06) * SAMPLE_RATE_HZ))
        start = int(rng.integers(length))
        for strike in range(rng.integers(1, 4)):
            gap = round(strike * rng.uniform(0.08, 0.16) * SAMPLE_RATE_HZ)
            place(mix, cup * rng.uniform(0.3, 1.4), start + gap)
    steam = sosfilt(
        butter(2, [2500, 14000], "bandpass", fs=SAMPLE_RATE_HZ, output="sos"),
        rng.standard_normal(length),
    )
    moment = np.arange(length) / SAMPLE_RATE_HZ
    steam *= np.clip((moment - 5.2) / 0.3, 0, 1) * np.clip((8.6 - moment) / 0.8, 0, 1)
    scene: Audio = mix + 0.35 * steam + 0.12 * noise_of_slope(rng, length, 1.2)
    return scene


def street(rng: np.random.Generator) -> Audio:
    """A steady far rumble, three vehicles passing, footsteps, a bird."""
    length = round(SECONDS * SAMPLE_RATE_HZ)
    time_s = np.arange(length) / SAMPLE_RATE_HZ
    mix = 0.45 * noise_of_slope(rng, length, 1.5)
    for moment_s in (0.9, 3.4, 6.7):
        speed, distance = rng.uniform(10, 17), rng.uniform(3, 7)  # m/s, m
        path = np.sqrt(distance**2 + (speed * (time_s - moment_s)) ** 2)
        tyres = sosfilt(
            butter(1, [500, 2600], "bandpass", fs=SAMPLE_RATE_HZ, output="sos"),
            noise_of_slope(rng, length, 0.6),
        )
        heard_s = time_s - path / 343  # the Doppler shift follows from the travel time
        engine_hz = rng.uniform(32, 55)
        engine = sum(
            np.sin(2 * np.pi * engine_hz * order * heard_s + rng.uniform(0, 6)) / order**0.8
            for order in (1, 2, 3, 4, 6, 8, 10, 12)
        )
        mix += (2.2 * tyres / float(tyres.std()) + 0.35 * engine) * (distance / path) ** 1.3
    steps = np.zeros((1, length))
    for step_s in np.arange(1.2, 6.8, 0.53):
        start = round((step_s + rng.normal(0, 0.015)) * SAMPLE_RATE_HZ)
        heel = models.hand_clap(SAMPLE_RATE_HZ, rng)
        place(steps, heel * rng.uniform(9, 16), start)
    bird = np.zeros(length)
    for start_s in (2.1, 2.45, 2.7, 6.4, 6.6, 6.85, 7.05):
        span = time_s - start_s
        inside = (span > 0) & (span < 0.14)
        sweep = 3900 * span + 9000 * span**2 + 6 * np.sin(2 * np.pi * 32 * span)
        bird += np.where(inside, np.sin(np.pi * span / 0.14) ** 2 * np.sin(2 * np.pi * sweep), 0)
    street_canyon = Room(0.9, 8).apply(steps + 0.9 * bird[np.newaxis], SAMPLE_RATE_HZ, rng)
    return mix[np.newaxis] + street_canyon


def office(rng: np.random.Generator) -> Audio:
    """A fan with its blade tones, mains hum, keyboard runs, a creaking chair."""
    length = round(SECONDS * SAMPLE_RATE_HZ)
    time_s = np.arange(length) / SAMPLE_RATE_HZ
    flutter = 1 + 0.06 * np.sin(2 * np.pi * 0.7 * time_s)
    mix = 0.5 * noise_of_slope(rng, length, 1.4) * flutter
    for order, level in ((1, 0.25), (2, 0.2), (3, 0.12), (7, 0.2), (14, 0.08)):
        wander = np.cumsum(rng.standard_normal(length)) / SAMPLE_RATE_HZ
        mix += level * np.sin(2 * np.pi * 23.7 * order * (time_s + 0.02 * wander))
    mix += 0.12 * np.sin(2 * np.pi * 100 * time_s) + 0.05 * np.sin(2 * np.pi * 300 * time_s + 1)
    keys = np.zeros((1, length))
    moment_s = 0.4
    while moment_s < SECONDS - 0.2:
        for delay_s, level in ((0, 1.0), (rng.uniform(0.06, 0.1), 0.55)):  # down and up again
            size = rng.uniform(1.0, 1.5)
            click = models.castanet(level * rng.uniform(0.5, 1.0), size, SAMPLE_RATE_HZ, rng)
            fast = np.exp(-np.arange(click.size) / (0.004 * SAMPLE_RATE_HZ))
            place(keys, 1.1 * click * fast, round((moment_s + delay_s) * SAMPLE_RATE_HZ))
        moment_s += rng.gamma(6, 0.026) if rng.uniform() > 0.07 else rng.uniform(0.6, 1.4)
    creak_hz = 60 + 70 * np.clip(time_s - 6.0, 0, 0.7)
    strokes = np.sin(2 * np.pi * np.cumsum(creak_hz) / SAMPLE_RATE_HZ) > 0.995
    wood = models.modes(
        np.array([310.0, 720, 1150, 1900]), np.full(4, 0.05), np.ones(4), SAMPLE_RATE_HZ, 0.1
    )
    creak = np.convolve(strokes & (time_s > 6) & (time_s < 6.7), wood)[:length]
    keys += 0.012 * creak
    return mix[np.newaxis] + Room(0.4, 8).apply(keys, SAMPLE_RATE_HZ, rng)


SCENES: dict[str, Callable[[np.random.Generator], Audio]] = {
    "cafe": cafe,
    "street": street,
    "office": office,
}


SEEDS = {name: seed for seed, name in enumerate(SCENES, start=301)}


def render(name: str) -> Track:
    seed = SEEDS[name]
    rng = np.random.default_rng(seed)
    audio = high_pass(SCENES[name](rng), SAMPLE_RATE_HZ, HIGH_PASS_HZ)
    spoken = name == "cafe"
    packages = sorted({package for voice, _ in GUESTS for package in voice.packages})
    return Track(
        id=name,
        set="noise",
        audio=fade(to_active_level(audio, SAMPLE_RATE_HZ, LEVEL_DBFS), SAMPLE_RATE_HZ, 0.02, 0.02),
        sample_rate_hz=SAMPLE_RATE_HZ,
        genre=name,
        licence=LGPL if spoken else OWN_LICENCE,
        generator=debian_versions(*packages) if spoken else numpy_version(),
        processing=f"{(SCENES[name].__doc__ or '').strip()} Active level {LEVEL_DBFS:g} dBFS",
        seed=seed,
    )


def _at_pack_rate(samples: Audio, sample_rate_hz: int) -> Audio:
    import soxr

    resampled: Audio = soxr.resample(samples, sample_rate_hz, SAMPLE_RATE_HZ, quality="VHQ")
    return resampled
