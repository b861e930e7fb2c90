"""Exports that multiply 8-bit integers: a smaller file, another speed, and other codes.

`onnxruntime.quantization` rounds the weights (one scale per output channel) and what meets them
(one range per layer, found by coding a recording with the float32 export). The ranges are fixed
numbers in the file, so a stream still gives the codes of the whole clip. What only costs quality
stays in float32: the layers that touch the waveform, transforms, recurrence, and the codebooks.

Weights get seven bits: with eight, processors without VNNI saturate sums and code differently.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime import quantization

from reference_codec import export as exporting
from reference_codec.backend import Samples
from reference_codec.bitstream import Coding
from reference_codec.codec import Codec, changed_codes
from reference_codec.errors import UserError
from reference_codec.neural_codec import NeuralCodec
from reference_codec.onnx_backend import PARTS, OnnxBackend

NARROWEST = 4  # channels of a layer: fewer touch the waveform, or are depthwise
LEAST_S = 2.0  # of a recording: one to find ranges, one to see what they do
TIMED_S, ROUNDS = 5.0, 5


@dataclass(frozen=True)
class Effect:
    """What int8 does beside float32, on the half of the recording that gave no ranges.

    Attributes:
        changed, changed_first: share of all codes, and of the first codebook's, that differ.
        snr_db: of the audio decoded from the same codes, float32's being the signal.
        encode_speed, decode_speed: float32's processor time over int8's, on this machine.
    """

    changed: float
    changed_first: float
    snr_db: float
    encode_speed: float
    decode_speed: float

    def __str__(self) -> str:
        return (
            f"int8 changes {self.changed:.1%} of the codes and {self.changed_first:.1%} of the "
            f"first codebook's; audio from the same codes is {self.snr_db:.1f} dB from float32's"
        )


def export(
    model: NeuralCodec, directory: str | Path, audio: Samples, sample_rate_hz: int
) -> tuple[list[Path], Effect]:
    """Write both files, and measure what they change.

    Args:
        audio: `[channels, time]` of what will be coded, at least two seconds. Its first half
            gives the ranges of the activations, its second half the effect.
    Raises:
        UserError: too little audio.
    """
    if audio.shape[1] < LEAST_S * sample_rate_hz:
        raise UserError(f"int8 needs a recording of at least {LEAST_S:g} s to calibrate with.")
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    half = audio.shape[1] // 2
    with tempfile.TemporaryDirectory() as temporary:
        exporting.export(model, temporary)
        fed = _recorded(temporary, audio[:, :half], sample_rate_hz)
        paths = [directory / f"{part}.onnx" for part in PARTS]
        for part, path in zip(PARTS, paths, strict=True):
            _quantise(Path(temporary, path.name), path, fed[part])
        codec, exact = (Codec(OnnxBackend(where)) for where in (directory, temporary))
        effect = _effect(codec, exact, audio[:, half:], sample_rate_hz)
    for path in paths:
        description = onnx.load(path)
        onnx.helper.set_model_props(
            description,
            {entry.key: entry.value for entry in description.metadata_props}
            | {"precision": "int8", "effect": str(effect)},
        )
        onnx.save(description, path)
    return paths, effect


def _recorded(
    directory: str, audio: Samples, sample_rate_hz: int
) -> dict[str, list[dict[str, Any]]]:
    """Everything that both networks are given while they code the clip."""
    fed: dict[str, list[dict[str, Any]]] = {part: [] for part in PARTS}
    codec = Codec(OnnxBackend(directory, watch=lambda part, feed: fed[part].append(feed)))
    codec.decode(codec.encode(audio, sample_rate_hz, coding=Coding.PACKED))
    return fed


class _Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, fed: list[dict[str, Any]]) -> None:
        self._fed = iter(fed)

    def get_next(self) -> dict[str, Any] | None:
        return next(self._fed, None)


def _quantise(source: Path, target: Path, fed: list[dict[str, Any]]) -> None:
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # its advice to optimise the graph before does not fit ours
    try:
        quantization.quantize_static(
            source,
            target,
            _Reader(fed),
            per_channel=True,
            reduce_range=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            nodes_to_quantize=_products(onnx.load(source)),
            extra_options={"OpTypesToExcludeOutputQuantization": ["MatMul"]},
        )
    finally:
        root.setLevel(level)


def _products(model: onnx.ModelProto) -> list[str]:
    """Convolutions and matrix products with weights, but for the waveform's and transforms."""
    shapes = {weight.name: tuple(weight.dims) for weight in model.graph.initializer}

    def wide(name: str) -> bool:
        shape = shapes.get(name, ())
        learnt = name.startswith(("encoder.", "decoder.")) and not name.endswith(".basis")
        if len(shape) == 2:
            return learnt
        return len(shape) in (3, 4) and learnt and min(shape[:2]) >= NARROWEST

    return [
        node.name
        for node in model.graph.node
        if node.op_type in ("Conv", "MatMul") and wide(node.input[1])
    ]


def _effect(codec: Codec, exact: Codec, audio: Samples, sample_rate_hz: int) -> Effect:
    changed, first = changed_codes(codec, exact, audio, sample_rate_hz)  # and warm up
    data = exact.encode(audio, sample_rate_hz, coding=Coding.PACKED)
    wanted, got = exact.decode(data)[0], codec.decode(data)[0]
    noise = float(np.square(got - wanted, dtype=np.float64).sum())
    signal = float(np.square(wanted, dtype=np.float64).sum())
    short = audio[:, : round(TIMED_S * sample_rate_hz)]
    coded = exact.encode(short, sample_rate_hz, coding=Coding.PACKED)
    return Effect(
        changed,
        first,
        10 * float(np.log10(signal / noise)) if noise else float("inf"),
        _speed(lambda c: c.encode(short, sample_rate_hz, coding=Coding.PACKED), codec, exact),
        _speed(lambda c: c.decode(coded), codec, exact),
    )


def _speed(work: Callable[[Codec], Any], codec: Codec, exact: Codec) -> float:
    """Of `codec` beside `exact`, in processor time: what other programs do is no part of it."""
    best = {codec: float("inf"), exact: float("inf")}
    for _ in range(ROUNDS):  # in turns, so that a bad moment hits both
        for each in best:
            start = time.process_time()
            work(each)
            best[each] = min(best[each], time.process_time() - start)
    return best[exact] / best[codec]
