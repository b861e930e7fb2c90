"""Any codec that turns audio into tokens, by one small class around its two calls.

The class says what its tokens are; bytes, rates, lengths, devices and caching are the bench's:

    class MyTokens:
        sample_rate_hz, frame_rate = 16_000, 50.0
        codebook_sizes = (1024,) * 8
        version = "1"

        def __init__(self, device: str = "cpu", checkpoint: str = "large") -> None: ...
        def encode(self, samples): ...    # float32 [channels, length] -> tokens [codebooks, frames]
        def decode(self, tokens): ...     # and back, about as long
"""

from __future__ import annotations

import inspect
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nacbench import audio, devices
from nacbench.codecs import shared_library, token_stream
from nacbench.codecs.token_stream import TokenStream
from nacbench.core import Bitstream, Clip
from nacbench.errors import CodecUnavailableError, DecodeError, UserError
from nacbench.registry import Registry

TOKEN_MODELS = Registry("token model", "nacbench.token_models", {})
SLACK_S = 1.0  # between the frames' duration and the clip's: padding to whole windows


class TokenCodec(ABC):
    """A codec around a token model: geometry, bytes and length.

    Args:
        codebook_sizes: of all codebooks.      codebooks: how many are sent; None: all.
    """

    def __init__(
        self,
        sample_rate_hz: int,
        channels: int,
        frame_rate: float,
        codebook_sizes: Sequence[int],
        codebooks: int | None = None,
    ) -> None:
        most = len(codebook_sizes)
        if codebooks is not None and not 1 <= codebooks <= most:
            raise ValueError(f"codebooks must be from 1 to {most}, got {codebooks}")
        self.sample_rates_hz = (sample_rate_hz,)
        self.channels = (channels,)
        self.frame_rate = frame_rate
        self.codebook_sizes = tuple(codebook_sizes)[:codebooks]
        bits = sum(map(token_stream.bits, self.codebook_sizes))
        self.nominal_kbps = bits * frame_rate / 1000
        self.notes: tuple[str, ...] = ()

    def encode(self, clip: Clip) -> Bitstream:
        found, arisen = devices.run(
            lambda device, batch: _array(self._model(device).encode(clip.samples))
        )
        self.notes = tuple(dict.fromkeys((*self.notes, *arisen)))
        tokens = found[: len(self.codebook_sizes)]
        if tokens.dtype.kind not in "iu":
            raise ValueError(f"the model's tokens are {tokens.dtype}, not whole numbers")
        stream = TokenStream(clip.length, tokens.astype(np.int64))
        if not self._fits(stream):
            raise ValueError(
                f"the model gives {tokens.shape[-1]} frames for {clip.duration_s:.2f} s, not about "
                f"{self.frame_rate:g} per second"
            )
        return Bitstream(token_stream.pack(stream, self.codebook_sizes))

    def decode(self, bitstream: Bitstream) -> Clip:
        stream = self._parsed(bitstream)
        samples, arisen = devices.run(
            lambda device, batch: _array(self._model(device).decode(stream.tokens))
        )
        self.notes = tuple(dict.fromkeys((*self.notes, *arisen)))
        samples = samples.astype(np.float32).reshape(self.channels[0], -1)
        return Clip(audio.fit_length(samples, stream.length), self.sample_rates_hz[0])

    def tokens(self, bitstream: Bitstream) -> NDArray[np.int64]:
        """`[codebooks, frames]`."""
        return self._parsed(bitstream).tokens

    def _parsed(self, bitstream: Bitstream) -> TokenStream:
        stream = token_stream.unpack(bitstream.payload, self.codebook_sizes)
        if len(stream.tokens) != len(self.codebook_sizes):
            raise DecodeError(
                f"{len(stream.tokens)} codebooks arrived, {len(self.codebook_sizes)} are in use"
            )
        if not self._fits(stream):
            raise DecodeError(f"{stream.tokens.shape[1]} frames for {stream.length} samples")
        return stream

    def _fits(self, stream: TokenStream) -> bool:
        """Whether there are about as many frames as so many samples take."""
        seconds = stream.length / self.sample_rates_hz[0]
        frames = stream.tokens.shape[1]
        slack_s = SLACK_S + 1 / self.frame_rate
        return frames > 0 and bool(abs(frames / self.frame_rate - seconds) <= slack_s)

    @abstractmethod
    def _model(self, device: str) -> Any:
        """What has `encode` and `decode`; loaded once in a process."""


class Tokens(TokenCodec):
    """A token model of yours: a class with `encode`, `decode`, codebook sizes and frame rate.

    Args:
        model: `package.module:Class`, or its name in the entry points `nacbench.token_models`.
        codebooks: how many of the first codebooks are sent; None: all of them.
        settings: keyword arguments of the class.
    """

    name = "tokens"
    title = "Tokens"
    version = "1"
    argument = "model"
    sweep = ("codebooks",)

    def __init__(
        self,
        model: str,
        codebooks: int | None = None,
        settings: dict[str, str | int | float | bool] | None = None,
    ) -> None:
        self._class: Any = TOKEN_MODELS.get(model)
        self._settings = json.dumps(settings or {}, sort_keys=True)
        _check_settings(model, self._class, settings or {})
        reason = self._class.missing() if hasattr(self._class, "missing") else None
        if reason is not None:
            raise CodecUnavailableError(f"token model '{model}': {reason}")
        super().__init__(**_geometry(model, self._class), codebooks=codebooks)

    def _model(self, device: str) -> Any:
        return _loaded(self._class, self._settings, device)

    def build_id(self) -> str:
        """The class's version and source, its weights by content, and its licence."""
        parts = [f"{self._class.__qualname__} {getattr(self._class, 'version', '')}".strip()]
        source = inspect.getsourcefile(self._class)
        if source is not None and Path(source).is_file():
            parts.append(shared_library.digest(Path(source)))
        weights = getattr(self._class, "weights", ())
        for path in weights(**json.loads(self._settings)) if callable(weights) else weights:
            if not Path(path).is_file():
                raise CodecUnavailableError(f"codec 'tokens': {path}: no such file of weights.")
            parts.append(f"weights {shared_library.digest(Path(path))}")
        parts.append(str(getattr(self._class, "licence", "")))
        return " ".join(filter(None, (*parts, devices.described())))


def _geometry(model: str, cls: Any) -> dict[str, Any]:
    """What a token model says of itself.

    Raises:
        UserError: it does not say all of it, or not plausibly.
    """
    lacking = [
        name
        for name in ("sample_rate_hz", "frame_rate", "codebook_sizes", "encode", "decode")
        if not hasattr(cls, name)
    ]
    if lacking:
        raise UserError(f"token model '{model}': the class has no {', '.join(lacking)}.")
    found = {
        "sample_rate_hz": cls.sample_rate_hz,
        "channels": getattr(cls, "channels", 1),
        "frame_rate": cls.frame_rate,
        "codebook_sizes": tuple(cls.codebook_sizes),
    }
    sizes = found["codebook_sizes"]
    whole = (found["sample_rate_hz"], found["channels"], *sizes)
    if not sizes or not all(isinstance(n, int) and n > 0 for n in whole) or min(sizes) < 2:
        raise UserError(
            f"token model '{model}': sample_rate_hz, channels and codebook_sizes must be positive "
            f"whole numbers, found {found}."
        )
    if not found["frame_rate"] > 0:
        raise UserError(f"token model '{model}': frame_rate must be positive frames per second.")
    return found


def _check_settings(model: str, cls: Any, settings: Mapping[str, Any]) -> None:
    try:
        inspect.signature(cls).bind(**settings)
    except TypeError as error:
        raise UserError(f"token model '{model}': settings do not fit: {error}.") from error


@lru_cache(maxsize=2)
def _loaded(cls: Any, settings: str, device: str) -> Any:
    takes_device = "device" in inspect.signature(cls).parameters
    return cls(**json.loads(settings), **({"device": device} if takes_device else {}))


def _array(values: Any) -> NDArray[Any]:
    """A NumPy array, from one or from a tensor on any device."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    return np.asarray(values)
