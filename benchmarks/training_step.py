"""Time of a training step beside a plain eager loop around the `encodec` package's own parts.

    python benchmarks/training_step.py                          # 16 kHz, 8 × 1 s, one thread
    python benchmarks/training_step.py --width 32 --lstm-layers 2 --discriminator 32 --cpu-time

Both train the same sizes on the same batch: SEANet, residual quantizer and MS-STFT discriminator,
multi-scale mel and waveform losses, hinge and feature matching, discriminator and generator in
every step, AdamW. The plain loop is what such a loop usually is: float32, the discriminator's turn,
then the generator's, so that each of real and decoded audio is judged twice. Its losses are ours.

Rounds alternate between the loops; a ratio is the median over the rounds of our time ÷ the plain
loop's. `--cpu-time` counts this process's processor time instead of the clock's: for one thread on
a machine that has other work to do.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
REQUIRED_RATIO = 0.7
WINDOWS = (1024, 512, 256)
WEIGHTS = {"mel": 1.0, "waveform": 1.0, "adversarial": 1.0, "feature_matching": 2.0}

Step = Callable[[Any, int], Any]


def plain_step(arguments: argparse.Namespace, device: Any) -> Step:
    """The loop around `encodec`."""
    from nacbench.torchaudio_cpu import import_torchaudio

    import_torchaudio()
    import torch
    from encodec.modules import SEANetDecoder, SEANetEncoder
    from encodec.msstftd import MultiScaleSTFTDiscriminator
    from encodec.quantization import ResidualVectorQuantizer

    from reference_codec.training import adversarial, losses

    sizes = {
        "dimension": 128, "n_filters": arguments.width, "ratios": [8, 5, 4, 2], "causal": True,
        "lstm": arguments.lstm_layers, "true_skip": False, "norm": "weight_norm",
    }  # fmt: skip
    encoder, decoder = SEANetEncoder(**sizes), SEANetDecoder(**sizes)
    quantizer = ResidualVectorQuantizer(
        dimension=128,
        n_q=arguments.codebooks,
        bins=1024,
        kmeans_iters=1,  # of the first step only
    )
    hops = [window // 4 for window in WINDOWS]
    judge = MultiScaleSTFTDiscriminator(
        arguments.discriminator, n_ffts=list(WINDOWS), hop_lengths=hops, win_lengths=list(WINDOWS)
    )
    model = torch.nn.ModuleList([encoder, quantizer, decoder]).to(device).train()
    judge.to(device).train()
    rates = {"lr": 3e-4, "betas": (0.5, 0.9)}
    generator_optimiser = torch.optim.AdamW(model.parameters(), **rates)
    judge_optimiser = torch.optim.AdamW(judge.parameters(), **rates)

    def judged(audio: Any) -> list[adversarial.Judgement]:
        return [adversarial.Judgement(*pair) for pair in zip(*judge(audio), strict=True)]

    def step(audio: Any, number: int) -> None:
        coded = quantizer(encoder(audio), 50)
        decoded = decoder(coded.quantized)

        judge_optimiser.zero_grad()
        loss = adversarial.discriminator_loss(judged(audio), judged(decoded.detach()), "hinge")
        loss.backward()
        judge_optimiser.step()

        generator_optimiser.zero_grad()
        with torch.no_grad():
            reference = judged(audio)
        fake = judged(decoded)
        spectra = losses.Spectra(audio), losses.Spectra(decoded)
        loss = (
            losses.multi_scale_mel(*spectra, 16_000)
            + losses.waveform_l1(audio, decoded)
            + adversarial.generator_loss(fake, "hinge")
            + 2 * adversarial.feature_matching(reference, fake)
            + coded.penalty.mean()
        )
        loss.backward()
        generator_optimiser.step()
        float(loss)

    return step


def our_step(arguments: argparse.Namespace, device: Any, precision: str) -> Step:
    from reference_codec.training.recipe import Recipe
    from reference_codec.training.step import CodecStep

    recipe = Recipe.model_validate(
        {
            "name": "benchmark",
            "model": {
                "preset": "seanet-16k",
                "network": {
                    "width": arguments.width, "lstm_layers": arguments.lstm_layers,
                    "dilations": [[1]] * 4, "conv_shortcut": True,
                },
                "quantizer": {"n_codebooks": arguments.codebooks},
                "kbps": (arguments.codebooks / 2,),
            },
            "steps": 1000, "batch_size": arguments.batch_size, "segment_s": 1.0,
            "losses": WEIGHTS, "quantizer_dropout": 0.0, "precision": precision,
            "compile": arguments.compile,
            "adversarial": {
                "discriminators": (
                    {
                        "kind": "ms_stft", "n_ffts": WINDOWS, "channels": arguments.discriminator,
                    },
                ),
            },
            "optimiser": {"schedule": "constant", "ema_decay": 0.99},
        }
    )  # fmt: skip
    return CodecStep(recipe, device)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--width", type=int, default=16, help="of SEANet")
    parser.add_argument("--lstm-layers", type=int, default=0)
    parser.add_argument("--codebooks", type=int, default=16)
    parser.add_argument("--discriminator", type=int, default=16, help="channels")
    parser.add_argument("--batch-size", type=int, default=8, help="seconds of audio")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--cpu-time", action="store_true")
    arguments = parser.parse_args()

    import torch

    warnings.simplefilter("ignore")
    torch.set_num_threads(arguments.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    audio = 0.1 * torch.randn(arguments.batch_size, 1, 16_000).to(device)
    steps = {
        "plain, float32": plain_step(arguments, device),
        "ours, float32": our_step(arguments, device, "float32"),
        "ours, bf16": our_step(arguments, device, "bf16"),
    }
    clock = time.process_time if arguments.cpu_time else time.perf_counter

    def timed(step: Step, number: int) -> float:
        if device.type == "cuda":
            torch.cuda.synchronize()
        start = clock()
        step(audio, number)
        if device.type == "cuda":
            torch.cuda.synchronize()
        return clock() - start

    for step in steps.values():  # k-means, caches, optimiser states
        for number in range(2):
            timed(step, number)
    times: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(2, 2 + arguments.rounds):
        for name, step in steps.items():
            times[name].append(timed(step, number))
    plain = times["plain, float32"]
    ratios = {}
    for name, own in times.items():
        ratios[name] = median(a / b for a, b in zip(own, plain, strict=True))
        print(f"{name:16} {median(own) * 1e3:8.0f} ms   {ratios[name]:.2f} × the plain loop")
    best = min(ratio for name, ratio in ratios.items() if name.startswith("ours"))
    print(f"required: {REQUIRED_RATIO} {'reached' if best <= REQUIRED_RATIO else 'MISSED'}")
    return 0 if best <= REQUIRED_RATIO else 1


if __name__ == "__main__":
    sys.exit(main())
