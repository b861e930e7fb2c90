"""Audio files to pieces of bounded length at the codec's rate and channels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reference_codec.resampling import StreamResampler
from reference_codec.training.recordings import BY_FFMPEG, Recording

Samples = NDArray[np.float32]

PIECE_S = 60.0  # an hour-long file never stands in memory whole
_READ_S = 10.0


class UnusableError(Exception):
    """Why a file cannot be trained on; goes into the list of what was left out."""


def source_rate_hz(recording: Recording) -> int:
    """Raises:
    UnusableError: the file cannot be opened.
    """
    return _opened(recording)[0]


def pieces(recording: Recording, sample_rate_hz: int, channels: int) -> Iterator[Samples]:
    """`[channels, time]`, each of at most `PIECE_S`; mono stays mono where two are asked for.

    Raises:
        UnusableError: not readable, truncated, or with values that are not finite.
    """
    rate_hz, blocks = _opened(recording)
    resampler: StreamResampler | None = None
    held: list[Samples] = []
    limit = round(PIECE_S * sample_rate_hz)

    def cut(whole: bool) -> Iterator[Samples]:
        if not held:
            return
        joined = np.concatenate(held, axis=1)
        held.clear()
        while joined.shape[1] >= limit:
            yield joined[:, :limit]
            joined = joined[:, limit:]
        if whole and joined.shape[1]:
            yield joined
        elif joined.shape[1]:
            held.append(joined)

    for block in blocks:
        if not np.isfinite(block).all():
            raise UnusableError("has samples that are not finite")
        block = _with_channels(block, channels)
        resampler = resampler or StreamResampler(rate_hz, sample_rate_hz, block.shape[0])
        held.append(resampler.push(block))
        yield from cut(whole=False)
    if resampler is not None:
        held.append(resampler.finish())
    yield from cut(whole=True)


def _with_channels(block: Samples, channels: int) -> Samples:
    if channels == 1 and block.shape[0] > 1:
        mean: Samples = block.mean(axis=0, keepdims=True, dtype=np.float32)
        return mean
    return block[:channels]


def _opened(recording: Recording) -> tuple[int, Iterator[Samples]]:
    path = recording.path
    if not path.is_file():
        raise UnusableError("is missing")
    if path.suffix.lower() in BY_FFMPEG:
        return _through_ffmpeg(path, recording.start_s, recording.duration_s)
    import soundfile

    try:
        header = soundfile.info(path)
    except (soundfile.LibsndfileError, OSError, TypeError) as error:
        raise UnusableError(f"not readable as audio ({_reason(error)})") from error
    return header.samplerate, _through_libsndfile(path, recording.start_s, recording.duration_s)


def _through_libsndfile(path: Path, start_s: float, duration_s: float | None) -> Iterator[Samples]:
    import soundfile

    try:
        with soundfile.SoundFile(path) as file:
            start = round(start_s * file.samplerate)
            wanted = file.frames - start
            if duration_s is not None:
                wanted = min(wanted, round(duration_s * file.samplerate))
            if wanted <= 0:
                raise UnusableError("is empty, or ends before start_s")
            if start:
                file.seek(start)
            while wanted > 0:
                size = min(wanted, round(_READ_S * file.samplerate))
                block = file.read(size, dtype="float32", always_2d=True)
                # An MP3 without a header of its length gives a guess, which is no damage.
                if block.shape[0] < size and file.format != "MP3":
                    raise UnusableError("is truncated")
                if block.shape[0] == 0:
                    return
                wanted -= block.shape[0]
                yield np.ascontiguousarray(block.T)
    except (soundfile.LibsndfileError, OSError) as error:
        raise UnusableError(f"not readable to its end ({_reason(error)})") from error


def _through_ffmpeg(
    path: Path, start_s: float, duration_s: float | None
) -> tuple[int, Iterator[Samples]]:
    try:
        import av
    except ImportError as error:
        raise UnusableError("needs PyAV (pip install av)") from error
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise UnusableError("has no audio")
            rate_hz = container.streams.audio[0].rate
    except (av.FFmpegError, OSError) as error:
        raise UnusableError(f"not readable as audio ({_reason(error)})") from error
    return rate_hz, _ffmpeg_blocks(path, rate_hz, start_s, duration_s)


def _ffmpeg_blocks(
    path: Path, rate_hz: int, start_s: float, duration_s: float | None
) -> Iterator[Samples]:
    import av

    first = round(start_s * rate_hz)
    last = None if duration_s is None else first + round(duration_s * rate_hz)
    at = 0
    try:
        with av.open(str(path)) as container:
            stream = container.streams.audio[0]
            resampler = av.AudioResampler(format="fltp", layout=stream.layout, rate=rate_hz)
            for frame in container.decode(stream):
                for converted in resampler.resample(frame):
                    block = converted.to_ndarray().astype(np.float32)
                    start = max(0, first - at)
                    stop = block.shape[1] if last is None else max(0, last - at)
                    at += block.shape[1]
                    if start < min(stop, block.shape[1]):
                        yield block[:, start:stop]
    except (av.FFmpegError, OSError) as error:
        raise UnusableError(f"not readable to its end ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    text = str(getattr(error, "error_string", None) or getattr(error, "strerror", None) or error)
    return text.strip().rstrip(".") or type(error).__name__
