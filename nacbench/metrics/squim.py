"""Squim: scores estimated by the networks of torchaudio.pipelines, without the original.

The objective network estimates STOI, PESQ and SI-SDR from the decoded audio alone. The subjective
one estimates a mean opinion score by comparison with clean speech that need **not** match; NeMo
and VERSA give it the original all the same, which is another number: `squim:subjective-matching`.

Values are those of the pipelines to 1e-4; how they come sooner: `squim_network`. Clips of equal
length can be scored in one pass (`score_batch`), which moves a score by less than 1e-6.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from nacbench import audio, pack
from nacbench.core import Clip
from nacbench.errors import UnscorableError
from nacbench.metrics.weights import Weights, build_id, find, missing_packages

if TYPE_CHECKING:
    from torch import Tensor

SAMPLE_RATE_HZ = 16000
SHORTEST_S = 0.25
TARGETS = ("stoi", "pesq", "si_sdr")
REFERENCE_SEED = 0
BATCH_S = 12.0  # of audio in one pass: larger tensors leave the cache, and cost more than they save


class _Squim:
    version = "1"
    higher_is_better = True
    sample_rate_hz = SAMPLE_RATE_HZ
    mono = True
    domain = "speech"
    source = "Kumar et al., ICASSP 2023, arXiv:2304.01448; torchaudio.pipelines"
    file_name: str
    pipeline: str
    size: str
    licence: str

    @classmethod
    def missing(cls) -> str | None:
        absent = missing_packages("torch", "torchaudio")
        if absent or cls._file():
            return absent
        return (
            f"{cls.file_name} ({cls.size}, {cls.licence}) is not there. "
            f"'torchaudio.pipelines.{cls.pipeline}.get_model()' downloads it into torch's hub "
            "cache; or name its folder with --weights."
        )

    @classmethod
    def _file(cls) -> Path | None:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "torch"
        hub = Path(os.environ.get("TORCH_HOME") or home).expanduser() / "hub"
        return find(cls.file_name, hub / "torchaudio" / "models")

    def weights(self) -> tuple[Weights, ...]:
        path = self._file()
        assert path is not None, "missing() was asked before"
        return (Weights(path, f"torchaudio.pipelines.{self.pipeline}", self.licence),)

    def build_id(self) -> str:
        return build_id(self.weights())


class _Objective(_Squim):
    reference_free = True
    file_name = "squim_objective_dns2020.pth"
    pipeline = "SQUIM_OBJECTIVE"
    size = "28 MB"
    licence = "CC BY 4.0"
    name: str

    def prepare(self, reference: Clip) -> None:
        return None

    def score(self, prepared: None, decoded: Clip) -> float:
        return self.score_batch(prepared, [decoded])[0]

    def score_batch(self, prepared: None, decoded: Sequence[Clip]) -> list[float]:
        """`score` of each clip; those of equal length go through the network together."""
        import torch

        for clip in decoded:
            _refuse_what_has_no_score(clip)
        for clips in _batches(clip for clip in decoded if clip not in _objective_scores):
            with torch.inference_mode():
                found = _network(self.weights()[0].path, self.pipeline)(_tensor(clips))
            for clip, values in zip(clips, zip(*found, strict=True), strict=True):
                _objective_scores[clip] = tuple(float(value) for value in values)
        target = TARGETS.index(self.name.rpartition("-")[2])
        return [_objective_scores[clip][target] for clip in decoded]


# Three recipes read one network's output, so the second and third find it here.
_objective_scores: WeakKeyDictionary[Clip, tuple[float, ...]] = WeakKeyDictionary()


class SquimStoi(_Objective):
    """STOI as Squim estimates it without a reference.

    Source: Kumar et al., ICASSP 2023, arXiv:2304.01448. Differs: none.
    """

    name = "squim:objective-stoi"
    unit = ""
    bounds = (0.0, 1.0)


class SquimPesq(_Objective):
    """Wideband PESQ as Squim estimates it without a reference.

    Source: Kumar et al., ICASSP 2023, arXiv:2304.01448. Differs: none.
    """

    name = "squim:objective-pesq"
    unit = "MOS-LQO"
    bounds = (1.0, 4.65)


class SquimSiSdr(_Objective):
    """SI-SDR as Squim estimates it without a reference.

    Source: Kumar et al., ICASSP 2023, arXiv:2304.01448. Differs: none.
    """

    name = "squim:objective-si_sdr"
    unit = "dB"
    bounds = (-150.0, 150.0)


class _Subjective(_Squim):
    unit = "MOS"
    bounds = (1.0, 5.0)
    file_name = "squim_subjective_bvcc_daps.pth"
    pipeline = "SQUIM_SUBJECTIVE"
    size = "360 MB"
    licence = "CC BY-NC 4.0"

    def score(self, prepared: Clip, decoded: Clip) -> float:
        """`prepared` is the clean speech to compare with, cut or repeated to the clip's length."""
        return self.score_batch(prepared, [decoded])[0]

    def score_batch(self, prepared: Clip, decoded: Sequence[Clip]) -> list[float]:
        """`score` of each clip; all are as long as `prepared`."""
        import torch

        for clip in decoded:
            _refuse_what_has_no_score(clip)
        network = _network(self.weights()[0].path, self.pipeline)
        scores: dict[Clip, float] = {}
        with torch.inference_mode():
            if prepared not in _clean_features:
                _clean_features[prepared] = _features(network, [prepared])
            for clips in _batches(decoded):
                clean = _clean_features[prepared].expand(len(clips), -1, -1)
                both = torch.cat((clean, _features(network, clips)), dim=2)
                scores |= zip(clips, (5 - network.predictor(both)).tolist(), strict=True)
        return [scores[clip] for clip in decoded]


# The clean side of a comparison is the same for every operating point.
_clean_features: WeakKeyDictionary[Clip, Tensor] = WeakKeyDictionary()


class SquimSubjective(_Subjective):
    """A mean opinion score by comparison with clean speech of another speaker.

    That speech is one of the embedded pack's voices, drawn by the clip's id with seed 0 and
    repeated or cut to its length.

    Source: Manocha and Kumar, Interspeech 2022, arXiv:2206.12285; torchaudio. Differs: none.
    """

    name = "squim:subjective"
    reference_free = True

    def build_id(self) -> str:
        names = "".join(path.name for path in _voices())
        drawn_from = hashlib.sha256(names.encode()).hexdigest()[:8]
        return f"{super().build_id()} reference embedded:speech {drawn_from} seed {REFERENCE_SEED}"

    def prepare(self, reference: Clip) -> Clip:
        return _to_length(_voice(_drawn(reference.id)), reference.length)


class SquimSubjectiveMatching(_Subjective):
    """A mean opinion score by comparison with the clean original, as NeMo and VERSA use Squim.

    Source: Manocha and Kumar, Interspeech 2022, arXiv:2206.12285; torchaudio. Differs: the
        reference matches, which the network was not trained for.
    """

    name = "squim:subjective-matching"
    reference_free = False

    def prepare(self, reference: Clip) -> Clip:
        _refuse_what_has_no_score(reference)
        return reference


@functools.cache
def _network(path: Path, pipeline: str) -> Any:
    import torch

    from nacbench.metrics.squim_network import quicken
    from nacbench.torchaudio_cpu import import_torchaudio

    models = import_torchaudio().models
    network = (
        models.squim_objective_base()
        if pipeline == "SQUIM_OBJECTIVE"
        else models.squim_subjective_base()
    )
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return quicken(network.eval())


def _features(network: Any, clips: Sequence[Clip]) -> Tensor:
    heard: Tensor = network.projector(network.ssl_model.extract_features(_tensor(clips))[0][-1])
    return heard


def _batches(clips: Iterable[Clip]) -> Iterator[list[Clip]]:
    """Clips of equal length in groups of at most `BATCH_S`, and longer ones alone."""
    ordered = sorted(dict.fromkeys(clips), key=lambda clip: clip.length)
    for length, group in itertools.groupby(ordered, key=lambda clip: clip.length):
        at_once = max(1, int(BATCH_S * SAMPLE_RATE_HZ) // length)
        equal = list(group)
        yield from (equal[start : start + at_once] for start in range(0, len(equal), at_once))


def _tensor(clips: Sequence[Clip]) -> Tensor:
    import numpy as np
    import torch

    return torch.from_numpy(np.concatenate([clip.samples for clip in clips]))


def _refuse_what_has_no_score(clip: Clip) -> None:
    if clip.duration_s < SHORTEST_S:
        raise UnscorableError(f"too short: Squim needs {SHORTEST_S} s")
    if not clip.samples.any():
        raise UnscorableError("the audio is silent")


def _voices() -> list[Path]:
    return sorted((Path(pack.__file__).parent / "speech").glob("*.flac"))


def _drawn(clip_id: str) -> Path:
    voices = _voices()
    key = hashlib.sha256(f"{REFERENCE_SEED}\n{clip_id}".encode()).digest()
    return voices[int.from_bytes(key[:8]) % len(voices)]


@functools.cache
def _voice(path: Path) -> Clip:
    return audio.at_rate(audio.to_mono(audio.read(path)), SAMPLE_RATE_HZ)


@functools.lru_cache(maxsize=4)
def _to_length(clip: Clip, length: int) -> Clip:
    import numpy as np

    return Clip(np.resize(clip.samples, (1, length)), clip.sample_rate_hz, clip.id)
