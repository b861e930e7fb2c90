"""The reference codec in the bench: `reference:seanet-24k`, or `reference:PATH` of a checkpoint.

The only file of this package that imports `nacbench`. The payload is the `.nac` file itself, so the
measured rate is the one of the true file, entropy coding, header and checksums included.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from nacbench.core import Bitstream, Clip
from nacbench.errors import DecodeError, UserError
from reference_codec import codec as codec_module
from reference_codec.bitstream import BitstreamError, Coding, read_blocks, read_header
from reference_codec.checkpoints import shipped
from reference_codec.errors import UserError as CodecUserError


class Reference:
    """Our neural codec, in `.nac` files with entropy coding.

    Args:
        model: preset, shipped checkpoint, or path of one.
        kbps: of one coded signal, before entropy coding; None uses all codebooks.
        coding: "packed", "adaptive" or "neural"; None takes the densest that the model has.
        backend: "torch" or "onnx".
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
    ) -> None:
        if coding is not None and coding.upper() not in Coding.__members__:
            raise ValueError(f"coding '{coding}' is none of packed, adaptive, neural")
        try:
            self._codec = codec_module.load(model, backend)
            self._n_codebooks = self._codec.config.codebooks_at(kbps)
        except CodecUserError as error:
            raise UserError(str(error)) from error
        config = self._codec.config
        self._kbps, self._coding = kbps, Coding[coding.upper()] if coding else None
        self.sample_rates_hz = (config.sample_rate_hz,)
        self.channels = (config.channels,)
        self.nominal_kbps = config.nominal_kbps(self._n_codebooks)
        self.codebook_sizes = config.codebook_sizes[: self._n_codebooks]
        self.untrained = model not in shipped() and not str(model).endswith(".safetensors")

    @classmethod
    def missing(cls) -> str | None:
        try:
            import crc32c  # noqa: F401
            import safetensors  # noqa: F401
            import torch  # noqa: F401
        except ImportError as error:
            return f"needs {error.name}: pip install 'nacbench[codec]'"
        return None

    def build_id(self) -> str:
        import torch

        return f"torch {torch.__version__} weights {self._codec.weights_sha256[:16]}"

    def encode(self, clip: Clip) -> Bitstream:
        data = self._codec.encode(clip.samples, clip.sample_rate_hz, self._kbps, self._coding)
        file = io.BytesIO(data)
        starts = [block.offset for block in read_blocks(file, read_header(file))]
        cuts = [0, *starts, len(data)]
        return Bitstream(data, tuple(np.diff(cuts).tolist()))

    def decode(self, bitstream: Bitstream) -> Clip:
        try:
            samples, rate = self._codec.decode(bitstream.payload)
        except BitstreamError as error:
            raise DecodeError(str(error)) from error
        return Clip(samples, rate)

    def tokens(self, bitstream: Bitstream) -> NDArray[np.int64]:
        """The codes, `[codebooks, frames]`."""
        return self._codec.codes(bitstream.payload)[1][0]
