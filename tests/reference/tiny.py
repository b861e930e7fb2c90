"""Small models of each family, untrained, and signals: enough to prove the machinery in seconds."""

import numpy as np

from reference_codec.backend import TorchBackend
from reference_codec.codec import Codec
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
from reference_codec.neural_codec import NeuralCodec

CONFIGS = {
    config.name: config
    for config in (
        CodecConfig(
            "tiny-causal", 16_000, 1,
            SEANetConfig(latent_dim=16, width=4),
            ResidualVQConfig(n_codebooks=6, codebook_size=64), (0.6, 1.2, 1.8),
        ),
        CodecConfig(
            "tiny-spectral", 16_000, 1,
            SpectralConfig(16, width=16, encoder_blocks=2, decoder_blocks=2, delay_hops=2),
            ResidualVQConfig(n_codebooks=6, codebook_size=64), (0.6, 1.2, 1.8),
        ),
        CodecConfig(
            "tiny-segments", 48_000, 2,
            SEANetConfig(latent_dim=16, width=4, causal=False, norm="time_group"),
            ResidualVQConfig(n_codebooks=4, codebook_size=64), (1.8, 3.6),
            segment_s=1.0, overlap=0.01, normalise=True,
        ),
        CodecConfig(
            "tiny-dac", 16_000, 1,
            DACConfig(encoder_width=4, decoder_width=64, strides=(2, 4, 5, 8)),
            FactorisedVQConfig(n_codebooks=3, codebook_size=64, codebook_dim=4), (0.3, 0.9),
        ),
        CodecConfig(
            "tiny-fsq", 22_050, 1,
            HiFiGANConfig(latent_dim=8, encoder_width=4, decoder_width=64),
            GroupedFSQConfig(n_groups=2), (0.48,),
        ),
    )
}  # fmt: skip


def model(name: str) -> NeuralCodec:
    return NeuralCodec.untrained(CONFIGS[name], seed=1)


def codec(name: str) -> Codec:
    return Codec(TorchBackend(model(name)))


def music(seconds: float, sample_rate_hz: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Decaying partials and noise, `[channels, time]`: something with pitch, onsets and hiss."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * sample_rate_hz)) / sample_rate_hz
    tones = [
        np.exp(-3 * (t % 0.5)) * np.sin(2 * np.pi * frequency * t + phase)
        for frequency, phase in zip(rng.uniform(80, 3000, 8), rng.uniform(0, 6, 8), strict=True)
    ]
    channels_of = [sum(rng.uniform(0, 0.1) * tone for tone in tones) for _ in range(channels)]
    noise = 0.01 * rng.standard_normal((channels, len(t)))
    return (np.array(channels_of).reshape(channels, len(t)) + noise).astype(np.float32)
