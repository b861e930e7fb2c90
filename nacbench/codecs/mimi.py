"""Mimi, the codec of Moshi, through `transformers`.

Source: Défossez et al., "Moshi: a speech-text foundation model for real-time dialogue",
arXiv:2410.00037.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nacbench.codecs.checkpoint import Published
from nacbench.codecs.pretrained import PretrainedCodec, product
from nacbench.codecs.token_stream import TokenStream


class Mimi(PretrainedCodec):
    """Mimi, 24 kHz mono, 12.5 frames per second, with as many of its codebooks as wanted.

    Args:
        model: "24khz", a hub id, or a folder.
        codebooks: how many are sent, the semantic ones first; None: all of them (32 in the
            published model; Moshi uses 8, which is 1.1 kbps).
        revision: of the hub id.
    """

    name = "mimi"
    title = "Mimi"
    sweep = ("codebooks",)
    default_points: ClassVar = tuple({"codebooks": count} for count in (4, 8, 16, 32))
    published: ClassVar = {
        "24khz": Published("kyutai/mimi", "CC-BY-4.0", "89091b3e466eb6a9d11e537bf26b144f194978f7")
    }
    model_type, model_class = "mimi", "MimiModel"
    defaults: ClassVar = {
        "sampling_rate": 24_000,
        "audio_channels": 1,
        "upsampling_ratios": (8, 6, 5, 4),
        "codebook_size": 2048,
        "num_quantizers": 32,
        "num_semantic_quantizers": 1,
        "frame_rate": None,
    }

    def __init__(
        self, model: str = "24khz", codebooks: int | None = None, revision: str | None = None
    ) -> None:
        super().__init__(model, revision)
        fewest = int(self.config["num_semantic_quantizers"])
        self._use(self._checked_codebooks(codebooks, fewest))

    def _hop_length(self, config: Mapping[str, Any]) -> int:
        if config["frame_rate"]:
            return round(int(config["sampling_rate"]) / float(config["frame_rate"]))
        return 2 * product(config["upsampling_ratios"])  # 2: the stride after the transformer

    def _codebooks_in(self, config: Mapping[str, Any]) -> int:
        return int(config["num_quantizers"])

    def _encode(self, network: Any, waveform: Any, batch: int) -> tuple[NDArray[np.int64], bytes]:
        answer = network.encode(waveform, num_quantizers=len(self.codebook_sizes))
        return answer.audio_codes[0].cpu().numpy().astype(np.int64), b""

    def _decode(self, network: Any, stream: TokenStream, device: str, batch: int) -> Any:
        import torch

        codes = torch.from_numpy(stream.tokens)[None].to(device)
        return network.decode(codes).audio_values[0]
