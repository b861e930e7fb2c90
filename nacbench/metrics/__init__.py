"""Metrics by recipe name. Importing this package imports none of them."""

from nacbench.registry import Registry

METRICS = Registry(
    "metric",
    "nacbench.metrics",
    {
        "mel:dac": "nacbench.metrics.spectral:MelDac",
        "si_sdr": "nacbench.metrics.si_sdr:SiSdr",
        "snr": "nacbench.metrics.si_sdr:Snr",
    },
)

# Names that say what is meant and leave the recipe to the suite, which may set others.
ALIASES = {"mel_distance": "mel:dac"}
