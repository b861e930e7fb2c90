"""Models on disk: one safetensors file, the config as JSON in its metadata."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from reference_codec.config import CodecConfig
from reference_codec.errors import UserError

if TYPE_CHECKING:
    import torch

    from reference_codec.neural_codec import NeuralCodec


def save(model: NeuralCodec, path: str | Path, dtype: torch.dtype | None = None) -> None:
    """Write weights and config; weight norm must be folded.

    The file holds what decides the output, not the state of training. Equal models give equal
    bytes.

    Args:
        dtype: of the weights in the file, float32 by default. float16 halves it; the model that is
            loaded computes in float32 with the rounded weights, and the hash is theirs.
    """
    from safetensors import torch as safetensors_torch

    from reference_codec.neural_codec import tensors_sha256

    weights = {name: value.to(dtype or value.dtype) for name, value in model.weights().items()}
    stored = {name: value.float() for name, value in weights.items()}
    metadata = {"config": model.config.to_json(), "weights_sha256": tensors_sha256(stored)}
    Path(path).write_bytes(_in_order(safetensors_torch.save(weights, metadata)))


def _in_order(file: bytes) -> bytes:
    """The same safetensors file with its metadata sorted; the library writes them in any order."""
    start = 8
    end = start + int.from_bytes(file[:start], "little")
    header = json.loads(file[start:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    assert len(text) <= end - start  # what follows must stay where it is
    return file[:start] + text.ljust(end - start) + file[end:]


def load(path: str | Path) -> NeuralCodec:
    """The model that `save` wrote, ready for use.

    Raises:
        UserError: the file is missing, no checkpoint of ours, damaged, or does not fit its config.
    """
    import torch

    from reference_codec.neural_codec import TRAINING_STATE, NeuralCodec, weights_sha256

    config, sha256 = describe(path)
    try:
        with safe_open(path, framework="pt") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 (no mapping)
            # Without memory until the file has proven to hold such a model.
            with torch.device("meta"):
                model = NeuralCodec(config)
            expected = {name: tuple(value.shape) for name, value in model.weights().items()}
            if shapes != expected:
                odd = sorted(set(shapes.items()) ^ set(expected.items()))[0][0]
                raise UserError(f"{path}: '{odd}' does not fit the file's own config. Is it whole?")
            model = NeuralCodec(config)
            tensors = {name: file.get_tensor(name).float() for name in shapes}
    except SafetensorError as error:
        raise UserError(f"{path}: not a readable safetensors file ({error}).") from error
    unexpected = model.load_state_dict(tensors, strict=False)
    assert all(name.endswith(TRAINING_STATE) for name in unexpected.missing_keys)
    model.eval()
    if weights_sha256(model) != sha256:
        raise UserError(f"{path}: weights and their hash differ. The file is damaged.")
    return model


def describe(path: str | Path) -> tuple[CodecConfig, str]:
    """Config and weights' hash of a checkpoint, as it tells them, without torch.

    Raises:
        UserError: the file is missing or no checkpoint of ours.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint.")
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise UserError(f"{path}: not a readable safetensors file ({error}).") from error
    if "config" not in metadata:
        raise UserError(
            f"{path}: has no codec config in its metadata. For weights of other "
            "projects see 'reference_codec.convert'."
        )
    return CodecConfig.from_json(metadata["config"]), metadata.get("weights_sha256", "")
