"""How far a model looks to either side: what a window needs as context to code like the whole.

Followed backwards through the layers: on which inputs does one frame of codes, or one hop of
audio, depend? The padding of `layers.py` decides it. Torch-free, for every backend.
"""

from __future__ import annotations

import math

from reference_codec.config import CodecConfig, DACConfig, HiFiGANConfig

# An LSTM that looks back has no bound; non-causal SEANets without segments use this much.
RECURRENT_FRAMES = 32

DAC_DILATIONS = (1, 3, 9)

# (kernel, dilation) of a stride-1 convolution, or the stride of one that rescales by it with a
# kernel of twice that.
Layer = tuple[int, int] | int


def encoder_frames(config: CodecConfig) -> int:
    """Frames of audio beside a frame on which its codes depend, the larger side."""
    first = last = 0
    for layer in reversed(_layers(config, decoder=False)):
        if isinstance(layer, int):
            left = math.ceil(layer / 2)
            first, last = first * layer - left, last * layer - left + 2 * layer - 1
        else:
            first, last = _widened(first, last, layer)
    return max(math.ceil(-first / config.hop_length), math.ceil((last + 1) / config.hop_length) - 1)


def decoder_frames(config: CodecConfig) -> int:
    """Frames of codes beside a frame on which its audio depends, the larger side."""
    network = config.network
    causal = isinstance(network, HiFiGANConfig) and network.causal_decoder
    first, last = 0, config.hop_length - 1
    for layer in reversed(_layers(config, decoder=True)):
        if isinstance(layer, int):
            trimmed = 0 if causal else math.ceil(layer / 2)
            first = math.ceil((first + trimmed - 2 * layer + 1) / layer)
            last = (last + trimmed) // layer
        elif causal:
            first -= (layer[0] - 1) * layer[1]
        else:
            first, last = _widened(first, last, layer)
    return max(-first, last)


def _widened(first: int, last: int, layer: tuple[int, int]) -> tuple[int, int]:
    surround = (layer[0] - 1) * layer[1]
    return first - (surround - surround // 2), last + surround // 2


def _layers(config: CodecConfig, decoder: bool) -> list[Layer]:
    """The layers as they run; of parallel branches the one that sees furthest."""
    network = config.network
    if isinstance(network, DACConfig):
        units: list[Layer] = [(7, dilation) for dilation in DAC_DILATIONS]
        ends: tuple[Layer, Layer] = ((7, 1), (7, 1)) if decoder else ((7, 1), (3, 1))
    elif isinstance(network, HiFiGANConfig):
        kernel = max(network.kernels)
        dilations = network.decoder_dilations if decoder else network.encoder_dilations
        units = [layer for dilation in dilations for layer in ((kernel, dilation), (kernel, 1))]
        ends = ((7, 1), (3, 1)) if decoder else ((7, 1), (7, 1))
    else:
        raise TypeError(f"{config.name}: SEANets carry state or see whole segments")
    layers: list[Layer] = [ends[0]]
    for stride in network.strides[:: -1 if decoder else 1]:
        layers += [stride, *units] if decoder else [*units, stride]
    return [*layers, ends[1]]


def context_frames(config: CodecConfig) -> tuple[int, int]:
    """Context for windows of the encoder and of the decoder."""
    if isinstance(config.network, DACConfig | HiFiGANConfig):
        return encoder_frames(config), decoder_frames(config)
    return RECURRENT_FRAMES, RECURRENT_FRAMES
