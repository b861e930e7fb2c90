"""What is done to speech: every codec and rate of the bench, conditions, losses, and models of
what neural codecs do.

A distortion is drawn from a generator and gives `(family, label, degraded clip)`. Families in
`UNSEEN` are never drawn; they are kept to test on.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.nacmos import models, neural
from benchmarks.nacmos.coders import CODERS, NARROWBAND, Options, coded, like
from nacbench import conditions
from nacbench.alignment import align
from nacbench.core import Clip

UNSEEN = ("speex",)

Draw = tuple[str, str, Clip]
Rng = np.random.Generator

OPUS_KBPS = (6, 7, 8, 9, 10, 12, 14, 16, 20, 24, 32, 40)
AMR_WB_KBPS = (6.6, 8.85, 12.65, 14.25, 15.85, 18.25, 19.85, 23.05, 23.85)
AMR_NB_KBPS = (4.75, 5.15, 5.9, 6.7, 7.4, 7.95, 10.2, 12.2)
SYNTHETIC_NOISE = ("white", "pink", "speech_shaped", "babble", "hum")


def any_codec(clip: Clip, rng: Rng) -> Draw:
    codec, options = _operating_point(rng)
    return codec, _label(codec, options), coded(clip, codec, options)


def _operating_point(rng: Rng) -> tuple[str, dict[str, Any]]:
    """Low rates more often than high ones, which all sound alike."""
    low = float(rng.beta(1, 1.6))
    draws: list[tuple[float, Callable[[], tuple[str, dict[str, Any]]]]] = [
        (5, lambda: ("opus", {
            "kbps": _at(OPUS_KBPS, low), "application": _pick(rng, ("voip", "audio")),
            "vbr": _pick(rng, ("on", "off")),
        })),
        (3, lambda: ("amr_wb", {"kbps": _at(AMR_WB_KBPS, low)})),
        (2, lambda: ("amr_nb", {"kbps": _at(AMR_NB_KBPS, low)})),
        (3, lambda: ("lc3", {"kbps": round(16 + 32 * low)})),
        (3, lambda: ("codec2", {"kbps": _pick(rng, (0.7, 1.2, 1.3, 1.4, 1.6, 2.4, 3.2))})),
        (0.5, lambda: ("g722", {})),
        (0.5, lambda: ("g711", {"law": _pick(rng, ("mu", "a"))})),
        (2, lambda: ("g726", {"kbps": _pick(rng, (16, 24, 32, 40))})),
        (2, lambda: ("aac", {"kbps": round(8 + 40 * low)})),
        (2, lambda: ("mp3", {"kbps": _at((8, 16, 24, 32, 40, 48, 64), low)})),
        (2, lambda: ("vorbis", {"quality": round(6 * low, 1)})),
        (2, lambda: ("pcm", {"bits": _at((3, 4, 5, 6, 7, 8, 9, 10), low)})),
        (1, lambda: ("lowpass", {"hz": round(1500 * 5 ** float(rng.random()))})),
    ]  # fmt: skip
    return _weighted(rng, draws)()


def lost(clip: Clip, rng: Rng) -> Draw:
    """Packets lost on the way to a codec that conceals them."""
    codec, options = _weighted(rng, [
        (4.0, ("opus", {"kbps": _pick(rng, (12, 16, 24)), "application": "voip"})),
        (2.0, ("amr_wb", {"kbps": _pick(rng, (12.65, 23.85))})),
        (1.0, ("amr_nb", {"kbps": 12.2})),
        (2.0, ("lc3", {"kbps": _pick(rng, (24, 32))})),
        (1.0, ("lyra", {"kbps": _pick(rng, (3.2, 6, 9.2))})),
    ])  # fmt: skip
    loss: dict[str, Any] = {"rate": round(float(rng.uniform(0.01, 0.3)), 3)}
    if rng.random() < 0.5:
        loss["burst"] = _pick(rng, (2, 3, 5))
    seed = int(rng.integers(2**31))
    label = f"{_label(codec, options)} loss {loss}"
    return "loss", label, coded(clip, codec, options, loss, seed)


def lyra(clip: Clip, rng: Rng) -> Draw:
    """Google's neural codec."""
    options = {"kbps": _pick(rng, (3.2, 6, 9.2))}
    return "lyra", _label("lyra", options), coded(clip, "lyra", options)


def gaps(clip: Clip, rng: Rng) -> Draw:
    """Packets of 20 ms lost where nothing conceals them: zeros, or the last packet again."""
    hop = clip.sample_rate_hz // 50
    rate, repeat = float(rng.uniform(0.01, 0.3)), bool(rng.random() < 0.5)
    samples = clip.samples[0].copy()
    for start in range(hop, samples.size - hop, hop):
        if rng.random() < rate:
            samples[start : start + hop] = samples[start - hop : start] if repeat else 0.0
    return "gaps", f"gaps {rate:.2f} {'repeated' if repeat else 'zero'}", like(clip, samples)


def condition(clip: Clip, rng: Rng, recorded: Options) -> Draw:
    """Noise, reverberation, clipping or a band limit; `recorded` are sources of noise and rooms."""
    snr_db = round(float(rng.uniform(-5, 45)), 1)
    kinds: list[tuple[float, tuple[str, Options]]] = [
        (4, ("noise", {"source": _pick(rng, SYNTHETIC_NOISE), "snr_db": snr_db})),
        (3, ("noise", {"source": recorded["noise"], "snr_db": snr_db})),
        (1.5, ("reverb", {
            "rt60_s": round(float(rng.uniform(0.1, 1.5)), 2),
            "drr_db": round(float(rng.uniform(-5, 20)), 1),
        })),
        (0.5, ("reverb", {"source": recorded["rir"]})),
        (2, ("clipping", {"share": round(float(10 ** rng.uniform(-3.3, -0.5)), 5)})),
        (1, ("bandwidth", {"high_hz": round(float(800 * 9 ** rng.random()))})),
        (1, ("bandwidth", {"low_hz": round(float(80 * 20 ** rng.random()))})),
        (0.5, ("bandwidth", {"low_hz": 300, "high_hz": 3400})),
    ]  # fmt: skip
    name, options = _weighted(rng, kinds)
    built = conditions.build({name: options})
    return name, built.name, built.apply(clip, int(rng.integers(2**31)))


def other_coder(clip: Clip, rng: Rng) -> Draw:
    """A coder that the bench has no adapter for, at its rate or on a signal twice as fast."""
    name, coder = _weighted(rng, [(w, (name, coder)) for name, (w, coder) in CODERS.items()])
    if name in NARROWBAND and rng.random() < 0.6:
        return "other", f"{name} narrowband", models.narrowband(clip, coder)
    return "other", name, align(clip, like(clip, coder(clip.samples[0])))[0]


def tandem(clip: Clip, rng: Rng, recorded: Options) -> Draw:
    """One after the other: noise or a room before a codec, or two codecs."""
    before = any_codec if rng.random() < 0.4 else partial(condition, recorded=recorded)
    first = before(clip, rng)
    second = any_codec(first[2], rng)
    return "tandem", f"{first[1]} > {second[1]}", align(clip, second[2])[0]


def copy(clip: Clip, rng: Rng) -> Draw:
    return "identity", "identity", clip


def draw(clip: Clip, rng: Rng, recorded: Options) -> Draw:
    """One distortion of a clip."""
    drawn: Draw = _weighted(rng, [
        (36.0, any_codec), (18.0, partial(condition, recorded=recorded)), (7.0, lost), (2.0, gaps),
        (6.0, models.spectral), (6.0, models.split), (7.0, other_coder), (5.0, neural.reference),
        (4.0, lyra), (8.0, partial(tandem, recorded=recorded)), (1.0, copy),
    ])(clip, rng)  # fmt: skip
    return drawn


def _label(codec: str, options: Options) -> str:
    return " ".join([codec, *(f"{value}" for value in options.values())])


def _pick(rng: Rng, values: Any) -> Any:
    return values[int(rng.integers(len(values)))]


def _at(values: Any, share: float) -> Any:
    return values[min(int(share * len(values)), len(values) - 1)]


def _weighted(rng: Rng, choices: Any) -> Any:
    weights = np.array([weight for weight, _ in choices])
    return choices[int(rng.choice(len(choices), p=weights / weights.sum()))][1]
