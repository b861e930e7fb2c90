"""How surely does the gate catch a small loss, and how often does it cry wolf?

Plants a loss of 0.1 ViSQOL in Opus, by noise on the decoded audio, and holds it against Opus by the
default policy, on the real speech suite. Beside it two codecs that must pass: Opus unchanged, and
Opus with its input dithered by one 16-bit step, which codes other bits but no other quality.

    python -m benchmarks.gate_power [--kbps 12] [--draws 4] [--seeds 200] [--workers 2]

Each clip is coded and scored under a few draws of noise; a seed then draws which clips and which
noise of each make up a run, and `nacbench.regression.check` judges it. Needs the recordings:
`nacbench data fetch real-speech`.
"""

from __future__ import annotations

import argparse
import hashlib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from nacbench import alignment, coding, sources
from nacbench.codecs.opus import Opus
from nacbench.core import Bitstream, Clip, ClipRef, Samples
from nacbench.records import Record
from nacbench.regression import Verdict, check
from nacbench.results import ResultTable
from nacbench.scoring import Scorer
from nacbench.sources.loading import load

TARGET_LOSS = 0.1  # ViSQOL
VISQOL = "visqol:speech-lattice"
METRICS = (
    VISQOL, "pesq:wb", "estoi", "stoi", "mel:dac", "stft:audiotools", "si_sdr", "lsd",
)  # fmt: skip
STEP_16_BIT = 2.0**-15


class NoisyOpus(Opus):
    """Opus with white noise on what it decodes, `snr_db` below the clip; another draw per seed."""

    def __init__(self, kbps: float, snr_db: float, seed: int) -> None:
        super().__init__(kbps, application="voip")
        self._snr_db, self._seed = snr_db, seed

    def decode(self, bitstream: Bitstream) -> Clip:
        clean = super().decode(bitstream)
        rng = _rng(bitstream.payload, self._seed)
        level = np.sqrt(np.mean(clean.samples**2)) * 10 ** (-self._snr_db / 20)
        noise = (level * rng.standard_normal(clean.samples.shape)).astype(np.float32)
        return Clip(clean.samples + noise, clean.sample_rate_hz)


class DitheredOpus(Opus):
    """Opus whose input has triangular dither of one 16-bit step; another draw per seed."""

    def __init__(self, kbps: float, seed: int) -> None:
        super().__init__(kbps, application="voip")
        self._seed = seed

    def encode(self, clip: Clip) -> Bitstream:
        rng = _rng(clip.samples.tobytes(), self._seed)
        dither: Samples = (rng.random(clip.samples.shape) - rng.random(clip.samples.shape)).astype(
            np.float32
        )
        dithered = np.clip(clip.samples + np.float32(STEP_16_BIT) * dither, -1, 1)
        return super().encode(Clip(dithered, clip.sample_rate_hz, clip.id, clip.tags))


def _rng(content: bytes, seed: int) -> np.random.Generator:
    key = hashlib.sha256(content + seed.to_bytes(8, "big")).digest()
    return np.random.default_rng(int.from_bytes(key))


@dataclass(frozen=True)
class Heard:
    """One clip: the record of Opus, and those of each draw of the two others."""

    unchanged: Record
    noisy: tuple[Record, ...]
    dithered: tuple[Record, ...]


def listen(ref: ClipRef, kbps: float, snr_db: float, draws: int) -> Heard:
    clip = load(ref)
    scorer = Scorer(METRICS)
    return Heard(
        _record(clip, Opus(kbps, application="voip"), scorer, kbps),
        tuple(_record(clip, NoisyOpus(kbps, snr_db, i), scorer, kbps) for i in range(draws)),
        tuple(_record(clip, DitheredOpus(kbps, i), scorer, kbps) for i in range(draws)),
    )


def visqol_loss(ref: ClipRef, kbps: float, levels_db: tuple[float, ...]) -> list[float]:
    """What noise at each level costs one clip."""
    clip, scorer = load(ref), Scorer([VISQOL])
    codecs = [Opus(kbps, application="voip"), *(NoisyOpus(kbps, db, 99) for db in levels_db)]
    records = [_record(clip, codec, scorer, kbps) for codec in codecs]
    clean, *scores = (record.scores[VISQOL].value or np.nan for record in records)
    return [clean - score for score in scores]


def _record(clip: Clip, codec: Any, scorer: Scorer, kbps: float) -> Record:
    streams = coding.encode(codec, clip)
    decoded, measured = alignment.align(clip, coding.decode(codec, streams, clip))
    return Record(
        run="gate", suite="real_speech", clip=clip.id, condition="clean",
        tags=dict(clip.tags), seed=0, duration_s=clip.duration_s,
        sample_rate_hz=clip.sample_rate_hz, channels=clip.channels,
        codec="opus", options={"kbps": kbps}, series="Opus", setting=f"{kbps:g} kbps",
        scores=scorer.score(clip, decoded), versions={"codec": "1", **scorer.versions},
        payload_bytes=sum(len(stream.payload) for stream in streams), alignment=measured,
    )  # fmt: skip


def calibrate(refs: list[ClipRef], kbps: float, pool: ProcessPoolExecutor) -> float:
    """The SNR at which noise costs `TARGET_LOSS` on average over the clips, in dB."""
    levels_db = tuple(np.arange(40.0, 57.0, 2.0))
    losses = list(pool.map(partial(visqol_loss, kbps=kbps, levels_db=levels_db), refs))
    mean = np.mean(losses, axis=0)
    above = int(np.flatnonzero(mean >= TARGET_LOSS)[-1])  # the weakest noise that costs enough
    share = (mean[above] - TARGET_LOSS) / (mean[above] - mean[above + 1])
    return float(levels_db[above] + share * (levels_db[above + 1] - levels_db[above]))


def judge(before: list[Record], after: list[Record]) -> Verdict:
    return check(ResultTable(after), ResultTable(before))


def report(heard: list[Heard], clips: int, seeds: int, what: str) -> str:
    """A row: how often all gates together, ViSQOL's alone, and a warning said something."""
    failed = by_visqol = warned = 0
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        chosen = [heard[i] for i in sorted(rng.choice(len(heard), clips, replace=False))]
        before = [h.unchanged for h in chosen]
        if what == "unchanged":
            after = [replace(record, run="again") for record in before]
        else:
            after = [rng.choice(getattr(h, what)) for h in chosen]
        verdict = judge(before, after)
        failed += verdict.exit_code == 1
        visqol = [gate for gate in verdict.gates if gate.metric == VISQOL]
        by_visqol += any(gate.status == "fail" for gate in visqol)
        warned += verdict.count("warn") > 0
    shares = " | ".join(f"{count / seeds:.1%}" for count in (failed, by_visqol, warned))
    return f"| {what} | {clips} | {shares} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kbps", type=float, default=12)
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    refs = sources.build("real:speech_eval").clips()
    with ProcessPoolExecutor(given.workers) as pool:
        snr_db = calibrate(refs, given.kbps, pool)
        listen_to = partial(listen, kbps=given.kbps, snr_db=snr_db, draws=given.draws)
        heard = list(pool.map(listen_to, refs))
    losses = [
        np.mean([h.unchanged.scores[VISQOL].value - h.noisy[i].scores[VISQOL].value for h in heard])  # type: ignore[operator]
        for i in range(given.draws)
    ]
    print(f"Opus {given.kbps:g} kbps, {len(refs)} clips; noise {snr_db:.1f} dB below the speech")
    print(f"ViSQOL loss per draw: {np.mean(losses):.4f} ({min(losses):.4f} to {max(losses):.4f})\n")
    print("| codec | clips | gate fails | ViSQOL's gate fails | any warning |")
    print("| :-- | --: | --: | --: | --: |")
    for clips in (len(refs), 16, 10):
        for what in ("noisy", "dithered", "unchanged"):
            print(report(heard, clips, given.seeds, what), flush=True)


if __name__ == "__main__":
    main()
