"""EnCodec through `transformers`.

Source: Défossez et al., "High Fidelity Neural Audio Compression", arXiv:2210.13438. Its language
model, which would shrink the payload by a quarter to a third, is not in `transformers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nacbench.codecs import token_stream
from nacbench.codecs.checkpoint import Published
from nacbench.codecs.pretrained import PretrainedCodec, product
from nacbench.codecs.token_stream import TokenStream
from nacbench.errors import DecodeError


class Encodec(PretrainedCodec):
    """EnCodec, 24 kHz mono or 48 kHz stereo, at the bandwidths it was trained for.

    The 48 kHz model codes chunks of a second, each with its own gain: a float32 that travels.
    Frames that would only pad the last chunk do not.

    Args:
        model: "24khz", "48khz", a hub id, or a folder.
        kbps: one of the model's bandwidths; 24khz: 1.5, 3, 6, 12, 24; 48khz: 3, 6, 12, 24.
        revision: of the hub id.
    """

    name = "encodec"
    title = "EnCodec"
    default_points: ClassVar = tuple({"kbps": kbps} for kbps in (1.5, 3, 6, 12, 24))
    published: ClassVar = {
        "24khz": Published(
            "facebook/encodec_24khz",
            "no licence on its card; its repository: MIT",
            "c1dbe2ae3f1de713481a3b3e7c47f357092ee040",
        ),
        "48khz": Published(
            "facebook/encodec_48khz", "MIT", "c3def8e7185ac8c8efdce6eb8c4a651e487a503e"
        ),
    }
    model_type, model_class = "encodec", "EncodecModel"
    defaults: ClassVar = {
        "sampling_rate": 24_000,
        "audio_channels": 1,
        "upsampling_ratios": (8, 5, 4, 2),
        "codebook_size": 1024,
        "target_bandwidths": (1.5, 3.0, 6.0, 12.0, 24.0),
        "normalize": False,
        "chunk_length_s": None,
        "overlap": None,
    }

    def __init__(
        self, model: str = "24khz", kbps: float | None = None, revision: str | None = None
    ) -> None:
        super().__init__(model, revision)
        bandwidths = [float(value) for value in self.config["target_bandwidths"]]
        self._bandwidth = (
            6.0 if kbps is None and 6.0 in bandwidths else float(kbps or bandwidths[0])
        )
        if self._bandwidth not in bandwidths:
            known = ", ".join(f"{value:g}" for value in bandwidths)
            raise ValueError(f"kbps must be one of {known}; got {self._bandwidth:g}")
        per_codebook = token_stream.bits(self._all_sizes[0]) * -(-self._rate // self.hop_length)
        self._use(max(1, int(self._bandwidth * 1000 / per_codebook)))

    @property
    def _rate(self) -> int:
        return self.sample_rates_hz[0]

    def _hop_length(self, config: Mapping[str, Any]) -> int:
        return product(config["upsampling_ratios"])

    def _codebooks_in(self, config: Mapping[str, Any]) -> int:
        frames = -(-int(config["sampling_rate"]) // self.hop_length)
        width = token_stream.bits(int(config["codebook_size"]))
        return int(1000 * config["target_bandwidths"][-1] // (frames * width))

    def _describe(self, config: Mapping[str, Any]) -> None:
        super()._describe(config)
        seconds, overlap = config["chunk_length_s"], config["overlap"]
        self._chunk = None if seconds is None else int(seconds * self._rate)
        self._stride = (
            None if self._chunk is None else max(1, int((1.0 - (overlap or 0.0)) * self._chunk))
        )

    def _chunks(self, length: int) -> list[int]:
        """Samples of each chunk."""
        if self._chunk is None or self._stride is None:
            return [length]
        return [min(self._chunk, length - start) for start in range(0, length, self._stride)]

    def _frames(self, length: int) -> int:
        return sum(-(-samples // self.hop_length) for samples in self._chunks(length))

    def _side_bytes(self, length: int) -> int:
        if not self.config["normalize"]:
            return 0
        return 4 if self._stride is None else 4 * -(-length // self._stride)

    def _encode(self, network: Any, waveform: Any, batch: int) -> tuple[NDArray[np.int64], bytes]:
        if batch > 1 and self._chunk is not None:
            codes, scales = self._encode_batches(network, waveform, batch)
        else:
            answer = network.encode(waveform, bandwidth=self._bandwidth)
            kept = [-(-n // self.hop_length) for n in self._chunks(waveform.shape[-1])]
            codes = [
                chunk[0, :, :frames] for chunk, frames in zip(answer.audio_codes, kept, strict=True)
            ]
            scales = answer.audio_scales
        side = b""
        if self.config["normalize"]:
            side = np.array([float(scale) for scale in scales], "<f4").tobytes()
        tokens = np.concatenate([chunk.cpu().numpy() for chunk in codes], axis=1)
        return tokens.astype(np.int64), side

    def _encode_batches(self, network: Any, waveform: Any, batch: int) -> tuple[list[Any], Any]:
        """As `network.encode` does it, but with several whole chunks at a time."""
        import torch

        starts = range(0, waveform.shape[-1], self._stride or 1)
        chunks = [waveform[0, :, start : start + (self._chunk or 0)] for start in starts]
        codes: list[Any] = []
        scales: list[Any] = []
        for group in _groups(chunks, batch):
            pieces = torch.stack(group)
            if self.config["normalize"]:
                level = pieces.mean(1, keepdim=True).square().mean(-1, keepdim=True).sqrt() + 1e-8
                pieces = pieces / level
                scales += level.reshape(-1).tolist()
            found = network.quantizer.encode(network.encoder(pieces), self._bandwidth)
            codes += list(found.transpose(0, 1))
        return codes, scales

    def _decode(self, network: Any, stream: TokenStream, device: str, batch: int) -> Any:
        import torch

        frames = [-(-samples // self.hop_length) for samples in self._chunks(stream.length)]
        parts = np.split(stream.tokens, np.cumsum(frames)[:-1], axis=1)
        gains: list[Any] = [None] * len(parts)
        if self.config["normalize"]:
            values = np.frombuffer(stream.side, "<f4")
            if not np.isfinite(values).all() or np.abs(values).max(initial=0) > 1e3:
                raise DecodeError("a gain is damaged: it is not finite, or far beyond full scale")
            gains = [torch.tensor([[float(gain)]], device=device) for gain in values]
        last_pad = frames[0] - frames[-1]
        padded = [np.pad(part, ((0, 0), (0, frames[0] - part.shape[1]))) for part in parts]
        codes = torch.from_numpy(np.stack(padded)[:, np.newaxis]).to(device)
        return network.decode(codes, gains, last_frame_pad_length=last_pad).audio_values[0]


def _groups(chunks: list[Any], batch: int) -> list[list[Any]]:
    """Neighbours of the same length, up to `batch` of them."""
    groups: list[list[Any]] = []
    for chunk in chunks:
        last = groups[-1] if groups else None
        if last and len(last) < batch and last[0].shape == chunk.shape:
            last.append(chunk)
        else:
            groups.append([chunk])
    return groups
