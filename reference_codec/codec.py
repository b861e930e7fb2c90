"""Waveform to `.nac` bytes and back: the model, the entropy coder and the container, joined."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from reference_codec.backend import Backend, Samples, TorchBackend
from reference_codec.bitstream import UNKNOWN_LENGTH, Coding, StreamInfo, read_header
from reference_codec.checkpoints import EXPORT_SUFFIX, prior_beside, shipped
from reference_codec.config import CodecConfig
from reference_codec.entropy import Ints
from reference_codec.errors import UserError
from reference_codec.neural_prior import NeuralPrior, load_prior
from reference_codec.stream_decoder import StreamDecoder
from reference_codec.stream_encoder import StreamEncoder

FILE_BLOCK_S = 10.0  # blocks of files: long enough that their heads cost under 1 %
LIVE_BLOCK_S = 1.0
PRECISIONS = ("float32", "bfloat16")
_PIECE_S = 4.0
_READ_BYTES = 1 << 16


class Codec:
    """A codec ready for use.

    Args:
        backend: what runs the model; `TorchBackend(model)` for a `NeuralCodec`.
        prior: the integer neural prior that was trained on this model's codes.
    """

    def __init__(
        self,
        backend: Backend,
        prior: NeuralPrior | None = None,
    ) -> None:
        self._backend, self._prior = backend, prior

    @property
    def config(self) -> CodecConfig:
        return self._backend.config

    @property
    def weights_sha256(self) -> str:
        return self._backend.weights_sha256

    @property
    def precision(self) -> str:
        """Of the networks: "float32", "bfloat16" or "int8"."""
        return self._backend.precision

    @property
    def effect(self) -> str:
        """What an int8 export was measured to change when it was made; else ""."""
        return self._backend.effect

    @property
    def codings(self) -> tuple[Coding, ...]:
        """What this codec can write, the densest last."""
        every = (Coding.PACKED, Coding.ADAPTIVE, Coding.NEURAL)
        return every if self._prior is not None else every[:2]

    def encode(
        self,
        audio: Samples,
        sample_rate_hz: int,
        kbps: float | None = None,
        coding: Coding | None = None,
        block_s: float = FILE_BLOCK_S,
    ) -> bytes:
        """A whole clip to the bytes of a `.nac` file.

        Args:
            audio: `[channels, time]` or `[time]`, full scale ±1, any rate and channel count.
            kbps: of one coded signal; the most codebooks that fit. None: all of them.
            coding: None takes the densest that this codec has.
            block_s: longest block, the unit that decodes without any other.
        Raises:
            UserError: the rate is below the lowest, or the coding is not to be had.
            ValueError: samples that are not finite.
        """
        audio = np.atleast_2d(np.asarray(audio, np.float32))
        encoder = self.stream_encoder(
            sample_rate_hz, audio.shape[0], kbps, coding, audio.shape[1], block_s
        )
        step = max(1, round(_PIECE_S * sample_rate_hz))
        pieces = [
            encoder.push(audio[:, at : at + step]) for at in range(0, max(1, audio.shape[1]), step)
        ]
        return b"".join([*pieces, encoder.finish()])

    def decode(self, data: bytes, resync: bool = False) -> tuple[Samples, int]:
        """The bytes of a file to audio `[channels, time]` and its rate in Hz, as they went in.

        Raises:
            BitstreamError: not a `.nac` file, damaged, or of another model.
        """
        info = read_header(io.BytesIO(data))
        pieces = list(self.decode_pieces(_chunks(io.BytesIO(data)), resync))
        return np.concatenate(pieces, axis=1), info.sample_rate_hz

    def decode_pieces(self, data: Iterable[bytes], resync: bool = False) -> Iterator[Samples]:
        """Bytes in pieces to audio in pieces; memory does not grow with the length."""
        decoder = self.stream_decoder(resync)
        for chunk in data:
            yield from _audible(decoder, decoder.push(chunk))
        yield decoder.finish()

    def stream_encoder(
        self,
        sample_rate_hz: int,
        channels: int = 1,
        kbps: float | None = None,
        coding: Coding | None = None,
        sample_count: int = UNKNOWN_LENGTH,
        block_s: float = LIVE_BLOCK_S,
    ) -> StreamEncoder:
        """An encoder for samples that arrive in pieces.

        Args:
            sample_count: of the whole, where it is known.
            block_s: longest block; what the entropy coder adds to the model's delay of one hop.
        """
        coding = self.codings[-1] if coding is None else coding
        if coding not in self.codings:
            raise UserError(
                f"model '{self.config.name}' has no {coding.name.lower()} coding. "
                f"Use one of: {', '.join(known.name.lower() for known in self.codings)}."
            )
        return StreamEncoder(
            self._backend, sample_rate_hz, channels, self.config.codebooks_at(kbps), coding,
            self._prior, sample_count, block_s,
        )  # fmt: skip

    def stream_decoder(self, resync: bool = False) -> StreamDecoder:
        """A decoder for bytes that arrive in pieces; see `StreamDecoder` for `resync`."""
        return StreamDecoder(self._backend, self._prior, resync)

    def codes(self, data: bytes) -> tuple[StreamInfo, Ints]:
        """The codes in a file, `[streams, codebooks, frames]`, without decoding audio."""
        decoder = self.stream_decoder()
        return decoder.codes(data)


def load(name: str | Path, backend: str = "torch", precision: str = "float32") -> Codec:
    """A codec by preset name, shipped checkpoint, or path of a checkpoint or an ONNX export.

    A preset without shipped weights gets random ones: it proves the machinery, not quality.

    Args:
        backend: "torch", or "onnx" for what `nac export` wrote; a path to such a directory says
            so by itself.
        precision: "float32", or "bfloat16" for networks that are faster and give other codes; in
            torch alone.
    Raises:
        UserError: unknown name or precision, a file that is no checkpoint, or no export beside it.
    """
    path = shipped().get(str(name), Path(name))
    if precision not in PRECISIONS:
        raise UserError(f"unknown precision '{precision}'. Use one of: {', '.join(PRECISIONS)}.")
    if path.is_dir() or backend == "onnx":
        if precision != "float32":
            raise UserError(f"backend 'onnx' has no {precision}. Use --backend torch.")
        return _load_onnx(path)
    if backend != "torch":
        raise UserError(f"unknown backend '{backend}'. Use 'torch' or 'onnx'.")
    from reference_codec import checkpoint, presets

    if path.suffix == ".safetensors" or path.is_file():
        return Codec(TorchBackend(checkpoint.load(path), precision == "bfloat16"), _prior(path))
    return Codec(TorchBackend(presets.build(str(name)), precision == "bfloat16"))


def changed_codes(
    codec: Codec, exact: Codec, audio: Samples, sample_rate_hz: int, kbps: float | None = None
) -> tuple[float, float]:
    """Share of the codes that differ between two codecs of the same weights: all, and those of
    the first codebook. A different code changes what all codebooks behind it see.
    """
    (_, ours), (_, theirs) = (
        each.codes(each.encode(audio, sample_rate_hz, kbps, Coding.PACKED))
        for each in (codec, exact)
    )
    different = ours != theirs
    return float(different.mean()), float(different[:, 0].mean())


def describe(name: str | Path, backend: str = "torch") -> tuple[CodecConfig, str, str]:
    """Config, weights' hash and precision of what `load` gives, without loading it where that can
    be had.

    The hash of a preset without weights is "": they are drawn when it is loaded.

    Raises:
        UserError: as `load`.
    """
    path = shipped().get(str(name), Path(name))
    if backend == "torch" and path.is_file():
        from reference_codec import checkpoint

        return (*checkpoint.describe(path), "float32")
    if backend == "torch" and not path.is_dir() and path.suffix != ".safetensors":
        from reference_codec import presets

        return presets.config(str(name)), "", "float32"
    codec = load(name, backend)
    return codec.config, codec.weights_sha256, codec.precision


def prior_file(name: str | Path) -> Path | None:
    """The neural prior that `load` would take, if there is one: it decides bytes, not audio."""
    return prior_beside(shipped().get(str(name), Path(name)))


def _prior(path: Path) -> NeuralPrior | None:
    prior = prior_beside(path)
    return None if prior is None else load_prior(prior)


def _load_onnx(path: Path) -> Codec:
    """The export at `path`, or beside a checkpoint: `name.onnx/` for `name.safetensors`."""
    directory = path if path.is_dir() else path.with_suffix(EXPORT_SUFFIX)
    if not directory.is_dir():
        raise UserError(
            f"model '{path.stem}' has no ONNX export at {directory}. "
            f"Write one: nac export {path} {directory}"
        )
    try:
        from reference_codec.onnx_backend import OnnxBackend
    except ModuleNotFoundError as error:
        raise UserError(f"backend 'onnx' needs {error.name}: pip install onnxruntime") from error
    return Codec(OnnxBackend(directory), _prior(directory))


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(_READ_BYTES):
        yield chunk


def _audible(decoder: StreamDecoder, samples: Samples) -> Iterator[Samples]:
    if decoder.info is not None:
        yield samples
