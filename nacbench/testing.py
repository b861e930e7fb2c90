"""Conformance checks for third-party codecs and metrics, and for ours.

    from nacbench.testing import check_codec, check_metric

    def test_my_codec_keeps_the_contract():
        print(check_codec("my_package.codec:MyCodec", kbps=6))

    def test_my_metric_keeps_the_contract():
        print(check_metric("my_package.metric:MyMetric"))

Raises an AssertionError that names every promise that was broken, in a sentence each; returns what
was measured.
"""

from __future__ import annotations

import base64
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nacbench import alignment, audio, coding
from nacbench.core import Bitstream, Clip, Codec, freeze_options
from nacbench.errors import CodecUnavailableError, DecodeError
from nacbench.metric_conformance import MetricReport, check_metric

__all__ = ["MetricReport", "Report", "check_codec", "check_metric"]

LENGTHS = (1, 2, 3, 7, 63, 64, 65, 159, 160, 161, 319, 321, 511, 513, 959, 961, 1023, 1025, 4801)
DAMAGE_LIMIT_S = 120.0  # a decoder that needs longer for 14 seconds of audio hangs
RATE_OFF = 0.25  # relative; a nominal rate further from the measured one is pointed out


@dataclass
class Report:
    """What `check_codec` saw. `print` it.

    Attributes:
        codec: name and options.
        measured: facts about a second of audio: payload_kbps, delay_ms, correlation, …
        notes: what is allowed but worth knowing.
        passed: checks that held, in order.
    """

    codec: str
    measured: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    passed: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        facts = [f"  {name}: {value}" for name, value in self.measured.items()]
        notes = [f"  note: {note}" for note in self.notes]
        return "\n".join([f"{self.codec}: {len(self.passed)} checks passed", *facts, *notes])


def check_codec(codec: str | type, /, **options: Any) -> Report:
    """Check that a codec keeps the contract of `nacbench.core.Codec`.

    Args:
        codec: a registered name, `package.module:Class`, or the class itself. A class that cannot
            be imported by name (defined in a function, say) is not checked in a fresh process.
        options: keyword arguments of the class.

    Returns:
        What was measured, to print or to look at.

    Raises:
        AssertionError: promises that were broken, one line each.
        CodecUnavailableError: the codec cannot run here; the message says what to install.
    """
    return _Examination(codec, options).run()


class _Examination:
    def __init__(self, codec: str | type, options: Mapping[str, Any]) -> None:
        self.options = dict(options)
        if isinstance(codec, str):
            self.address: str | None = codec
            self._make: Callable[[], Any] = lambda: coding.build(codec, self.options)
        else:
            self.address = _address(codec)
            self._make = lambda: _build_class(codec, self.options)
        shown = ", ".join(f"{name}={value!r}" for name, value in self.options.items())
        name = codec if isinstance(codec, str) else codec.__name__
        self.report = Report(f"{name}({shown})")
        self.broken: list[str] = []

    def run(self) -> Report:
        with self._promise("it is built, and describes itself"):
            self._check_description()
        if not self.broken:  # the rest would only repeat it
            for check in (
                self._check_round_trip,
                self._check_fresh_process,
                self._check_determinism,
                self._check_lengths,
                self._check_extremes,
                self._check_channels_and_rates,
                self._check_tokens,
            ):
                with self._promise((check.__doc__ or "").strip().rstrip(".")):
                    check()
        if self.broken:
            listed = "\n".join(f"- {sentence}" for sentence in self.broken)
            raise AssertionError(f"{self.report.codec} breaks the contract of a codec:\n{listed}")
        return self.report

    @contextmanager
    def _promise(self, title: str) -> Iterator[None]:
        before = len(self.broken)
        try:
            yield
        except CodecUnavailableError:
            raise
        except _BrokenError as error:
            self.broken.append(str(error))
        except Exception as error:
            self.broken.append(f"{title}: raised {type(error).__name__}: {error}")
        if len(self.broken) == before:
            self.report.passed.append(title)

    def _check_description(self) -> None:
        freeze_options(self.options)
        codec = self._make()
        for attribute in ("name", "version"):
            value = getattr(codec, attribute, None)
            _require(
                isinstance(value, str) and bool(value),
                f"'{attribute}' must be a text that is not empty, found {value!r}",
            )
        for attribute in ("sample_rates_hz", "channels"):
            values = getattr(codec, attribute, ())
            _require(
                isinstance(values, tuple) and all(isinstance(v, int) and v > 0 for v in values),
                f"'{attribute}' must be a tuple of positive whole numbers, found {values!r}",
            )
        nominal = getattr(codec, "nominal_kbps", None)
        _require(
            nominal is None or (isinstance(nominal, (int, float)) and nominal > 0),
            f"'nominal_kbps' must be a positive number or None, found {nominal!r}",
        )
        if hasattr(codec, "build_id"):
            first, second = codec.build_id(), self._make().build_id()
            _require(
                isinstance(first, str) and first == second,
                f"'build_id()' must give the same text each time, found {first!r}, {second!r}",
            )

    def _check_round_trip(self) -> None:
        """A second of speech-like audio comes back from a fresh instance."""
        clip = self._clip(1.0)
        streams = coding.encode(self._make(), clip)
        decoded = coding.decode(self._make(), streams, clip)
        aligned, found = alignment.align(clip, decoded)
        codec = self._make()
        payload = sum(len(stream.payload) for stream in streams)
        _require(payload > 0, "the payload is empty: nothing can be decoded from nothing")
        measured = payload * 8 / clip.duration_s / 1000
        self.report.measured |= {
            "payload_kbps": round(measured, 3),
            "container_kbps": round(sum(s.container_bytes for s in streams) * 8e-3, 3),
            "delay_ms": round(found.delay_ms, 3),
            "gain_db": round(found.gain_db, 2),
            "polarity": found.polarity,
            "correlation": round(found.correlation, 4),
        }
        nominal = getattr(codec, "nominal_kbps", None)
        if nominal is not None and abs(measured / (nominal * len(streams)) - 1) > RATE_OFF:
            self.report.notes.append(
                f"asked for {nominal:g} kbps, a second of audio took {measured:.2f}"
            )
        if not np.any(aligned.samples):
            self.report.notes.append("the decoded audio is silent")
        elif found.correlation < alignment.WAVEFORM_TRUST:
            self.report.notes.append("the decoded waveform does not resemble the input")

    def _check_fresh_process(self) -> None:
        """A fresh process decodes the same audio, and damaged payloads end in a DecodeError."""
        clip = self._clip(1.0)
        codec = self._make()
        stream = coding.encode(codec, clip)[0]
        cases = [("the intact payload", stream), *_damaged(stream)]
        expected = audio.sha256(self._make().decode(stream))
        if self.address is None:
            self.report.notes.append("no fresh process: the class cannot be imported by name")
            outcomes: Sequence[Mapping[str, Any]] = [_outcome(self._make, s) for _, s in cases]
        else:
            outcomes = self._in_fresh_process(cases)
        _require(
            outcomes[0].get("sha256") == expected,
            "decoding in a fresh process gives other audio than here; does 'decode' use anything "
            f"but the payload? There: {outcomes[0]}",
        )
        for (name, _), outcome in zip(cases, outcomes, strict=True):
            said = outcome.get("error")
            _require(
                said is None or said == "DecodeError",
                f"'decode' of {name} must raise DecodeError or give audio; "
                f"it raised {said}: {outcome.get('text')}",
            )
            _require(
                outcome.get("length", 1) > 0,
                f"'decode' of {name} gives no samples; it must raise DecodeError",
            )
            _require(
                outcome.get("finite", True),
                f"'decode' of {name} gives values that are not finite; it must raise DecodeError",
            )
        refused = sum(outcome.get("error") is not None for outcome in outcomes)
        self.report.measured["damaged_refused"] = f"{refused} of {len(cases) - 1}"

    def _in_fresh_process(
        self, cases: Sequence[tuple[str, Bitstream]]
    ) -> Sequence[Mapping[str, Any]]:
        request = {
            "codec": self.address,
            "options": self.options,
            "streams": [
                [base64.b64encode(stream.payload).decode(), stream.packet_sizes]
                for _, stream in cases
            ],
        }
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        try:
            done = subprocess.run(
                [sys.executable, "-m", "nacbench.testing"],
                input=json.dumps(request),
                capture_output=True,
                text=True,
                timeout=DAMAGE_LIMIT_S,
                env=environment,
            )
            status, lines = done.returncode, done.stdout.splitlines()
            last_words = done.stderr.strip().splitlines()[-1:] or ["no message"]
        except subprocess.TimeoutExpired as expired:
            status, last_words = None, []
            lines = (expired.stdout or b"").decode().splitlines()
        outcomes = [json.loads(line) for line in lines]
        if len(outcomes) < len(cases):
            name = cases[len(outcomes)][0]
            if status is None:
                raise _BrokenError(f"'decode' of {name} hangs: stopped after {DAMAGE_LIMIT_S:g} s")
            how = f"signal {-status}" if status < 0 else f"exit status {status}: {last_words[0]}"
            raise _BrokenError(f"'decode' of {name} crashed its process ({how})")
        return outcomes

    def _check_determinism(self) -> None:
        """The same clip gives the same payload and audio, whatever was coded before."""
        clip, other = self._clip(0.5), self._clip(0.3, seed=1)
        codec = self._make()
        first = coding.encode(codec, clip)
        coding.encode(codec, other)
        again, fresh = coding.encode(codec, clip), coding.encode(self._make(), clip)
        for streams, when in ((fresh, "by another instance"), (again, "after another clip")):
            _require(
                [s.payload for s in streams] == [s.payload for s in first],
                f"the payload of the same clip differs when coded {when}",
            )
        decoder = self._make()
        heard = [decoder.decode(first[0]).samples for _ in range(2)]
        heard.append(self._make().decode(first[0]).samples)
        _require(
            all(np.array_equal(heard[0], samples) for samples in heard[1:]),
            "decoding the same payload twice gives different audio; seed what is random",
        )

    def _check_lengths(self) -> None:
        """Clips of any length come back, from one sample on."""
        refused = []
        hop = int(getattr(self._make(), "hop_length", 0) or 0)
        lengths = sorted({*LENGTHS, *(hop + k for k in (-1, 0, 1) if hop > 1)})
        whole = self._clip(1.0)
        for length in lengths:
            clip = Clip(whole.samples[:, 1000 : 1000 + length], whole.sample_rate_hz)
            try:
                streams = coding.encode(self._make(), clip)
            except ValueError as error:
                refused.append(f"{clip.length} ({error})")
                continue
            try:
                coding.decode(self._make(), streams, clip)
            except (ValueError, DecodeError) as error:
                raise _BrokenError(f"a clip of {clip.length} samples: {error}") from error
        if refused:
            self.report.notes.append(f"refuses clips of {'; '.join(refused)} samples")
        _require(len(refused) < len(lengths), f"refuses every short clip: {refused[-1:]}")

    def _check_extremes(self) -> None:
        """Silence, full-scale and over-full-scale audio come back finite and of their length."""
        clip = self._clip(0.5)
        square = np.sign(clip.samples) + (clip.samples == 0)
        for name, samples in (
            ("digital silence", np.zeros_like(clip.samples)),
            ("a full-scale square wave", square),
            ("audio at twice full scale", 2 * square),
            ("a constant offset", np.full_like(clip.samples, 0.5)),
        ):
            extreme = Clip(samples, clip.sample_rate_hz)
            try:
                coding.decode(self._make(), coding.encode(self._make(), extreme), extreme)
            except (ValueError, DecodeError) as error:
                raise _BrokenError(f"{name}: {error}") from error

    def _check_channels_and_rates(self) -> None:
        """Mono, stereo, other rates: the bench converts, and the codec keeps what it was given."""
        codec = self._make()
        rate = self._clip(0.1).sample_rate_hz
        for channels, sample_rate_hz in ((1, rate), (2, rate), (1, 44_100), (1, 8000)):
            clip = _speech_like(0.4, sample_rate_hz, channels)
            coded_hz = coding.coded_rate_hz(codec, sample_rate_hz)
            try:
                streams = coding.encode(self._make(), clip)
                coding.decode(self._make(), streams, clip)
            except (ValueError, DecodeError) as error:
                raise _BrokenError(
                    f"a clip of {channels} x {sample_rate_hz} Hz, coded at {coded_hz} Hz: {error}"
                ) from error

    def _check_tokens(self) -> None:
        """Tokens, where there are any, are whole numbers within their codebooks."""
        codec: Any = self._make()
        if not hasattr(codec, "tokens"):
            return
        sizes = tuple(getattr(codec, "codebook_sizes", ()))
        _require(bool(sizes), "a codec with 'tokens' needs 'codebook_sizes'")
        stream = coding.encode(self._make(), self._clip(0.5))[0]
        tokens = np.asarray(codec.tokens(stream))
        _require(
            tokens.ndim == 2 and tokens.shape[0] == len(sizes) and tokens.dtype.kind in "iu",
            f"'tokens' must be whole numbers [{len(sizes)} codebooks, frames], found "
            f"{tokens.dtype} {list(tokens.shape)}",
        )
        _require(
            bool((tokens >= 0).all() and (tokens.max(axis=1) < np.array(sizes)).all()),
            f"a token lies outside its codebook: largest {tokens.max(axis=1)}, sizes {sizes}",
        )

    def _clip(self, seconds: float, seed: int = 0) -> Clip:
        codec = self._make()
        channels: tuple[int, ...] = getattr(codec, "channels", ())
        rate = coding.coded_rate_hz(codec, 16_000)
        return _speech_like(seconds, rate, min(channels, default=1), seed)


class _BrokenError(Exception):
    """A promise that was not kept; the message is the sentence to show."""


def _require(kept: bool, sentence: str) -> None:
    if not kept:
        raise _BrokenError(sentence)


def _build_class(cls: Any, options: Mapping[str, Any]) -> Codec:
    reason = cls.missing() if hasattr(cls, "missing") else None
    if reason is not None:
        raise CodecUnavailableError(f"codec '{cls.__name__}': {reason}")
    return cls(**options)  # type: ignore[no-any-return]


def _address(cls: type) -> str | None:
    """`package.module:Class`, if importing that elsewhere gives this very class."""
    try:
        found: Any = importlib.import_module(cls.__module__)
        found = getattr(found, cls.__qualname__)
    except (ImportError, AttributeError):
        return None
    return f"{cls.__module__}:{cls.__qualname__}" if found is cls else None


def _speech_like(seconds: float, rate: int, channels: int, seed: int = 0) -> Clip:
    """Harmonics of a gliding pitch in syllables, over a little noise."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    phase = 2 * np.pi * np.cumsum(130 + 30 * np.sin(2 * np.pi * 1.7 * time)) / rate
    voice = np.sum([np.sin(k * phase + k * k) / k for k in range(1, 20)], axis=0)
    syllables = np.clip(np.sin(2 * np.pi * 3.1 * time + seed), 0.05, 1)
    samples = 0.15 * voice * syllables + 0.01 * random.standard_normal((channels, time.size))
    return Clip(samples.astype(np.float32), rate, f"speech-like-{seed}")


def _damaged(stream: Bitstream) -> list[tuple[str, Bitstream]]:
    """The ways in which a payload gets damaged, seeded.

    A codec's first packet is often its header, which is told to be damaged easily. So most cases
    leave the first packet whole, where there are several, to reach the decoder proper.
    """
    random = np.random.default_rng(0)
    packets = stream.packets()
    spared, rest = (packets[:1], packets[1:]) if len(packets) > 1 else ([], packets)

    def joined(parts: Sequence[bytes]) -> Bitstream:
        return Bitstream(b"".join(parts), tuple(map(len, parts)) if stream.packet_sizes else ())

    def flipped(rate: float) -> list[bytes]:
        return [_flip(packet, rate, random) for packet in rest]

    return [
        ("an empty payload", Bitstream(b"")),
        ("one byte", Bitstream(stream.payload[:1])),
        ("a payload without packet boundaries", Bitstream(stream.payload)),
        ("a payload that lost its first packet", joined(packets[1:])),
        ("a payload whose first packet is noise", joined([random.bytes(len(packets[0])), *rest])),
        ("a payload that lost a packet", joined([*spared, *rest[:3], *rest[4:]])),
        ("a packet that arrived as lost", joined([*spared, *rest[:3], b"", *rest[4:]])),
        ("the first half of a payload", joined([*spared, *rest[: len(rest) // 2]])),
        (
            "packets cut in half",
            joined([*spared, *(packet[: len(packet) // 2] for packet in rest)]),
        ),
        ("one bit in 1000 flipped", joined([*spared, *flipped(0.001)])),
        ("one bit in 20 flipped", joined([*spared, *flipped(0.05)])),
        ("random packets", joined([*spared, *flipped(0.5)])),
        ("packets of ones", joined([*spared, *(b"\xff" * len(p) for p in rest)])),
        ("packets of zeros", joined([*spared, *(bytes(len(p)) for p in rest)])),
    ]


def _flip(data: bytes, rate: float, random: np.random.Generator) -> bytes:
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    bits ^= random.random(bits.size) < rate
    return np.packbits(bits).tobytes()


def _outcome(make: Callable[[], Codec], stream: Bitstream) -> dict[str, Any]:
    try:
        decoded = make().decode(stream)
    except Exception as error:
        return {"error": type(error).__name__, "text": str(error)[:300]}
    finite = bool(np.isfinite(decoded.samples).all())
    return {"sha256": audio.sha256(decoded), "finite": finite, "length": decoded.length}


def _serve() -> None:
    """Decode what stands on the standard input, one line of outcome each: the fresh process."""
    request = json.load(sys.stdin)
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)  # a library that prints must not disturb the answers
        for payload, packet_sizes in request["streams"]:
            stream = Bitstream(base64.b64decode(payload), tuple(packet_sizes))
            outcome = _outcome(lambda: coding.build(request["codec"], request["options"]), stream)
            print(json.dumps(outcome), file=answers, flush=True)


if __name__ == "__main__":
    _serve()
