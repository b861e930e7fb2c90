"""Codecs of the bench, and coders that it has no adapter for, of libav and libsndfile.

The latter take samples and give samples, with the coder's delay. Most know one rate only; given
another they work all the same, and what they do then (a narrowband speech coder stretched over
8 kHz) is one more kind.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import partial
from typing import Any

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

from nacbench import coding, conditions
from nacbench.alignment import align
from nacbench.core import Clip

Samples = NDArray[np.float32]
Options = Mapping[str, Any]
Coder = Callable[[Samples], Samples]


def coded(
    clip: Clip,
    codec: str,
    options: Options,
    loss: Options | None = None,
    seed: int = 0,
) -> Clip:
    """A clip through a codec, aligned as the bench does it; `loss` acts on its packets."""
    streams = coding.encode(coding.build(codec, options), clip)
    if loss is not None:
        streams = conditions.build({"loss": loss}).damage(streams, clip.id, seed)
    decoded = coding.decode(coding.build(codec, options), streams, clip)
    return align(clip, decoded)[0]


def like(clip: Clip, samples: NDArray[Any]) -> Clip:
    """Other samples at a clip's rate and under its name."""
    return Clip(samples, clip.sample_rate_hz, clip.id)


def libav(samples: Samples, codec: str, rate_hz: int, kbps: float | None = None) -> Samples:
    """Through an encoder and a decoder of libav, in its own block size."""
    encoder: Any = av.codec.CodecContext.create(codec, "w")
    formats = av.codec.Codec(codec, "w").audio_formats or []
    encoder.sample_rate, encoder.layout = rate_hz, "mono"
    encoder.format, encoder.time_base = formats[0].name, Fraction(1, rate_hz)
    if kbps is not None:
        encoder.bit_rate = round(1000 * kbps)
    encoder.open()
    block = encoder.frame_size or 1024
    into = av.AudioResampler(format=formats[0].name, layout="mono", rate=rate_hz)
    padded = np.pad(samples, (0, -samples.size % block + 4 * block)).astype(np.float32)
    packets = []
    for start in range(0, padded.size, block):
        piece = np.ascontiguousarray(padded[np.newaxis, start : start + block])
        frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout="mono")
        frame.sample_rate, frame.pts = rate_hz, start
        for converted in into.resample(frame):
            packets += encoder.encode(converted)
    packets += encoder.encode(None)
    decoder: Any = av.codec.CodecContext.create(av.codec.Codec(codec, "r").name, "r")
    decoder.sample_rate, decoder.layout = rate_hz, "mono"
    if encoder.extradata:
        decoder.extradata = encoder.extradata
    out = av.AudioResampler(format="fltp", layout="mono", rate=rate_hz)
    decoded = [
        converted.to_ndarray()[0]
        for packet in packets
        if packet.size
        for frame in decoder.decode(packet)
        for converted in out.resample(frame)
    ]
    return np.concatenate(decoded)


def libsndfile(samples: Samples, subtype: str) -> Samples:
    """Through a compressed subtype of WAV."""
    file = io.BytesIO()
    soundfile.write(file, samples, 8000, format="WAV", subtype=subtype)
    file.seek(0)
    decoded: Samples = soundfile.read(file, dtype="float32")[0]
    return decoded


# Share of the draws, and the coder.
CODERS: dict[str, tuple[float, Coder]] = {
    "g723_1": (1.5, partial(libav, codec="g723_1", rate_hz=8000, kbps=6.3)),
    "real_144": (1.5, partial(libav, codec="real_144", rate_hz=8000)),
    "gsm": (2, partial(libsndfile, subtype="GSM610")),
    "nellymoser": (1, partial(libav, codec="nellymoser", rate_hz=8000)),
    "eac3": (1, partial(libav, codec="eac3", rate_hz=32000, kbps=32)),
    "mp2 8": (0.5, partial(libav, codec="mp2", rate_hz=16000, kbps=8)),
    "mp2 16": (1, partial(libav, codec="mp2", rate_hz=16000, kbps=16)),
    "mp2 32": (0.5, partial(libav, codec="mp2", rate_hz=16000, kbps=32)),
    "sbc 24": (1, partial(libav, codec="sbc", rate_hz=16000, kbps=24)),
    "dfpwm": (0.5, partial(libav, codec="dfpwm", rate_hz=16000)),
    "nms 16": (1, partial(libsndfile, subtype="NMS_ADPCM_16")),
    "nms 24": (0.5, partial(libsndfile, subtype="NMS_ADPCM_24")),
    "ima": (0.5, partial(libsndfile, subtype="IMA_ADPCM")),
}
NARROWBAND = ("g723_1", "real_144", "gsm", "nellymoser", "nms 16", "nms 24", "ima")
