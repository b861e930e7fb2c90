"""Lyra V2, Google's neural speech codec, by its own three TensorFlow Lite models.

The models keep the state of a call in themselves, and `reset_all_variables` does not bring back
the state they begin with. So every clip gets new interpreters over weights that are read once in
a process; making one takes about 2 ms.

Source: github.com/google/lyra (Apache-2.0), version 1.3; Zeghidour et al., "SoundStream",
IEEE TASLP 2022, arXiv:2107.03312.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nacbench import data
from nacbench.codecs import framing, shared_library
from nacbench.core import Bitstream, Clip
from nacbench.errors import CodecUnavailableError, DecodeError

HOP = 320  # samples, 20 ms
CODEBOOKS = 46
CODEBOOK_SIZE = 16
UNUSED = -1  # what the models write and read for a codebook that a lower rate leaves out
QUANTIZERS = {3.2: 16, 6.0: 30, 9.2: 46}
"""kbps -> codebooks, of 4 bits each per frame."""

ENCODER, QUANTIZER, DECODER = "soundstream_encoder.tflite", "quantizer.tflite", "lyragan.tflite"


class Lyra:
    """Lyra V2 at 16 kHz, one 20 ms frame per packet, no delay. No container in common use.

    A lost frame repeats the features of the one before, as Lyra does at first; its comfort noise
    for long gaps and its discontinuous transmission are not part of the models.

    Args:
        kbps: 3.2, 6 or 9.2.
        weights: the folder with the three `.tflite` files; None looks where `nacbench data fetch
            lyra` and NACBENCH_DATA put them.
    """

    name = "lyra"
    title = "Lyra V2"
    version = "1"
    sample_rates_hz = (16_000,)
    channels = (1,)
    default_points: ClassVar = tuple({"kbps": kbps} for kbps in QUANTIZERS)

    def __init__(self, kbps: float = 6, weights: str | None = None) -> None:
        if kbps not in QUANTIZERS:
            raise ValueError(f"kbps must be one of 3.2, 6 and 9.2, got {kbps:g}")
        self.nominal_kbps = kbps
        self.codebook_sizes = (CODEBOOK_SIZE,) * QUANTIZERS[kbps]
        self._files, self._origin = _located(weights)

    def encode(self, clip: Clip) -> Bitstream:
        frames = -(-clip.length // HOP)
        speech = np.zeros((frames, 1, HOP), np.float32)
        speech.reshape(-1)[: clip.length] = np.clip(clip.samples[0], -1, 1)
        quantize = _signature(self._files[QUANTIZER], "encode")
        encoder = _Network(self._files[ENCODER])
        count = np.int32(len(self.codebook_sizes))
        codes = np.empty((frames, len(self.codebook_sizes)), np.uint8)
        for frame, found in zip(speech, codes, strict=True):
            answer = quantize(input_frames=encoder(frame), num_quantizers=count)
            found[:] = answer["output_0"][: found.size, 0, 0]
        packets = [row.tobytes() for row in codes[:, 0::2] << 4 | codes[:, 1::2]]
        return framing.bitstream((clip.length,), packets)

    def decode(self, bitstream: Bitstream) -> Clip:
        (length,), packets = framing.parse(bitstream, 1)
        if len(packets) * HOP < length:
            raise DecodeError(f"{len(packets)} packets are too few for {length} samples")
        dequantize = _signature(self._files[QUANTIZER], "decode")
        decoder = _Network(self._files[DECODER])
        features = np.zeros((1, 1, 64), np.float32)
        speech = np.empty((len(packets), HOP), np.float32)
        for packet, samples in zip(packets, speech, strict=True):
            if packet:
                indices = np.full((CODEBOOKS, 1, 1), UNUSED, np.int32)
                found = _codes(packet)
                indices[: found.size, 0, 0] = found
                features = dequantize(encoding_indices=indices)["output_0"]
            samples[:] = decoder(features)[0]
        return Clip(np.clip(speech.reshape(-1)[:length], -1, 1), self.sample_rates_hz[0])

    def tokens(self, bitstream: Bitstream) -> NDArray[np.int64]:
        """The indices that arrived, `[codebooks, frames]`."""
        _, packets = framing.parse(bitstream, 1)
        return np.stack([_codes(packet) for packet in packets if packet], axis=1).astype(np.int64)

    @classmethod
    def missing(cls) -> str | None:
        if find_spec("ai_edge_litert"):
            return None
        return "ai-edge-litert is not installed: pip install 'nacbench[lyra]'"

    def build_id(self) -> str:
        """Runtime, origin, licence and content of the weights."""
        weights = hashlib.sha256("".join(map(shared_library.digest, self._files.values())).encode())
        runtime = f"ai-edge-litert {version('ai-edge-litert')}"
        return f"{runtime}, weights {weights.hexdigest()[:12]} {self._origin}"


def _codes(packet: bytes) -> NDArray[np.uint8]:
    """Two codes a byte, the first in the upper half; the size tells how many codebooks."""
    if 2 * len(packet) not in QUANTIZERS.values():
        raise DecodeError(f"a packet has {len(packet)} bytes, not 8, 15 or 23")
    pairs = np.frombuffer(packet, np.uint8)
    return np.stack((pairs >> 4, pairs & 15), axis=1).reshape(-1)


def _located(weights: str | None) -> tuple[Mapping[str, Path], str]:
    """The three files, and where they come from.

    Raises:
        CodecUnavailableError: one of them is not there.
    """
    entries = {Path(entry.path).name: entry for entry in data.collection("lyra")}
    files: dict[str, Path] = {}
    for name in (ENCODER, QUANTIZER, DECODER):
        found = data.present(entries[name]) if weights is None else [Path(weights, name)]
        if not found or not found[0].is_file():
            where = f"in {weights}" if weights else "among the fetched data"
            raise CodecUnavailableError(
                f"codec 'lyra': {name} is not {where}. Run 'nacbench data fetch lyra' (3.6 MB, "
                "Apache-2.0), or name the folder that has it: weights: DIR."
            )
        files[name] = found[0]
    published = all(
        shared_library.digest(path) == f"{name} {entries[name].sha256[:12]}"
        for name, path in files.items()
    )
    commit = entries[ENCODER].url.split("/google/lyra/")[1][:7]
    licence = entries[ENCODER].tags["licence"]
    return files, f"(google/lyra@{commit}, {licence})" if published else "(not as published)"


@cache
def _content(path: Path) -> bytes:
    return path.read_bytes()


@cache
def _signature(path: Path, name: str) -> Any:
    """The quantizer has no state: one for all clips of a process."""
    return _interpreter(path).get_signature_runner(name)


class _Network:
    """A model with one input and one output, in the state in which a call begins."""

    def __init__(self, path: Path) -> None:
        self._interpreter = _interpreter(path)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]

    def __call__(self, frame: NDArray[np.float32]) -> NDArray[np.float32]:
        self._interpreter.set_tensor(self._input, frame)
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._output)  # type: ignore[no-any-return]


def _interpreter(path: Path) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(model_content=_content(path), num_threads=1)
