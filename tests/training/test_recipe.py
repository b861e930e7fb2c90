"""Recipes: the packaged ones are whole, and every mistake is a sentence with its place."""

import dataclasses
import json
from pathlib import Path

import pytest
import yaml

from reference_codec.errors import UserError
from reference_codec.presets import PRESETS
from reference_codec.training import recipe_file
from reference_codec.training.model_changes import changed_config, changes_for
from reference_codec.training.recipe import ModelChoice, Recipe

NAMES = [
    "dac-44k", "encodec-24k", "encodec-48k-stereo", "general-24k", "low-frame-rate-22k",
    "speech-16k", "tiny",
]  # fmt: skip


def problems(*changes: str, recipe: str | Path = "encodec-24k") -> list[str]:
    with pytest.raises(UserError) as raised:
        recipe_file.load(recipe, changes)
    return str(raised.value).splitlines()


def test_the_packaged_recipes_are_the_seven() -> None:
    assert sorted(recipe_file.packaged()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_comes_back_from_its_own_text(name: str) -> None:
    recipe = recipe_file.load(name)
    assert recipe.name == name == recipe.config.name
    assert recipe_file.from_mapping(yaml.safe_load(recipe_file.written(recipe)), "again") == recipe
    assert recipe.segment % recipe.config.hop_length == 0


def test_changes_from_the_command_line_reach_every_depth() -> None:
    recipe = recipe_file.load(
        "speech-16k",
        [
            "steps=7",
            "optimiser.learning_rate=2e-4",
            "model.network.width=24",
            "adversarial.discriminators.0.channels=8",
            "augment.noise={probability: 1}",
        ],
    )
    assert recipe.steps == 7
    assert recipe.optimiser.learning_rate == 2e-4
    assert recipe.config.network.width == 24  # type: ignore[union-attr]
    assert recipe.adversarial.discriminators[0].channels == 8
    assert recipe.augment.noise.probability == 1


def test_every_problem_is_reported_at_once_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "name: mine\n"
        "model: {preset: seanet-16k, network: {widht: 8}}\n"
        "steps: 1.5\n"
        "batch_size: 4\n"
        "segment_s: 1\n"
        "losses:\n"
        "  mell: 3\n"
        "optimiser: {learning_rate: fast}\n"
    )
    said = problems(recipe=path)
    assert any(line.startswith(f"{path}:3: steps: expected a whole number") for line in said)
    assert any(
        f"{path}:7: losses: unknown key 'mell'. Did you mean 'mel'?" in line for line in said
    )
    assert any(f"{path}:8: optimiser.learning_rate: expected a number" in line for line in said)
    assert any(f"{path}:2: model.network: unknown key 'widht'." in line for line in said)
    assert len(said) == 4


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("model.preset=seanet-16", "Did you mean 'seanet-16k'?"),
        ("model.network.kind=seenet", "Did you mean 'seanet'?"),
        ("model.network.width=0", "width must be positive, found 0"),
        ("model.network.strides=[2,2,2,2]", "Set model.kbps."),
        ("model.network.dilations=[[1]]", "dilations"),
        ("adversarial.discriminators=[{kind: ms_stf}]", "Did you mean 'ms_stft'?"),
        ("adversarial.discriminators.0.chanels=1", "Did you mean 'channels'?"),
        ("adversarial.discriminators.5.channels=1", "no such place"),
        ("adversarial.discriminators=[]", "need adversarial.discriminators"),
        ("losses.mel=1e999", "finite"),
        ("losses.mel=true", "expected a number"),
        ("data.dither_db=-3", "less than or equal to -40"),
        ("augment.level.db={low: 3, high: 1}", "above high"),
        ("steps", "expected key=value"),
        ("steps=[1", "the value is not YAML"),
        ("name=../escape", "lower-case letters"),
    ],
)
def test_a_mistake_says_what_to_do(change: str, expected: str) -> None:
    assert expected in "\n".join(problems(change))


def test_an_unknown_recipe_says_which_there_are() -> None:
    said = problems(recipe="spech-16k")[0]
    assert "Did you mean 'speech-16k'?" in said
    assert "tiny" in said


@pytest.mark.parametrize(
    "text",
    [
        "- a\n- list\n",
        "name: [1\n",
        "a: &a [1]\nb: *a\n",
        "name: !!python/object/apply:os.system [ls]\n",
        "name: 1\nname: 2\n",
        "a: " + "[" * 2000 + "]" * 2000,
        "",
    ],
)
def test_a_file_that_is_no_recipe_is_refused_in_a_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text(text)
    assert str(path) in problems(recipe=path)[0]


def test_numbers_are_written_as_people_write_them() -> None:
    recipe = recipe_file.load("tiny", ["optimiser.learning_rate=3e-4", "losses.mel=1"])
    assert recipe.optimiser.learning_rate == 3e-4
    assert recipe.losses.mel == 1.0
    assert Recipe.model_validate(recipe.model_dump()) == recipe


@pytest.mark.parametrize("name", PRESETS)
def test_any_codec_can_be_said_as_changes_to_a_preset(name: str) -> None:
    preset = dataclasses.replace(PRESETS[name], kbps=PRESETS[name].kbps[-1:])
    choice = ModelChoice.model_validate_json(json.dumps(changes_for(preset)))
    config, problems = changed_config(name, choice)
    assert problems == []
    assert config == dataclasses.replace(preset, source="")


def test_a_codec_whose_segments_no_preset_has_is_refused() -> None:
    odd = dataclasses.replace(PRESETS["seanet-48k-stereo"], overlap=0.3)
    with pytest.raises(UserError, match="no preset works in segments"):
        changes_for(odd)
