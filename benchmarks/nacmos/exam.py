"""The exam of nacmos: 27 recordings of other sets and speakers through known systems.

    python -m benchmarks.nacmos.exam --data ../shared/data --out build/exam

Every operating point of suites/speech.yaml, codecs that training never saw (`UNSEEN`), conditions
with recordings of noise that it never saw, and packet loss. Written as `pairs.py` writes.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.nacmos.coders import coded
from benchmarks.nacmos.corpus import RATE_HZ, recordings
from benchmarks.nacmos.pairs import METRICS, Pairs
from nacbench import audio, conditions
from nacbench import suite as suites
from nacbench.core import Clip
from nacbench.scoring import Scorer

LENGTH_S = 4.0
SEED = 2
System = Callable[[Clip], Clip]


def systems(data: Path) -> Iterator[tuple[str, str, System]]:
    """Family, label, and what it does to a clip."""
    for point in suites.load("speech").points:
        codec, options = point.codec, dict(point.options)
        if codec == "reference":
            options["coding"] = "packed"  # entropy coding takes time and changes no sample
        yield codec, point.key, partial(coded, codec=codec, options=options)
    for quality in (1, 2, 4, 6, 10):
        more = {"quality": quality}
        yield "speex", f"speex {more}", partial(coded, codec="speex", options=more)
    for codec, options, rate in (
        ("opus", {"kbps": 12, "application": "voip"}, 0.03),
        ("opus", {"kbps": 24, "application": "voip"}, 0.1),
        ("amr_wb", {"kbps": 12.65}, 0.1),
        ("speex", {"quality": 8}, 0.1),
        ("lyra", {"kbps": 6}, 0.1),
    ):
        system = partial(coded, codec=codec, options=options, loss={"rate": rate}, seed=SEED)
        yield codec, f"{codec} {options} loss {rate}", system
    yield "identity", "identity", lambda clip: clip
    recorded = {"folder": {"path": str(data / "noise" / "eval")}}
    for spec in (
        *({"noise": {"source": recorded, "snr_db": snr_db}} for snr_db in (0, 10, 20, 30)),
        *({"noise": {"source": "babble", "snr_db": snr_db}} for snr_db in (5, 15)),
        *({"noise": {"source": "white", "snr_db": snr_db}} for snr_db in (10, 25)),
        {"reverb": {"rt60_s": 0.4}},
        {"reverb": {"source": {"folder": {"path": str(data / "rir")}}}},
        *({"clipping": {"share": share}} for share in (0.01, 0.05)),
        {"bandwidth": {"high_hz": 3400}},
        {"bandwidth": {"high_hz": 3400, "low_hz": 300}},
    ):
        condition = conditions.build(spec)
        yield "condition", condition.name, partial(condition.apply, seed=SEED)


def make(data: Path, folder: Path, clips: int | None, limit: int | None) -> None:
    pairs, scorer = Pairs(folder), Scorer(METRICS)
    known = list(systems(data))[:limit]
    for recording in [r for r in recordings(data) if r.split == "eval"][:clips]:
        clip = audio.at_rate(audio.to_mono(audio.read(recording.path)), RATE_HZ)
        middle = max(0, clip.length // 2 - round(LENGTH_S * RATE_HZ / 2))
        stretch = clip.samples[0, middle : middle + round(LENGTH_S * RATE_HZ)]
        reference = Clip(stretch, RATE_HZ, recording.id)
        for family, label, system in known:
            name = f"{recording.id} {label}"
            if name in pairs.done:
                continue
            try:
                degraded = system(reference)
            except Exception as error:
                print(f"{name}: {type(error).__name__}: {error}", flush=True)
                continue
            scores = scorer.score(reference, degraded)
            about = {"id": name, "split": "eval", "clip": recording.id,
                     "speaker": recording.speaker, "family": family, "label": label,
                     "scores": {m: s.value for m, s in scores.items()}}  # fmt: skip
            pairs.add(degraded, about)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with MANIFEST.csv")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--clips", type=int, help="only so many recordings")
    parser.add_argument("--systems", type=int, help="only so many systems")
    given = parser.parse_args()
    os.environ.setdefault("NACBENCH_DATA", str(given.data))  # where Lyra's weights are looked for
    make(given.data, given.out, given.clips, given.systems)


if __name__ == "__main__":
    main()
