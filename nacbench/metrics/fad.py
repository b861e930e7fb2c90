"""Fréchet audio distance: how far a set of decoded clips lies from the set of the originals.

Both sets are described by Gaussians over embeddings of their stretches of 0.96 s. A distance of
finite sets is too large by an amount that falls with their size; `fad` takes that out by
extrapolating from subsets to infinitely many stretches. It is the bench's example of a metric over
a set (`core.CorpusMetric`): no clip has a value of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nacbench.core import Clip
from nacbench.errors import UnscorableError
from nacbench.metrics.spectrum import Stft, mel_filters
from nacbench.metrics.transformers_models import folder, load
from nacbench.metrics.weights import Weights, build_id, missing_packages

Embeddings = NDArray[np.float64]  # [stretches, dimensions]

SAMPLE_RATE_HZ = 16000
STRETCH_S = 0.96  # as VGGish has it, in the paper
WINDOW, BANDS = 1024, 32
FEWEST = 32  # stretches; the covariance of fewer says nothing
SUBSETS = 15
SMALLEST = 0.25  # share of the stretches in the smallest subset
SEED = 0


class Fad:
    """Fréchet audio distance between sets, extrapolated to infinitely many stretches.

    The recipe names the embedding: `fad:logmel` (32 mel bands, no weights), or `fad:` and an
    encoder of `transformers`, whose last hidden states are averaged over each stretch.

    Source: Kilgour et al., Interspeech 2019, arXiv:1812.08466; extrapolation as Chong and Forsyth,
        CVPR 2020, arXiv:1911.07023, and Gui et al., ICASSP 2024, arXiv:2311.01616. Differs: not
        VGGish unless the recipe names it; subsets are drawn from both sets, in pairs.
    """

    argument = "embedding"
    version = "2"
    unit = ""
    bounds = (-float("inf"), float("inf"))  # an extrapolation may end below 0
    higher_is_better = False
    sample_rate_hz = SAMPLE_RATE_HZ
    mono = True
    domain = "any"
    source = "Kilgour et al., Interspeech 2019, arXiv:1812.08466"

    def __init__(self, embedding: str = "logmel") -> None:
        self.embedding = str(embedding)
        self.name = f"fad:{self.embedding}"

    @classmethod
    def missing(cls, embedding: str = "logmel") -> str | None:
        if embedding == "logmel":
            return None
        absent = missing_packages("torch", "transformers")
        if absent or folder(str(embedding)):
            return absent
        return f"'{embedding}' is neither a folder nor downloaded. Try 'hf download {embedding}'."

    def weights(self) -> tuple[Weights, ...]:
        found = None if self.embedding == "logmel" else folder(self.embedding)
        files = sorted(found.glob("*.safetensors")) if found else []
        origin = f"transformers model '{self.embedding}'"
        return tuple(Weights(path, origin, "see the model's card") for path in files)

    def build_id(self) -> str:
        return build_id(self.weights())

    def embed(self, clip: Clip) -> Embeddings:
        """One row for each stretch of 0.96 s; a rest is left out."""
        length = round(STRETCH_S * SAMPLE_RATE_HZ)
        count = clip.length // length
        if count == 0:
            raise UnscorableError(f"too short: FAD needs {STRETCH_S} s")
        stretches = clip.samples[0, : count * length].reshape(count, length)
        if self.embedding == "logmel":
            return _log_mel(stretches)
        place = folder(self.embedding)
        assert place is not None, "missing() was asked before"
        return _hidden(*load(place, "AutoModel"), stretches)

    def compare(self, references: Embeddings, decoded: Embeddings) -> float:
        """The distance of two sets at infinite size.

        Raises:
            UnscorableError: fewer stretches than `FEWEST`.
        """
        return extrapolated(references, decoded, frechet_distance)

    def uncorrected(self, references: Embeddings, decoded: Embeddings) -> float:
        """The distance of the sets as they are."""
        return frechet_distance(references, decoded)


def frechet_distance(a: Embeddings, b: Embeddings) -> float:
    """|µa - µb|² + tr(Σa + Σb - 2 (Σa Σb)^½) of Gaussians with the sets' moments."""
    shift = a.mean(axis=0) - b.mean(axis=0)
    covariances = np.atleast_2d(np.cov(a, rowvar=False)), np.atleast_2d(np.cov(b, rowvar=False))
    values, vectors = np.linalg.eigh(covariances[0])
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    # (Σa Σb)^½ and (Σa^½ Σb Σa^½)^½ have the same trace, and the latter is symmetric.
    product = np.linalg.eigvalsh(root @ covariances[1] @ root)
    both = np.trace(covariances[0]) + np.trace(covariances[1])
    return float(shift @ shift + both - 2 * np.sqrt(np.maximum(product, 0)).sum())


def extrapolated(
    a: Embeddings, b: Embeddings, distance: Callable[[Embeddings, Embeddings], float]
) -> float:
    """The distance at 1/size = 0 of the line through those of random subsets of paired rows."""
    size = min(len(a), len(b))
    if size < FEWEST:
        raise UnscorableError(
            f"{size} stretches of {STRETCH_S} s are too few: FAD needs {FEWEST}, and hundreds to "
            "be of use"
        )
    draw = np.random.default_rng(SEED)
    sizes = np.linspace(SMALLEST * size, size, SUBSETS).round().astype(int)
    # Row by row the sets are originals and what became of them. Drawn apart, small subsets would
    # differ in content and the whole sets not: copies would end below 0.
    drawn = [draw.permutation(size)[:n] for n in sizes]
    found = [distance(a[rows], b[rows]) for rows in drawn]
    return float(np.polyfit(1 / sizes, found, 1)[1])


def _log_mel(stretches: NDArray[np.float32]) -> Embeddings:
    magnitude = Stft(WINDOW).magnitude(stretches, mel_filters(SAMPLE_RATE_HZ, WINDOW, BANDS, None))
    embeddings: Embeddings = np.log10(np.maximum(magnitude.astype(np.float64), 1e-5)).mean(axis=1)
    return embeddings


def _hidden(network: Any, processor: Any, stretches: NDArray[np.float32]) -> Embeddings:
    import torch

    inputs = processor(list(stretches), sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt")
    with torch.inference_mode():
        hidden = network(**inputs).last_hidden_state
    embeddings: Embeddings = hidden.mean(dim=1).double().numpy()
    return embeddings
