"""One file of the pack before it is written, and the finishing that all of them share."""

from __future__ import annotations

import importlib.metadata
import subprocess
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nacbench.errors import UserError

Audio = NDArray[np.float64]

ALL_PACKAGES = "docs/embedded-pack.md lists every package and where Debian keeps it"
OWN_LICENCE = "MIT"  # as the project


@dataclass(frozen=True)
class Track:
    """A finished clip with everything the manifest says about it.

    Attributes:
        audio: `[channels, time]`, full scale ±1.
        genre: what is to be heard, for grouping results.
        licence: of this file. `generator`: engines with versions. `processing`: what was done
            to the engine's output.
    """

    id: str
    set: str
    audio: Audio
    sample_rate_hz: int
    genre: str
    licence: str
    generator: str
    processing: str
    seed: int
    speaker: str = ""
    gender: str = ""
    language: str = ""
    transcript: str = ""

    def __post_init__(self) -> None:
        if self.audio.ndim != 2 or not np.isfinite(self.audio).all():
            raise ValueError(f"{self.id}: audio must be finite [channels, time]")


def run(command: list[str], package: str, text: bytes = b"") -> bytes:
    """Run an engine and return what it printed.

    Raises:
        UserError: the program is missing, or fails (a voice is missing); names the package.
    """
    try:
        done = subprocess.run(command, input=text, capture_output=True, check=True, timeout=120)
    except FileNotFoundError as error:
        raise UserError(
            f"{command[0]}: not installed. Try: apt-get install {package} ({ALL_PACKAGES})"
        ) from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise UserError(
            f"{' '.join(command)}: exit status {error.returncode} {said}. "
            f"Is its data there? Try: apt-get install {package} ({ALL_PACKAGES})"
        ) from error
    return done.stdout


def debian_versions(*packages: str) -> str:
    """`flite 2.2-5, libflite1 2.2-5`, from the package database."""
    found = []
    for package in packages:
        query = ["dpkg-query", "-W", "-f=${Version}", package]
        found.append(f"{package} {run(query, package).decode()}")
    return ", ".join(found)


def numpy_version() -> str:
    return f"nacbench pack builder, numpy {importlib.metadata.version('numpy')}"


def amplitude(level_db: float) -> float:
    return float(10 ** (level_db / 20))


def high_pass(audio: Audio, sample_rate_hz: int, cutoff_hz: float) -> Audio:
    """Second-order Butterworth along time, as a microphone's; engines may leave an offset."""
    from scipy.signal import butter, sosfilt

    sections = butter(2, cutoff_hz, "highpass", fs=sample_rate_hz, output="sos")
    filtered: Audio = sosfilt(sections, audio)
    return filtered


def fade(audio: Audio, sample_rate_hz: int, fade_in_s: float, fade_out_s: float) -> Audio:
    """Raised-cosine ramps at both ends, so that a cut is not a click."""
    audio = audio.copy()
    rise, fall = round(fade_in_s * sample_rate_hz), round(fade_out_s * sample_rate_hz)
    if rise:
        audio[:, :rise] *= 0.5 - 0.5 * np.cos(np.pi * np.arange(rise) / rise)
    if fall:
        audio[:, -fall:] *= 0.5 + 0.5 * np.cos(np.pi * np.arange(1, fall + 1) / fall)
    return audio


def to_peak(audio: Audio, peak_dbfs: float) -> Audio:
    return audio * (amplitude(peak_dbfs) / float(np.abs(audio).max()))


def to_active_level(audio: Audio, sample_rate_hz: int, level_dbfs: float) -> Audio:
    """Scale so that the frames in which something sounds have this RMS level.

    Frames of 20 ms count that lie within 30 dB of the loud ones (95th percentile). The peak is
    held below -1 dBFS by taking less gain, never by limiting.
    """
    frame = round(0.02 * sample_rate_hz)
    mono = audio.mean(axis=0)
    power = np.square(mono[: mono.size // frame * frame]).reshape(-1, frame).mean(axis=1)
    active = power[power > np.percentile(power, 95) * 1e-3]
    gain = amplitude(level_dbfs) / float(np.sqrt(active.mean()))
    return audio * min(gain, amplitude(-1) / float(np.abs(audio).max()))


def noise_of_slope(rng: np.random.Generator, length: int, exponent: float) -> Audio:
    """Unit-power noise whose power falls as 1/f^exponent: 0 white, 1 pink, 2 brown."""
    spectrum = np.fft.rfft(rng.standard_normal(length))
    spectrum *= np.maximum(np.arange(spectrum.size), 1.0) ** (-exponent / 2)
    spectrum[0] = 0
    shaped: Audio = np.fft.irfft(spectrum, length)
    return shaped / float(shaped.std())
