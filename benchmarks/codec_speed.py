"""Our codec against `transformers`, the same weights, in one run; `--threads N` for more threads.

EnCodec 24 kHz at 6 kbps and DAC 16 kHz at 6 kbps, random weights of the published sizes, one clip
of 10 s, batch 1. Peer and ours take turns, so a machine that slows down slows both; the median of
the ratios counts. Codes must be equal before anything is timed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable

SECONDS = 10.0
ROUNDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    import torch

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    print(f"{options.threads} thread(s), {options.seconds:g} s of audio, median of {ROUNDS} rounds")
    print(
        f"{'model':14} {'part':8} {'peer RTF':>9} {'ours RTF':>9} {'peer ÷ ours':>12} {'codes':>10}"
    )
    for name in ("encodec-24k", "dac-16k"):
        compare(name, options.seconds, options.threads)


def compare(name: str, seconds: float, threads: int) -> None:
    import numpy as np
    import torch

    from reference_codec import convert
    from reference_codec.export import export
    from reference_codec.onnx_backend import OnnxBackend

    peer, n_codebooks, rate = peer_model(name)
    with tempfile.TemporaryDirectory() as directory:
        peer.save_pretrained(directory)
        model = convert.load(directory)
    rng = np.random.default_rng(0)
    samples = (0.1 * rng.standard_normal((1, 1, int(seconds * rate)))).astype(np.float32)
    samples = samples[..., : samples.shape[-1] // model.config.hop_length * model.config.hop_length]
    audio = torch.from_numpy(samples)
    with tempfile.TemporaryDirectory() as directory, torch.inference_mode():
        export(model, directory)
        ours = OnnxBackend(directory, threads)
        encode, decode = peer_calls(name, peer, audio, n_codebooks)
        theirs = encode()
        codes, scale = ours.encode_segment(samples, n_codebooks)
        equal = float((codes == theirs.numpy()).mean())
        for part, peer_call, our_call in (
            ("encode", encode, lambda: ours.encode_segment(samples, n_codebooks)),
            ("decode", lambda: decode(theirs), lambda: ours.decode_segment(codes, scale)),
        ):
            a, b = taking_turns(peer_call, our_call)
            ratio = statistics.median(x / y for x, y in zip(a, b, strict=True))
            print(
                f"{name:14} {part:8} {statistics.median(a) / seconds:9.4f} "
                f"{statistics.median(b) / seconds:9.4f} {ratio:11.2f}× {equal:12.4%}"
            )


def peer_model(name: str):  # type: ignore[no-untyped-def]
    """A peer of the published size with random weights and codebooks, its codebooks and rate."""
    import torch
    from transformers import DacConfig, DacModel, EncodecConfig, EncodecModel

    if name == "encodec-24k":
        model = EncodecModel(EncodecConfig()).eval()
        for layer in model.quantizer.layers:
            torch.nn.init.normal_(layer.codebook.embed)
        return model, 8, 24_000
    config = DacConfig(
        downsampling_ratios=[2, 4, 5, 8],
        upsampling_ratios=[8, 5, 4, 2],
        n_codebooks=12,
        sampling_rate=16_000,
    )
    return DacModel(config).eval(), 12, 16_000


def peer_calls(name: str, peer, audio, n_codebooks: int):  # type: ignore[no-untyped-def]
    if name == "encodec-24k":
        return (
            lambda: peer.encode(audio, bandwidth=6.0).audio_codes[0],
            lambda codes: peer.decode(codes[None], [None]).audio_values,
        )
    return (
        lambda: peer.encode(audio, n_quantizers=n_codebooks).audio_codes,
        lambda codes: peer.decode(audio_codes=codes).audio_values,
    )


def taking_turns(
    a: Callable[[], object], b: Callable[[], object]
) -> tuple[list[float], list[float]]:
    times: tuple[list[float], list[float]] = ([], [])
    a(), b()  # warm-up
    for _ in range(ROUNDS):
        for work, spent in zip((a, b), times, strict=True):
            start = time.perf_counter()
            work()
            spent.append(time.perf_counter() - start)
    return times


if __name__ == "__main__":
    main()
