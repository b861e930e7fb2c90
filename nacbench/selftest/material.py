"""The clips and the suite of the self-test: made on the spot, the same everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from nacbench import audio
from nacbench.core import Clip

RATE_HZ = 16000
DURATIONS_S = (2.2, 2.4, 3.0)  # one of them is `probes.is_long`
METRICS = ("snr", "si_sdr", "mel:dac", "pesq:wb", "stoi", "bandwidth_hz", "loudness_difference")
# Long enough for a first import on a busy machine, short enough to wait for once.
LIMIT_S = 8.0


def write(folder: Path) -> list[Clip]:
    """Write the clips as 16-bit FLAC; returns them as the bench will read them."""
    folder.mkdir(parents=True, exist_ok=True)
    clips = []
    for seed, duration_s in enumerate(DURATIONS_S):
        path = folder / f"voice{seed}.flac"
        audio.write(path, voice(duration_s, seed), subtype="PCM_16")
        clips.append(audio.read(path))
    return clips


def suite(name: str, folder: Path, codecs: Sequence[tuple[str, str, dict[str, Any]]]) -> str:
    """A suite file over those clips.

    Args:
        codecs: label, codec, options.
    """
    return yaml.safe_dump(
        {
            "name": name,
            "version": 1,
            "title": "Self-test",
            "synthetic": True,
            "sources": [{"folder": {"path": str(folder)}}],
            "codecs": [{codec: {"label": label, **options}} for label, codec, options in codecs],
            "metrics": list(METRICS),
            "limits": {"seconds": LIMIT_S},
        },
        sort_keys=False,
    )


def voice(duration_s: float, seed: int) -> Clip:
    """Harmonics of a gliding pitch under two formants, in syllables, over noise at -46 dB.

    The noise is wide and reaches two steps of 10-bit PCM, so quantisation noise is white and
    uniform there, as its closed form wants it.
    """
    random = np.random.default_rng(seed)
    t = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    pitch_hz = 110 + 30 * seed + 15 * np.sin(2 * np.pi * 0.8 * t)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / RATE_HZ
    harmonics = sum(
        np.exp(-(((k * pitch_hz.mean() - formant) / 350) ** 2)) * np.sin(k * phase)
        for k in range(1, 25)
        for formant in (550, 1600)
    )
    syllables = np.clip(np.sin(2 * np.pi * 2.3 * t), 0, 1) ** 0.5
    samples = 0.4 * harmonics * syllables / np.abs(harmonics).max()
    return Clip((samples + 0.005 * random.standard_normal(t.size)).astype(np.float32), RATE_HZ)
