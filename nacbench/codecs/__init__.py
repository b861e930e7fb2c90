"""Codecs by name. Importing this package imports none of them."""

from nacbench.registry import Registry

CODECS = Registry("codec", "nacbench.codecs", {})
