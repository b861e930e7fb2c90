"""Does a codec keep the contract of `nacbench.core.Codec`?"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from nacbench import alignment, audio, coding
from nacbench.core import Clip, Codec, freeze_options
from nacbench.errors import CodecUnavailableError, DecodeError
from nacbench.testing.damage import damaged
from nacbench.testing.fresh_process import decode_all, outcome_of
from nacbench.testing.report import BrokenError, Report, require

LENGTHS = (1, 2, 3, 7, 63, 64, 65, 159, 160, 161, 319, 321, 511, 513, 959, 961, 1023, 1025, 4801)
RATE_OFF = 0.25  # relative; a nominal rate further from the measured one is pointed out


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

    def run(self) -> Report:
        with self.report.promise("it is built, and describes itself"):
            self._check_description()
        if not self.report.broken:  # the rest would only repeat it
            for check in (
                self._check_round_trip,
                self._check_fresh_process,
                self._check_determinism,
                self._check_lengths,
                self._check_extremes,
                self._check_channels_and_rates,
                self._check_tokens,
            ):
                with self.report.promise((check.__doc__ or "").strip().rstrip(".")):
                    check()
        return self.report.verdict("codec")

    def _check_description(self) -> None:
        freeze_options(self.options)
        codec = self._make()
        for attribute in ("name", "version"):
            value = getattr(codec, attribute, None)
            require(
                isinstance(value, str) and bool(value),
                f"'{attribute}' must be a text that is not empty, found {value!r}",
            )
        for attribute in ("sample_rates_hz", "channels"):
            values = getattr(codec, attribute, ())
            require(
                isinstance(values, tuple) and all(isinstance(v, int) and v > 0 for v in values),
                f"'{attribute}' must be a tuple of positive whole numbers, found {values!r}",
            )
        nominal = getattr(codec, "nominal_kbps", None)
        require(
            nominal is None or (isinstance(nominal, (int, float)) and nominal > 0),
            f"'nominal_kbps' must be a positive number or None, found {nominal!r}",
        )
        if hasattr(codec, "build_id"):
            first, second = codec.build_id(), self._make().build_id()
            require(
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
        require(payload > 0, "the payload is empty: nothing can be decoded from nothing")
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
        cases = [("the intact payload", stream), *damaged(stream)]
        expected = audio.sha256(self._make().decode(stream))
        if self.address is None:
            self.report.notes.append("no fresh process: the class cannot be imported by name")
            outcomes: Sequence[Mapping[str, Any]] = [outcome_of(self._make, s) for _, s in cases]
        else:
            outcomes = decode_all(self.address, self.options, cases)
        require(
            outcomes[0].get("sha256") == expected,
            "decoding in a fresh process gives other audio than here; does 'decode' use anything "
            f"but the payload? There: {outcomes[0]}",
        )
        for (name, _), outcome in zip(cases, outcomes, strict=True):
            said = outcome.get("error")
            require(
                said is None or said == "DecodeError",
                f"'decode' of {name} must raise DecodeError or give audio; "
                f"it raised {said}: {outcome.get('text')}",
            )
            require(
                outcome.get("length", 1) > 0,
                f"'decode' of {name} gives no samples; it must raise DecodeError",
            )
            require(
                outcome.get("finite", True),
                f"'decode' of {name} gives values that are not finite; it must raise DecodeError",
            )
        refused = sum(outcome.get("error") is not None for outcome in outcomes)
        self.report.measured["damaged_refused"] = f"{refused} of {len(cases) - 1}"

    def _check_determinism(self) -> None:
        """The same clip gives the same payload and audio, whatever was coded before."""
        clip, other = self._clip(0.5), self._clip(0.3, seed=1)
        codec = self._make()
        first = coding.encode(codec, clip)
        coding.encode(codec, other)
        again, fresh = coding.encode(codec, clip), coding.encode(self._make(), clip)
        for streams, when in ((fresh, "by another instance"), (again, "after another clip")):
            require(
                [s.payload for s in streams] == [s.payload for s in first],
                f"the payload of the same clip differs when coded {when}",
            )
        decoder = self._make()
        heard = [decoder.decode(first[0]).samples for _ in range(2)]
        heard.append(self._make().decode(first[0]).samples)
        require(
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
                raise BrokenError(f"a clip of {clip.length} samples: {error}") from error
        if refused:
            self.report.notes.append(f"refuses clips of {'; '.join(refused)} samples")
        require(len(refused) < len(lengths), f"refuses every short clip: {refused[-1:]}")

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
                raise BrokenError(f"{name}: {error}") from error

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
                raise BrokenError(
                    f"a clip of {channels} x {sample_rate_hz} Hz, coded at {coded_hz} Hz: {error}"
                ) from error

    def _check_tokens(self) -> None:
        """Tokens, where there are any, are whole numbers within their codebooks."""
        codec: Any = self._make()
        if not hasattr(codec, "tokens"):
            return
        sizes = tuple(getattr(codec, "codebook_sizes", ()))
        require(bool(sizes), "a codec with 'tokens' needs 'codebook_sizes'")
        stream = coding.encode(self._make(), self._clip(0.5))[0]
        tokens = np.asarray(codec.tokens(stream))
        require(
            tokens.ndim == 2 and tokens.shape[0] == len(sizes) and tokens.dtype.kind in "iu",
            f"'tokens' must be whole numbers [{len(sizes)} codebooks, frames], found "
            f"{tokens.dtype} {list(tokens.shape)}",
        )
        require(
            bool((tokens >= 0).all() and (tokens.max(axis=1) < np.array(sizes)).all()),
            f"a token lies outside its codebook: largest {tokens.max(axis=1)}, sizes {sizes}",
        )

    def _clip(self, seconds: float, seed: int = 0) -> Clip:
        codec = self._make()
        channels: tuple[int, ...] = getattr(codec, "channels", ())
        rate = coding.coded_rate_hz(codec, 16_000)
        return _speech_like(seconds, rate, min(channels, default=1), seed)


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
