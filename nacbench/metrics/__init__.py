"""Metrics by recipe name. Importing this package imports none of them."""

from nacbench.registry import Registry

METRICS = Registry("metric", "nacbench.metrics", {})
