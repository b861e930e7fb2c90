"""The one place where audio is read, written and converted.

Resampling is soxr VHQ everywhere (-158 dB alias, flat to 0.91 of Nyquist), stated in every
manifest as `RESAMPLER`; see docs/metrics.md for why one resampler matters.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from nacbench.core import Clip, Samples
from nacbench.errors import UserError

RESAMPLER = "soxr:VHQ"

MAX_SAMPLES = 2**28  # over all channels: 1 GiB as float32, 46 min of stereo at 48 kHz

# libsndfile reads what is left of a file whose header promises more, and notes it in its log.
_SHORT_OF_HEADER = re.compile(
    r"^\s*(?:data|SSND|Data Size|riff|Riff size)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE
)
_LENGTH_UNKNOWN = (0, 0x7FFFFFFF, 0xFFFFFFFF)  # as written by programs that stream to a pipe


def read(
    path: Path | str, clip_id: str = "", start_s: float = 0.0, duration_s: float | None = None
) -> Clip:
    """Read a WAV, FLAC, Ogg, MP3, AIFF, … file, or a part of it, as float32 at its own rate.

    Integer formats come out in ±1; a float file may exceed that, and is not changed.

    Args:
        start_s, duration_s: the part to read, to the nearest sample; None reads to the end.

    Raises:
        UserError: the file is missing, truncated, not audio, without samples, longer than
            `MAX_SAMPLES`, or holds NaN or infinity; or the part is not inside it.
    """
    import soundfile

    path = Path(path)
    try:
        with soundfile.SoundFile(path) as file:
            _refuse_truncated(path, file.format, file.extra_info)
            start, length = _part(path, file.frames, file.samplerate, start_s, duration_s)
            if length * file.channels > MAX_SAMPLES:
                raise UserError(
                    f"{path}: {length / file.samplerate / 60:.0f} min of {file.channels}-channel "
                    f"audio is more than one clip may hold ({MAX_SAMPLES:,} samples). "
                    "Give start_s and duration_s."
                )
            samples = _read_frames(file, start, length)
            sample_rate_hz = file.samplerate
    except (soundfile.LibsndfileError, OSError) as error:
        if not path.exists():
            raise UserError(f"{path}: no such file.") from error
        raise UserError(f"{path}: not readable as audio ({error}) Is it truncated?") from error
    short = samples.shape[0] < length
    if short and (duration_s is not None or file.format != "MP3" or _mp3_states_its_length(path)):
        raise UserError(
            f"{path}: truncated: {start + samples.shape[0]:,} of {start + length:,} samples can be "
            "read. Copy or download it again."
        )
    _refuse_not_finite(path, samples, sample_rate_hz)
    return Clip(np.ascontiguousarray(samples.T), sample_rate_hz, clip_id or path.stem)


def duration_s(path: Path | str) -> float:
    """Length of a file by its header, in seconds.

    Raises:
        UserError: the file is missing or not audio.
    """
    import soundfile

    try:
        header = soundfile.info(path)
    except (soundfile.LibsndfileError, OSError) as error:
        raise UserError(f"{path}: missing or not readable as audio ({error})") from error
    return float(header.frames / header.samplerate)


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


def loudness_lufs(clip: Clip) -> float:
    """Integrated loudness; -inf where every block is gated as silence.

    Raises:
        UserError: shorter than one block of 400 ms, or more than five channels.
    Source: ITU-R BS.1770-4, through pyloudnorm with the filters of its class "DeMan", which meet
    the standard's calibration point (-3.01 for a full-scale sine at 997 Hz) to 0.05 dB at any
    rate; its default is 0.18 dB off at 8 kHz.
    """
    import pyloudnorm

    if clip.duration_s < 0.4:
        raise UserError(f"{clip.id}: {clip.duration_s:.2f} s is too short to have a loudness.")
    if clip.channels > 5:
        raise UserError(f"{clip.id}: loudness is defined for 1 to 5 channels, not {clip.channels}.")
    meter = pyloudnorm.Meter(clip.sample_rate_hz, filter_class="DeMan")
    with np.errstate(divide="ignore"):
        return float(meter.integrated_loudness(clip.samples.T.astype(np.float64)))


def sha256(clip: Clip) -> str:
    """Content hash of samples, shape and rate; what caches and records name a clip by."""
    header = f"{clip.channels}x{clip.length}@{clip.sample_rate_hz}:".encode()
    return hashlib.sha256(header + clip.samples.astype("<f4").tobytes()).hexdigest()


def _part(
    path: Path, frames: int, sample_rate_hz: int, start_s: float, duration_s: float | None
) -> tuple[int, int]:
    """First frame and number of frames of a part given in seconds."""
    if frames <= 0:
        raise UserError(f"{path}: holds no samples. Remove it or record it again.")
    start = round(start_s * sample_rate_hz)
    length = frames - start if duration_s is None else round(duration_s * sample_rate_hz)
    if start < 0 or length <= 0 or start + length > frames:
        end = "the end" if duration_s is None else f"{start_s + duration_s:g} s"
        raise UserError(
            f"{path}: the part from {start_s:g} s to {end} is not inside the file, "
            f"which is {frames / sample_rate_hz:g} s long. Change start_s or duration_s."
        )
    return start, length


def _read_frames(file: Any, start: int, length: int) -> Samples:
    """`[time, channels]`, fewer than asked where the file ends early; grows as it is read."""
    # MP3 seeks by its table of contents, which is not sample-exact: read up to the start instead.
    skip = start if file.format == "MP3" else 0
    if skip < start:
        file.seek(start)
    blocks: list[Samples] = []
    wanted = skip + length
    while wanted > 0:
        block = file.read(min(wanted, 1 << 20), dtype="float32", always_2d=True)
        if block.shape[0] == 0:
            break
        blocks.append(block)
        wanted -= block.shape[0]
    empty = np.zeros((0, file.channels), np.float32)
    return np.concatenate([empty, *blocks])[skip:]


def _refuse_truncated(path: Path, file_format: str, log: str) -> None:
    for declared, present in _SHORT_OF_HEADER.findall(log):
        if int(declared) > int(present) and int(declared) not in _LENGTH_UNKNOWN:
            raise UserError(
                f"{path}: truncated: {int(present):,} of {int(declared):,} bytes of audio are "
                "there. Copy or download it again."
            )
    if file_format == "OGG" and not _ogg_has_ended(path):
        raise UserError(
            f"{path}: truncated: its last Ogg page is missing. Copy or download it again."
        )


def _ogg_has_ended(path: Path) -> bool:
    """Whether the last page is whole and carries the end-of-stream flag (RFC 3533 §6)."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 2 * 65307))  # the largest possible page, twice
        tail = file.read()
    page = tail[max(0, tail.rfind(b"OggS")) :]
    if len(page) < 27 or not page[5] & 0x04:
        return False
    segments = page[26]
    return len(page) >= 27 + segments + sum(page[27 : 27 + segments])


def _mp3_states_its_length(path: Path) -> bool:
    """Whether its first frame carries a Xing, Info or VBRI header; else the length is a guess."""
    with path.open("rb") as file:
        head = file.read(10)
        if head[:3] == b"ID3":  # skip the tag; its size is four times 7 bits, ID3v2.4 §3.1
            size = int("".join(f"{byte & 0x7F:07b}" for byte in head[6:]) or "0", base=2)
            file.seek(10 + size)
        else:
            file.seek(0)
        frame = file.read(4096)
    return any(name in frame for name in (b"Xing", b"Info", b"VBRI"))


def _refuse_not_finite(path: Path, samples: Samples, sample_rate_hz: int) -> None:
    bad = ~np.isfinite(samples)
    if bad.any():
        frame, channel = np.argwhere(bad)[0].tolist()
        raise UserError(
            f"{path}: sample {frame} ({frame / sample_rate_hz:.3f} s) of channel {channel + 1} is "
            f"{samples[frame, channel]}, and {int(bad.sum()) - 1} more are not finite. "
            "Repair the file: no codec is defined on it."
        )
