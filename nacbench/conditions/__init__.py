"""What is done to a clip before the codec, and to its payload between encoder and decoder.

The conditioned clip (noise, reverberation, level, band, clipping) is the reference that decoded
audio is compared with; damage to the payload (loss, bit errors, truncation) leaves it alone.
Everything is drawn from generators seeded by the suite's seed, the clip's id and the condition, so
the same clip under the same condition is the same, whatever else runs and in which order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from nacbench.core import Bitstream, Clip, ClipRef
from nacbench.errors import DecodeError, UserError
from nacbench.registry import Registry, did_you_mean

CONDITIONS = Registry(
    "condition",
    "nacbench.conditions",
    {
        "bandwidth": "nacbench.conditions.band:Bandwidth",
        "bit_errors": "nacbench.conditions.payload:BitErrors",
        "clipping": "nacbench.conditions.clipping:Clipping",
        "level": "nacbench.conditions.level:Level",
        "loss": "nacbench.conditions.payload:Loss",
        "noise": "nacbench.conditions.noise:Noise",
        "reverb": "nacbench.conditions.reverb:Reverb",
        "truncation": "nacbench.conditions.payload:Truncation",
    },
)

Spec = str | Mapping[str, Any] | Sequence[Mapping[str, Any]]


class Step(Protocol):
    """One change to a clip, built from the keyword options of its class."""

    label: str  # "pink, 10 dB": what the name shows between the brackets

    def apply(self, clip: Clip, rng: np.random.Generator) -> Clip:
        """The changed clip, of the same rate, channels and length.

        Raises:
            UserError: the step is not defined on this clip (an SNR on silence).
        """
        ...


class Damage(Protocol):
    """One change to a payload, built from the keyword options of its class."""

    label: str

    def damage(self, stream: Bitstream, rng: np.random.Generator) -> Bitstream:
        """What arrives: as many packets as were sent, a lost one with no bytes, the first whole."""
        ...


class Condition:
    """A chain of steps under one name, damage to the payload last; nothing at all is `clean`.

    Attributes:
        name: `noise(pink, 10 dB)`, `noise(babble, 5 dB) + loss(3 %)`; goes into the record.
        spec: the JSON value it was built from.
        before_codec: the part that changes the clip, as a condition of its own; conditions that
            share it share the conditioned clip and what an encoder makes of it.
    """

    def __init__(
        self,
        name: str,
        steps: Sequence[Step],
        spec: Any,
        damages: Mapping[str, Damage] | None = None,
        before: Condition | None = None,
    ) -> None:
        self.name = name
        self.spec = spec
        self.before_codec = before or self
        self._steps = tuple(steps)
        self._damages = dict(damages or {})

    def __repr__(self) -> str:
        return f"Condition({self.name!r})"

    def recordings(self) -> list[ClipRef]:
        """What its steps may add to a clip; when a recording changes, so do results."""
        from nacbench.conditions.recorded import Recorded

        held = [value for step in self._steps for value in vars(step).values()]
        return [ref for value in held if isinstance(value, Recorded) for ref in value.refs]

    def apply(self, clip: Clip, seed: int) -> Clip:
        """The clip under this condition; the same object where there is nothing to do.

        A result beyond full scale, or a clean float file beyond it, is attenuated to a peak of 1,
        which keeps every ratio within it, and tagged `attenuated_db`: a recording could not hold
        it either, and a codec with integer input would clip it without the reference saying so.
        """
        changed = clip
        for position, step in enumerate(self._steps):
            name = self.before_codec.name
            changed = step.apply(changed, _generator(seed, clip.id, name, position))
        return _within_full_scale(changed)

    def damage(
        self, streams: tuple[Bitstream, ...], clip_id: str, seed: int
    ) -> tuple[Bitstream, ...]:
        """What arrives of the streams of a clip; the same object where there is nothing to do.

        The draws depend on the clip and the kind of damage, not on codec or rate: every codec of
        the same packet length loses the same stretches of a clip, and 10 % loses what 3 % loses.
        Streams of one clip (its channels) travel in the same packets.

        Raises:
            DecodeError: the codec declares no packets.
        """
        if not self._damages:
            return streams
        if any(not stream.packet_sizes for stream in streams):
            raise DecodeError("the codec declares no packets, so a transport cannot damage them")
        arrived = streams
        for kind, step in self._damages.items():
            arrived = tuple(
                step.damage(stream, _generator(seed, clip_id, kind, 0)) for stream in arrived
            )
        return arrived


def _generator(*key: str | int) -> np.random.Generator:
    text = "\n".join(map(str, key)).encode()
    return np.random.default_rng(int.from_bytes(hashlib.sha256(text).digest()))


def build(spec: Spec) -> Condition:
    """A condition from its YAML: `clean`, `{noise: {source: pink, snr_db: 10}}` or a list of such.

    Raises:
        UserError: not of that form, an unknown condition, option or value, or damage to the
            payload before something that happens before the codec.
    """
    if spec == "clean":
        return Condition("clean", (), "clean")
    chain = [spec] if isinstance(spec, Mapping) else spec
    if isinstance(spec, str) or not isinstance(chain, Sequence) or not chain:
        close = did_you_mean(spec, ["clean"]) if isinstance(spec, str) else ""
        raise UserError(
            f"condition {spec!r}: expected 'clean', one 'name: {{options}}' or a list.{close} "
            f"Conditions are: clean, {', '.join(CONDITIONS.names())}."
        )
    steps: list[Step] = []
    damages: dict[str, Damage] = {}
    names: list[str] = []
    for part in chain:
        if not isinstance(part, Mapping) or len(part) != 1:
            raise UserError(f"condition {part!r}: expected one 'name: {{options}}'.")
        ((kind, options),) = part.items()
        if not isinstance(options, Mapping):
            raise UserError(f"condition '{kind}': expected options as a mapping, got {options!r}.")
        step: Any = CONDITIONS.create(str(kind), options)
        if hasattr(step, "damage"):
            if kind in damages:
                raise UserError(f"condition '{kind}': given twice in one chain. Keep one.")
            damages[str(kind)] = step
        elif damages:
            raise UserError(
                f"condition '{kind}': acts before the codec, '{next(iter(damages))}' after it. "
                f"List '{kind}' first."
            )
        else:
            steps.append(step)
        names.append(f"{kind}({step.label})")
    if not damages:
        return Condition(" + ".join(names), steps, spec)
    before = build(chain[: len(steps)] or "clean")
    return Condition(" + ".join(names), steps, spec, damages, before)


def _within_full_scale(clip: Clip) -> Clip:
    peak = float(np.abs(clip.samples).max(initial=0.0))
    if peak <= 1.0:
        return clip
    tags = {**clip.tags, "attenuated_db": f"{20 * np.log10(peak):.2f}"}
    samples = np.clip(clip.samples / np.float32(peak), -1.0, 1.0)  # division may round to 1 + ulp
    return Clip(samples, clip.sample_rate_hz, clip.id, tags)
