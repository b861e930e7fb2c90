"""The synthetic pack that comes with the package: `embedded:speech`, `:music` or `:noise`."""

from __future__ import annotations

from pathlib import Path

from nacbench import pack
from nacbench.core import ClipRef
from nacbench.errors import UserError
from nacbench.registry import did_you_mean
from nacbench.sources.manifest import Manifest
from nacbench.sources.sampling import choose

MANIFEST = Path(pack.__file__).with_name("manifest.csv")

# Provenance stays in the manifest; these are what results are grouped by and read with.
TAGS = ("speaker", "gender", "language", "genre", "transcript", "licence")


class Embedded:
    """One set of the pack, in the manifest's order, with each file's sha256.

    Args:
        set: "speech", "music" or "noise".
        limit, seed: take fewer, see `sampling.choose`.
    """

    argument = "set"

    def __init__(
        self,
        set: str = "speech",  # noqa: A002 (its name in a suite)
        limit: int | None = None,
        seed: int = 0,
    ) -> None:
        self._set, self._limit, self._seed = set, limit, seed

    def clips(self) -> list[ClipRef]:
        """
        Raises:
            UserError: there is no such set.
        """
        every = Manifest(str(MANIFEST)).clips()
        sets = sorted({ref.tags["set"] for ref in every})
        if self._set not in sets:
            raise UserError(
                f"the embedded pack has no set '{self._set}'."
                f"{did_you_mean(self._set, sets)} It has {', '.join(sets)}."
            )
        refs = [
            ClipRef(
                id=ref.id,
                path=ref.path,
                tags={name: ref.tags[name] for name in TAGS if name in ref.tags},
                sha256=ref.sha256,
            )
            for ref in every
            if ref.tags["set"] == self._set
        ]
        return choose(refs, self._limit, self._seed)
