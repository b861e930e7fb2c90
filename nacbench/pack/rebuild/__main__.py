"""Render the tracks, write the FLAC files and the manifest."""

from __future__ import annotations

import argparse
import csv
import hashlib
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from nacbench.errors import UserError
from nacbench.pack.rebuild import music, noise, speech
from nacbench.pack.rebuild.track import Track

COLUMNS = (
    "id",
    "path",
    "set",
    "seconds",
    "sample_rate_hz",
    "channels",
    "genre",
    "speaker",
    "gender",
    "language",
    "transcript",
    "licence",
    "sha256",
    "generator",
    "processing",
    "seed",
)
LARGEST_PACK_BYTES = 20_000_000

Row = dict[str, str]


def recipes() -> dict[str, Callable[[], Track]]:
    """Id -> how to render it, in the manifest's order."""
    return {
        **{name: partial(speech.render, name) for name in speech.LINES},
        **{name: partial(music.render, name) for name in music.ORDER},
        **{name: partial(noise.render, name) for name in noise.SCENES},
    }


def write(track: Track, folder: Path) -> Row:
    """Write 16-bit FLAC at libFLAC's best compression; return the manifest's row."""
    import soundfile

    path = Path(track.set, f"{track.id}.flac")
    (folder / track.set).mkdir(parents=True, exist_ok=True)
    soundfile.write(
        folder / path,
        track.audio.T,
        track.sample_rate_hz,
        subtype="PCM_16",
        compression_level=1.0,
    )
    facts = {
        "path": path.as_posix(),
        "seconds": f"{track.audio.shape[1] / track.sample_rate_hz:.3f}",
        "channels": str(track.audio.shape[0]),
        "sha256": hashlib.sha256((folder / path).read_bytes()).hexdigest(),
    }
    return {name: facts.get(name, "") or str(getattr(track, name)) for name in COLUMNS}


def read_manifest(path: Path) -> dict[str, Row]:
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m nacbench.pack.rebuild", description=__doc__)
    parser.add_argument("ids", nargs="*", metavar="ID", help="only these clips; default all")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1])
    options = parser.parse_args(arguments)

    known = recipes()
    if unknown := set(options.ids) - known.keys():
        raise UserError(f"no clip {', '.join(sorted(unknown))}. Known: {', '.join(known)}")
    manifest = options.out / "manifest.csv"
    rows = read_manifest(manifest)
    for name, render in known.items():
        if not options.ids or name in options.ids:
            rows[name] = write(render(), options.out)
            print(f"{name}: {rows[name]['seconds']} s at {rows[name]['sample_rate_hz']} Hz")
    kept = [rows[name] for name in known if name in rows]
    with manifest.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(kept)
    total = sum((options.out / row["path"]).stat().st_size for row in kept)
    print(f"{len(kept)} clips, {total / 1e6:.1f} MB")
    if total > LARGEST_PACK_BYTES:
        raise UserError(f"the pack has {total:,} bytes; it may have {LARGEST_PACK_BYTES:,}.")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as error:
        sys.exit(f"error: {error}")
