"""What our own instruments play: one function per clip, each returning `[channels, time]`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nacbench.pack.rebuild import models
from nacbench.pack.rebuild.electronic import dance
from nacbench.pack.rebuild.midi import in_tempo, phrase, pitch
from nacbench.pack.rebuild.models import hertz, place
from nacbench.pack.rebuild.room import Room
from nacbench.pack.rebuild.track import Audio
from nacbench.pack.rebuild.voices import Singer, Sung, sing

CHAMBER = Room(0.7, 12)
HALL = Room(1.6, 9)


@dataclass(frozen=True)
class Performance:
    """How to make a clip; `play(sample_rate_hz, seconds, rng)` returns `[channels, time]`."""

    genre: str
    play: Callable[[int, float, np.random.Generator], Audio]
    sample_rate_hz: int
    seconds: float
    method: str
    peak_dbfs: float = -3.0
    fade_s: float = 0.6


def plucked_strings(rate: int, seconds: float, rng: np.random.Generator) -> Audio:
    """Twenty-one strings of a harp-lute: a bass ostinato, an answer above it, a glissando."""
    second = in_tempo(104)
    bass = phrase(" ".join(["f2:.75! c3:.75 f3:.5 c3:.5~ a2:.75! c3:.75~"] * 4), 92)
    inner = phrase(" ".join(["-:.25 a3:.5 c4:.25 f4:.5~ a3:.25 d4:.5 c4:.25~ g3:.5"] * 5), 70)
    melody = phrase(
        "-:2 a4:.5! c5:.25 d5 f5:.75! d5:.25 c5:.5 a4 g4:.25 a4 c5:1! -:.5 f5:.25! g5 a5:.5 f5:.25 "
        "d5 f5:.25 d5 c5 a4 g4:.5 f4:1.25!",
        100,
    )
    run = phrase("f3:.06 g3 a3 c4 d4 f4 g4 a4 c5 d5 f5 g5 a5 c6", 84, start_beat=14)
    audio = np.zeros((1, round(seconds * rate)))
    for note in bass + inner + melody + run:
        velocity = float(np.clip(note.velocity / 127 + rng.normal(0, 0.04), 0.2, 1))
        start_s = 0.06 + second(note.start_beat) + rng.normal(0, 0.006)
        decay_s = 4.5 * (hertz(note.pitch) / 87) ** -0.6
        string = models.plucked_string(hertz(note.pitch), velocity, rate, 3.0, rng, decay_s)
        place(audio, string, round(start_s * rate))
    return models.wooden_body(audio[0], rate, rng)[np.newaxis]


def glockenspiel(rate: int, seconds: float, rng: np.random.Generator) -> Audio:
    """A music-box tune over broken chords, then a run up to a ringing triad."""
    second = in_tempo(114, rubato_s=0.02)
    notes = phrase(
        "g5:.5! e5 g5 c6 b5! g5 a5 f5 e5! c6 g5 e5 d5! f5 b5 g5 "
        "c6:.25 d6 e6:.5! c6 a5 b5:.25 c6 d6:.5! b5 g5 c5:.125 d5 e5 f5 g5 a5 b5 c6 "
        "c5+e5+g5+c6+e6:4~",
        84,
    )
    audio = np.zeros((1, round(seconds * rate)))
    for note in notes:
        start_s = 0.05 + second(note.start_beat) + rng.normal(0, 0.005)
        velocity = float(np.clip(note.velocity / 127 + rng.normal(0, 0.05), 0.2, 1))
        bar = models.glockenspiel_bar(hertz(note.pitch + 12), velocity, rate, rng)
        place(audio, bar, round(start_s * rate))
    return audio


def castanets(rate: int, seconds: float, rng: np.random.Generator) -> Audio:
    """A sevillana's rhythm in 3/4: rolls of the right hand, beats of the left."""
    second = in_tempo(150)
    audio = np.zeros((2, round(seconds * rate)))
    roll = [(0.0, 0.55), (0.17, 0.6), (0.33, 0.65), (0.5, 0.75), (0.67, 0.6)]
    hits = []
    for bar in range(8):
        left = [(0, 1.0), (1.5, 0.7), (2, 0.85)] if bar % 2 == 0 else [(0, 1.0), (2.5, 0.8)]
        rolls_at = [1.0] if bar % 2 == 0 else [0.75, 1.75]
        if bar == 7:
            left, rolls_at = [(0, 0.9), (1, 1.0)], []
        hits += [(3 * bar + beat, level, 1.16, 0.3) for beat, level in left]
        hits += [(3 * bar + at + b, level, 1.0, 0.7) for at in rolls_at for b, level in roll]
    for beat, level, size, pan in hits:
        start_s = 0.08 + second(beat) * (seconds - 0.6) / second(23.5) + rng.normal(0, 0.004)
        sound = models.castanet(level * rng.uniform(0.85, 1.1), size, rate, rng)
        gains = np.array([[np.cos(pan * np.pi / 2)], [np.sin(pan * np.pi / 2)]])
        place(audio, gains * sound, round(max(0.0, start_s) * rate))
    return Room(0.45, 16).apply(audio, rate, rng)


def soprano(rate: int, seconds: float, rng: np.random.Generator) -> Audio:
    """A vocalise in A minor: slurred leaps, a held top note, a turn, one breath."""
    line = "a4:a:.7 c5:a:.35 e5:e:.35 a5:a:1.5 g5:o:.4 f5:o:.3 e5:e:.9 | f5:i:.3 e5:i:.15 d5:i:.15 "
    line += "c5:e:.5 d5:a:.45 b4:o:.45 a4:u:1.6"
    sung = _syllables(line)
    singer = Singer(tract=1.17, vibrato_hz=5.9, vibrato_cents=55, breath=0.03)
    voice = sing(sung, singer, rate, rng)
    audio = np.zeros((1, round(seconds * rate)))
    place(audio, voice, round(0.15 * rate))
    return CHAMBER.apply(audio, rate, rng)


def choir(rate: int, seconds: float, rng: np.random.Generator) -> Audio:
    """Twelve singers, three to a part, on a plagal turn in D; vowels change with the chords."""
    parts = {  # pan and tract per part
        "f#4:a:1.6 g4:a:1.1 g4:o:1.1 f#4:o:1.1 | a4:a:1.1 g4:e:1.1 f#4:u:2.0": (-0.6, 1.18),
        "d4:a:1.6 d4:a:1.1 e4:o:1.1 d4:o:1.1 | d4:a:1.1 d4:e:1.1 d4:u:2.0": (-0.2, 1.14),
        "a3:a:1.6 b3:a:1.1 a3:o:1.1 a3:o:1.1 | f#3:a:1.1 b3:e:1.1 a3:u:2.0": (0.25, 1.02),
        "d3:a:1.6 g2:a:1.1 c#3:o:1.1 d3:o:1.1 | d3:a:1.1 g2:e:1.1 d3:u:2.0": (0.6, 0.97),
    }
    audio = np.zeros((2, round(seconds * rate)))
    for line, (pan, tract) in parts.items():
        for member in (-1, 0, 1):
            singer = Singer(
                tract=tract * rng.normal(1, 0.02),
                vibrato_hz=rng.normal(5.4, 0.3),
                vibrato_cents=rng.uniform(15, 32),
                breath=0.05,
                brightness_db_per_octave=rng.normal(-12.5, 0.8),
            )
            sung = [
                Sung(s.pitch + rng.normal(0, 0.06), s.vowel, s.seconds, s.slurred)
                for s in _syllables(line)
            ]
            voice = sing(sung, singer, rate, rng)
            angle = (1 + pan + 0.15 * member) * np.pi / 4
            gains = np.array([[np.cos(angle)], [np.sin(angle)]])
            place(audio, gains * voice, round(rng.uniform(0.08, 0.16) * rate))
    return HALL.apply(audio, rate, rng)


def _syllables(line: str) -> list[Sung]:
    """`"a4:a:.7 c5:o:.3 | d5:i:1"`: pitch, vowel, seconds; a bar line is a breath."""
    sung: list[Sung] = []
    breath = True
    for token in line.split():
        if token == "|":
            breath = True
            continue
        name, vowel, seconds = token.split(":")
        sung.append(Sung(pitch(name), vowel, float(seconds), not breath))
        breath = False
    return sung


def electronic(rate: int, seconds: float, rng: np.random.Generator) -> Audio:
    return dance(rate, seconds, rng)


def applause(rate: int, seconds: float, rng: np.random.Generator) -> Audio:
    return Room(0.9, 14).apply(models.applause(rate, seconds, 160, rng), rate, rng)


PERFORMANCES = {
    "choir": Performance("choir", choir, 48000, 9.6, "source-filter singing, 12 voices"),
    "electronic": Performance(
        "electronic", electronic, 44100, 8.6, "subtractive and FM synthesis", -0.7, 0.05
    ),
    "castanets": Performance("castanets", castanets, 48000, 8.6, "modal synthesis", -1.5, 0.3),
    "soprano": Performance("voice solo", soprano, 44100, 8.6, "source-filter singing", -4.0, 0.3),
    "plucked_strings": Performance(
        "plucked strings", plucked_strings, 48000, 9.4, "Karplus-Strong strings with a body"
    ),
    "glockenspiel": Performance("glockenspiel", glockenspiel, 44100, 9.0, "modal synthesis"),
    "applause": Performance("applause", applause, 48000, 8.0, "granular hand claps", -2.0, 0.5),
}
