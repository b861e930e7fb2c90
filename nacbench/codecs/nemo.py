"""NVIDIA's audio codecs from `.nemo` archives: low frame rate, nano, and what follows their plan.

Through `nemo_toolkit` where it can be imported; else through whatever package offers to read such
archives under the entry point `nemo` of `nacbench.token_models`, as `reference_codec` does.

Source: Casanova et al., "Low Frame-rate Speech Codec: a Codec Designed for Fast High-quality Speech
LLM Training and Inference", arXiv:2409.12117.
"""

from __future__ import annotations

import math
import tarfile
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nacbench import devices
from nacbench.codecs import shared_library
from nacbench.codecs.tokens import TOKEN_MODELS, TokenCodec
from nacbench.errors import CodecUnavailableError, UserError

MAX_CONFIG_BYTES = 1 << 20
LICENCE = "as its model card says; NVIDIA's: NSCLv1, non-commercial; nano: Open Model License"


class Nemo(TokenCodec):
    """NVIDIA's NeMo codecs with finite scalar quantization, such as 1.89 kbps at 21.5 frames/s.

    Args:
        model: the `.nemo` archive.
        backend: "toolkit" (nemo_toolkit, which unpacks and unpickles the archive: trust it),
            "reference" (the entry point, which reads tensors only), or "auto".
    """

    name = "nemo"
    title = "NeMo codec"
    version = "1"
    argument = "model"
    sweep = ()

    def __init__(
        self, model: str, backend: Literal["auto", "toolkit", "reference"] = "auto"
    ) -> None:
        if backend not in ("auto", "toolkit", "reference"):
            raise ValueError(f"backend must be auto, toolkit or reference, got '{backend}'")
        self._path = Path(model).expanduser()
        if not self._path.is_file():
            raise CodecUnavailableError(
                f"codec 'nemo': {model}: no such archive. Get one from its model card, such as "
                "nvidia/low-frame-rate-speech-codec-22khz, and name the .nemo file: model: PATH."
            )
        super().__init__(**_geometry(self._path))
        self._backend = backend if backend != "auto" else _available()
        if self._backend == "reference" and "nemo" not in TOKEN_MODELS.names():
            raise CodecUnavailableError(
                "codec 'nemo': nothing here reads .nemo archives: pip install 'nacbench[codec]', "
                "or nemo_toolkit[tts]."
            )

    def _model(self, device: str) -> Any:
        return _loaded(self._backend, self._path, device)

    def build_id(self) -> str:
        origin = f"weights {shared_library.digest(self._path)} ({LICENCE})"
        return " ".join(filter(None, (self._backend, origin, devices.described())))


@cache
def _available() -> str:
    """The toolkit, where it is installed whole: much of it is optional."""
    if find_spec("nemo") is None or find_spec("hydra") is None or find_spec("lightning") is None:
        return "reference"
    return "toolkit"


def _geometry(path: Path) -> dict[str, Any]:
    """From the archive's `model_config.yaml`, without unpacking anything else.

    Raises:
        UserError: it has none, or describes another kind of model.
    """
    import yaml

    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if member.name.removeprefix("./") == "model_config.yaml" and member.isfile():
                    source = archive.extractfile(member)
                    assert source is not None, "a regular file can be read"
                    text = source.read(MAX_CONFIG_BYTES)
                    break
            else:
                raise UserError(f"codec 'nemo': {path} has no model_config.yaml.")
        config: Mapping[str, Any] = yaml.safe_load(text)
        rate = int(config["sample_rate"])
        quantizer = config["vector_quantizer"]
        size = math.prod(int(levels) for levels in quantizer["num_levels_per_group"])
        return {
            "sample_rate_hz": rate,
            "channels": 1,
            "frame_rate": rate / int(config["samples_per_frame"]),
            "codebook_sizes": (size,) * int(quantizer["num_groups"]),
        }
    except (tarfile.TarError, EOFError, OSError, yaml.YAMLError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"codec 'nemo': {path}: not a readable archive ({reason}).") from error
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise UserError(
            f"codec 'nemo': {path}: model_config.yaml does not describe a codec with finite scalar "
            f"quantization ({type(error).__name__}: {error})."
        ) from error


@lru_cache(maxsize=2)
def _loaded(backend: str, path: Path, device: str) -> Any:
    if backend == "toolkit":
        return _ToolkitModel(path, device)
    cls: Any = TOKEN_MODELS.get("nemo")
    return cls(str(path), device)


class _ToolkitModel:
    """`AudioCodecModel` as a token model."""

    def __init__(self, path: Path, device: str) -> None:
        import importlib

        module: Any = importlib.import_module("nemo.collections.tts.models")
        self._network = module.AudioCodecModel.restore_from(str(path), map_location=device).eval()
        self._device = device

    def encode(self, samples: NDArray[np.float32]) -> Any:
        import torch

        waveform = torch.from_numpy(samples.copy()).to(self._device)
        lengths = torch.tensor([waveform.shape[1]], device=self._device)
        with torch.inference_mode():
            tokens, _ = self._network.encode(audio=waveform, audio_len=lengths)
        return tokens[0].long()

    def decode(self, tokens: NDArray[np.int64]) -> Any:
        import torch

        codes = torch.from_numpy(tokens)[None].to(self._device)
        lengths = torch.tensor([codes.shape[2]], device=self._device)
        with torch.inference_mode():
            audio, _ = self._network.decode(tokens=codes, tokens_len=lengths)
        return audio
