"""The three calls that VERSA makes for PESQ, STOI and SI-SDR, one pair after the other.

A stand-in where VERSA is not installed: none of its imports, none of its other metrics.

    python benchmarks/versa_calls.py REFERENCES DECODED scores.json
"""

import json
import sys
from pathlib import Path

import numpy as np
import soundfile
from pesq import pesq
from pystoi import stoi


def si_snr(reference: np.ndarray, decoded: np.ndarray) -> float:
    scale = reference @ decoded / (reference @ reference)
    target = scale * reference
    return float(10 * np.log10(target @ target / np.sum((decoded - target) ** 2)))


def main(references: Path, decodeds: Path, output: Path) -> None:
    scores = {}
    for path in sorted(references.glob("*.wav")):
        reference, rate = soundfile.read(path)
        decoded, _ = soundfile.read(decodeds / path.name)
        scores[path.stem] = {
            "pesq:wb": float(pesq(rate, reference, decoded, "wb")),
            "stoi": float(stoi(reference, decoded, rate)),
            "si_sdr": si_snr(reference, decoded),
        }
    output.write_text(json.dumps(scores), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
