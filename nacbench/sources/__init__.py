"""Sources of clips by name. Importing this package imports none of them.

A source is a class built from keyword options; `clips()` lists what it has without reading audio.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, cast

from nacbench.core import ClipRef
from nacbench.errors import UserError
from nacbench.registry import Registry

SOURCES = Registry(
    "source",
    "nacbench.sources",
    {
        "daps": "nacbench.sources.public_speech:DAPS",
        "dns_noise": "nacbench.sources.public_noise:DNSNoise",
        "embedded": "nacbench.sources.embedded:Embedded",
        "folder": "nacbench.sources.folder:Folder",
        "gtzan": "nacbench.sources.public_music:GTZAN",
        "librispeech": "nacbench.sources.public_speech:LibriSpeech",
        "manifest": "nacbench.sources.manifest:Manifest",
        "mls": "nacbench.sources.public_speech:MLS",
        "musdb18hq": "nacbench.sources.public_music:MUSDB18HQ",
        "real": "nacbench.sources.real:Real",
        "vctk": "nacbench.sources.public_speech:VCTK",
    },
)


class Source(Protocol):
    def clips(self) -> list[ClipRef]:
        """Every clip, always in the same order, with ids that are unique within the source.

        Raises:
            UserError: the files are not there; the message says how to get them.
        """
        ...


def build(spec: str | Mapping[str, Any]) -> Source:
    """A source from its YAML: `real:speech_eval` or `{folder: {path: recordings}}`.

    Raises:
        UserError: not of that form, or an unknown source or option.
    """
    if isinstance(spec, str):
        name, options = SOURCES.split(spec)
        return cast(Source, SOURCES.create(name, options))
    if not isinstance(spec, Mapping) or len(spec) != 1:
        raise UserError(f"source {spec!r}: expected a name or one 'name: {{options}}'.")
    ((name, options),) = spec.items()
    if not isinstance(options, Mapping):
        raise UserError(f"source '{name}': expected options as a mapping, got {options!r}.")
    return cast(Source, SOURCES.create(str(name), options))
