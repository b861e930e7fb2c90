"""The published codecs by name, as configs. Weights are not part of them."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from reference_codec.config import (
    CodecConfig,
    DACConfig,
    FactorisedVQConfig,
    GroupedFSQConfig,
    HiFiGANConfig,
    ResidualVQConfig,
    SEANetConfig,
    SpectralConfig,
)
from reference_codec.errors import UserError

if TYPE_CHECKING:
    from reference_codec.neural_codec import NeuralCodec

ENCODEC = "arXiv:2210.13438, table 1 and facebookresearch/encodec 0.1.1"
DAC = "arXiv:2306.06546, §4 and descriptinc/descript-audio-codec 1.0.0"

PRESETS = {
    preset.name: preset
    for preset in (
        CodecConfig(
            name="seanet-24k",
            sample_rate_hz=24_000,
            channels=1,
            network=SEANetConfig(),
            quantizer=ResidualVQConfig(n_codebooks=32),
            kbps=(1.5, 3, 6, 12, 24),
            source=ENCODEC,
        ),
        CodecConfig(
            name="seanet-48k-stereo",
            sample_rate_hz=48_000,
            channels=2,
            network=SEANetConfig(causal=False, norm="time_group"),
            quantizer=ResidualVQConfig(n_codebooks=16),
            kbps=(3, 6, 12, 24),
            segment_s=1.0,
            overlap=0.01,
            normalise=True,
            source=ENCODEC,
        ),
        CodecConfig(
            name="seanet-16k",
            sample_rate_hz=16_000,
            channels=1,
            network=SEANetConfig(dilations=((1,), (2,), (4,), (8,)), conv_shortcut=False),
            quantizer=ResidualVQConfig(n_codebooks=48),
            kbps=(1.5, 3, 6, 12, 24),
            # Its report calls every convolution causal, its code is not: the report is followed.
            source="AchyutBurlakoti/Neural-Audio-Compression, configurations and reports/main.tex",
        ),
        CodecConfig(
            name="spectral-16k",
            sample_rate_hz=16_000,
            channels=1,
            network=SpectralConfig(decoder_blocks=8, delay_hops=3),
            quantizer=ResidualVQConfig(n_codebooks=24),
            kbps=(0.5, 1, 1.5, 2, 3, 4, 6, 8, 10, 12),
            source="our own, after Vocos, arXiv:2306.00814; evidence in docs/training.md",
        ),
        CodecConfig(
            name="dac-16k",
            sample_rate_hz=16_000,
            channels=1,
            network=DACConfig(strides=(2, 4, 5, 8)),
            quantizer=FactorisedVQConfig(n_codebooks=12),
            kbps=(0.5, 1, 2, 4, 6),
            source=DAC,
        ),
        CodecConfig(
            name="dac-24k",
            sample_rate_hz=24_000,
            channels=1,
            network=DACConfig(strides=(2, 4, 5, 8)),
            quantizer=FactorisedVQConfig(n_codebooks=32),
            kbps=(1.5, 3, 6, 12, 24),
            source=DAC,
        ),
        CodecConfig(
            name="dac-44k",
            sample_rate_hz=44_100,
            channels=1,
            network=DACConfig(strides=(2, 4, 8, 8)),
            quantizer=FactorisedVQConfig(n_codebooks=9),
            kbps=(0.87, 1.73, 3.45, 5.17, 7.76),
            source=DAC,
        ),
        CodecConfig(
            name="hifigan-fsq-22k",
            sample_rate_hz=22_050,
            channels=1,
            network=HiFiGANConfig(),
            quantizer=GroupedFSQConfig(),
            kbps=(1.89,),
            source="arXiv:2409.12117 and NVIDIA/NeMo audio_codec_low_frame_rate_22050.yaml",
        ),
    )
}


def config(name: str) -> CodecConfig:
    """The preset called `name`.

    Raises:
        UserError: there is none of that name.
    """
    if name not in PRESETS:
        close = difflib.get_close_matches(name, PRESETS, n=1, cutoff=0.4)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise UserError(f"unknown preset '{name}'.{hint} Presets: {', '.join(PRESETS)}.")
    return PRESETS[name]


def build(name: str, seed: int = 0) -> NeuralCodec:
    """An untrained model of a preset, its weights drawn from `seed`."""
    from reference_codec.neural_codec import NeuralCodec

    return NeuralCodec.untrained(config(name), seed)
