"""NISQA v2: quality of transmitted speech from the decoded audio alone, through torchmetrics."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nacbench.core import Clip
from nacbench.errors import UnscorableError
from nacbench.metrics.weights import Weights, build_id, find, missing_packages

SAMPLE_RATE_HZ = 16000
SHORTEST_S = 1.0
FILE_NAME = "nisqa.tar"


class Nisqa:
    """Overall quality of transmitted speech by NISQA v2.

    Source: Mittag et al., Interspeech 2021, arXiv:2104.09494; torchmetrics. Differs: none.
    """

    name = "nisqa"
    version = "1"
    unit = "MOS"
    bounds = (-5.0, 10.0)  # a network's output; 1 to 5 is meant
    higher_is_better = True
    sample_rate_hz = SAMPLE_RATE_HZ
    mono = True
    domain = "speech"
    reference_free = True
    source = "Mittag et al., Interspeech 2021, arXiv:2104.09494; torchmetrics"

    @classmethod
    def missing(cls) -> str | None:
        absent = missing_packages("torch", "torchmetrics", "librosa", "requests")
        if absent or cls._file():
            return absent
        return (
            f"{FILE_NAME} (1 MB, CC BY-NC-SA 4.0) is not there. torchmetrics downloads it at the "
            "first use of its NISQA; or put it into ~/.torchmetrics/NISQA."
        )

    @classmethod
    def _file(cls) -> Path | None:
        own = Path.home() / ".torchmetrics" / "NISQA"  # where torchmetrics reads it
        return find(FILE_NAME, own)

    def weights(self) -> tuple[Weights, ...]:
        path = self._file()
        assert path is not None, "missing() was asked before"
        return (Weights(path, "github.com/gabrielmittag/NISQA, v2.0", "CC BY-NC-SA 4.0"),)

    def build_id(self) -> str:
        from importlib.metadata import version

        return f"torchmetrics {version('torchmetrics')} {build_id(self.weights())}"

    def prepare(self, reference: Clip) -> None:
        return None

    def score(self, prepared: None, decoded: Clip) -> float:
        from importlib import import_module

        import torch

        if decoded.duration_s < SHORTEST_S:
            raise UnscorableError(f"too short: NISQA needs {SHORTEST_S} s")
        if not decoded.samples.any():
            raise UnscorableError("the decoded audio is silent")
        module = import_module("torchmetrics.functional.audio.nisqa")
        vars(module)["NISQA_DIR"] = str(self.weights()[0].path.parent)  # it has no argument for it
        samples = torch.from_numpy(np.array(decoded.samples[0]))
        return float(module.non_intrusive_speech_quality_assessment(samples, SAMPLE_RATE_HZ)[0])
