"""Real recordings by the project's own index: `{real: {set: speech_eval}}`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nacbench import data
from nacbench.core import ClipRef
from nacbench.errors import UserError
from nacbench.sources.sampling import choose


class Real:
    """Recordings that the project may not carry: fetched, or in a folder named by NACBENCH_DATA.

    Args:
        set: `speech_eval`, `music_eval`, `noise_eval`, `noise_train` or `rir`.
        limit, per_speaker, seed: take fewer, see `sampling.choose`.
    """

    argument = "set"

    def __init__(
        self,
        set: str,  # noqa: A002 - the word that a suite's author reads
        limit: int | None = None,
        per_speaker: int | None = None,
        seed: int = 0,
    ) -> None:
        self._collection, self._entries = data.members(set)
        self._set = set
        self._limit, self._per_speaker, self._seed = limit, per_speaker, seed

    def clips(self) -> list[ClipRef]:
        folders = data.roots()
        refs = []
        for entry in self._entries:
            kept = data.find(entry, folders)
            if kept is not None:
                refs.append(ClipRef(entry.name, str(kept.path), entry.tags, sha256=kept.sha256))
        if len(refs) < len(self._entries):
            raise UserError(self._what_is_missing(folders))
        return choose(refs, self._limit, self._seed, self._per_speaker)

    def _what_is_missing(self, folders: Sequence[Path]) -> str:
        absent = [entry for entry in self._entries if data.find(entry, folders) is None]
        foreign = [path for entry in absent for path in data.present(entry, folders)]
        how = (
            f"'nacbench data fetch {self._collection}' downloads them; or set NACBENCH_DATA (or "
            "--data) to a folder that has them."
        )
        if foreign:
            return (
                f"{foreign[0]}: its sha256 is not the one of the index: changed or damaged. {how}"
            )
        return (
            f"{len(absent)} of {len(self._entries)} recordings of '{self._set}' are not here "
            f"({absent[0].path}, …). {how}"
        )
