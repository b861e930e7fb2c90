"""Sources of clips by name. Importing this package imports none of them."""

from nacbench.registry import Registry

SOURCES = Registry("source", "nacbench.sources", {})
