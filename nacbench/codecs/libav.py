"""FFmpeg's codecs through PyAV, in memory: raw packets out, raw packets in.

One pass gives both sizes: the encoder's packets are the payload, and the same packets muxed
bit-exactly are the file that a user would store. Decoders get the packets without their container,
so nothing is trimmed, resampled or concealed on the way.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from nacbench.codecs import framing
from nacbench.core import Bitstream, Clip, Samples
from nacbench.errors import DecodeError

if TYPE_CHECKING:
    import av

LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}


@dataclass(frozen=True)
class Coded:
    """Packets as the encoder made them, its set-up data, and the size of the muxed file."""

    packets: list[bytes]
    extradata: bytes
    container_bytes: int


@dataclass(frozen=True)
class Encoder:
    """An FFmpeg encoder and the file format that its packets are commonly stored in.

    Attributes:
        codec, sample_format: FFmpeg's names. Samples are rounded and clipped to the format.
        container: muxer.      options: private options of the encoder.
        bit_rate: bit/s; None where the codec has only one or takes it by option.
    """

    codec: str
    container: str
    sample_format: str
    options: Mapping[str, str] = field(default_factory=dict)
    bit_rate: int | None = None

    def encode(self, clip: Clip, tail: int = 0) -> Coded:
        """Code a clip, followed by `tail` zeros that push the last samples through the delay.

        Raises:
            ValueError: the encoder refuses the clip or its options.
        """
        import av

        samples = np.pad(clip.samples, ((0, 0), (0, tail))) if tail else clip.samples
        layout = LAYOUTS[clip.channels]
        array = _to_format(samples, self.sample_format)
        frame = av.AudioFrame.from_ndarray(array, format=self.sample_format, layout=layout)
        frame.sample_rate = clip.sample_rate_hz
        frame.pts = 0
        file = io.BytesIO()
        packets: list[bytes] = []
        try:
            with av.open(
                file, "w", format=self.container, container_options={"fflags": "+bitexact"}
            ) as muxer:
                options = {"flags": "+bitexact", **self.options}
                stream = muxer.add_stream(self.codec, rate=clip.sample_rate_hz, options=options)
                assert isinstance(stream, av.AudioStream)
                stream.codec_context.layout = layout
                stream.codec_context.format = self.sample_format
                stream.codec_context.thread_count = 1
                if self.bit_rate is not None:
                    stream.codec_context.bit_rate = self.bit_rate
                for packet in (*stream.encode(frame), *stream.encode(None)):
                    if packet.size:  # FLAC ends with an empty one that carries a checksum
                        packets.append(bytes(packet))
                        muxer.mux(packet)
                extradata = bytes(stream.codec_context.extradata or b"")
        except av.FFmpegError as error:
            raise ValueError(f"{self.codec} refuses the clip: {error}") from error
        return Coded(packets, extradata, len(file.getvalue()))


@dataclass(frozen=True)
class Decoder:
    """An FFmpeg decoder for raw packets."""

    codec: str
    options: Mapping[str, str] = field(default_factory=dict)

    def decode(
        self,
        packets: Iterable[bytes],
        sample_rate_hz: int,
        channels: int,
        length: int,
        extradata: bytes = b"",
    ) -> Samples:
        """The first `length` samples, `[channels, length]` float32.

        Raises:
            DecodeError: a packet is refused, changes rate or channels, or there are too few.
        """
        import av

        parts: list[Samples] = []
        decoded = 0
        try:
            for frame in self._frames(packets, sample_rate_hz, channels, extradata):
                part = _from_format(frame)
                if part.shape[0] != channels or frame.sample_rate != sample_rate_hz:
                    raise DecodeError(
                        f"a packet holds {part.shape[0]} x {frame.sample_rate} Hz "
                        f"in a stream of {channels} x {sample_rate_hz} Hz"
                    )
                parts.append(part)
                decoded += part.shape[1]
                if decoded >= length:
                    break
        except av.FFmpegError as error:
            raise DecodeError(f"{self.codec}: {error.strerror}") from error
        if decoded < length:
            raise DecodeError(f"the packets hold {decoded} of {length} samples")
        samples = np.concatenate(parts, axis=1)[:, :length]
        if not np.isfinite(samples).all():
            raise DecodeError(f"{self.codec} made values that are not finite of damaged packets")
        return samples

    def _frames(
        self, packets: Iterable[bytes], sample_rate_hz: int, channels: int, extradata: bytes
    ) -> Iterator[av.AudioFrame]:
        import av

        context = av.CodecContext.create(self.codec, "r")
        assert isinstance(context, av.AudioCodecContext)
        context.thread_count = 1
        context.sample_rate = sample_rate_hz
        context.layout = LAYOUTS[channels]
        context.options = dict(self.options)
        if extradata:
            context.extradata = extradata
        for index, packet in enumerate(packets):
            if not packet:  # would tell FFmpeg that the stream has ended
                raise DecodeError(f"packet {index} is lost, and {self.codec} conceals no losses")
            yield from context.decode(av.Packet(packet))
        yield from context.decode(None)


def demux(file: bytes) -> tuple[bytes, list[bytes]]:
    """The set-up data and the packets of the only audio stream of a file."""
    import av

    with av.open(io.BytesIO(file), "r") as demuxer:
        stream = demuxer.streams.audio[0]
        packets = [bytes(packet) for packet in demuxer.demux(stream) if packet.size]
        return bytes(stream.codec_context.extradata or b""), packets


Need = tuple[str, Literal["r", "w"]]
"""An FFmpeg codec, for reading or for writing."""


class LibavCodec:
    """A codec that is an FFmpeg encoder, an FFmpeg decoder and a header between them.

    Header: length, rate (as an index into `sample_rates_hz`) and channels; only the length where
    there is one rate and one channel. Decoded audio keeps the codec's delay, so that it shows.

    Attributes:
        delay: samples by which the decoded audio is late, at the coded rate.
        tail: zeros to code after the clip, where the encoder does not flush its delay by itself.
    """

    sample_rates_hz: tuple[int, ...]
    channels: tuple[int, ...] = (1,)
    delay = 0
    tail = 0
    encoder: Encoder
    decoder: Decoder

    def encode(self, clip: Clip) -> Bitstream:
        coded = self.encoder.encode(clip, self.tail)
        numbers = [clip.length]
        if self._numbers > 1:
            numbers += self.sample_rates_hz.index(clip.sample_rate_hz), clip.channels
        setup, packets = self.to_transport(coded)
        return framing.bitstream(numbers, [*setup, *packets], coded.container_bytes)

    def decode(self, bitstream: Bitstream) -> Clip:
        (length, *stream), packets = framing.parse(bitstream, self._numbers)
        rate_index, channels = stream or (0, 1)
        if rate_index >= len(self.sample_rates_hz) or channels not in self.channels:
            raise DecodeError("the header is damaged: no such rate or channel count")
        rate = self.sample_rates_hz[rate_index]
        extradata, packets = self.from_transport(packets)
        wanted = length + self.delay
        return Clip(self.decoder.decode(packets, rate, channels, wanted, extradata), rate)

    def to_transport(self, coded: Coded) -> tuple[list[bytes], list[bytes]]:
        """Set-up data that the decoder needs, and the packets as they are sent."""
        return [], coded.packets

    def from_transport(self, packets: list[bytes]) -> tuple[bytes, list[bytes]]:
        """FFmpeg's extradata and the packets as the decoder takes them."""
        return b"", packets

    @property
    def _numbers(self) -> int:
        return 1 if len(self.sample_rates_hz) == len(self.channels) == 1 else 3

    @classmethod
    def missing(cls) -> str | None:
        return missing(*cls.requires())

    def build_id(self) -> str:
        return build_id(*(codec for codec, _ in self.requires()))

    @classmethod
    def requires(cls) -> tuple[Need, ...]:
        """FFmpeg codecs, each for reading or writing."""
        raise NotImplementedError


def build_id(*codecs: str) -> str:
    """Versions that decide what these FFmpeg codecs produce."""
    import av

    libavcodec = ".".join(map(str, av.library_versions["libavcodec"]))
    return f"{'+'.join(codecs)} av {av.__version__} libavcodec {libavcodec}"


def missing(*codecs: Need) -> str | None:
    """Why one of these (FFmpeg codec, "r" or "w") cannot be used; None when all can."""
    try:
        import av
    except ImportError as error:
        return f"PyAV cannot be imported ({error}). Install it: pip install av"
    for codec, mode in codecs:
        try:
            av.Codec(codec, mode)
        except av.codec.codec.UnknownCodecError:
            return (
                f"this build of PyAV lacks FFmpeg's '{codec}'. "
                "Install the one from the package index: pip install --force-reinstall av"
            )
    return None


def _to_format(samples: Samples, sample_format: str) -> NDArray[Any]:
    depth = sample_format.removesuffix("p")
    converted: NDArray[Any]
    if depth == "flt":
        converted = samples
    else:
        kind, full_scale = {"s16": (np.int16, 2**15), "s32": (np.int32, 2**31)}[depth]
        levels = np.rint(samples.astype(np.float64) * full_scale)
        converted = np.clip(levels, -full_scale, full_scale - 1).astype(kind)
    if not sample_format.endswith("p"):
        converted = converted.T.reshape(1, -1)
    return np.ascontiguousarray(converted)


def _from_format(frame: av.AudioFrame) -> Samples:
    array: NDArray[Any] = frame.to_ndarray()
    if not frame.format.is_planar:
        array = array.reshape(-1, frame.layout.nb_channels).T
    if array.dtype.kind == "i":
        return (array / 2.0 ** (8 * array.dtype.itemsize - 1)).astype(np.float32)
    return array.astype(np.float32)
