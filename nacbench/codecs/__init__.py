"""Codecs by name. Importing this package imports none of them."""

from nacbench.registry import Registry

CODECS = Registry(
    "codec",
    "nacbench.codecs",
    {
        "identity": "nacbench.codecs.pcm:Identity",
        "lowpass": "nacbench.codecs.pcm:LowPass",
        "opus": "nacbench.codecs.opus:Opus",
        "pcm": "nacbench.codecs.pcm:Pcm",
    },
)
