"""From notes to audio: a small Standard MIDI File writer and FluidSynth.

Time is written in seconds, so that tempo, rubato and a player's inaccuracy are decided here and
not by the synthesiser.
"""

from __future__ import annotations

import re
import struct
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nacbench.errors import UserError
from nacbench.pack.rebuild.track import Audio, run

SOUND_FONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")
PACKAGES = ("fluidsynth", "fluid-soundfont-gm")

TICKS_PER_S = 10_000
DRUMS = 9  # the channel that General MIDI gives to percussion
BEND_RANGE_CENTS = 200.0

_PITCH = re.compile(r"([a-g])(b|#)?(-?\d)")
_SEMITONE = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}


def pitch(name: str) -> int:
    """`eb4` -> 63; middle C, `c4`, is 60. A plain number is taken as it is (drums)."""
    if name.isdigit():
        return int(name)
    match = _PITCH.fullmatch(name)
    if match is None:
        raise ValueError(f"no pitch {name!r}")
    letter, accidental, octave = match.groups()
    shift = {"b": -1, "#": 1, None: 0}[accidental]
    return 12 * (int(octave) + 1) + _SEMITONE[letter] + shift


@dataclass(frozen=True)
class Note:
    start_beat: float
    beats: float
    pitch: int
    velocity: int


def phrase(
    text: str, velocity: int = 80, start_beat: float = 0.0, legato: float = 0.95
) -> list[Note]:
    """`"c4:1! e4+g4:.5 -:.5 a4~"` as notes.

    A token is `pitch:beats`; `+` stacks a chord, `-` rests, `!` accents and `~` softens. Without
    beats it takes the previous token's.
    """
    notes = []
    beat, beats = start_beat, 1.0
    for token in text.split():
        accent = 14 * (token.count("!") - token.count("~"))
        names, _, length = token.strip("!~").partition(":")
        beats = float(length or beats)
        if names != "-":
            notes += [
                Note(beat, beats * legato, pitch(name), velocity + accent)
                for name in names.split("+")
            ]
        beat += beats
    return notes


@dataclass(frozen=True)
class Part:
    """One player.

    Attributes:
        program: General MIDI programme, 0 is the grand piano; ignored for drums.
        pan: -1 left … 1 right. `volume`: 0…127.
        timing_s, spread: standard deviation of onsets, and of velocities in steps: nobody plays
            on the grid.
        vibrato_cents, vibrato_hz: grown into over each long note; 0 for none.
        swell: level over the part's duration in 0…1 -> 0…1, for instruments that sustain.
        pedal_beats: where the sustain pedal is renewed.
    """

    program: int
    notes: list[Note]
    pan: float = 0.0
    volume: int = 100
    drums: bool = False
    timing_s: float = 0.006
    spread: float = 4.0
    vibrato_cents: float = 0.0
    vibrato_hz: float = 5.6
    swell: Callable[[float], float] | None = None
    pedal_beats: list[float] = field(default_factory=list)


def in_tempo(
    bpm: float, rubato_s: float = 0.0, period_beats: float = 4.0
) -> Callable[[float], float]:
    """Beat -> second, leaning back and forward once per period."""

    def second(beat: float) -> float:
        lean = rubato_s * float(np.sin(2 * np.pi * beat / period_beats))
        return beat * 60 / bpm + lean

    return second


def render(
    parts: list[Part],
    second: Callable[[float], float],
    sample_rate_hz: int,
    seconds: float,
    rng: np.random.Generator,
    reverb: float = 0.35,
    gain: float = 0.5,
) -> Audio:
    """`[2, time]`, exactly `seconds` long, starting 60 ms before the first beat.

    Raises:
        UserError: FluidSynth or the sound font is missing.
    """
    import soundfile

    if not SOUND_FONT.exists():
        raise UserError(f"{SOUND_FONT}: no sound font. Try: apt-get install {' '.join(PACKAGES)}")
    tracks = []
    melodic = [channel for channel in range(16) if channel != DRUMS]
    for part in parts:
        channel = DRUMS if part.drums else melodic.pop(0)
        tracks.append(_track(_events(part, channel, second, rng)))
    header = struct.pack(">4sIHHH", b"MThd", 6, 1, len(tracks), TICKS_PER_S)
    with tempfile.TemporaryDirectory() as folder:
        score, wav = Path(folder, "score.mid"), Path(folder, "audio.wav")
        score.write_bytes(header + b"".join(tracks))
        settings = {
            "synth.cpu-cores": 1,
            "synth.chorus.active": 0,
            "synth.reverb.active": int(reverb > 0),
            "synth.reverb.level": reverb,
            "synth.reverb.room-size": 0.5,
            "synth.reverb.damp": 0.3,
            "synth.gain": gain,
        }
        options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
        output = ["-r", str(sample_rate_hz), "-T", "wav", "-O", "float", "-F", str(wav)]
        run(["fluidsynth", "-ni", *options, *output, str(SOUND_FONT), str(score)], PACKAGES[0])
        samples, _ = soundfile.read(wav, always_2d=True)
    audio: Audio = samples.T
    length = round(seconds * sample_rate_hz)
    return np.pad(audio, ((0, 0), (0, max(0, length - audio.shape[1]))))[:, :length]


Event = tuple[float, bytes]


def _events(
    part: Part, channel: int, second: Callable[[float], float], rng: np.random.Generator
) -> list[Event]:
    """What a player does, as (second, MIDI message)."""

    def control(number: int, value: float) -> bytes:
        return bytes([0xB0 | channel, number, int(np.clip(round(value), 0, 127))])

    lead_in_s = 0.06
    events: list[Event] = [
        (0.0, bytes([0xC0 | channel, part.program])),
        (0.0, control(7, part.volume)),
        (0.0, control(10, 64 + 63 * part.pan)),
    ]
    for beat in part.pedal_beats:
        events.append((lead_in_s + second(beat) - 0.02, control(64, 0)))
        events.append((lead_in_s + second(beat) + 0.04, control(64, 127)))
    for note in part.notes:
        drawn = rng.normal(0, part.timing_s)
        start_s = max(0.001, lead_in_s + second(note.start_beat) + drawn)
        stop_s = max(start_s + 0.03, lead_in_s + second(note.start_beat + note.beats) + drawn)
        velocity = int(np.clip(round(note.velocity + rng.normal(0, part.spread)), 1, 127))
        events.append((start_s, bytes([0x90 | channel, note.pitch, velocity])))
        events.append((stop_s, bytes([0x80 | channel, note.pitch, 0])))
        if part.vibrato_cents and stop_s - start_s > 0.25:
            events += _vibrato(part, channel, start_s, stop_s, rng)
    if part.swell is not None:
        end_s = max(time_s for time_s, _ in events)
        for time_s in np.arange(0, end_s, 0.03):
            events.append((float(time_s), control(11, 127 * part.swell(float(time_s / end_s)))))
    return events


def _vibrato(
    part: Part, channel: int, start_s: float, stop_s: float, rng: np.random.Generator
) -> list[Event]:
    """Pitch bends that set in after the attack; rate and depth differ from note to note."""
    rate_hz = part.vibrato_hz * rng.normal(1, 0.04)
    cents = part.vibrato_cents * rng.normal(1, 0.12)
    events: list[Event] = []
    for time_s in np.arange(start_s, stop_s, 0.008):
        depth = min(1.0, max(0.0, (time_s - start_s - 0.12) / 0.3))
        bend = depth * cents * np.sin(2 * np.pi * rate_hz * (time_s - start_s))
        value = int(np.clip(round(8192 + 8192 * bend / BEND_RANGE_CENTS), 0, 16383))
        events.append((float(time_s), bytes([0xE0 | channel, value & 127, value >> 7])))
    events.append((stop_s, bytes([0xE0 | channel, 0, 64])))
    return events


def _track(events: list[Event]) -> bytes:
    """An MTrk chunk whose ticks are tenths of a millisecond."""
    one_second_per_quarter = b"\x00\xff\x51\x03" + (1_000_000).to_bytes(3, "big")
    body = bytearray(one_second_per_quarter)
    tick = 0
    for time_s, message in sorted(events, key=lambda event: event[0]):
        now = round(time_s * TICKS_PER_S)
        body += _variable_length(now - tick) + message
        tick = now
    body += b"\x00\xff\x2f\x00"
    return struct.pack(">4sI", b"MTrk", len(body)) + bytes(body)


def _variable_length(value: int) -> bytes:
    """Seven bits per byte, most significant first, as MIDI files write times."""
    septets = [value & 127]
    while value := value >> 7:
        septets.append(value & 127 | 128)
    return bytes(reversed(septets))
