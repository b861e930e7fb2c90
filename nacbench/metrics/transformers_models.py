"""Models of `transformers` that recipes name: `wer:openai/whisper-small`, `wer:/models/asr`.

A name is a local folder in the library's layout, a folder inside one that `--weights` names, or an
id of Hugging Face's hub that was downloaded before (`id@revision` pins a revision). Nothing is
downloaded while scoring, and only safetensors are read: pickled weights can run code.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from pathlib import Path
from typing import Any

from nacbench.metrics.weights import Weights, build_id, folders, missing_packages

SAMPLE_RATE_HZ = 16000


class NeedsModel:
    """A metric whose recipe names a model behind a colon."""

    argument = "model"
    version = "1"
    sample_rate_hz = SAMPLE_RATE_HZ
    mono = True
    domain = "speech"
    base: str
    example: str
    packages: tuple[str, ...] = ("torch", "transformers")

    def __init__(self, model: str) -> None:
        self.model = str(model)
        self.name = f"{self.base}:{self.model}"

    @classmethod
    def missing(cls, model: str = "") -> str | None:
        absent = missing_packages(*cls.packages)
        if absent:
            return absent
        if not model:
            return f"it needs a model. Write '{cls.base}:{cls.example}', or a folder's path."
        if folder(str(model)) is None:
            name = str(model).partition("@")[0]
            return (
                f"'{name}' is neither a folder nor downloaded, with safetensors. "
                f"'hf download {name}' gets it from the hub; --weights names a folder of models."
            )
        return None

    def weights(self) -> tuple[Weights, ...]:
        found = folder(self.model)
        assert found is not None, "missing() was asked before"
        return tuple(
            Weights(path, f"transformers model '{self.model}'", "see the model's card")
            for path in sorted(found.glob("*.safetensors"))
        )

    def build_id(self) -> str:
        from importlib.metadata import version

        return f"transformers {version('transformers')} {build_id(self.weights())}"


def folder(model: str) -> Path | None:
    """Where a model lies that has a configuration and safetensors."""
    for place in (Path(model).expanduser(), *(parent / model for parent in folders())):
        if _is_model(place):
            return place
    name, _, revision = model.partition("@")
    try:
        from huggingface_hub import try_to_load_from_cache

        config = try_to_load_from_cache(name, "config.json", revision=revision or None)
    except (ImportError, ValueError):  # a name that cannot be an id of the hub
        return None
    found = Path(config).parent if isinstance(config, str) else None
    return found if found and _is_model(found) else None


def _is_model(place: Path) -> bool:
    return (place / "config.json").is_file() and any(place.glob("*.safetensors"))


def import_transformers() -> Any:
    """transformers, which imports torchaudio where that is installed, extension or not."""
    if importlib.util.find_spec("torchaudio") is not None:
        from nacbench.torchaudio_cpu import import_torchaudio

        import_torchaudio()
    return importlib.import_module("transformers")


@functools.lru_cache(maxsize=4)
def load(place: Path, auto_class: str) -> tuple[Any, Any]:
    """Model and feature extractor or processor of a folder, ready to score on the CPU."""
    transformers = import_transformers()
    speaks = auto_class in ("AutoModelForCTC", "AutoModelForSpeechSeq2Seq")
    processor_class = "AutoProcessor" if speaks else "AutoFeatureExtractor"
    processor = getattr(transformers, processor_class).from_pretrained(place, local_files_only=True)
    network = getattr(transformers, auto_class).from_pretrained(
        place, local_files_only=True, use_safetensors=True
    )
    return network.eval(), processor
