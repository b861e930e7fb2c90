"""Weights of other projects in our model, which then computes what the peer computes.

    EnCodec   Meta's `encodec` (.th), `transformers`' EncodecModel (directory or file)
    DAC       `descript-audio-codec` (.pth), `transformers`' DacModel
    NeMo      AudioCodecModel archives (.nemo), see `nemo.py`

No file can run code here: `torch.load(weights_only=True)`, safetensors, JSON, safe YAML.
"""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reference_codec import peer_configs, peer_names, presets
from reference_codec.config import CodecConfig, DACConfig, HiFiGANConfig, SEANetConfig
from reference_codec.errors import UserError
from reference_codec.neural_codec import TRAINING_STATE, NeuralCodec

StateDict = Mapping[str, Tensor]

# Moving averages behind EnCodec's codebooks; the padding arithmetic that transformers keeps.
UNUSED = re.compile(r"\.(embed_avg|cluster_size|inited|stride|kernel_size|padding_total)$")


def load(path: str | Path, preset: str | None = None) -> NeuralCodec:
    """The model in a peer's file, or in a directory that `save_pretrained` wrote.

    Args:
        preset: what to build; by default told from the file's own description or its weights.
    Raises:
        UserError: no such file, an unknown layout, or weights that do not fit.
    """
    path = Path(path)
    if path.suffix == ".nemo":
        from reference_codec import nemo

        return nemo.load(path)
    described = path / "config.json"
    if path.is_dir():
        path = path / "model.safetensors"
    state, metadata = read(path)
    if preset is not None:
        return convert(state, presets.config(preset))
    if described.is_file():
        description = json.loads(described.read_text("utf-8"))
        return convert(state, peer_configs.transformers(description))
    if "kwargs" in metadata:
        return convert(state, peer_configs.descript(metadata["kwargs"]))
    first = state.get("encoder.model.0.conv.conv.weight_v")
    if first is not None:  # Meta published one mono and one stereo model
        name = "seanet-24k" if first.shape[1] == 1 else "seanet-48k-stereo"
        return convert(state, presets.config(name))
    known = ", ".join(presets.PRESETS)
    raise UserError(f"{path}: cannot tell which model this is. Name its preset: {known}.")


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors by name, and the description that `descript-audio-codec` puts beside them.

    Raises:
        UserError: the file is missing or damaged, or holds more than tensors.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file.")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path), {}
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError) as error:
        reason = str(error).splitlines()[0][:200]
        raise UserError(
            f"{path}: not readable as plain tensors ({reason}). Expected a state dict."
        ) from error
    except Exception as error:  # safetensors has an error type of its own, derived from Exception
        raise UserError(f"{path}: not readable ({error}). Expected a state dict.") from error
    metadata = content.get("metadata", {}) if isinstance(content, dict) else {}
    state = content.get("state_dict", content) if isinstance(content, dict) else {}
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{path}: holds no state dict. Expected tensors by name.")
    return dict(state), dict(metadata)


def convert(state: StateDict, config: CodecConfig) -> NeuralCodec:
    """A model of `config` with a peer's weights, whichever of the layouts they have.

    Raises:
        UserError: a weight is missing, unknown, or of another shape than the config's.
    """
    network = config.network
    if isinstance(network, SEANetConfig):
        names = peer_names.encodec(network, config.n_codebooks)
        state = {peer_names.encodec_from_meta(name): value for name, value in state.items()}
    elif isinstance(network, DACConfig):
        names = peer_names.dac(network, config.n_codebooks)
        if any(name.startswith("decoder.model.") for name in state):
            n_stages = len(network.strides)
            state = {
                peer_names.dac_from_descript(name, n_stages): value for name, value in state.items()
            }
    elif isinstance(network, HiFiGANConfig):
        names = peer_names.nemo(network)
    else:
        raise UserError(f"model '{config.name}': no other project has weights of this family.")
    return fill(config, names, state)


def fill(config: CodecConfig, names: Mapping[str, str], state: StateDict) -> NeuralCodec:
    """A model whose tensors are the peer's, renamed by layer or by full name."""
    model = NeuralCodec(config)
    expected = {
        name: value
        for name, value in model.state_dict().items()
        if not name.endswith(TRAINING_STATE)
    }
    found: dict[str, Tensor] = {}
    for name, value in folded(state).items():
        layer, _, leaf = name.rpartition(".")
        ours = names.get(name) or (f"{names[layer]}.{leaf}" if layer in names else None)
        if ours is not None and ours in expected:
            # Snake's α is [1, channels, 1] elsewhere.
            same_count = value.numel() == expected[ours].numel()
            found[ours] = value.reshape(expected[ours].shape) if same_count else value
        elif not UNUSED.search(name):
            raise UserError(
                f"model '{config.name}': has no place for '{name}'. Another preset's weights?"
            )
    for name, value in expected.items():
        if name not in found:
            raise UserError(
                f"model '{config.name}': the weights lack '{name}'. Another preset's weights?"
            )
        if found[name].shape != value.shape:
            raise UserError(
                f"model '{config.name}': '{name}' is {list(found[name].shape)}, expected "
                f"{list(value.shape)}. Another preset's weights?"
            )
    model.load_state_dict(found, strict=False)
    return model.eval()


def folded(state: StateDict) -> dict[str, Tensor]:
    """Weight norm's direction and length as one weight; old and new names of PyTorch."""
    plain = {}
    for name, value in state.items():
        for direction, length in (
            ("weight_v", "weight_g"),
            ("parametrizations.weight.original1", "parametrizations.weight.original0"),
        ):
            if name.endswith(f".{length}"):
                break
            if name.endswith(f".{direction}"):
                layer = name.removesuffix(direction)
                if layer + length not in state:
                    raise UserError(f"'{name}' has no '{length}' beside it. Is the file whole?")
                plain[f"{layer}weight"] = torch._weight_norm(value, state[layer + length], 0)
                break
        else:
            plain[name] = value
    return plain
