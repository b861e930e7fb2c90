"""The noises of the DNS Challenge, as its download scripts leave them."""

from __future__ import annotations

from pathlib import Path

from nacbench.core import ClipRef
from nacbench.sources.public import Home, audio_files
from nacbench.sources.sampling import Sampling


class DNSNoise:
    """Noises of the DNS Challenge, `datasets_fullband/noise_fullband` (48 kHz) or `datasets/noise`.

    Tags: content, the first word of the file's name where the set gives one.

    Args:
        path: the folder of the noises, or one that holds it.
        limit, seed, excerpt_s, excerpts: see `sampling.Sampling`.

    Source: Dubey et al., ICASSP 2022, arXiv:2202.13288; github.com/microsoft/DNS-Challenge.
    """

    argument = "path"
    HOME = Home(
        "DNS-Challenge noise",
        (
            *("datasets_fullband/noise_fullband", "noise_fullband"),
            *("DNS-Challenge/datasets_fullband/noise_fullband", "DNS-Challenge/datasets/noise"),
            *("datasets/noise",),
        ),
        "github.com/microsoft/DNS-Challenge",
    )
    missing = HOME.missing

    def __init__(
        self,
        path: str | None = None,
        limit: int | None = None,
        seed: int = 0,
        excerpt_s: float | None = None,
        excerpts: int = 1,
    ) -> None:
        self._path = path
        self._sampling = Sampling(limit, None, seed, None, excerpt_s, excerpts)

    def clips(self) -> list[ClipRef]:
        root = self.HOME.locate(self._path)
        refs = [
            ClipRef(file.relative_to(root).with_suffix("").as_posix(), str(file), _content(file))
            for file in audio_files("DNS-Challenge noise", root, "**/*.wav")
        ]
        return self._sampling.take(refs)


def _content(file: Path) -> dict[str, str]:
    """`door_Freesound_validated_392617_0.wav` -> door; AudioSet names are video ids."""
    named, found, _ = file.stem.partition("_Freesound")
    return {"content": named.lower()} if found else {}
