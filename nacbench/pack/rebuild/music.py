"""The music set: pieces for a sound font and our own instruments, in the manifest's order."""

from __future__ import annotations

import numpy as np

from nacbench.pack.rebuild import midi
from nacbench.pack.rebuild.performances import PERFORMANCES
from nacbench.pack.rebuild.scores import PIECES
from nacbench.pack.rebuild.track import (
    OWN_LICENCE,
    Track,
    debian_versions,
    fade,
    high_pass,
    numpy_version,
    to_peak,
)

HIGH_PASS_HZ = 20.0

# Ordered so that the first few already differ in kind.
ORDER = (
    "piano_nocturne",
    "electronic",
    "string_quartet",
    "castanets",
    "choir",
    "drum_kit",
    "guitar_study",
    "orchestra",
    "glockenspiel",
    "soprano",
    "band",
    "violin_air",
    "applause",
    "harpsichord",
    "flute_and_harp",
    "plucked_strings",
    "brass_quintet",
    "accordion_waltz",
)
SEEDS = {name: seed for seed, name in enumerate(ORDER, start=201)}


def render(name: str) -> Track:
    make = render_piece if name in PIECES else render_performance
    return make(name, SEEDS[name])


def render_piece(name: str, seed: int) -> Track:
    """A piece of `scores` through FluidSynth and the Fluid R3 sound font."""
    piece = PIECES[name]()
    rng = np.random.default_rng(seed)
    stereo = midi.render(
        piece.parts, piece.second, piece.sample_rate_hz, piece.seconds, rng, piece.reverb
    )
    audio = stereo.mean(axis=0, keepdims=True) if piece.mono else stereo
    audio = high_pass(audio, piece.sample_rate_hz, HIGH_PASS_HZ)
    faded = fade(audio, piece.sample_rate_hz, 0.005, piece.fade_s)
    return Track(
        id=name,
        set="music",
        audio=to_peak(faded, piece.peak_dbfs),
        sample_rate_hz=piece.sample_rate_hz,
        genre=piece.genre,
        licence=OWN_LICENCE,
        generator=debian_versions(*midi.PACKAGES),
        processing=f"FluidSynth reverb {piece.reverb:g}; peak {piece.peak_dbfs:g} dBFS",
        seed=seed,
    )


def render_performance(name: str, seed: int) -> Track:
    """A clip of our own instruments."""
    played = PERFORMANCES[name]
    rate = played.sample_rate_hz
    audio = played.play(rate, played.seconds, np.random.default_rng(seed))
    audio = high_pass(audio, rate, HIGH_PASS_HZ)
    return Track(
        id=name,
        set="music",
        audio=to_peak(fade(audio, rate, 0.005, played.fade_s), played.peak_dbfs),
        sample_rate_hz=rate,
        genre=played.genre,
        licence=OWN_LICENCE,
        generator=numpy_version(),
        processing=f"{played.method}; peak {played.peak_dbfs:g} dBFS",
        seed=seed,
    )
