"""`nacbench check` and `nacbench baseline`: stop a worse codec from being merged."""

from __future__ import annotations

import os
from pathlib import Path

import click

from nacbench.commands.report import latest_run
from nacbench.commands.terminal import console


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--baseline",
    metavar="FILE|RUN|git:REF",
    required=True,
    help="A baseline CSV, another run, or the committed baseline at a git revision.",
)
@click.option("--policy", type=click.Path(path_type=Path), help="Margins and limits, YAML.")
@click.option("--markdown", type=click.Path(path_type=Path), help="Write a pull-request comment.")
@click.option("--junit", type=click.Path(path_type=Path), help="Write JUnit XML.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write all as JSON.")
@click.option("--all", "everything", is_flag=True, help="Show the gates that pass, too.")
@click.pass_context
def check(
    context: click.Context,
    run: Path,
    baseline: str,
    policy: Path | None,
    markdown: Path | None,
    junit: Path | None,
    json_path: Path | None,
    everything: bool,
) -> None:
    """Hold RUN against a baseline: 0 good, 1 a regression, 2 usage, 3 failed records.

    In GitHub Actions it also annotates the change and writes the step summary.
    """
    from nacbench import baseline as baselines
    from nacbench import regression
    from nacbench.report import gates
    from nacbench.results import ResultTable

    table = ResultTable.load(latest_run(run))
    suite = table.records[0].suite if table.records else ""
    rules = regression.load_policy(policy) if policy else regression.Policy()
    verdict = regression.check(table, baselines.find(baseline, suite), rules)
    for path, write in (
        (markdown, gates.to_markdown),
        (junit, gates.to_junit),
        (json_path, gates.to_json),
    ):
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(write(verdict), encoding="utf-8")
    if os.environ.get("GITHUB_ACTIONS"):
        for line in gates.to_annotations(verdict):
            click.echo(line)
    gates.write_step_summary(verdict)
    gates.show(verdict, console(), everything)
    context.exit(verdict.exit_code)


@click.group()
def baseline() -> None:
    """What later runs are held against."""


@baseline.command("set")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), help="[default: results/baselines/SUITE.csv]"
)
def set_(run: Path, out: Path | None) -> None:
    """Write RUN's baseline as a small CSV, to be committed."""
    from nacbench import baseline as baselines
    from nacbench.results import ResultTable

    table = ResultTable.load(latest_run(run))
    suite = table.records[0].suite if table.records else "suite"
    path = out or baselines.DIRECTORY / f"{suite.replace('/', '-')}.csv"
    baselines.write(table, path)
    click.echo(f"Written to {path}: {len(table.records)} coded clips. Commit it.")
