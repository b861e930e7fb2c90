"""Codecs of `transformers` with few random weights, saved as the published ones are."""

from pathlib import Path
from typing import Any

from nacbench.torchaudio_cpu import import_torchaudio


def encodec(folder: Path, **options: Any) -> Path:
    """24 kHz mono in the layout of facebook/encodec_24khz."""
    import torch
    from transformers import EncodecConfig, EncodecModel

    torch.manual_seed(0)
    config = EncodecConfig(
        **{"num_filters": 4, "hidden_size": 16, "codebook_size": 64, "num_lstm_layers": 1}
        | {"target_bandwidths": [0.9, 1.8, 3.6], "upsampling_ratios": [8, 5, 4, 2]}
        | options
    )
    model: Any = EncodecModel(config)
    with torch.no_grad():
        latents = model.encoder(0.2 * torch.randn(1, config.audio_channels, 48_000))
        fill([layer.codebook.embed for layer in model.quantizer.layers], latents[0].T)
    model.save_pretrained(folder)
    return folder


STEREO = {
    "sampling_rate": 48_000,
    "audio_channels": 2,
    "normalize": True,
    "chunk_length_s": 1.0,
    "overlap": 0.01,
    "norm_type": "time_group_norm",
    "use_causal_conv": False,
    "target_bandwidths": [1.8, 3.6],
}


def encodec_stereo(folder: Path) -> Path:
    """48 kHz stereo, coded in chunks with a gain each, as facebook/encodec_48khz."""
    return encodec(folder, **STEREO)


def dac(folder: Path, **options: Any) -> Path:
    """16 kHz unless told otherwise, with the odd stride of the published 16 and 24 kHz models."""
    import torch
    from transformers import DacConfig, DacModel

    torch.manual_seed(0)
    config = DacConfig(
        **{"encoder_hidden_size": 4, "decoder_hidden_size": 32, "codebook_size": 64}
        | {"codebook_dim": 4, "n_codebooks": 4, "downsampling_ratios": [2, 4, 5, 8]}
        | options
    )
    DacModel(config).save_pretrained(folder)
    return folder


def mimi(folder: Path) -> Path:
    """24 kHz, 12.5 frames per second, in the layout of kyutai/mimi."""
    import torch

    import_torchaudio()  # transformers looks for it, and stumbles over a broken one
    from transformers import MimiConfig, MimiModel

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_filters": 4, "codebook_size": 64, "codebook_dim": 16}
    heads = {"num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2}
    config = MimiConfig(
        **sizes,
        **heads,
        num_quantizers=6,
        vector_quantization_hidden_dimension=16,
        intermediate_size=32,
        upsample_groups=32,
    )
    model: Any = MimiModel(config)
    with torch.no_grad():
        latents = model.encoder(0.2 * torch.randn(1, 1, 240_000)).latents
        quantizer = model.quantizer
        for part in (
            quantizer.semantic_residual_vector_quantizer,
            quantizer.acoustic_residual_vector_quantizer,
        ):
            projected = latents if part.input_proj is None else part.input_proj(latents)
            fill([layer.codebook.embed_sum for layer in part.layers], projected[0].T)
    model.save_pretrained(folder)
    return folder


def fill(codebooks: list[Any], latents: Any) -> None:
    """Each codebook from frames of what the ones before it leave: tokens then tell frames apart."""
    import torch

    residual = latents
    for embed in codebooks:
        chosen = residual[torch.randint(len(residual), (len(embed),))]
        embed.copy_(chosen + 0.1 * residual.std() * torch.randn_like(chosen))
        residual = residual - embed[torch.cdist(residual, embed).argmin(dim=1)]
