"""What is done to a clip before it reaches the codec: noise, reverberation, level, band, clipping.

The conditioned clip is the reference that decoded audio is compared with. A condition draws from
a generator seeded by the suite's seed, the clip's id and its own name, so the same clip under the
same condition is the same audio, whatever else runs and in which order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from nacbench.core import Clip, ClipRef
from nacbench.errors import UserError
from nacbench.registry import Registry, did_you_mean

CONDITIONS = Registry(
    "condition",
    "nacbench.conditions",
    {
        "bandwidth": "nacbench.conditions.band:Bandwidth",
        "clipping": "nacbench.conditions.clipping:Clipping",
        "level": "nacbench.conditions.level:Level",
        "noise": "nacbench.conditions.noise:Noise",
        "reverb": "nacbench.conditions.reverb:Reverb",
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


class Condition:
    """A chain of steps under one name; no steps is `clean`.

    Attributes:
        name: `noise(pink, 10 dB)`, `reverb(0.5 s) + noise(babble, 5 dB)`; goes into the record.
        spec: the JSON value it was built from; part of the cache key.
    """

    def __init__(self, name: str, steps: Sequence[Step], spec: Any) -> None:
        self.name = name
        self.spec = spec
        self._steps = tuple(steps)

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
            key = f"{seed}\n{clip.id}\n{self.name}\n{position}".encode()
            rng = np.random.default_rng(int.from_bytes(hashlib.sha256(key).digest()))
            changed = step.apply(changed, rng)
        return _within_full_scale(changed)


def build(spec: Spec) -> Condition:
    """A condition from its YAML: `clean`, `{noise: {source: pink, snr_db: 10}}` or a list of such.

    Raises:
        UserError: not of that form, or an unknown condition, option or value.
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
    steps, names = [], []
    for part in chain:
        if not isinstance(part, Mapping) or len(part) != 1:
            raise UserError(f"condition {part!r}: expected one 'name: {{options}}'.")
        ((kind, options),) = part.items()
        if not isinstance(options, Mapping):
            raise UserError(f"condition '{kind}': expected options as a mapping, got {options!r}.")
        step: Step = CONDITIONS.create(str(kind), options)
        steps.append(step)
        names.append(f"{kind}({step.label})")
    return Condition(" + ".join(names), steps, spec)


def _within_full_scale(clip: Clip) -> Clip:
    peak = float(np.abs(clip.samples).max(initial=0.0))
    if peak <= 1.0:
        return clip
    tags = {**clip.tags, "attenuated_db": f"{20 * np.log10(peak):.2f}"}
    samples = np.clip(clip.samples / np.float32(peak), -1.0, 1.0)  # division may round to 1 + ulp
    return Clip(samples, clip.sample_rate_hz, clip.id, tags)
