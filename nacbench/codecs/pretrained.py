"""What the codecs from `transformers` share: a checkpoint, its geometry, tokens and bytes."""

from __future__ import annotations

import contextlib
import importlib
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nacbench import audio, devices
from nacbench.codecs import token_stream
from nacbench.codecs.checkpoint import Checkpoint, Published, find
from nacbench.codecs.token_stream import TokenStream
from nacbench.core import Bitstream, Clip
from nacbench.errors import DecodeError, UserError
from nacbench.torchaudio_cpu import import_torchaudio


class PretrainedCodec(ABC):
    """A token codec whose network `transformers` has.

    A subclass names its published checkpoints and what `config.json` leaves out when it is as in
    the paper, and says how samples become tokens and back.

    Attributes:
        published: short name -> checkpoint on the hub.
        model_type: as `config.json` states it.     model_class: in `transformers`.
        defaults: of the configuration's fields that are read here.
        hop_length: samples per frame.              frame_rate: frames per second.
        codebook_sizes: of the codebooks in use.
    """

    version = "1"
    argument = "model"
    name: ClassVar[str]
    published: ClassVar[Mapping[str, Published]]
    model_type: ClassVar[str]
    model_class: ClassVar[str]
    defaults: ClassVar[Mapping[str, Any]]

    def __init__(self, model: str, revision: str | None) -> None:
        self.checkpoint: Checkpoint = find(self.name, model, revision, self.published)
        config = {**self.defaults, **self.checkpoint.config}
        if config.get("model_type") != self.model_type:
            raise UserError(
                f"codec '{self.name}': {self.checkpoint.origin} is a model of type "
                f"'{config.get('model_type')}', not '{self.model_type}'."
            )
        try:
            self._describe(config)
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            raise UserError(
                f"codec '{self.name}': the config.json of {self.checkpoint.origin} does not fit "
                f"({type(error).__name__}: {error})."
            ) from error
        self.notes: tuple[str, ...] = ()

    def _describe(self, config: Mapping[str, Any]) -> None:
        """Set the geometry from the configuration."""
        self.config = config
        rate = int(config["sampling_rate"])
        self.sample_rates_hz = (rate,)
        self.channels = (int(config.get("audio_channels", 1)),)
        self.hop_length = self._hop_length(config)
        self.frame_rate = rate / self.hop_length
        self._all_sizes = (int(config["codebook_size"]),) * self._codebooks_in(config)

    def _use(self, codebooks: int) -> None:
        self.codebook_sizes = self._all_sizes[:codebooks]
        self.nominal_kbps = (
            sum(map(token_stream.bits, self.codebook_sizes)) * self.frame_rate / 1000
        )

    def _checked_codebooks(self, codebooks: int | None, fewest: int = 1) -> int:
        most = len(self._all_sizes)
        if codebooks is None:
            return most
        if isinstance(codebooks, bool) or not fewest <= codebooks <= most:
            raise ValueError(f"codebooks must be from {fewest} to {most}, got {codebooks}")
        return codebooks

    def encode(self, clip: Clip) -> Bitstream:
        def work(device: str, batch: int) -> tuple[NDArray[np.int64], bytes]:
            import torch

            with torch.inference_mode():
                waveform = torch.from_numpy(clip.samples.copy())[None].to(device)
                return self._encode(self._network(device), waveform, batch)

        (tokens, side), arisen = devices.run(work)
        self.notes = tuple(dict.fromkeys((*self.notes, *arisen)))
        stream = TokenStream(clip.length, tokens, side)
        return Bitstream(token_stream.pack(stream, self.codebook_sizes))

    def decode(self, bitstream: Bitstream) -> Clip:
        stream = self._parsed(bitstream)

        def work(device: str, batch: int) -> NDArray[np.float32]:
            import torch

            with torch.inference_mode():
                decoded = self._decode(self._network(device), stream, device, batch)
                return np.asarray(decoded.float().cpu().numpy(), np.float32)

        samples, arisen = devices.run(work)
        self.notes = tuple(dict.fromkeys((*self.notes, *arisen)))
        samples = samples.reshape(self.channels[0], -1)
        return Clip(audio.fit_length(samples, stream.length), self.sample_rates_hz[0])

    def tokens(self, bitstream: Bitstream) -> NDArray[np.int64]:
        """The codes, `[codebooks, frames]`."""
        return self._parsed(bitstream).tokens

    def build_id(self) -> str:
        libraries = " ".join(f"{name} {version(name)}" for name in ("transformers", "torch"))
        return " ".join(filter(None, (libraries, self.checkpoint.described(), devices.described())))

    @classmethod
    def missing(cls) -> str | None:
        absent = [name for name in ("torch", "transformers") if find_spec(name) is None]
        if not absent:
            return None
        return f"{' and '.join(absent)} not installed: pip install 'nacbench[neural]'"

    def _parsed(self, bitstream: Bitstream) -> TokenStream:
        stream = token_stream.unpack(bitstream.payload, self._all_sizes, self._side_bytes)
        expected = self._frames(stream.length)
        if stream.tokens.shape != (len(self.codebook_sizes), expected):
            raise DecodeError(
                f"{list(stream.tokens.shape)} tokens for {stream.length} samples, "
                f"not {[len(self.codebook_sizes), expected]}"
            )
        return stream

    def _network(self, device: str) -> Any:
        return network(self.model_class, self.checkpoint.folder, device)

    def _frames(self, length: int) -> int:
        """Tokens per codebook for so many samples."""
        return -(-length // self.hop_length)

    def _side_bytes(self, length: int) -> int:
        return 0

    @abstractmethod
    def _hop_length(self, config: Mapping[str, Any]) -> int: ...

    @abstractmethod
    def _codebooks_in(self, config: Mapping[str, Any]) -> int: ...

    @abstractmethod
    def _encode(self, network: Any, waveform: Any, batch: int) -> tuple[NDArray[np.int64], bytes]:
        """`[1, channels, length]` -> tokens `[codebooks, frames]`, and what travels beside them."""

    @abstractmethod
    def _decode(self, network: Any, stream: TokenStream, device: str, batch: int) -> Any:
        """The samples as a tensor, `[…, channels, length or about]`."""


@lru_cache(maxsize=2)  # a process codes with one, and times with another
def network(model_class: str, folder: Path, device: str) -> Any:
    """The network in evaluation mode, in single precision.

    Raises:
        UserError: the weights do not fit their description.
    """
    with contextlib.suppress(ImportError):
        import_torchaudio()  # transformers looks for it, and stumbles over a broken one
    transformers: Any = importlib.import_module("transformers")
    # No progress bars and advice in the middle of a run's own output.
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        model, info = getattr(transformers, model_class).from_pretrained(
            folder, use_safetensors=True, local_files_only=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise UserError(f"{folder.name}: cannot be loaded: {str(error).splitlines()[0]}") from error
    lacking: Sequence[str] = sorted(info["missing_keys"])
    if lacking:
        # transformers would go on with random numbers in their place.
        raise UserError(f"{folder.name}: the weights lack {len(lacking)} tensors: {lacking[0]}, …")
    return model.float().eval().to(device)


def product(factors: Sequence[int]) -> int:
    return math.prod(int(factor) for factor in factors)
