"""Result tables with known truths, for tests of everything that reads records."""

import numpy as np

from nacbench.core import Alignment, Score
from nacbench.records import Record, Timing
from nacbench.results import ResultTable

# name -> unit, direction, value at 1 kbps, gain per octave of rate, spread between clips
METRICS = {
    "visqol:speech-lattice": ("MOS", True, 2.2, 0.38, 0.22),
    "pesq:wb": ("MOS", True, 1.3, 0.5, 0.3),
    "estoi": ("", True, 0.62, 0.05, 0.05),
    "stoi": ("", True, 0.75, 0.034, 0.03),
    "mel:dac": ("", False, 1.9, -0.2, 0.1),
    "si_sdr": ("dB", True, -4.0, 3.1, 2.5),
    "lsd": ("dB", False, 14.0, -1.5, 0.8),
    "bandwidth": ("Hz", None, 2000.0, 900.0, 300.0),
}
# series -> rates, quality offset in octaves
SERIES = {
    "Opus": ((6, 8, 12, 16, 24, 32, 48, 64), 0.0),
    "Opus CBR": ((6, 8, 12, 16, 24, 32), -0.4),
    "MP3": ((16, 24, 32, 48, 64), -1.4),
    "AAC": ((16, 24, 32, 48, 64), -0.8),
    "Vorbis": ((24, 32, 48, 64), -0.6),
    "AMR-WB": ((6.6, 8.85, 12.65, 14.25, 15.85, 18.25, 19.85, 23.05, 23.85), 0.3),
    "AMR-NB": ((4.75, 5.9, 7.4, 10.2, 12.2), -0.9),
    "G.722": ((64,), -0.9),
    "G.711 µ-law": ((64,), -1.9),
    "G.726": ((16, 24, 32, 40), -2.2),
    "LC3": ((16, 24, 32, 48, 64), -0.5),
    "Codec2": ((0.7, 1.2, 2.4, 3.2), -0.4),
    "Speex": ((4, 8, 12.8, 16.8, 27.8), -0.6),
    "Lyra V2": ((3.2, 6, 9.2), 0.9),
    "EnCodec": ((1.5, 3, 6, 12, 24), 1.0),
    "PCM": ((64, 128, 256), -1.0),
    "lowpass": ((255, 256), -5.0),
}


def example_table(
    suite: str = "speech", conditions: tuple[str, ...] = ("clean",), clips: int = 24, seed: int = 7
) -> ResultTable:
    """A plausible run: 8 speakers, quality that grows by octave of rate, a few missing scores."""
    rng = np.random.default_rng(seed)
    hardness = rng.normal(size=clips)
    records: list[Record] = []
    timings: list[Timing] = []
    for condition_index, condition in enumerate(conditions):
        for series, (rates, offset) in SERIES.items():
            for kbps in rates:
                octaves = np.log2(kbps) + offset - condition_index
                records += [
                    record(
                        suite=suite,
                        condition=condition,
                        clip=f"clip{clip:02d}",
                        tags={"speaker": f"voice{clip % 8}"},
                        series=series,
                        kbps=kbps,
                        scores={
                            name: _score(name, octaves, hardness[clip] + rng.normal(scale=0.3))
                            for name in METRICS
                        },
                    )
                    for clip in range(clips)
                ]
                if condition_index == 0:
                    timings.append(
                        Timing(
                            run="example", suite=suite, codec=series.lower(),
                            options={"kbps": kbps}, series=series, setting=f"{kbps:g} kbps",
                            machine="test machine", threads=1, repeats=3, audio_s=40.0,
                            encode_rtf=0.012, decode_rtf=0.0041, peak_memory_mb=120.0,
                        )
                    )  # fmt: skip
    return ResultTable(records=records, timings=timings, manifests={"example": manifest(suite)})


def manifest(suite: str = "speech") -> dict[str, object]:
    return {
        "run": "example",
        "title": f"Clean {suite}",
        "synthetic": True,
        "metrics": {
            name: {"unit": unit, "higher_is_better": better}
            for name, (unit, better, *_) in METRICS.items()
        },
        "skipped": [{"series": "EVS", "setting": "9.6 kbps", "reason": "no encoder: install it"}],
        "untrained": [],
    }


def record(
    *,
    series: str = "Opus",
    kbps: float = 16.0,
    clip: str = "clip00",
    duration_s: float = 5.0,
    **over: object,
) -> Record:
    """One record with sensible values; any field can be overridden."""
    fields: dict[str, object] = {
        "run": "example",
        "suite": "speech",
        "clip": clip,
        "condition": "clean",
        "tags": {},
        "seed": 0,
        "duration_s": duration_s,
        "sample_rate_hz": 16000,
        "channels": 1,
        "codec": series.lower(),
        "options": {"kbps": kbps},
        "series": series,
        "setting": f"{kbps:g} kbps",
        "scores": {},
        "versions": {"codec": "1"},
        "nominal_kbps": kbps,
        "payload_bytes": round(kbps * 125 * duration_s),
        "container_bytes": round(kbps * 125 * duration_s) + 300,
        "alignment": Alignment(delay_ms=6.5, gain_db=0.0, polarity=1, correlation=0.97),
    }
    return Record(**(fields | over))  # type: ignore[arg-type]


def _score(name: str, octaves: float, hardness: float) -> Score:
    _, _, base, slope, spread = METRICS[name]
    value = base + slope * octaves + spread * hardness
    if name == "pesq:wb" and hardness < -2.2:
        return Score(reason="no utterance detected")
    limits = {"MOS": (1.0, 4.75), "": (0.0, 10.0)}.get(METRICS[name][0], (-50.0, 20000.0))
    return Score(value=float(np.clip(value, *limits)))
