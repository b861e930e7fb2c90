"""The one place where audio is read, written and converted.

Resampling is soxr VHQ everywhere (-158 dB alias, flat to 0.91 of Nyquist), stated in every
manifest as `RESAMPLER`; see docs/metrics.md for why one resampler matters.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from nacbench.core import Clip, Samples
from nacbench.errors import UserError

RESAMPLER = "soxr:VHQ"


def read(path: Path | str, clip_id: str = "") -> Clip:
    """Read a WAV, FLAC, Ogg, MP3, AIFF, … file as float32 in ±1 at its own rate.

    Raises:
        UserError: the file is missing, truncated, not audio or holds no samples.
    """
    import soundfile

    path = Path(path)
    try:
        samples, sample_rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        if not path.exists():
            raise UserError(f"{path}: no such file.") from error
        raise UserError(f"{path}: not readable as audio ({error}). Is it truncated?") from error
    if samples.shape[0] == 0:
        raise UserError(f"{path}: holds no samples. Remove it or record it again.")
    return Clip(np.ascontiguousarray(samples.T), sample_rate_hz, clip_id or path.stem)


def write(path: Path | str | BinaryIO, clip: Clip, subtype: str = "FLOAT") -> None:
    """Write a WAV or FLAC file; 32-bit float by default, so nothing is lost or clipped."""
    import soundfile

    if isinstance(path, (str, Path)):
        soundfile.write(path, clip.samples.T, clip.sample_rate_hz, subtype=subtype)
    else:
        soundfile.write(path, clip.samples.T, clip.sample_rate_hz, subtype=subtype, format="WAV")


def at_rate(clip: Clip, sample_rate_hz: int) -> Clip:
    """The clip at another rate; the same object when it already has it.

    Length becomes round(length · new / old), whatever the resampler's own rounding.
    """
    if clip.sample_rate_hz == sample_rate_hz:
        return clip
    import soxr

    length = round(clip.length * sample_rate_hz / clip.sample_rate_hz)
    resampled = soxr.resample(clip.samples.T, clip.sample_rate_hz, sample_rate_hz, quality="VHQ").T
    return Clip(fit_length(resampled, length), sample_rate_hz, clip.id, clip.tags)


def to_mono(clip: Clip) -> Clip:
    """The mean of the channels (0.5 · (L + R)); the same object when already mono."""
    if clip.channels == 1:
        return clip
    return Clip(clip.samples.mean(axis=0), clip.sample_rate_hz, clip.id, clip.tags)


def fit_length(samples: Samples, length: int) -> Samples:
    """Cut or zero-pad `[channels, time]` at the end to exactly `length` samples."""
    missing = length - samples.shape[-1]
    if missing <= 0:
        return samples[..., :length]
    return np.pad(samples, [(0, 0)] * (samples.ndim - 1) + [(0, missing)])


def sha256(clip: Clip) -> str:
    """Content hash of samples, shape and rate; what caches and records name a clip by."""
    header = f"{clip.channels}x{clip.length}@{clip.sample_rate_hz}:".encode()
    return hashlib.sha256(header + clip.samples.astype("<f4").tobytes()).hexdigest()
