"""Import torchaudio beside a CPU build of torch.

torchaudio 2.11 on the public index is a CUDA build: its C++ extension wants CUDA libraries, so
`import torchaudio` fails beside a CPU torch although all that we use (pipelines, datasets,
transforms) is Python. A stub registered under the extension's name before the import keeps the
extension out of the way. Nothing in site-packages is touched, and where the extension loads,
it is used.

Without it `lfilter`, the biquads and `loudness` fall back to loops up to 1,800 times slower than
scipy's: this project uses scipy, soxr and pyloudnorm there.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

_EXTENSION = "torchaudio._extension"


def import_torchaudio() -> ModuleType:
    """torchaudio, with its C++ extension where that loads and without it where it does not.

    Raises:
        ImportError: torchaudio is not installed.
    """
    if "torchaudio" in sys.modules:
        return sys.modules["torchaudio"]
    try:
        return importlib.import_module("torchaudio")
    except (ImportError, OSError, RuntimeError) as error:
        if isinstance(error, ModuleNotFoundError) and error.name in ("torchaudio", "torch"):
            raise
    for name in [name for name in sys.modules if name.split(".")[0] == "torchaudio"]:
        del sys.modules[name]  # the failed import leaves half-initialised submodules
    sys.modules[_EXTENSION] = _extension_stub()
    return importlib.import_module("torchaudio")


def _extension_stub() -> ModuleType:
    """The names that torchaudio 2.11 reads from its extension package, saying "not there"."""
    stub = ModuleType(_EXTENSION)
    stub.__dict__.update(
        _IS_TORCHAUDIO_EXT_AVAILABLE=False,
        _IS_ALIGN_AVAILABLE=False,
        _IS_RIR_AVAILABLE=False,
        fail_if_no_align=_pass_through,
    )
    return stub


def _pass_through(function: Any) -> Any:
    return function
