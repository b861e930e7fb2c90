"""Write the index from a folder of recordings and its MANIFEST.csv.

    python -m nacbench.data.build_index ../shared/data ../shared/weights

Only what is verified is written: every kept file is read, hashed and compared with the manifest.
"""

from __future__ import annotations

import csv
import hashlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

from nacbench.data.convert import pcm_sha256
from nacbench.data.index import FOLDER, TAGS
from nacbench.errors import UserError

COLLECTIONS = {
    "real-speech": ("speech_eval",),
    "real-music": ("music_eval",),
    "real-noise": ("noise_eval", "noise_train"),
    "real-rir": ("rir",),
}
LYRA = "google/lyra/47698dadf0010abff6a848e02642f55f806d4842/lyra/model_coeffs"
COLUMNS = (
    *("path", "set", "frames", "sample_rate_hz", "channels", "subtype", "start_s", "end_s"),
    *("exact", "url", "source_bytes", "source_sha256", "sha256", "pcm_sha256"),
    *TAGS,
)


def build(data: Path, weights: Path | None, target: Path = FOLDER) -> None:
    """Write one CSV per collection into `target`.

    Raises:
        UserError: a kept file is not the one of the manifest.
    """
    with (data / "MANIFEST.csv").open(encoding="utf-8", newline="") as file:
        manifest = list(csv.DictReader(file))
    for name, sets in COLLECTIONS.items():
        rows = [_recording(data, row) for row in manifest if row["set"] in sets]
        _write(target / f"{name}.csv", rows)
    if weights is not None:
        _write(target / "lyra.csv", list(_lyra(weights)))


def _recording(data: Path, row: Mapping[str, str]) -> dict[str, str]:
    import soundfile

    kept = data / row["path"]
    if _sha256(kept) != row["sha256"]:
        raise UserError(f"{kept}: not the file of the manifest.")
    copied = row["sha256"] == row["source_sha256"]
    samples, sample_rate_hz = soundfile.read(kept, dtype="int32", always_2d=True)
    start_s, _, end_s = row["crop"].partition("-")
    repository = row["source_repo"].removeprefix("github.com/")
    made = {
        "frames": str(len(samples)),
        "sample_rate_hz": str(sample_rate_hz),
        "channels": str(samples.shape[1]),
        "subtype": row["subtype"],
        "start_s": "" if row["crop"] == "whole" else start_s,
        "end_s": "" if row["crop"] == "whole" else end_s,
        "exact": "no" if row["source_encoding"] == "VORBIS" else "yes",
        "pcm_sha256": pcm_sha256(samples, sample_rate_hz),
    }
    return {
        "path": row["path"],
        "set": row["set"],
        "url": _url(f"{repository}/{row['source_commit']}/{row['source_path']}"),
        "source_bytes": row["source_bytes"],
        "source_sha256": row["source_sha256"],
        "sha256": row["sha256"],
        **({} if copied else made),
        **_tags(row),
    }


def _tags(row: Mapping[str, str]) -> dict[str, str]:
    """Who or what is heard; what the manifest does not know is left out."""
    language, _, variety = row["language"].removesuffix(")").partition(" (")
    content = row["speaker_or_content"].split(" (id not given")[0]
    heard = "speaker" if row["set"].startswith("speech") else "content"
    tags = {
        heard: "" if content == "not stated" else content,
        "language": "" if language == "not stated" else language,
        "variety": variety,
        "licence": row["licence"],
        "flags": row["flags"],
    }
    return {name: value for name, value in tags.items() if value}


def _lyra(weights: Path) -> Iterator[dict[str, str]]:
    for file in sorted(weights.glob("lyra/*.tflite")):
        digest = _sha256(file)
        yield {
            "path": f"lyra/{file.name}",
            "url": _url(f"{LYRA}/{file.name}"),
            "source_bytes": str(file.stat().st_size),
            "source_sha256": digest,
            "sha256": digest,
            "licence": "Apache-2.0",
        }


def _url(path: str) -> str:
    return "https://raw.githubusercontent.com/" + quote(path)


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    build(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
