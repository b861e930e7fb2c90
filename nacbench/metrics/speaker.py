"""Whether the decoded speech still sounds like the same person: similarity of x-vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nacbench.core import Clip
from nacbench.errors import UnscorableError
from nacbench.metrics.transformers_models import SAMPLE_RATE_HZ, NeedsModel, folder, load

SHORTEST_S = 0.5


class SpeakerSimilarity(NeedsModel):
    """Cosine of the speaker embeddings of the original and of the decoded audio.

    The recipe names the model: any of `transformers` with an x-vector head.

    Source: Snyder et al., ICASSP 2018 (x-vectors); the model's own card. Differs: none.
    """

    name = base = "speaker_similarity"
    unit = ""
    bounds = (-1.0, 1.0)
    higher_is_better = True
    source = "Snyder et al., ICASSP 2018; transformers"
    example = "microsoft/wavlm-base-plus-sv"

    def prepare(self, reference: Clip) -> NDArray[np.float64]:
        return self._embedding(reference)

    def score(self, prepared: NDArray[np.float64], decoded: Clip) -> float:
        return float(prepared @ self._embedding(decoded))

    def _embedding(self, clip: Clip) -> NDArray[np.float64]:
        """Of unit length."""
        import torch

        if clip.duration_s < SHORTEST_S:
            raise UnscorableError(f"too short: speaker similarity needs {SHORTEST_S} s")
        if not clip.samples.any():
            raise UnscorableError("the audio is silent")
        place = folder(self.model)
        assert place is not None, "missing() was asked before"
        network, extractor = load(place, "AutoModelForAudioXVector")
        inputs: Any = extractor(clip.samples[0], sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt")
        with torch.inference_mode():
            vector = network(**inputs).embeddings[0].double().numpy()
        unit: NDArray[np.float64] = vector / np.linalg.norm(vector)
        return unit
