"""What each metric costs, in milliseconds per second of audio on one thread, beside its library.

    OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 python benchmarks/metric_cost.py

`prepare` is paid once per reference, `score` for each decoded clip. The last columns call the
library that people would call, on the same arrays, and say how many times as long it takes as
`score`. Processor time, the least of several repeats; conversions of rate are not included.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from nacbench import audio, pack
from nacbench.core import Clip
from nacbench.metrics import METRICS, missing
from nacbench.torchaudio_cpu import import_torchaudio

SECONDS = 6.0
REPEATS = 7


def pair(sample_rate_hz: int) -> tuple[Clip, Clip]:
    """Six seconds of the embedded speech, and the same with noise at 20 dB."""
    path = Path(pack.__file__).parent / "speech" / "en_bdl.flac"
    reference = audio.at_rate(audio.read(path, duration_s=SECONDS), sample_rate_hz)
    noise = np.random.default_rng(0).standard_normal(reference.samples.shape)
    noise *= 0.1 * reference.samples.std()
    decoded = (reference.samples + noise).astype(np.float32)
    return reference, Clip(decoded, sample_rate_hz)


def copied(clip: Clip) -> Clip:
    return Clip(clip.samples, clip.sample_rate_hz)


def least_ms(call: Callable[[], Any]) -> float:
    """Processor milliseconds per second of audio."""
    call()
    spent = []
    for _ in range(REPEATS):
        start = time.process_time()
        call()
        spent.append(time.process_time() - start)
    return 1000 * min(spent) / SECONDS


def library(name: str) -> Callable[[Any, Any, int], Any] | None:
    """The plain call of the library that people use for a metric, on arrays of one channel."""
    family, _, recipe = name.partition(":")
    if family == "pesq":
        import pesq

        return lambda x, y, rate: pesq.pesq(rate, x, y, recipe)
    if family in ("stoi", "estoi"):
        import pystoi

        return lambda x, y, rate: pystoi.stoi(x, y, rate, extended=family == "estoi")
    if family == "visqol":
        from visqol.api import VisqolApi

        mode, _, model = recipe.partition("-")
        api = VisqolApi()
        api.create(mode=mode, use_lattice_model=model == "lattice" if model else None)
        return api.measure_from_arrays
    if family == "si_sdr":
        import torch
        from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

        return lambda x, y, _: scale_invariant_signal_distortion_ratio(
            torch.from_numpy(y), torch.from_numpy(x), zero_mean=True
        )
    if family in ("dnsmos", "plcmos"):
        from importlib import import_module

        run = import_module(f"speechmos.{family}").run
        return lambda _, y, rate: run(np.clip(y, -1, 1), rate)
    if name == "mel:dac":
        return functools.partial(torch_mel, scales=range(5, 12))
    return None


def torch_mel(x: Any, y: Any, rate: int, scales: Iterable[int]) -> Any:
    """Multi-scale mel distance as it is written for training."""
    import torch

    total = torch.zeros(())
    for scale in scales:
        transform = mel_transform(rate, 2**scale, 5 * 2 ** (scale - 5))
        x_mel, y_mel = (transform(torch.from_numpy(s).float()).clamp(1e-5).log10() for s in (x, y))
        total += torch.nn.functional.l1_loss(x_mel, y_mel)
    return total


@functools.cache
def mel_transform(rate: int, window_length: int, bands: int) -> Any:
    return import_torchaudio().transforms.MelSpectrogram(
        rate, window_length, hop_length=window_length // 4, n_mels=bands, power=1.0,
        norm="slaney", mel_scale="slaney",
    )  # fmt: skip


def main() -> None:
    import torch

    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    print("| metric | prepare | score | library | library ÷ score |")
    print("|---|---|---|---|---|")
    for name in METRICS.names():
        if missing(name):
            continue
        metric = METRICS.get(name)()
        reference, decoded = pair(metric.sample_rate_hz or 24000)
        prepared = metric.prepare(reference)
        # Fresh objects each time, for work done for an object is not repeated.
        prepare_ms = least_ms(lambda m=metric, r=reference: m.prepare(copied(r)))
        score_ms = least_ms(lambda m=metric, p=prepared, d=decoded: m.score(p, copied(d)))
        row = [f"{prepare_ms:.2f}", f"{score_ms:.2f}", "", ""]
        call = library(name)
        if call is not None:
            arrays = [clip.samples[0].astype(np.float64) for clip in (reference, decoded)]
            rate = reference.sample_rate_hz
            library_ms = least_ms(lambda c=call, a=arrays, r=rate: c(*a, r))
            row[2:] = [f"{library_ms:.2f}", f"{library_ms / score_ms:.1f}"]
        print(f"| `{name}` | {' | '.join(row)} |")


if __name__ == "__main__":
    main()
