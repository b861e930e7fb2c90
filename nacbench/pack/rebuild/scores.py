"""Our own short pieces for General-MIDI instruments.

Each is a phrase that arrives somewhere: harmony, a contour and a cadence, so that a codec meets
what music has (held partials under new attacks, overlapping decays, swells), in nine seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nacbench.pack.rebuild.midi import Note, Part, in_tempo, phrase

PIANO, E_PIANO, HARPSICHORD, ACCORDION = 0, 4, 6, 21
NYLON_GUITAR, CLEAN_GUITAR, FINGERED_BASS = 24, 27, 33
VIOLIN, VIOLA, CELLO, CONTRABASS, TREMOLO, HARP, TIMPANI = 40, 41, 42, 43, 44, 46, 47
STRINGS, TRUMPET, TROMBONE, TUBA, HORN, TENOR_SAX, OBOE, FLUTE = 48, 56, 57, 58, 60, 66, 68, 73

KICK, STICK, SNARE, CLOSED_HAT, OPEN_HAT, RIDE, CRASH = "36", "37", "38", "42", "46", "51", "49"


@dataclass(frozen=True)
class Piece:
    """Parts and tempo, plus how they are recorded.

    Attributes:
        mono: keep the mean of both channels.
        reverb: level of the synthesiser's room, 0…1.
        fade_s: over which the end is faded.
    """

    genre: str
    parts: list[Part]
    second: Callable[[float], float]
    seconds: float
    sample_rate_hz: int
    mono: bool = False
    reverb: float = 0.35
    peak_dbfs: float = -3.0
    fade_s: float = 0.6


def arch(low: float, high: float, top: float = 0.6) -> Callable[[float], float]:
    """A swell that rises to `high` at the fraction `top` of the piece and falls again."""

    def level(position: float) -> float:
        slope = position / top if position < top else (1 - position) / (1 - top)
        return low + (high - low) * float(np.sin(np.pi / 2 * np.clip(slope, 0, 1)))

    return level


def softer_inside(notes: list[Note], strong_beats: float = 1.0, by: int = 10) -> list[Note]:
    """Take velocity from notes off the beat, as a hand does in accompaniment."""
    return [
        note
        if note.start_beat % strong_beats < 1e-6
        else Note(note.start_beat, note.beats, note.pitch, note.velocity - by)
        for note in notes
    ]


def piano_nocturne() -> Piece:
    melody = phrase(
        "g5:1.5 f5:.5 eb5 g5 c6:1.5! bb5:.5 ab5 g5 f5:1 ab5:.5! d5 f5:.5~ ab5 g5+bb4:3", 84
    )
    accompaniment = softer_inside(
        phrase(
            "eb2:.5 bb2 g3 eb4 g3 bb2 f2 c3 ab3 eb4 ab3 c3 bb1 f2 ab3 d4 ab3 f3", 60, legato=1.4
        ),
        3.0,
    )
    close = phrase("eb2+bb2+g3+eb4:3", 64, start_beat=9)
    return Piece(
        "piano solo",
        [
            Part(PIANO, melody, timing_s=0.012, spread=5, pedal_beats=[0, 3, 6, 9]),
            Part(PIANO, accompaniment + close, timing_s=0.014, spread=4, pedal_beats=[0, 3, 6, 9]),
        ],
        in_tempo(70, rubato_s=0.07, period_beats=3),
        9.6,
        44100,
        reverb=0.3,
    )


def guitar_study() -> Piece:
    melody = ["g4", "b4", "a4", "f#4", "e4", "g4", "f#4", "d#4"]
    inner = ["b3 g3", "b3 g3", "e4 c4", "d#4 a3", "c4 g3", "e4 a3", "b3 a3", "a3 f#3"]
    bass = "e2:2 c3:1 b2:1 c3:1 a2:1 b2:2 e2:3"
    upper = " ".join(f"{top}:.3333! {pair}" for top, pair in zip(melody, inner, strict=True))
    return Piece(
        "guitar solo",
        [
            Part(NYLON_GUITAR, phrase(upper, 74, legato=1.6), timing_s=0.007, spread=6),
            Part(NYLON_GUITAR, phrase(bass, 78), timing_s=0.007),
            Part(
                NYLON_GUITAR,
                [
                    Note(8 + 0.045 * step, 3, note.pitch, 80 - 4 * step)
                    for step, note in enumerate(phrase("b2+g3+b3+e4+b4:3"))
                ],
            ),
        ],
        in_tempo(74, rubato_s=0.05),
        9.0,
        44100,
        mono=True,
        reverb=0.2,
    )


def violin_air() -> Piece:
    melody = phrase(
        "g4:1 bb4:.5 d5 g5:1.5! f5:.25 eb5 d5:1 c5:.5 bb4 a4 bb4:.25 c5 d5:1 eb5:.5 c5:.25 a4 g4:2",
        88,
        legato=1.0,
    )
    return Piece(
        "violin solo",
        [Part(VIOLIN, melody, vibrato_cents=28, timing_s=0.01, swell=arch(0.55, 1.0, 0.45))],
        in_tempo(74, rubato_s=0.06),
        9.2,
        48000,
        mono=True,
        reverb=0.4,
    )


def flute_and_harp() -> Piece:
    flute = phrase(
        "f#5:1.5 e5:.25 d5 a5:2 b5:.75! a5:.25 g5:.5 f#5 e5:1 -:.5 f#5:.25 g5 f#5:.5 e5 d5:3",
        82,
        legato=0.98,
    )
    patterns = [
        "d3 a3 d4 f#4 a4 f#4 d4 a3",
        "f#3 a3 d4 f#4 a4 f#4 d4 a3",
        "g3 b3 d4 g4 b4 g4 d4 b3",
        "a3 c#4 e4 g4 a4 g4 e4 c#4",
        "d3 a3 d4 f#4 a4 d5 f#5 a5",
    ]
    harp = phrase(" ".join(patterns).replace("d3", "d3:.25", 1), 66, legato=2.5)
    harp += phrase("d3+a3+d4+f#4+a4+d5:3", 74, start_beat=10)
    return Piece(
        "flute and harp",
        [
            Part(FLUTE, flute, pan=-0.35, vibrato_cents=14, vibrato_hz=5.1, swell=arch(0.7, 1)),
            Part(HARP, softer_inside(harp), pan=0.4, timing_s=0.008, volume=96),
        ],
        in_tempo(78, rubato_s=0.05),
        9.6,
        44100,
        reverb=0.5,
    )


def string_quartet() -> Piece:
    def player(program: int, text: str, pan: float, velocity: int) -> Part:
        notes = phrase(text, velocity, legato=0.99)
        return Part(
            program, notes, pan, timing_s=0.014, vibrato_cents=18, swell=arch(0.6, 1.0, 0.62)
        )

    return Piece(
        "string quartet",
        [
            player(
                VIOLIN,
                "c5:1 f5 f5:.5 d5 e5 g5 f5:.75 a5:.25 bb5:.5! g5 f5:1 e5:.75 d5:.125 e5 f5:2.5",
                -0.6,
                90,
            ),
            player(VIOLIN, "a4:1 c5 bb4 bb4 a4 d5 c5 bb4 a4:2.5", -0.2, 80),
            player(VIOLA, "f4:1 f4 d4 g4 f4 g4 g4 c4 c4:2.5", 0.25, 82),
            player(CELLO, "f2:1 a2 bb2 c3:.5 c#3 d3:1 g2:.5 bb2 c3:1 c2 f2:2.5", 0.6, 86),
        ],
        in_tempo(72, rubato_s=0.05),
        9.2,
        48000,
        reverb=0.45,
    )


def orchestra() -> Piece:
    strings = "d4+f4+a4+d5:2 d4+f4+bb4+d5 c4+f4+a4+c5 c4+e4+g4+c5 bb3+d4+g4+bb4 a3+d4+f4+a4 "
    strings += "a3+c#4+e4+a4 d4+f4+a4+d5:3"
    trumpet = "-:2 d5:.75! d5:.25 f5:1 a5:1.5! g5:.5 e5:1 c5 d5:.75! d5:.25 bb4:.5 d5 f5:1.5 e5:.5 "
    trumpet += "e5:.75! e5:.25 c#5:1 d5:3"
    low = "d2:2 bb1 f2 c2 g2 a2 a1 d2:3"
    drum = "d2:.5! -:1 d2:.5 bb2:2~ f2:.5! -:1.5 c3:2~ g2:.5! -:1.5 a2:.25 a2 a2 a2 a2:1 "
    drum += "a2:.25 a2 a2 a2 a2 a2 a2 a2 d2:2!"
    return Piece(
        "orchestra",
        [
            Part(STRINGS, phrase(strings, 92), -0.2, 105, swell=arch(0.7, 1.0, 0.9)),
            Part(TREMOLO, phrase("d6:2 bb5 a5 g5 d6 d6 c#6 d6:3", 80), -0.5, 84),
            Part(CONTRABASS, phrase(low, 96), 0.4, 112),
            Part(HORN, phrase("a3:2 bb3 c4 c4:1 e4 d4:2 d4 e4 f4:3", 90), -0.1, 96),
            Part(TRUMPET, phrase(trumpet, 92), 0.2, 92, timing_s=0.008, vibrato_cents=8),
            Part(TROMBONE, phrase("f3:2 f3 f3 e3 d3 d3 c#3 d3:3", 92), 0.35, 96),
            Part(OBOE, phrase("-:4 c6:1 a5 g5:2 bb5:1 d6 a5:2 e5 f5:3", 84), -0.3, 80),
            Part(TIMPANI, phrase(drum, 96, legato=0.9), 0.1, 112, timing_s=0.005),
            Part(0, phrase(f"{CRASH}:8! {CRASH}:6 {CRASH}:4!", 92), drums=True),
        ],
        in_tempo(112),
        9.8,
        44100,
        reverb=0.55,
        peak_dbfs=-1.5,
    )


def drum_kit() -> Piece:
    bar = [
        f"{KICK}:1! {SNARE}:.75! {KICK}:.25~ -:.25 {KICK}:.75 {SNARE}:.75! {SNARE}:.25~",
        f"{KICK}:.75! {KICK}:.25 {SNARE}:.5! {SNARE}:.25~ {SNARE}:.25~ -:.5 {KICK}:.5 {SNARE}:1!",
    ]
    fill = f"{KICK}:1! {SNARE}:.25! 48 48 {SNARE} 47 47:.25! 45 45 43:.25! 43 {KICK} {SNARE}:.25!"
    hats = " ".join(
        f"{OPEN_HAT if step == 14 else CLOSED_HAT}:.25{'!' if step % 4 == 0 else '~'}"
        for step in range(16)
    )
    grooves = " ".join([*bar, bar[0], fill])
    return Piece(
        "drum kit",
        [
            Part(0, phrase(grooves, 96), drums=True, timing_s=0.004, spread=6),
            Part(0, phrase(f"{CRASH}:4! -:4 {RIDE}:4 -:4 {CRASH}:2!", 84), drums=True, spread=2),
            Part(0, phrase(f"{KICK}:2!", 110, start_beat=16), drums=True),
            Part(0, phrase(" ".join([hats] * 3), 70), drums=True, timing_s=0.005, spread=8),
        ],
        in_tempo(114),
        9.4,
        44100,
        reverb=0.15,
        peak_dbfs=-1.0,
    )


def brass() -> Piece:
    def player(program: int, text: str, velocity: int = 92) -> Part:
        return Part(program, phrase(text, velocity, legato=0.93), timing_s=0.01, vibrato_cents=6)

    return Piece(
        "brass quintet",
        [
            player(
                TRUMPET,
                "bb4:.75! bb4:.25 d5:1 f5:1.5! eb5:.5 d5:1 g5:.75 f5:.25 eb5:1 c5 d5 "
                "f5:.5 eb5 d5:.75 c5:.25 c5:1 bb4:2.5",
            ),
            player(TRUMPET, "f4:1 bb4 c5:2 bb4:1 bb4 g4 a4 bb4 c5 bb4:.75 a4:.25 a4:1 f4:2.5", 84),
            player(HORN, "d4:1 f4 a4:1.5 g4:.5 f4:1 eb4 eb4 eb4 f4 g4 f4 eb4 d4:2.5", 88),
            player(TROMBONE, "bb3:1 bb3 f3:2 bb3:1 g3 c4 f3 bb3 eb3 f3 f3 bb3:2.5", 90),
            player(TUBA, "bb1:1 d2 f2:2 g2:1 eb2 c2 f2 d2 eb2 f2 f1 bb1:2.5", 90),
        ],
        in_tempo(98),
        9.4,
        44100,
        mono=True,
        reverb=0.4,
    )


def harpsichord_invention() -> Piece:
    upper = (
        "-:.25 d5 e5 f5 g5 e5 f5 d5 c#5 d5 e5 c#5 a4:.5 a5 "
        "-:.25 f5 g5 a5 bb5 g5 a5 f5 e5 f5 g5 e5 c#5:.5 a5 "
        "f5:.25 e5 d5 f5 bb4 d5 g5 f5 e5 d5 c#5 e5 a4 g5 f5 e5 f5:.5! e5:.25 d5 c#5:.5 e5 d5:2"
    )
    lower = (
        "d3:1 d4:.5 d3 a3:.5 g3 f3 e3 d3:1 d4:.5 c4 a3:.5 bb3 a3 g3 "
        "f3:.5 d3 g3 g2 a2 bb2 c#3 a2 d3 g2 a2 a2 d2:2"
    )
    return Piece(
        "harpsichord",
        [
            Part(HARPSICHORD, phrase(upper, 90, legato=0.85), timing_s=0.006, spread=0),
            Part(HARPSICHORD, phrase(lower, 86, legato=0.85), timing_s=0.006, spread=0),
        ],
        in_tempo(104, rubato_s=0.02),
        9.8,
        44100,
        mono=True,
        reverb=0.3,
    )


def accordion_waltz() -> Piece:
    melody = "e5:1.5 d#5:.5 e5 a5 g5:1 f#5 f5 e5:1.5 d5:.5 c5 b4 c5:2 b4:1 a4:.5 b4 c5 e5 d#5 e5 "
    melody += "g#5:1! b5 e5 a4+c5+e5+a5:2"
    bass = "a2:1! a3+c4+e4:.6~ -:.4 a3+c4+e4:.6~ -:.4"
    bars = [
        bass,
        bass.replace("a2", "e2").replace("a3+c4+e4", "g3+b3+e4"),
        bass.replace("a2", "f2").replace("a3+c4+e4", "a3+c4+f4"),
        bass.replace("a2", "d2").replace("a3+c4+e4", "a3+d4+f4"),
        bass,
        bass.replace("a2", "e2").replace("a3+c4+e4", "g#3+d4+e4"),
    ]
    accompaniment = phrase(" ".join([*bars, "a2+a3+c4+e4:2"]), 74)
    return Piece(
        "accordion",
        [
            Part(ACCORDION, phrase(melody, 92), -0.25, timing_s=0.009, swell=arch(0.75, 1.0)),
            Part(ACCORDION, accompaniment, 0.25, 84, timing_s=0.007),
        ],
        in_tempo(138, rubato_s=0.04, period_beats=6),
        9.2,
        44100,
        mono=True,
        reverb=0.25,
    )


def band() -> Piece:
    bass = (
        "e2:.75! e2:.25~ -:.5 g2:.5 a2:.75 b2:.25 d3:.5 b2 "
        "c3:.75! c3:.25~ -:.5 g2:.5 b1:.75 b2:.25 a2:.5 f#2 "
    ) * 2 + "e2:2!"
    keys = (
        "-:.5 g3+b3+d4+f#4:.5 -:.75 g3+b3+d4+f#4:1.25 a3+c4+e4:1~ "
        "-:.5 g3+b3+e4:.5 -:.75 g3+b3+e4:1.25 f#3+a3+d#4:1 "
    ) * 2 + "g3+b3+d4+f#4+a4:2"
    guitar = "-:.25 b4+e5:.25~ -:.25 b4+e5 -:.5 b4+d5:.25! -" * 1
    sax = (
        "-:1 b4:.5 d5 e5:1.5! d5:.25 b4 g4:.5 a4 b4:1.5 -:1.5 "
        "e5:.25 f#5 g5:1! f#5:.5 e5 d5:.25 e5 d5 b4 a4:.5 b4 g4:1 f#4:.5 a4 g4:.5 b4:.5 e5:2!"
    )
    groove = " ".join(
        [
            f"{KICK}:.75! {KICK}:.25 {SNARE}:.75! {SNARE}:.25~ -:.5 {KICK}:.5 {SNARE}:1!",
            f"{KICK}:1! {SNARE}:.75! {KICK}:.25 {KICK}:.5~ {KICK}:.5 {SNARE}:.75! {SNARE}:.25~",
        ]
        * 2
    )
    hats = " ".join([f"{CLOSED_HAT}:.25! {CLOSED_HAT}~ {CLOSED_HAT} {CLOSED_HAT}~"] * 16)
    return Piece(
        "band",
        [
            Part(FINGERED_BASS, phrase(bass, 98, legato=0.85), 0.0, 112, timing_s=0.005),
            Part(E_PIANO, phrase(keys, 80), -0.4, 100),
            Part(CLEAN_GUITAR, phrase(" ".join([guitar] * 8), 76, legato=0.7), 0.5, 92),
            Part(TENOR_SAX, phrase(sax, 94), 0.15, 104, vibrato_cents=14, timing_s=0.012),
            Part(0, phrase(f"{groove} {KICK}:2!", 98), drums=True, timing_s=0.004),
            Part(0, phrase(hats, 74), drums=True, timing_s=0.005, spread=7),
            Part(0, phrase(f"{CRASH}:16 {CRASH}:2!", 88), drums=True),
        ],
        in_tempo(108),
        9.8,
        44100,
        reverb=0.2,
        peak_dbfs=-1.0,
    )


PIECES: dict[str, Callable[[], Piece]] = {
    "piano_nocturne": piano_nocturne,
    "guitar_study": guitar_study,
    "violin_air": violin_air,
    "flute_and_harp": flute_and_harp,
    "string_quartet": string_quartet,
    "orchestra": orchestra,
    "drum_kit": drum_kit,
    "brass_quintet": brass,
    "harpsichord": harpsichord_invention,
    "accordion_waltz": accordion_waltz,
    "band": band,
}
