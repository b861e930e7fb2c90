"""Clip -> bytes -> clip: build a codec, give it what it takes, and check what it gives back.

Codecs take certain rates and channel counts. The bench converts to them and back, in this file and
for all codecs alike, so that no codec resamples behind the bench's back:

- rate: the clip's own if the codec takes it, else the next higher one it takes, else its highest;
- channels: together if the codec takes that many, else each channel on its own through the codec
  (its bytes all count), else, for one channel into a codec that takes only more, copies of it.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from nacbench import audio
from nacbench.codecs import CODECS
from nacbench.core import Bitstream, Clip, Codec
from nacbench.errors import CodecUnavailableError, UserError
from nacbench.registry import did_you_mean

SHORT_BY_S = 0.25  # a codec that drops its last frame; the longest in use is 0.1 s
LONG_BY_S = 1.0  # delay and padding; EnCodec at 48 kHz pads to whole seconds


def build(codec: str, options: Mapping[str, Any]) -> Codec:
    """A codec by registry name (`opus`, `pcm:8`) or `package.module:Class`, at one setting.

    Raises:
        UserError: unknown name or option, or a value out of range.
        CodecUnavailableError: something is not installed; the message says how to install it.
    """
    name, argument = CODECS.split(codec)
    cls = CODECS.get(name)
    given = {**argument, **options}
    known = inspect.signature(cls).parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in known.values())
    for option in given:
        if option not in known and not open_ended:
            takes = f"It takes {', '.join(known)}." if known else "It takes none."
            raise UserError(
                f"codec '{codec}' has no option '{option}'.{did_you_mean(option, known)} {takes}"
            )
    for option, parameter in known.items():
        variadic = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        if parameter.default is parameter.empty and not variadic and option not in given:
            raise UserError(f"codec '{codec}' needs the option '{option}'.")
    reason = missing(codec)
    if reason is not None:
        raise CodecUnavailableError(f"codec '{codec}': {reason}")
    try:
        return cls(**given)  # type: ignore[no-any-return]
    except (ValueError, TypeError) as error:
        raise UserError(f"codec '{codec}': {error}") from error


def missing(codec: str) -> str | None:
    """Why a codec cannot run here and how to install it; None when it can.

    Raises:
        UserError: the name is unknown.
    """
    cls = CODECS.get(CODECS.split(codec)[0])
    ask = getattr(cls, "missing", None)
    return ask() if ask else None


def encode(codec: Codec, clip: Clip) -> tuple[Bitstream, ...]:
    """Code a clip; one stream, or one per channel where the codec takes single channels only.

    Raises:
        ValueError: the clip is empty, not finite, or nothing this codec can take.
    """
    if clip.length == 0:
        raise ValueError("the clip is empty")
    if not np.isfinite(clip.samples).all():
        raise ValueError("the clip holds values that are not finite (NaN or infinity)")
    streams = tuple(codec.encode(part) for part in parts(codec, clip))
    for stream in streams:
        if not isinstance(stream, Bitstream):
            raise ValueError(f"encode returned {type(stream).__name__}, not a Bitstream")
    return streams


def decode(codec: Codec, streams: tuple[Bitstream, ...], reference: Clip) -> Clip:
    """Decode at the reference's rate and channel count; not aligned, length as it comes.

    Args:
        codec: a fresh instance, which has seen neither the clip nor another stream.

    Raises:
        DecodeError: the codec refuses the payload.
        ValueError: what the codec returned is not plausible audio.
    """
    parts = [_checked(codec.decode(stream)) for stream in streams]
    rates = {part.sample_rate_hz for part in parts}
    if len(parts) > 1:
        if len(rates) > 1 or any(part.channels != 1 for part in parts):
            raise ValueError("decode returned other than one channel for a one-channel stream")
        length = max(part.length for part in parts)
        samples = np.concatenate([audio.fit_length(part.samples, length) for part in parts])
    else:
        samples = parts[0].samples
        if reference.channels == 1 and samples.shape[0] > 1:
            samples = samples.mean(axis=0, keepdims=True)
    decoded = Clip(samples, rates.pop(), reference.id, reference.tags)
    if decoded.channels != reference.channels:
        raise ValueError(
            f"decode returned {decoded.channels} channels for a clip of {reference.channels}"
        )
    excess_s = decoded.duration_s - reference.duration_s
    if not -min(SHORT_BY_S, reference.duration_s / 2) <= excess_s <= LONG_BY_S:
        raise ValueError(
            f"decode returned {decoded.duration_s:.3f} s of audio "
            f"for a clip of {reference.duration_s:.3f} s"
        )
    return audio.at_rate(decoded, reference.sample_rate_hz)


def coded_rate_hz(codec: Codec, sample_rate_hz: int) -> int:
    """The rate at which `codec` gets a clip of this rate."""
    taken: tuple[int, ...] = getattr(codec, "sample_rates_hz", ())
    if not taken or sample_rate_hz in taken:
        return sample_rate_hz
    return min((rate for rate in taken if rate > sample_rate_hz), default=max(taken))


def parts(codec: Codec, clip: Clip) -> list[Clip]:
    """A clip as `codec` gets it: at a rate and in channel groups that it takes.

    Raises:
        ValueError: nothing is left at that rate, or the channels do not fit.
    """
    converted = audio.at_rate(clip, coded_rate_hz(codec, clip.sample_rate_hz))
    if converted.length == 0:
        raise ValueError(
            f"the clip is too short: {clip.length} samples at {clip.sample_rate_hz} Hz "
            f"are none at {converted.sample_rate_hz} Hz"
        )
    return _channel_groups(codec, converted)


def _channel_groups(codec: Codec, clip: Clip) -> list[Clip]:
    taken: tuple[int, ...] = getattr(codec, "channels", ())
    if not taken or clip.channels in taken:
        return [clip]
    rate, name, tags = clip.sample_rate_hz, clip.id, clip.tags
    if 1 in taken:
        return [Clip(channel, rate, name, tags) for channel in clip.samples]
    if clip.channels == 1:
        return [Clip(np.repeat(clip.samples, min(taken), axis=0), rate, name, tags)]
    raise ValueError(
        f"the clip has {clip.channels} channels, the codec takes {' or '.join(map(str, taken))}"
    )


def _checked(decoded: Clip) -> Clip:
    if not isinstance(decoded, Clip):
        raise ValueError(f"decode returned {type(decoded).__name__}, not a Clip")
    if decoded.length == 0:
        raise ValueError("decode returned no samples")
    if not np.isfinite(decoded.samples).all():
        raise ValueError("decode returned values that are not finite (NaN or infinity)")
    return decoded
