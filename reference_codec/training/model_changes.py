"""A preset with changes, checked: what `model:` in a recipe means."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from reference_codec.config import KINDS, CodecConfig
from reference_codec.errors import UserError
from reference_codec.presets import PRESETS
from reference_codec.training.wording import did_you_mean, in_words

if TYPE_CHECKING:
    from reference_codec.training.recipe import ModelChoice


def changed_config(name: str, model: ModelChoice) -> tuple[CodecConfig | None, list[str]]:
    """The codec that the changes make of the preset, or None and everything wrong with them."""
    if model.preset not in PRESETS:
        hint = did_you_mean(model.preset, PRESETS)
        return None, [
            f"model.preset: unknown preset '{model.preset}'.{hint} Presets: {', '.join(PRESETS)}."
        ]
    preset = PRESETS[model.preset]
    network, problems = _changed(preset.network, model.network, "model.network")
    quantizer, more = _changed(preset.quantizer, model.quantizer, "model.quantizer")
    problems += more
    if problems:
        return None, problems
    top = {"sample_rate_hz": model.sample_rate_hz, "channels": model.channels,
           "kbps": model.kbps, "segment_s": model.segment_s}  # fmt: skip
    given: dict[str, Any] = {key: value for key, value in top.items() if value is not None}
    config = dataclasses.replace(
        preset, name=name, network=network, quantizer=quantizer, source="", **given
    )
    return config, [*_rate_problems(config), *_position_problems(config)]


def changes_for(config: CodecConfig) -> dict[str, Any]:
    """`model:` of a recipe whose codec is `config`, but for its name.

    Raises:
        UserError: no preset works in segments as this codec does.
    """
    for preset in PRESETS.values():
        alike = ("overlap", "normalise", "segment_s")
        if all(getattr(preset, name) == getattr(config, name) for name in alike):
            break
    else:
        raise UserError(f"model '{config.name}': no preset works in segments as it does.")
    parts = json.loads(config.to_json())
    return {
        "preset": preset.name,
        **{key: parts[key] for key in
           ("sample_rate_hz", "channels", "network", "quantizer", "kbps", "segment_s")},
    }  # fmt: skip


def _changed(part: Any, changes: dict[str, Any], where: str) -> tuple[Any, list[str]]:
    """The dataclass with some fields changed; `kind` starts from another class's defaults."""
    values, wanted = dict(changes), type(part)
    kind = values.pop("kind", None)
    if kind is not None:
        family = where.rpartition(".")[2]
        known = {k: v for k, v in KINDS.items() if _family(v) == family}
        if kind not in known:
            return None, [
                f"{where}.kind: unknown kind '{kind}'.{did_you_mean(str(kind), known)} "
                f"Known are: {', '.join(known)}."
            ]
        if known[kind] is not wanted:
            part, wanted = known[kind](), known[kind]
    fields = [field.name for field in dataclasses.fields(wanted)]
    problems = [
        f"{where}: unknown key '{key}'.{did_you_mean(key, fields)} Known are: {', '.join(fields)}."
        for key in values
        if key not in fields
    ]
    if problems:
        return None, problems
    try:
        whole = json.dumps(dataclasses.asdict(part) | values)
        # JSON, because there a list is a tuple in strict mode too.
        return TypeAdapter(wanted).validate_json(whole, strict=True), []
    except ValidationError as error:
        details = error.errors(include_url=False)
        return None, [in_words((where, *detail["loc"]), dict(detail)) for detail in details]
    except UserError as error:
        return None, [f"{where}: {error}"]


def _family(kind: type[Any]) -> str:
    return "quantizer" if hasattr(kind, "codebook_sizes") else "network"


def _rate_problems(config: CodecConfig) -> list[str]:
    """Changes of the frame rate or the codebooks also change which rates there are."""
    lowest = config.nominal_kbps(1 if config.prefix_decodable else config.n_codebooks)
    highest = config.nominal_kbps(config.n_codebooks)
    return [
        f"model.kbps: {kbps:g} is outside {lowest:.3g}…{highest:.3g} kbps, which "
        f"{config.n_codebooks} codebooks at {config.frame_rate_hz:g} frames/s give. Set model.kbps."
        for kbps in config.kbps
        if not lowest <= kbps * 1.005 or kbps > highest * 1.01
    ]


def _position_problems(config: CodecConfig) -> list[str]:
    """Sizes that no network can have."""
    fields = {**dataclasses.asdict(config.network), **dataclasses.asdict(config.quantizer)}
    return [
        f"model: {name} must be positive, found {value}."
        for name, value in fields.items()
        if isinstance(value, int) and not isinstance(value, bool) and name != "lstm_layers"
        and value < 1
    ] + [
        f"model: {name} must be positive, found {list(value)}."
        for name, value in fields.items()
        if isinstance(value, tuple) and any(isinstance(v, int) and v < 1 for v in value)
    ]  # fmt: skip
