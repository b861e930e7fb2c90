"""ONNX models of metrics: one session per model and process, on one thread.

The bench's workers are processes with one thread each. ONNX Runtime would start one per core, and
heeds neither the affinity of the process nor OMP_NUM_THREADS.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


class Model:
    """A part of an ONNX model, between tensors of its graph.

    A whole model may fix a length that its operations do not need, and computes again for every
    pair of inputs what depends on one of them alone.

    Args:
        path: the file.
        inputs: tensor -> shape, None for an axis of any length.
        outputs: the tensors that are returned.
    """

    def __init__(
        self, path: Path, inputs: Mapping[str, tuple[int | None, ...]], outputs: tuple[str, ...]
    ) -> None:
        import onnx
        import onnxruntime

        model = onnx.load(path)
        declared = [
            onnx.helper.make_tensor_value_info(
                name, onnx.TensorProto.FLOAT, _axes(name, inputs[name]) if name in inputs else None
            )
            for name in (*inputs, *outputs)
        ]
        for stated in (model.graph.value_info, model.graph.input, model.graph.output):
            del stated[:]
        model.graph.value_info.extend(declared)
        model = onnx.utils.Extractor(model).extract_model(list(inputs), list(outputs))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors only
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, inputs: dict[str, Array]) -> list[Array]:
        outputs: list[Array] = self._session.run(None, inputs)
        return outputs


def _axes(name: str, shape: tuple[int | None, ...]) -> list[int | str]:
    return [f"{name}, axis {k}" if length is None else length for k, length in enumerate(shape)]


@functools.cache
def speechmos_file(name: str) -> Path:
    """A model that the package `speechmos` carries; found without importing the package."""
    package = importlib.util.find_spec("speechmos")
    assert package is not None and package.origin is not None, "missing() was asked before"
    return Path(package.origin).parent / name
