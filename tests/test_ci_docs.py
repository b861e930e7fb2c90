"""The examples of docs/ci work as they stand: policy, action, GitLab job."""

import re
import shlex
from pathlib import Path

import click
import pytest
import yaml

from nacbench.cli import cli
from nacbench.regression import QUALITY_MARGINS, Policy, load_policy

CI = Path(__file__).parents[1] / "docs" / "ci"
GUIDE = (CI.parent / "ci.md").read_text(encoding="utf-8")


def test_the_policy_that_is_written_out_is_the_default_one() -> None:
    written = load_policy(CI / "policy.yaml")
    assert written == Policy()
    assert set(yaml.safe_load((CI / "policy.yaml").read_text())) == set(Policy.model_fields)


def test_the_guide_names_every_policy_key_margin_and_status() -> None:
    for key in Policy.model_fields:
        assert f"`{key}`" in GUIDE, key
    for metric, margin in QUALITY_MARGINS.items():
        if metric != "*":
            (row,) = re.findall(rf"^\| [^|]*`{metric}`[^|]* \| (\S+)", GUIDE, re.M)
            assert float(row) == margin.absolute
    for word in ("pass", "warn", "fail", "skip"):
        assert f"\n| {word} | " in GUIDE


def commands(script: str) -> list[list[str]]:
    """The words of every call of nacbench, without what the shell does around it."""
    joined = re.sub(r"\\\n\s*", " ", script)
    plain = re.sub(r"\$\{POLICY:\+[^}]*\}|\|\|.*", "", joined)
    return [shlex.split(line)[1:] for line in plain.splitlines() if "nacbench " in line[:20]]


def scripts() -> list[str]:
    action = yaml.safe_load((CI / "nacbench-gate" / "action.yml").read_text(encoding="utf-8"))
    assert action["runs"]["using"] == "composite"
    job = yaml.safe_load((CI / "gitlab.yml").read_text(encoding="utf-8"))["codec-quality"]
    return [step["run"] for step in action["runs"]["steps"] if "run" in step] + job["script"]


def test_the_examples_run_a_suite_and_check_it_twice_each() -> None:
    called = [words[0] for script in scripts() for words in commands(script)]
    assert called == ["run", "check", "run", "check"]


@pytest.mark.parametrize("words", [w for s in scripts() for w in commands(s)], ids=" ".join)
def test_the_examples_call_commands_as_they_are(words: list[str]) -> None:
    command: click.Command = cli.commands[words[0]]
    plain = ["--no-timing" if word == "$TIMING" else word for word in words[1:]]
    command.make_context(words[0], plain)


def test_every_input_of_the_action_is_used_and_reaches_the_shell_by_environment() -> None:
    """An expression in a script would let the text of a pull request run as a command."""
    text = (CI / "nacbench-gate" / "action.yml").read_text(encoding="utf-8")
    action = yaml.safe_load(text)
    for name in action["inputs"]:
        assert f"inputs.{name}" in text, name
    for script in scripts():
        assert "${{" not in script
