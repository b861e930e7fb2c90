"""Speed and memory of the reference codec beside the projects whose weights it runs.

    python benchmarks/codec_speed.py                      # EnCodec and DAC, one and two threads
    python benchmarks/codec_speed.py dac-16k --seconds 5 --threads 1 --cpu-time

The same random weights run in `transformers` (EncodecModel, DacModel), in our PyTorch model and
in ONNX Runtime, in turns, so that a busy moment hits all of them. Speeds are the best of all
rounds; a ratio is the median over the rounds of the peer's time ÷ ours. Codes must be equal, but
for those where the two nearest entries tie within 1e-5.
`--cpu-time` counts this process's processor time instead of the clock's: for one thread on a
machine that has other work to do.

Peak memory is that of a fresh process which loads one of them and codes the clip once.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "reference")]

KBPS = {"seanet-24k": 6.0, "seanet-48k-stereo": 6.0, "dac-16k": 6.0, "dac-44k": 8.0}
RUNNERS = ("transformers", "torch", "onnx")
REQUIRED_RATIO = {"seanet": 1.6, "dac": 2.0}
LARGEST_DIFFERENCE = 1e-5  # of decoded audio

Coder = tuple[Callable[[], np.ndarray], Callable[[], np.ndarray]]


def prepare(name: str, seconds: float, folder: Path) -> None:
    """Write one set of random weights for every runner, a clip, and the peer's codes of it."""
    import codec_peers as peers
    import torch

    from reference_codec import checkpoint, convert, export, presets

    config = presets.config(name)
    # DAC loses a ragged end in transformers: whole hops for all.
    length = round(seconds * config.frame_rate_hz) * config.hop_length
    audio = peers.noise(config.channels, length)
    if name.startswith("seanet"):
        peer = peers.transformers_encodec(**(peers.STEREO_48K if config.channels == 2 else {}))
    else:
        strides = list(config.network.strides)
        peer = peers.transformers_dac(
            downsampling_ratios=strides,
            n_codebooks=config.n_codebooks,
            sampling_rate=config.sample_rate_hz,
        )
    model = convert.convert(peer.state_dict(), config)
    peer.save_pretrained(folder / "peer")
    checkpoint.save(model, folder / "model.safetensors")
    export.export(model, folder / "model.onnx")
    np.save(folder / "audio.npy", audio.numpy())
    with torch.inference_mode():
        if name.startswith("seanet"):
            coded = peer.encode(audio, bandwidth=KBPS[name])
            codes = _joined(coded.audio_codes, coded.last_frame_pad_length or 0)
            if config.normalise:
                np.save(folder / "scales.npy", torch.cat(list(coded.audio_scales), 1).numpy())
        else:
            codes = peer.encode(audio, config.codebooks_at(KBPS[name])).audio_codes
    np.save(folder / "codes.npy", codes.numpy())


def coder(runner: str, name: str, folder: Path, threads: int) -> Coder:
    """`encode` and `decode` of the prepared clip, by one runner, which alone is imported."""
    from reference_codec import presets

    config = presets.config(name)
    n = config.codebooks_at(KBPS[name])
    audio, codes = np.load(folder / "audio.npy"), np.load(folder / "codes.npy")
    scales = np.load(folder / "scales.npy") if config.normalise else None
    bounds = config.segments(audio.shape[2])
    cuts = np.cumsum([-(-(stop - start) // config.hop_length) for start, stop in bounds])[:-1]
    parts = np.split(codes, cuts, axis=2)
    if runner == "onnx":
        from reference_codec.onnx_backend import OnnxBackend

        onnx = OnnxBackend(folder / "model.onnx", threads)
        levels = [None] * len(parts) if scales is None else list(scales.T)

        def encode_onnx() -> np.ndarray:
            pieces = [onnx.encode_segment(audio[..., a:b], n)[0] for a, b in bounds]
            return np.concatenate(pieces, axis=2)

        def decode_onnx() -> np.ndarray:
            pieces = [onnx.decode_segment(*part) for part in zip(parts, levels, strict=True)]
            return _cross_faded(pieces, config.segment_stride)

        return encode_onnx, decode_onnx

    import torch

    torch.set_num_threads(threads)
    sound, indices = torch.from_numpy(audio), torch.from_numpy(codes)
    if runner == "torch":
        from reference_codec import checkpoint

        model = checkpoint.load(folder / "model.safetensors")
        levels_t = None if scales is None else torch.from_numpy(scales)
        return (
            lambda: model.encode(sound, n)[0].numpy(),
            lambda: model.decode(indices, levels_t, sound.shape[2]).numpy(),
        )
    from transformers import AutoModel

    peer: Any = AutoModel.from_pretrained(folder / "peer").eval()
    if name.startswith("dac"):
        return (
            torch.inference_mode()(lambda: peer.encode(sound, n).audio_codes.numpy()),
            torch.inference_mode()(
                lambda: peer.decode(audio_codes=indices).audio_values[:, None].numpy()
            ),
        )
    missing = parts[0].shape[2] - parts[-1].shape[2]
    parts[-1] = np.pad(parts[-1], ((0, 0), (0, 0), (0, missing)))
    frames = torch.from_numpy(np.stack(parts))
    levels_p = [None] if scales is None else list(torch.from_numpy(scales.T[:, :, None]))

    def encode_peer() -> np.ndarray:
        coded = peer.encode(sound, bandwidth=KBPS[name])
        return _joined(coded.audio_codes, coded.last_frame_pad_length or 0).numpy()

    def decode_peer() -> np.ndarray:
        return peer.decode(frames, levels_p, last_frame_pad_length=missing).audio_values.numpy()

    return torch.inference_mode()(encode_peer), torch.inference_mode()(decode_peer)


def _joined(segments: Any, padded: int) -> Any:
    """transformers' codes, segment by segment, as one sequence without the last one's padding."""
    import torch

    *full, last = segments
    return torch.cat([*full, last[..., : last.shape[-1] - padded]], dim=2)


def _cross_faded(segments: list[np.ndarray], stride: int | None) -> np.ndarray:
    """As `neural_codec.cross_fade`, here without torch."""
    if len(segments) == 1 or stride is None:
        return segments[0]
    longest = segments[0].shape[2]
    triangle = 0.5 - np.abs(np.linspace(0, 1, longest + 2, dtype=np.float32)[1:-1] - 0.5)
    total = stride * (len(segments) - 1) + segments[-1].shape[2]
    mixed = np.zeros((*segments[0].shape[:2], total), np.float32)
    weight = np.zeros(total, np.float32)
    for index, segment in enumerate(segments):
        part = slice(index * stride, index * stride + segment.shape[2])
        mixed[..., part] += triangle[: segment.shape[2]] * segment
        weight[part] += triangle[: segment.shape[2]]
    return mixed / weight


def measure(name: str, folder: Path, threads: int, rounds: int, clock: Callable[[], float]) -> bool:
    """Print one table; True where codes, audio and ratios are as they must be."""
    coders = {runner: coder(runner, name, folder, threads) for runner in RUNNERS}
    audio_s = np.load(folder / "audio.npy").shape[2] / _rate_hz(name)
    required = REQUIRED_RATIO[name.split("-")[0]]
    good = True
    for task, which in (("encode", 0), ("decode", 1)):
        outputs = {runner: coders[runner][which]() for runner in RUNNERS}  # and warm up
        times: dict[str, list[float]] = {runner: [] for runner in RUNNERS}
        for _ in range(rounds):
            for runner in RUNNERS:
                start = clock()
                coders[runner][which]()
                times[runner].append(clock() - start)
        for runner in RUNNERS:
            pairs = zip(times["transformers"], times[runner], strict=True)
            ratio = median(peer / ours for peer, ours in pairs)
            speed = audio_s / min(times[runner])
            line = f"{name:18} {threads} thread{'s'[: threads - 1]:1} {task} {runner:13}"
            line += f"{speed:7.1f} × real time {ratio:6.2f} × the peer"
            if runner != "transformers":
                peer = outputs["transformers"]
                same = outputs[runner][..., : peer.shape[-1]]
                if task == "encode":
                    wrong = beyond_ties(name, folder, same, peer)
                    line += f"   {int((same != peer).sum())} of {peer.size} codes differ"
                    line += f", {wrong} beyond ties" if (same != peer).any() else ""
                    good &= wrong == 0
                else:
                    difference = float(np.abs(same - peer[..., : same.shape[-1]]).max())
                    line += f"   audio differs by {difference:.0e}"
                    good &= difference <= LARGEST_DIFFERENCE
            if runner == "onnx" and ratio < required:
                line += f"   (must be {required})"
                good = False
            print(line, flush=True)
    return good


def beyond_ties(name: str, folder: Path, ours: np.ndarray, theirs: np.ndarray) -> int:
    """Frames with another code than the peer's where the two nearest entries do not tie."""
    import torch
    from ties import untied

    from reference_codec import checkpoint

    if np.array_equal(ours, theirs):
        return 0
    model = checkpoint.load(folder / "model.safetensors")
    audio = torch.from_numpy(np.load(folder / "audio.npy"))
    return len(untied(model, audio, torch.from_numpy(ours), torch.from_numpy(theirs)))


def _rate_hz(name: str) -> int:
    from reference_codec import presets

    return presets.config(name).sample_rate_hz


def peak_mb(runner: str, name: str, folder: Path) -> float:
    """Peak memory of a fresh process that loads one runner, encodes and decodes once."""
    call = [sys.executable, __file__, name, "--only-memory", runner, "--folder", str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(call, check=True, capture_output=True, text=True, env=environment)
    return float(done.stdout.split()[-1])


def code_once(runner: str, name: str, folder: Path) -> None:
    for task in coder(runner, name, folder, threads=1):
        task()
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    print(int(status.partition("VmHWM:")[2].split()[0]) / 1e3)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    # No `choices`: argparse holds the empty list against them.
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(KBPS))
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cpu-time", action="store_true")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--only-memory", choices=RUNNERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    models = arguments.models or ["seanet-24k", "dac-16k"]
    if unknown := sorted(set(models) - set(KBPS)):
        parser.error(f"unknown model {unknown[0]}; there are {', '.join(KBPS)}")
    warnings.simplefilter("ignore")
    if arguments.only_memory:
        code_once(arguments.only_memory, models[0], arguments.folder)
        return 0
    clock = time.process_time if arguments.cpu_time else time.perf_counter
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    good = True
    for name in models:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            prepare(name, arguments.seconds, folder)
            for threads in arguments.threads:
                good &= measure(name, folder, threads, arguments.rounds, clock)
            peaks = {runner: peak_mb(runner, name, folder) for runner in RUNNERS}
            good &= max(peaks["torch"], peaks["onnx"]) <= peaks["transformers"]
            shown = ", ".join(f"{runner} {peak:.0f} MB" for runner, peak in peaks.items())
            print(f"{name:18} peak memory: {shown}", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
