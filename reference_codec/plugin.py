"""The reference codec in the bench: `reference:seanet-24k`, or `reference:PATH` of a checkpoint.

Beside `training/validation.py` the only file of this package that imports `nacbench`. The payload
is the `.nac` file itself, so the measured rate is the one of the true file, entropy coding, header
and checksums included.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
from functools import cached_property, lru_cache
from importlib import metadata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nacbench.core import Bitstream, Clip
from nacbench.errors import DecodeError, UserError
from nacbench.identity import unchanged_file_sha256
from reference_codec import codec as codec_module
from reference_codec.bitstream import BitstreamError, Coding, read_blocks, read_header
from reference_codec.checkpoints import shipped
from reference_codec.errors import UserError as CodecUserError
from reference_codec.presets import PRESETS
from reference_codec.stream_decoder import MAX_GAP_S


class Reference:
    """Our neural codec, in `.nac` files with entropy coding.

    Args:
        model: preset, shipped checkpoint, or path of one.
        kbps: of one coded signal, before entropy coding; None uses all codebooks.
        coding: "packed", "adaptive" or "neural"; None takes the densest that the model has.
        backend: "torch", or "onnx" for a directory that `nac export` wrote or one beside the model.
        packet_ms: at most so much audio per packet, which a transport may lose; None: blocks of
            10 s, as in files. Lost and damaged packets become silence.
    """

    name = "reference"
    version = "1"
    argument = "model"

    def __init__(
        self,
        model: str = "seanet-24k",
        kbps: float | None = None,
        coding: str | None = None,
        backend: str = "torch",
        packet_ms: float | None = None,
    ) -> None:
        if packet_ms is not None and not packet_ms > 0:
            raise ValueError(f"packet_ms must be positive, got {packet_ms:g}")
        if coding is not None and coding.upper() not in Coding.__members__:
            raise ValueError(f"coding '{coding}' is none of packed, adaptive, neural")
        try:
            config, self._weights_sha256, precision = codec_module.describe(model, backend)
            self._n_codebooks = config.codebooks_at(kbps)
        except CodecUserError as error:
            raise UserError(str(error)) from error
        self._model, self._backend = model, backend
        self._block_s = codec_module.FILE_BLOCK_S if packet_ms is None else packet_ms / 1000
        self._kbps, self._coding = kbps, Coding[coding.upper()] if coding else None
        self.sample_rates_hz = (config.sample_rate_hz,)
        self.channels = (config.channels,)
        self.nominal_kbps = config.nominal_kbps(self._n_codebooks)
        self.codebook_sizes = config.codebook_sizes[: self._n_codebooks]
        self.entropy_coded = self._coding is not Coding.PACKED
        self.untrained = model in PRESETS and model not in shipped()
        onnx = backend == "onnx" or Path(model).is_dir()
        self._runtime = "onnxruntime" if onnx else "torch"
        self._precision = "" if precision == "float32" else f" {precision}"

    @classmethod
    def missing(cls) -> str | None:
        for package in ("crc32c", "safetensors", "torch"):
            if importlib.util.find_spec(package) is None:  # importing torch takes a second
                return f"needs {package}: pip install 'nacbench[codec]'"
        return None

    def build_id(self) -> str:
        runtime = f"{self._runtime} {metadata.version(self._runtime)}"
        if self._weights_sha256:
            prior = codec_module.prior_file(self._model)
            bytes_by = f" prior {unchanged_file_sha256(prior)[:16]}" if prior else ""
            weights = f"weights {self._weights_sha256[:16]}{self._precision}"
            return f"{runtime} {weights}{bytes_by}"
        return f"{runtime} weights drawn by {_sources_sha256()[:16]}"

    @cached_property
    def _codec(self) -> codec_module.Codec:
        try:
            if self._weights_sha256:
                return codec_module.load(self._model, self._backend)
            return _preset(self._model)
        except CodecUserError as error:
            raise UserError(str(error)) from error

    def encode(self, clip: Clip) -> Bitstream:
        data = self._codec.encode(
            clip.samples, clip.sample_rate_hz, self._kbps, self._coding, self._block_s
        )
        file = io.BytesIO(data)
        starts = [block.offset for block in read_blocks(file, read_header(file))]
        cuts = [0, *starts, len(data)]
        return Bitstream(data, tuple(np.diff(cuts).tolist()))

    def decode(self, bitstream: Bitstream) -> Clip:
        # Only a transport with packets can lose some of them; a damaged file is refused.
        lossy = bool(bitstream.packet_sizes)
        try:
            samples, rate = self._codec.decode(bitstream.payload, resync=lossy)
            length = read_header(io.BytesIO(bitstream.payload)).sample_count
        except BitstreamError as error:
            raise DecodeError(str(error)) from error
        lost_at_start = min(max(0, length - samples.shape[1]), int(MAX_GAP_S * rate))
        return Clip(np.pad(samples, ((0, 0), (lost_at_start, 0))), rate)

    def tokens(self, bitstream: Bitstream) -> NDArray[np.int64]:
        """The codes, `[codebooks, frames]`."""
        return self._codec.codes(bitstream.payload)[1][0]


@lru_cache(maxsize=1)  # every operating point of a preset draws the same weights
def _preset(name: str) -> codec_module.Codec:
    return codec_module.load(name)


@lru_cache(maxsize=1)
def _sources_sha256() -> str:
    """Of this package: what decides untrained weights, besides the version of torch."""
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()
