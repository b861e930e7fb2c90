"""ViSQOL v3 (Google): similarity of gammatone spectrograms, mapped to MOS-LQO by a model.

The recipe names mode and model, for "ViSQOL" alone is at least three numbers. Values are those
of visqol-python; `visqol_analysis` says how they come faster. Pitfalls are in docs/metrics.md:
speech mode depends on level, both modes compress the ends of the scale.

Importing this module sets `NUMBA_CACHE_DIR` where it is unset: compiling takes seconds, and every
worker process would pay for it.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from nacbench.core import Clip

if TYPE_CHECKING:
    from nacbench.metrics.visqol_analysis import Features, Reference

CACHE_HOME = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
os.environ.setdefault("NUMBA_CACHE_DIR", str(CACHE_HOME / "nacbench" / "numba"))

LATTICE_MODEL = "lattice_tcditugenmeetpackhref_ls2_nl60_lr12_bs2048_learn.005_ep2400_train1_7_raw"
LOWEST_SIMILARITY = 0.15  # below it the signals have nothing in common and the score is 1


class _Visqol:
    version = "1"
    unit = "MOS-LQO"
    bounds = (1.0, 5.0)
    higher_is_better = True
    mono = True
    source = "Chinen et al., QoMEX 2020, arXiv:2004.09584; google/visqol v3.3.3"
    packages: tuple[str, ...] = ("visqol", "numba")
    model_file: str | None = None

    @classmethod
    def missing(cls) -> str | None:
        absent = [name for name in cls.packages if importlib.util.find_spec(name) is None]
        if absent:
            return (
                f"the package '{absent[0]}' is missing. "
                "'pip install visqol-python[accel,lattice]' installs all it needs."
            )
        return None

    def build_id(self) -> str:
        from importlib.metadata import version

        build = f"visqol-python {version('visqol-python')}"
        if self.model_file is None:
            return build
        return (
            f"{build} model {hashlib.sha256(_model(self.model_file).read_bytes()).hexdigest()[:8]}"
        )

    def score(self, prepared: Reference, decoded: Clip) -> float:
        found = prepared.features_of(decoded)
        if found.similarity.mean() < LOWEST_SIMILARITY:
            return 1.0
        return self._quality(found)

    def _quality(self, found: Features) -> float:
        return float(self._mapper.predict_quality(*found))

    @functools.cached_property
    def _mapper(self) -> Any:
        raise NotImplementedError


class _Speech(_Visqol):
    sample_rate_hz = 16000
    domain = "speech"

    def prepare(self, reference: Clip) -> Reference:
        return _reference(reference, "speech")


class VisqolSpeechLattice(_Speech):
    """ViSQOL in speech mode with the lattice model, the default of Google's program.

    Source: google/visqol v3.3.3, `--use_speech_mode`. Differs: up to 0.007 on its own pairs.
    """

    name = "visqol:speech-lattice"
    packages = ("visqol", "numba", "ai_edge_litert")
    model_file = f"{LATTICE_MODEL}.tflite"

    @functools.cached_property
    def _mapper(self) -> Any:
        from visqol.quality_mapper import TFLiteSpeechQualityMapper

        mapper = TFLiteSpeechQualityMapper(str(_model(self.model_file or "")))
        with _quiet_stderr():
            mapper.init()
        return mapper


class VisqolSpeechExponential(_Speech):
    """ViSQOL in speech mode with the exponential fit of mean similarity, scaled to 5.

    Source: google/visqol v3.3.3, `--use_speech_mode --use_lattice_model=false`. Differs: up to
        0.028 on its own pairs.
    """

    name = "visqol:speech-exponential"

    @functools.cached_property
    def _mapper(self) -> Any:
        from visqol.quality_mapper import SpeechSimilarityToQualityMapper

        return SpeechSimilarityToQualityMapper(scale_to_max_mos=True)


class VisqolAudio(_Visqol):
    """ViSQOL in audio mode with the support vector regression of v3.

    Source: google/visqol v3.3.3. Differs: up to 0.0002 on its own pairs.
    """

    name = "visqol:audio"
    sample_rate_hz = 48000
    domain = "any"
    packages = ("visqol", "numba", "libsvm")
    model_file = "libsvm_nu_svr_model.txt"

    def prepare(self, reference: Clip) -> Reference:
        return _reference(reference, "audio")

    def _quality(self, found: Features) -> float:
        with self._threads.limit(limits=1):
            return super()._quality(found)

    @functools.cached_property
    def _threads(self) -> Any:
        """The threads of libsvm, which adds their sums as they come: several vary the last bits."""
        from threadpoolctl import ThreadpoolController

        assert self._mapper, "a library is found only once it is loaded"
        return ThreadpoolController().select(user_api="openmp")

    @functools.cached_property
    def _mapper(self) -> Any:
        from visqol.quality_mapper import SvrSimilarityToQualityMapper

        mapper = SvrSimilarityToQualityMapper(str(_model(self.model_file or "")))
        mapper.init()
        return mapper


# Both speech recipes differ in the last step only, so the one that comes second finds the
# first one's work here. Clips compare by identity; their analysis goes when they go.
_references: dict[str, WeakKeyDictionary[Clip, Reference]] = {
    "speech": WeakKeyDictionary(),
    "audio": WeakKeyDictionary(),
}


def _reference(clip: Clip, mode: str) -> Reference:
    from nacbench.metrics.visqol_analysis import Reference, audio_mode, speech_mode

    known = _references[mode].get(clip)
    if known is None:
        at = speech_mode if mode == "speech" else audio_mode
        known = _references[mode][clip] = Reference(clip, at(clip.sample_rate_hz))
    return known


def _model(file_name: str) -> Path:
    # Found and not imported: that takes a second, and every plan of a run asks for the build.
    package = importlib.util.find_spec("visqol")
    assert package is not None and package.origin is not None, "missing() was asked before"
    return Path(package.origin).parent / "model" / file_name


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """TensorFlow Lite writes a line to stderr from C++, amid the progress bar; leave it out."""
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
