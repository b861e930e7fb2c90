"""What windows need as context, against what the networks really see: NaN travels as far."""

import dataclasses

import pytest
import torch

from reference_codec import presets
from reference_codec.config import CodecConfig, DACConfig
from reference_codec.neural_codec import NeuralCodec
from reference_codec.receptive_field import context_frames, decoder_frames, encoder_frames

FRAMES = 61
MIDDLE = 30


def narrow(name: str) -> CodecConfig:
    """A published model with few channels: it sees as far."""
    config = presets.config(name.removesuffix(" causal"))
    if isinstance(config.network, DACConfig):
        network = dataclasses.replace(config.network, encoder_width=2, decoder_width=16)
    else:
        causal = name.endswith(" causal")
        network = dataclasses.replace(
            config.network,
            encoder_width=2,
            decoder_width=64,
            causal_decoder=causal,
            encoder_padding="replicate" if causal else "reflect",
        )
    return dataclasses.replace(config, network=network)


@pytest.mark.parametrize(
    "name", ["dac-16k", "dac-44k", "hifigan-fsq-22k", "hifigan-fsq-22k causal"]
)
def test_codes_and_audio_see_exactly_so_far(name: str) -> None:
    model = NeuralCodec.untrained(narrow(name))
    hop, dim = model.config.hop_length, model.config.network.latent_dim

    def reach_of_audio(frame: int, sample: int) -> bool:
        audio = torch.zeros(1, 1, FRAMES * hop)
        audio[..., frame * hop + sample] = torch.nan
        return bool(model.encoder(audio)[..., MIDDLE].isnan().any())

    def reach_of_latents(frame: int) -> bool:
        latents = torch.zeros(1, dim, FRAMES)
        latents[..., frame] = torch.nan
        return bool(model.decoder(latents)[..., MIDDLE * hop : (MIDDLE + 1) * hop].isnan().any())

    context = encoder_frames(model.config)
    with torch.inference_mode():
        assert not reach_of_audio(MIDDLE - context - 1, hop - 1)
        assert not reach_of_audio(MIDDLE + context + 1, 0)
        assert reach_of_audio(MIDDLE - context, hop - 1) or reach_of_audio(MIDDLE + context, 0)
        context = decoder_frames(model.config)
        assert not reach_of_latents(MIDDLE - context - 1)
        assert not reach_of_latents(MIDDLE + context + 1)
        assert reach_of_latents(MIDDLE - context) or reach_of_latents(MIDDLE + context)


def test_published_models_see_a_few_frames() -> None:
    seen = {name: context_frames(presets.config(name)) for name in presets.PRESETS}
    assert seen["dac-16k"] == seen["dac-44k"] == (8, 10)
    assert seen["hifigan-fsq-22k"] == (6, 13)
    assert seen["seanet-48k-stereo"] == (32, 32)
