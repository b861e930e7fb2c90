"""The Descript Audio Codec through `transformers`.

Source: Kumar et al., "High-Fidelity Audio Compression with Improved RVQGAN", arXiv:2306.06546.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nacbench.codecs.checkpoint import Published
from nacbench.codecs.pretrained import PretrainedCodec, product
from nacbench.codecs.token_stream import TokenStream

LICENCE = "no licence on its card; its repository: MIT"


class Dac(PretrainedCodec):
    """DAC at 16, 24 or 44.1 kHz, with as many of its codebooks as wanted.

    The clip is filled up with zeros to whole frames, as the model's own feature extractor does;
    the decoder of the 16 and 24 kHz models then returns up to 8 samples less, which are zeros here.

    Args:
        model: "16khz", "24khz", "44khz", a hub id, or a folder.
        codebooks: how many are sent; None: all of them (12, 32 and 9 in the published models).
        revision: of the hub id.
    """

    name = "dac"
    title = "DAC"
    sweep = ("codebooks",)
    default_points: ClassVar = tuple({"codebooks": count} for count in (1, 2, 3, 4, 6, 9))
    published: ClassVar = {
        "16khz": Published(
            "descript/dac_16khz", LICENCE, "7c2fc5e759f1f501aefc6e7a0265cc57f5d17ba7"
        ),
        "24khz": Published(
            "descript/dac_24khz", LICENCE, "6ba020b5ba7d9d8076fb90db7e67f27e31980f6e"
        ),
        "44khz": Published(
            "descript/dac_44khz", LICENCE, "c1bc521685adf9cfe247bc39a5ca58917eda1ac4"
        ),
    }
    model_type, model_class = "dac", "DacModel"
    defaults: ClassVar = {
        "sampling_rate": 16_000,
        "downsampling_ratios": (2, 4, 8, 8),
        "codebook_size": 1024,
        "n_codebooks": 9,
    }

    def __init__(
        self, model: str = "44khz", codebooks: int | None = None, revision: str | None = None
    ) -> None:
        super().__init__(model, revision)
        self._use(self._checked_codebooks(codebooks))

    def _hop_length(self, config: Mapping[str, Any]) -> int:
        return product(config["downsampling_ratios"])

    def _codebooks_in(self, config: Mapping[str, Any]) -> int:
        return int(config["n_codebooks"])

    def _encode(self, network: Any, waveform: Any, batch: int) -> tuple[NDArray[np.int64], bytes]:
        import torch

        length = waveform.shape[-1]
        whole = torch.nn.functional.pad(waveform, (0, -length % self.hop_length))
        answer = network.encode(whole, n_quantizers=len(self.codebook_sizes))
        return answer.audio_codes[0].cpu().numpy().astype(np.int64), b""

    def _decode(self, network: Any, stream: TokenStream, device: str, batch: int) -> Any:
        import torch

        codes = torch.from_numpy(stream.tokens)[None].to(device)
        return network.decode(audio_codes=codes).audio_values
