"""What can be used is documented: commands, options, codecs, metrics, keys of a suite."""

import re
import shlex
from pathlib import Path

import click
import pytest
from pydantic import BaseModel

from nacbench.cli import cli
from nacbench.codecs import CODECS
from nacbench.conditions import CONDITIONS
from nacbench.metrics import METRICS
from nacbench.registry import Registry
from nacbench.sources import SOURCES
from nacbench.suite.schema import Limits, SuiteFile, TimingSettings

DOCS = Path(__file__).parents[1] / "docs"
COMMANDS = (DOCS / "commands.md").read_text(encoding="utf-8")
PAGES = [DOCS.parent / "README.md", *sorted(DOCS.glob("*.md"))]
SUITES = (DOCS / "suites.md").read_text(encoding="utf-8")


def section(text: str, title: str) -> str:
    """From a heading to the next of the same or a higher level."""
    level = title.split()[0]
    found = re.search(rf"^{re.escape(title)}$(.*?)(?=^#{{1,{len(level)}}} |\Z)", text, re.M | re.S)
    assert found, f"no section '{title}'"
    return found[1]


@pytest.mark.parametrize("name", cli.list_commands(click.Context(cli)))
def test_every_command_is_documented_with_every_option(name: str) -> None:
    text = section(COMMANDS, f"## nacbench {name}")
    command = cli.get_command(click.Context(cli), name)
    subcommands = command.commands if isinstance(command, click.Group) else {"": command}
    for subname, sub in subcommands.items():
        assert f"`nacbench {name} {subname}".strip() in text
        for option in sub.params:
            if isinstance(option, click.Option):
                for spelling in (*option.opts, *option.secondary_opts):
                    assert f"`{spelling}" in text, f"{name} {subname} {spelling}"


@pytest.mark.parametrize(
    ("title", "model"),
    [("## Keys", SuiteFile), ("### timing", TimingSettings), ("### limits", Limits)],
)
def test_the_tables_of_suite_keys_name_each_key_with_its_default(
    title: str, model: type[BaseModel]
) -> None:
    rows = re.findall(r"^\| `(\w+)` \|.*\| (.*?) ?\|$", section(SUITES, title), re.M)
    documented = dict(rows[: len(model.model_fields) + (model is SuiteFile)])
    documented.pop("extends", None)
    assert list(documented) == list(model.model_fields)
    for name, spec in model.model_fields.items():
        if spec.is_required():
            assert documented[name] == "needed"
        elif isinstance(spec.default, (bool, int, float)):
            assert documented[name] == f"`{str(spec.default).lower()}`"


def test_the_documented_limits_of_a_suite_file_are_the_codes() -> None:
    from nacbench.suite.document import MAX_BYTES

    assert f"at most {MAX_BYTES // 1024} KiB" in SUITES


DATA = (DOCS / "data.md").read_text(encoding="utf-8")


def test_every_source_and_collection_is_documented_with_its_options() -> None:
    import inspect

    from nacbench import data
    from nacbench.data.build_index import COLUMNS
    from nacbench.sources import SOURCES

    for name in (*SOURCES.names(), *data.collections()):
        assert f"`{name}`" in DATA
    for name in SOURCES.names():
        for option in inspect.signature(SOURCES.get(name)).parameters:
            assert f"`{option}" in DATA, f"{name}: {option}"
    for column in COLUMNS:
        assert f"`{column}`" in section(DATA, "### The index"), column


def test_every_condition_and_noise_is_documented_with_its_options() -> None:
    import inspect

    from nacbench.conditions import CONDITIONS
    from nacbench.conditions.synthetic import SYNTHETIC

    for name in CONDITIONS.names():
        text = section(DATA, f"### {name}")
        for option in inspect.signature(CONDITIONS.get(name)).parameters:
            assert f"`{option}" in text, f"{name}: {option}"
    for name in SYNTHETIC.names():
        assert f"`{name}" in section(DATA, "### noise"), name


def test_the_examples_of_sources_and_conditions_are_valid() -> None:
    import yaml

    from nacbench import conditions, sources

    for block in re.findall(r"^```yaml\n(.*?)^```", DATA, re.M | re.S):
        example = yaml.safe_load(block)
        for source in example.get("sources", ()):
            sources.build(source)
        for condition in example.get("conditions", ()):
            conditions.build(condition)


def shell_lines() -> list[str]:
    """Every call of nacbench in a shell block of README and docs."""
    texts = [
        path.read_text(encoding="utf-8") for path in (DOCS.parent / "README.md", *DOCS.glob("*.md"))
    ]
    blocks = [
        block for text in texts for block in re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S)
    ]
    return [line for block in blocks for line in block.splitlines() if line.startswith("nacbench ")]


@pytest.mark.parametrize("line", shell_lines())
def test_every_call_in_the_documentation_is_understood(line: str) -> None:
    words = shlex.split(line.partition(">")[0], comments=True)[1:]
    command: click.Command = cli
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), words.pop(0))
        assert found is not None, line
        command = found
    command.make_context("nacbench", words)


@pytest.mark.parametrize("registry", [CODECS, METRICS, CONDITIONS, SOURCES], ids=lambda r: r.kind)
def test_all_that_a_suite_may_name_is_documented(registry: Registry) -> None:
    page = {"codec": "codecs.md", "metric": "metrics.md"}.get(registry.kind, "data.md")
    text = (DOCS / page).read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w:-]+)", text)) | set(re.findall(r"^### (\w+)$", text, re.M))
    assert set(registry.names()) <= named


@pytest.mark.parametrize("path", sorted(DOCS.glob("*.md")), ids=lambda path: str(path.name))
def test_every_link_between_documents_leads_somewhere(path: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
    assert [target for target in targets if not (path.parent / target).exists()] == []
