"""What people write when they need numbers by tonight: one loop, one call after the other.

The same codecs, alignment and metrics as the bench, and the libraries' own calls: `pesq.pesq`,
`pystoi.stoi`, `VisqolApi.measure_from_arrays`. Nothing is kept from one pair to the next.

    python benchmarks/plain_script.py suite.json scores.json
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from pesq import pesq
from pystoi import stoi
from visqol import VisqolApi

from nacbench import alignment, audio, coding
from nacbench.core import Clip
from nacbench.metrics.si_sdr import si_sdr
from nacbench.metrics.spectral import MelDac


def score(reference: Clip, decoded: Clip, visqol: VisqolApi) -> dict[str, float]:
    ref = audio.at_rate(audio.to_mono(reference), 16000).samples[0].astype(np.float64)
    dec = audio.at_rate(audio.to_mono(decoded), 16000).samples[0].astype(np.float64)
    mel = MelDac()
    rate = mel.sample_rate_hz
    return {
        "visqol:speech-lattice": visqol.measure_from_arrays(ref, dec, 16000).moslqo,
        "pesq:wb": pesq(16000, ref, dec, "wb"),
        "stoi": stoi(ref, dec, 16000),
        "estoi": stoi(ref, dec, 16000, extended=True),
        "mel:dac": mel.score(
            mel.prepare(audio.at_rate(reference, rate)), audio.at_rate(decoded, rate)
        ),
        "si_sdr": si_sdr(reference.samples, decoded.samples),
    }


def main(task_file: Path, score_file: Path) -> None:
    task: dict[str, Any] = json.loads(task_file.read_text(encoding="utf-8"))
    visqol = VisqolApi()
    visqol.create(mode="speech", use_lattice_model=True)
    scores = {}
    for path in task["clips"]:
        reference = audio.read(path)
        for codec, options in task["points"]:
            streams = coding.encode(coding.build(codec, options), reference)
            decoded = coding.decode(coding.build(codec, options), streams, reference)
            aligned, _ = alignment.align(reference, decoded)
            key = f"{Path(path).stem} {codec} {json.dumps(options)}"
            scores[key] = score(reference, aligned, visqol)
    score_file.write_text(json.dumps(scores), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
