"""A published recording -> the file that is kept: cut, average, round, store losslessly."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nacbench.data.index import Conversion
from nacbench.errors import UserError

FADE_S = 0.01  # raised cosine at an edge that was cut, so that a clip does not begin with a click
BITS = {"PCM_16": 16, "PCM_24": 24}


def convert(source: Path, target: Path, recipe: Conversion) -> bool:
    """Write `target` (FLAC) from `source`; whether its samples are those of the index.

    Raises:
        UserError: the source cannot be decoded, or gives other samples than the index has where
            decoders must agree.
    """
    samples, sample_rate_hz = decode(source)
    kept = cut(samples, sample_rate_hz, recipe)
    shape = (kept.shape[0], sample_rate_hz, kept.shape[1])
    expected = (recipe.frames, recipe.sample_rate_hz, recipe.channels)
    same = shape == expected and pcm_sha256(kept, sample_rate_hz) == recipe.pcm_sha256
    if shape != expected or (recipe.exact and not same):
        raise UserError(
            f"{source.name}: decodes to {shape[0]} frames at {shape[1]} Hz in {shape[2]} channels"
            f"{'' if shape != expected else ' with other samples'}; the index expects "
            f"{expected[0]} at {expected[1]} Hz in {expected[2]}. "
            "Update soundfile and av to the versions in constraints.txt."
        )
    import soundfile

    soundfile.write(target, kept, sample_rate_hz, subtype=recipe.subtype, format="FLAC")
    return same


def decode(source: Path) -> tuple[NDArray[np.float64], int]:
    """`[time, channels]` in ±1 and the rate: by libsndfile, or by FFmpeg what that cannot read."""
    import soundfile

    try:
        samples, sample_rate_hz = soundfile.read(source, dtype="float64", always_2d=True)
    except soundfile.LibsndfileError:
        return _decode_with_ffmpeg(source)
    return samples, sample_rate_hz


def cut(samples: NDArray[np.float64], sample_rate_hz: int, recipe: Conversion) -> NDArray[np.int32]:
    """The part that is kept, as integers left-justified in 32 bits.

    Rounds to the nearest step, ties to even, full scale 2^(bits-1), clipped at its ends.
    """
    start = round((recipe.start_s or 0.0) * sample_rate_hz)
    end = len(samples) if recipe.end_s is None else round(recipe.end_s * sample_rate_hz)
    part = samples[start:end].copy()
    ramp = 0.5 - 0.5 * np.cos(np.pi * np.arange(fade := round(FADE_S * sample_rate_hz)) / fade)
    if start > 0:
        part[:fade] *= ramp[:, np.newaxis]
    if end < len(samples):
        part[-fade:] *= ramp[::-1, np.newaxis]
    if part.shape[1] > recipe.channels == 1:
        part = part.mean(axis=1, keepdims=True)
    steps = 2 ** (BITS[recipe.subtype] - 1)
    rounded = np.clip(np.rint(part * steps), -steps, steps - 1)
    return np.asarray(rounded * 2.0 ** (32 - BITS[recipe.subtype]), dtype=np.int32)


def pcm_sha256(samples: NDArray[np.int32], sample_rate_hz: int) -> str:
    """Of rate, channels and samples `[time, channels]`, whatever file they are stored in."""
    header = f"{sample_rate_hz} Hz x {samples.shape[1]}\n".encode()
    return hashlib.sha256(header + samples.astype("<i4").tobytes()).hexdigest()


def _decode_with_ffmpeg(source: Path) -> tuple[NDArray[np.float64], int]:
    import av

    try:
        with av.open(str(source)) as container:
            stream = container.streams.audio[0]
            frames: list[Any] = [_samples(frame) for frame in container.decode(stream)]
            return np.concatenate(frames).astype(np.float64), stream.rate
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise UserError(f"{source.name}: no decoder reads it ({error}).") from error


def _samples(frame: Any) -> NDArray[np.float64]:
    """`[time, channels]` of one FFmpeg frame, planar or packed, integer or float, in ±1."""
    array = frame.to_ndarray()
    if not frame.format.is_planar:
        array = array.reshape(-1, frame.layout.nb_channels).T
    scale = np.iinfo(array.dtype).max + 1.0 if np.issubdtype(array.dtype, np.integer) else 1.0
    return np.asarray(array.T / scale)
