"""What the streams need of a model: arrays in, arrays out, whatever runs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from reference_codec.config import CodecConfig
from reference_codec.entropy import Ints

if TYPE_CHECKING:
    from reference_codec.neural_codec import NeuralCodec

Samples = NDArray[np.float32]


class Backend(Protocol):
    """A model with NumPy arrays at its edges.

    `effect` says what `precision` does to the codes, where that was measured and is not nothing.

    Shapes: audio `[streams, channels, time]`, codes `[streams, codebooks, frames]`, scale
    `[streams]` or None. State is whatever the backend returns; `()` starts a stream.
    """

    config: CodecConfig
    weights_sha256: str
    start_frames: int
    precision: str
    effect: str

    def encode_segment(self, audio: Samples, n_codebooks: int) -> tuple[Ints, Samples | None]:
        """Codes and level of one segment, or of a clip where the model has no segments."""
        ...

    def decode_segment(self, codes: Ints, scale: Samples | None) -> Samples:
        """Whole frames of audio."""
        ...

    def encode_step(
        self, audio: Samples, state: Any, n_codebooks: int, last: bool
    ) -> tuple[Ints, Any]:
        """The next whole hops of a causal model's stream; any length when `last`."""
        ...

    def decode_step(self, codes: Ints, state: Any) -> tuple[Samples, Any]: ...


class TorchBackend:
    """Runs a `NeuralCodec` in PyTorch.

    Args:
        bfloat16: run the networks in bfloat16; the quantizer stays in float32. Faster, but the
            codes are others: `codec.changed_codes` tells how many.
    """

    def __init__(self, model: NeuralCodec, bfloat16: bool = False) -> None:
        from reference_codec.neural_codec import weights_sha256

        self._model = model.eval()
        self.config = model.config
        self.weights_sha256 = weights_sha256(model)
        self.start_frames = model.start_frames
        self.precision, self.effect = "bfloat16" if bfloat16 else "float32", ""
        if bfloat16:
            for network in (model.encoder, model.decoder):
                network.forward = _in_bfloat16(network.forward)

    def encode_segment(self, audio: Samples, n_codebooks: int) -> tuple[Ints, Samples | None]:
        codes, scale = self._model.encode_segment(_tensor(audio), n_codebooks)
        return codes.numpy(), None if scale is None else scale.numpy()

    def decode_segment(self, codes: Ints, scale: Samples | None) -> Samples:
        scales = None if scale is None else _tensor(scale)
        return _array(self._model.decode_segment(_tensor(codes), scales))

    def encode_step(
        self, audio: Samples, state: Any, n_codebooks: int, last: bool
    ) -> tuple[Ints, Any]:
        codes, state = self._model.encode_step(_tensor(audio), state, n_codebooks, last)
        return codes.numpy(), state

    def decode_step(self, codes: Ints, state: Any) -> tuple[Samples, Any]:
        audio, state = self._model.decode_step(_tensor(codes), state)
        return _array(audio), state


def _in_bfloat16(forward: Callable[..., Any]) -> Callable[..., Any]:
    import torch

    def rounded(*inputs: Any) -> Any:
        with torch.autocast("cpu", torch.bfloat16):
            return forward(*inputs).float()

    return rounded


def _tensor(array: NDArray[Any]) -> Any:
    import torch

    return torch.from_numpy(np.ascontiguousarray(array))


def _array(audio: Any) -> Samples:
    samples: Samples = audio.numpy()
    return samples
