"""A small study without a run: the embedded music through codecs that need nothing but PyAV."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from mushra_app.prepare import Material, Settings, build
from mushra_app.study import FILE, Condition, Study
from nacbench import alignment, cache, coding
from nacbench.core import Clip
from nacbench.sources import build as source
from nacbench.sources.loading import load

ITEMS, TRAINING = 7, 1  # with fewer than seven items a single slip excludes a listener
LENGTH_S = 6.0
CODECS = {
    "opus-16": ("Opus 16 kbps", "opus", 16.0),
    "opus-32": ("Opus 32 kbps", "opus", 32.0),
    "mp3-48": ("MP3 48 kbps", "mp3", 48.0),
}


def study(folder: Path | None = None) -> Study:
    """Made on the first call, in the cache unless told otherwise; the same study ever after."""
    folder = folder or cache.default_root() / "mushra-demo"
    if not (folder / FILE).exists():
        _make(folder)
    return Study.load(folder)


def _make(folder: Path) -> None:
    references = [load(ref) for ref in source("embedded:music").clips()[: ITEMS + TRAINING]]
    systems = [Condition(id=name, role="system", title=CODECS[name][0]) for name in CODECS]
    settings = Settings(slug="demo", title="Demo listening test", length_s=LENGTH_S)
    graded, practice = references[:ITEMS], references[ITEMS:]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as draft:
        made = Path(draft) / "study"
        build(systems, _materials(graded), _materials(practice), settings, made)
        with suppress(OSError):  # another server was faster
            made.rename(folder)


def _materials(references: list[Clip]) -> Iterator[Material]:
    for reference in references:
        decoded = {
            name: _coded(reference, codec, kbps) for name, (_, codec, kbps) in CODECS.items()
        }
        yield Material(reference.id, reference, decoded, title=reference.id)


def _coded(reference: Clip, codec: str, kbps: float) -> Clip:
    streams = coding.encode(coding.build(codec, {"kbps": kbps}), reference)
    heard = coding.decode(coding.build(codec, {"kbps": kbps}), streams, reference)
    return alignment.align(reference, heard)[0]
