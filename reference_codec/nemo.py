"""NeMo's `.nemo` archives: a tar of `model_config.yaml` and `model_weights.ckpt`.

Read without NeMo. The archive's names are looked up, never extracted to paths it chooses; the
YAML can only hold plain values and the checkpoint only tensors.
"""

from __future__ import annotations

import tarfile
import tempfile
from pathlib import Path

import yaml
from torch import Tensor

from reference_codec import convert, peer_configs
from reference_codec.errors import UserError
from reference_codec.neural_codec import NeuralCodec

MAX_CONFIG_BYTES = 1 << 20
# The published archive holds 619 MB, its discriminators included.
MAX_WEIGHTS_BYTES = 4 << 30
CHUNK_BYTES = 1 << 20


def load(path: str | Path) -> NeuralCodec:
    """The codec in a `.nemo` archive; its discriminators are left out.

    Raises:
        UserError: no such archive, a missing or oversized member, or another architecture.
    """
    path = Path(path)
    try:
        with tarfile.open(path) as archive, tempfile.TemporaryDirectory() as folder:
            text = _member(archive, path, "model_config.yaml", MAX_CONFIG_BYTES, Path(folder))
            description = yaml.safe_load(text.read_text(encoding="utf-8"))
            weights = _member(archive, path, "model_weights.ckpt", MAX_WEIGHTS_BYTES, Path(folder))
            state, _ = convert.read(weights)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file.") from error
    except (tarfile.TarError, EOFError, OSError) as error:
        raise UserError(f"{path}: not a readable .nemo archive ({error}).") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: model_config.yaml is not plain YAML ({reason}).") from error
    try:
        return convert.convert(codec_part(state), peer_configs.nemo(description))
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path}: model_config.yaml does not describe an audio codec "
            f"({type(error).__name__}: {error})."
        ) from error


def codec_part(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Encoder and decoder alone: FSQ has no weights, and discriminators are for training."""
    return {name: value for name, value in state.items() if name.startswith("audio_")}


def _member(archive: tarfile.TarFile, path: Path, name: str, limit: int, folder: Path) -> Path:
    """One file of the archive, copied to `folder / name`."""
    for member in archive:
        if member.name.removeprefix("./") == name and member.isfile():
            break
    else:
        raise UserError(f"{path}: has no '{name}'. Expected what NeMo's save_to writes.")
    if member.size > limit:
        raise UserError(f"{path}: '{name}' has {member.size} bytes, more than {limit} expected.")
    source = archive.extractfile(member)
    assert source is not None, "a regular file can be read"
    target = folder / name
    with source, target.open("wb") as copy:
        while chunk := source.read(CHUNK_BYTES):
            copy.write(chunk)
    return target
