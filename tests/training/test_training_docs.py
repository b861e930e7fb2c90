"""docs/training.md names every key of a recipe, with its default and meaning as the code has them.

`python -m tests.training.test_training_docs` prints the tables.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from reference_codec.cli import nac
from reference_codec.training import recipe, recipe_file
from reference_codec.training.recipe import Recipe

DOCS = Path(__file__).parents[2] / "docs"
PARTS = ("data", "losses", "adversarial", "optimiser", "prior", "validation")


def written(value: Any) -> str:
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    text = json.dumps(value).replace('"', "") if not isinstance(value, str) else value
    return f"`{text}`" if text != "null" else ""


def key_rows() -> Iterator[str]:
    """`| key | default | meaning |` of every plain key."""
    for name, field in Recipe.model_fields.items():
        if name in PARTS:
            part: Any = field.annotation
            for key, inner in part.model_fields.items():
                yield f"| `{name}.{key}` | {written(inner.default)} | {inner.description} |"
        elif name != "augment":
            default = "" if field.default is PydanticUndefined else written(field.default)
            yield f"| `{name}` | {default} | {field.description} |"


def step_rows() -> Iterator[str]:
    """`| step | options | meaning |` of every augmentation."""
    for name, field in recipe.AugmentOptions.model_fields.items():
        step: Any = field.annotation
        options = ", ".join(
            f"{key} {written(inner.default)}"
            for key, inner in step.model_fields.items()
            if key != "probability"
        )
        yield f"| `augment.{name}` | {options} | {(step.__doc__ or '').strip()} |"


def discriminator_rows() -> Iterator[str]:
    """`| kind | options | meaning |`."""
    for kind in get_args(get_args(recipe.Discriminator)[0]):
        (tag,) = get_args(kind.model_fields["kind"].annotation)
        options = ", ".join(
            f"{key} {written(inner.default)}"
            for key, inner in kind.model_fields.items()
            if key != "kind"
        )
        yield f"| `{tag}` | {options} | {(kind.__doc__ or '').strip()} |"


ROWS = [*key_rows(), *step_rows(), *discriminator_rows()]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("`")[1])
def test_every_key_is_documented_as_it_is(row: str) -> None:
    assert row in (DOCS / "training.md").read_text("utf-8").splitlines()


@pytest.mark.parametrize("name", recipe_file.packaged())
def test_every_packaged_recipe_is_documented(name: str) -> None:
    assert f"`{name}`" in (DOCS / "training.md").read_text("utf-8")


@pytest.mark.parametrize("command", ["train", "finetune"])
def test_every_option_of_the_commands_is_documented(command: str) -> None:
    text = (DOCS / "training.md").read_text("utf-8")
    for option in nac.commands[command].params:
        for spelling in option.opts:
            assert not spelling.startswith("--") or f"`{spelling}" in text, spelling


def test_the_walkthrough_is_what_the_end_to_end_test_runs() -> None:
    text = (DOCS / "training-your-own.md").read_text("utf-8")
    assert "nac train tiny --data recordings" in text
    assert "nacbench run speech --codec reference:runs/tiny/tiny.safetensors" in text
    assert "nacbench report results/speech --html" in text


if __name__ == "__main__":
    print("\n".join(ROWS))
