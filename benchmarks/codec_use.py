"""Using the reference codec: how soon it starts, live pieces of 20 ms, memory of long files.

    OMP_NUM_THREADS=1 python benchmarks/codec_use.py                # ten minutes of audio
    OMP_NUM_THREADS=1 python benchmarks/codec_use.py --minutes 120

EnCodec's published size (`seanet-24k`, 6 kbps) with random weights, in ONNX Runtime. Times are
wall and processor time, the best of three.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

MODEL, KBPS, RATE_HZ = "seanet-24k", 6.0, 24_000
PIECE_S = 0.02
START_LIMIT_S, GROWTH_LIMIT_MB = 1.5, 600
ROUNDS = 3
NAC = (
    "import resource, sys\n"
    "from reference_codec.cli import nac\n"
    "nac.main(sys.argv[1:], standalone_mode=False)\n"
    "used = resource.getrusage(resource.RUSAGE_SELF)\n"
    "print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)\n"  # KiB on Linux
)


def nac(*arguments: object) -> tuple[float, float, float]:
    """Wall and processor seconds and peak MB of one `nac` command in a fresh process."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", NAC, *map(str, arguments)],
        check=True, capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    processor_s, peak_mb = map(float, done.stdout.split())
    return time.perf_counter() - began, processor_s, peak_mb


def noise(folder: Path, name: str, seconds: float) -> Path:
    path = folder / name
    second = (3000 * np.random.default_rng(0).standard_normal(RATE_HZ)).astype(np.int16)
    with soundfile.SoundFile(path, "w", RATE_HZ, 1, "PCM_16") as file:
        for _ in range(round(seconds)):
            file.write(second)
    return path


def start(folder: Path) -> bool:
    clip = noise(folder, "ten.wav", 10)
    runs = [
        nac("encode", clip, folder / "ten.nac", "--model", folder / "model", "--kbps", KBPS)
        for _ in range(ROUNDS)
    ]
    wall_s, processor_s, _ = (min(values) for values in zip(*runs, strict=True))
    print(
        f"nac encode, 10 s, from start to end: {wall_s:.2f} s, "
        f"of the processor {processor_s:.2f} s (at most {START_LIMIT_S} s)"
    )
    return processor_s <= START_LIMIT_S


def live(folder: Path, seconds: float = 10.0) -> bool:
    """Each piece of 20 ms is encoded, written as a block, read and decoded before the next."""
    import reference_codec

    codec = reference_codec.load(folder / "model")
    audio = 0.1 * np.random.default_rng(1).standard_normal(round(seconds * RATE_HZ))
    step = round(PIECE_S * RATE_HZ)
    best = {}
    for _ in range(ROUNDS):
        encoder = codec.stream_encoder(RATE_HZ, 1, KBPS, block_s=PIECE_S)
        decoder = codec.stream_decoder()
        spent = {"encode": 0.0, "decode": 0.0}
        for at in range(0, len(audio), step):
            began = time.process_time()
            data = encoder.push(audio[at : at + step])
            between = time.process_time()
            decoder.push(data)
            spent["encode"] += between - began
            spent["decode"] += time.process_time() - between
        best = {task: min(s, best.get(task, s)) for task, s in spent.items()}
    for task, spent_s in best.items():
        print(f"live {task}, pieces of 20 ms: {seconds / spent_s:.1f} × real time")
    return max(best.values()) < seconds


def memory(folder: Path, minutes: float) -> bool:
    short, long = noise(folder, "short.wav", 1), noise(folder, "long.wav", 60 * minutes)
    good = True
    peaks = {}
    for clip in (short, long):
        coded = clip.with_suffix(".nac")
        for task, source, target in (("encode", clip, coded), ("decode", coded, clip)):
            rate = ["--kbps", KBPS] if task == "encode" else []
            _, processor_s, peak_mb = nac(task, source, target, "--model", folder / "model", *rate)
            peaks[clip, task] = peak_mb
            if clip == long:
                growth_mb = peak_mb - peaks[short, task]
                good &= growth_mb <= GROWTH_LIMIT_MB
                print(
                    f"nac {task}, {minutes:g} min: {processor_s:.0f} s, peak {peak_mb:.0f} MB, "
                    f"{growth_mb:.0f} MB above one second (at most {GROWTH_LIMIT_MB})"
                )
    return good


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        program = "from reference_codec.cli import main; main()"
        export = [sys.executable, "-c", program, "export", MODEL, folder / "model"]
        subprocess.run(export, check=True, capture_output=True, cwd=ROOT)
        good = [start(folder), live(folder), memory(folder, arguments.minutes)]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
