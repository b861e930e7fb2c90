"""A neural audio codec to read in an afternoon.

codec = reference_codec.load("seanet-24k")
data = codec.encode(audio, sample_rate_hz, kbps=6)
audio, sample_rate_hz = codec.decode(data)
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reference_codec.codec import Codec

__all__ = ["load"]


def load(name: str | Path, backend: str = "torch", precision: str = "float32") -> Codec:
    """A codec by preset name, shipped checkpoint, or path; see `codec.load`."""
    from reference_codec import codec

    return codec.load(name, backend, precision)
