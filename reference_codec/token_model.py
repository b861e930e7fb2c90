"""A peer's checkpoint as a plain token model: samples to codes, codes to samples.

What other programs need who pack the codes by themselves; `nacbench` finds it by the entry point
`nacbench.token_models` and reads NVIDIA's `.nemo` archives with it where NeMo is not installed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from reference_codec import convert


class PeerModel:
    """The model of `convert.load`, on whole clips.

    Args:
        path: `.nemo`, `.th`, `.pth`, or a directory that `save_pretrained` wrote.
    """

    def __init__(self, path: str, device: str = "cpu") -> None:
        self._model = convert.load(path).to(device)
        self._model.eval()
        self._device = device

    def encode(self, samples: NDArray[np.float32]) -> NDArray[np.int64]:
        """`[channels, length]` at the model's rate -> codes `[codebooks, frames]`.

        The last frame is filled up with zeros, as NeMo does.
        """
        import torch

        hop = self._model.config.hop_length
        whole = np.pad(samples, ((0, 0), (0, -samples.shape[1] % hop)))
        codes, _ = self._model.encode(torch.from_numpy(whole)[None].to(self._device))
        return codes[0].cpu().numpy().astype(np.int64)

    def decode(self, tokens: NDArray[np.int64]) -> Any:
        """Codes -> samples `[channels, frames * hop_length]`."""
        import torch

        return self._model.decode(torch.from_numpy(tokens)[None].to(self._device))[0]
