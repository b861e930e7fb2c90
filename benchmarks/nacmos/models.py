"""Models of what codecs do to a spectrum, without the codec.

What a neural codec does: envelopes kept and fine structure made up. What a wideband speech codec at
a low rate does: a narrowband coder below 4 kHz and a rough guess above.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.nacmos.coders import CODERS, NARROWBAND, Coder, coded, like
from nacbench import audio
from nacbench.alignment import align
from nacbench.core import Clip

Rng = np.random.Generator
EDGE_HZ = 4000


def spectral(clip: Clip, rng: Rng) -> tuple[str, str, Clip]:
    """Phases made random, magnitudes made coarse, or bands smeared over time and frequency."""
    from scipy.signal import istft, stft

    window = int(rng.choice((256, 512, 1024)))
    spectrum = stft(clip.samples[0], nperseg=window, noverlap=window * 3 // 4)[2]
    magnitude, phase = np.abs(spectrum), np.angle(spectrum)
    strength = float(rng.beta(1, 1.2))
    kind = rng.choice(("phase", "steps", "smear", "holes", "bands", "mixed"))
    if kind in ("phase", "mixed"):
        phase = phase + strength * np.pi * rng.uniform(-1, 1, phase.shape)
    if kind in ("steps", "mixed"):
        step = 0.2 + 3 * strength
        magnitude = np.exp(step * np.rint(np.log(magnitude + 1e-7) / step + rng.random()))
    if kind == "smear":
        magnitude = _smeared(magnitude, 1 + round(12 * strength), 1 + round(4 * rng.random()))
    if kind == "holes":
        block = np.kron(rng.random((magnitude.shape[0] // 4 + 1, magnitude.shape[1] // 2 + 1)),
                        np.ones((4, 2)))  # fmt: skip
        kept = block[: magnitude.shape[0], : magnitude.shape[1]] > 0.6 * strength
        magnitude = magnitude * kept
    if kind == "bands":
        magnitude, phase = _band_noise(magnitude, phase, strength, rng)
    samples = istft(magnitude * np.exp(1j * phase), nperseg=window, noverlap=window * 3 // 4)[1]
    samples = np.resize(samples, clip.length) if samples.size < clip.length else samples
    degraded = like(clip, samples[: clip.length].astype(np.float32))
    return "modelled", f"{kind} {strength:.2f} window {window}", degraded


def narrowband(clip: Clip, coder: Coder) -> Clip:
    """A clip through a coder of 8 kHz."""
    narrow = audio.at_rate(clip, 2 * EDGE_HZ)
    decoded = like(narrow, coder(narrow.samples[0]))
    return align(clip, audio.at_rate(decoded, clip.sample_rate_hz))[0]


def split(clip: Clip, rng: Rng) -> tuple[str, str, Clip]:
    """Two bands: a narrowband coder below 4 kHz; above it noise or the low band folded up.

    The high band has the original's envelope, coarse in time, frequency and level.
    """
    from scipy.signal import istft, stft

    name, low = _low_band(clip, rng)
    options: dict[str, Any] = {"fs": clip.sample_rate_hz, "nperseg": 256, "noverlap": 192}
    original, lower = (stft(x.samples[0], **options)[2] for x in (clip, low))
    edge, bins, frames = 64, int(rng.choice((4, 8, 16, 64))), int(rng.choice((5, 10, 20)))
    folded = bool(rng.random() < 0.5)
    source = lower[edge:0:-1] if folded else _noise(lower[:edge].shape, rng)
    envelope = _blocks(np.abs(original[edge + 1 :]), bins, frames)
    step = float(rng.uniform(0.1, 1.2))
    envelope = np.exp(step * np.rint(np.log(envelope + 1e-7) / step)) * (rng.random() > 0.1)
    upper = source * envelope / (_blocks(np.abs(source), bins, frames) + 1e-7)
    whole = np.concatenate([lower[: edge + 1], upper])
    samples = np.resize(istft(whole, **options)[1], clip.length).astype(np.float32)
    label = f"{name} + {'fold' if folded else 'noise'} {bins} bins {frames} frames {step:.1f}"
    return "split", label, like(clip, samples)


def _low_band(clip: Clip, rng: Rng) -> tuple[str, Clip]:
    """Through a narrowband coder, of the bench or not; once in five, as it is."""
    kind = float(rng.random())
    if kind < 0.2:
        return "as it is", clip
    if kind < 0.6:
        name = str(rng.choice(NARROWBAND[:4]))
        return name, narrowband(clip, CODERS[name][1])
    codec, rates = ("amr_nb", (4.75, 5.9, 7.4, 12.2)) if kind < 0.9 else ("codec2", (2.4, 3.2))
    kbps = float(rng.choice(rates))
    return f"{codec} {kbps:g}", coded(clip, codec, {"kbps": kbps})


def _noise(shape: tuple[int, ...], rng: Rng) -> NDArray[Any]:
    drawn: NDArray[Any] = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    return drawn


def _blocks(magnitude: NDArray[Any], bins: int, frames: int) -> NDArray[Any]:
    """Root mean square of each block of so many bins and frames, at full resolution."""
    from scipy.ndimage import uniform_filter1d

    power = np.repeat(np.square(magnitude).reshape(-1, bins, magnitude.shape[1]).mean(1), bins, 0)
    return np.sqrt(np.maximum(uniform_filter1d(power, frames, axis=1), 0))


def _smeared(magnitude: NDArray[Any], frames: int, bins: int) -> NDArray[Any]:
    from scipy.ndimage import uniform_filter

    smeared: NDArray[Any] = np.exp(uniform_filter(np.log(magnitude + 1e-6), (bins, frames)))
    return smeared


def _band_noise(
    magnitude: NDArray[Any], phase: NDArray[Any], strength: float, rng: Rng
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Noise of the right level above a frequency, as bandwidth extension makes it."""
    edge = int(magnitude.shape[0] * (1 - 0.9 * strength))
    noisy = _smeared(magnitude, 3, 5) * rng.rayleigh(0.8, magnitude.shape)
    upper = np.arange(magnitude.shape[0])[:, np.newaxis] >= edge
    turned = rng.uniform(-np.pi, np.pi, phase.shape)
    return np.where(upper, noisy, magnitude), np.where(upper, turned, phase)
