"""`nacbench compare`: two runs, or two codecs within one."""

from __future__ import annotations

from pathlib import Path

import click

from nacbench.commands.report import latest_run
from nacbench.commands.terminal import console


@click.command()
@click.argument("run", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--codec", "codecs", multiple=True, help="Give two to compare codecs within one run, by rate."
)
@click.option("--metric", "metrics", multiple=True, help="Only these metrics.")
@click.option("--csv", "csv_path", type=click.Path(path_type=Path), help="Write all as CSV.")
def compare(
    run: tuple[Path, ...], codecs: tuple[str, ...], metrics: tuple[str, ...], csv_path: Path | None
) -> None:
    """Compare RUN_A with RUN_B, or two codecs in one run: paired differences and a verdict.

    Differences are second minus first, per metric and operating point, with 95 % intervals over
    the clips that both have.
    """
    from nacbench import comparison
    from nacbench.errors import UserError
    from nacbench.report import differences
    from nacbench.results import ResultTable

    tables = [ResultTable.load(latest_run(path)) for path in run]
    if len(tables) == 2 and not codecs:
        pairs = comparison.compare_runs(*tables)
    elif len(tables) == 1 and len(codecs) == 2:
        pairs = comparison.compare_codecs(tables[0], *codecs)
    else:
        raise UserError(
            "compare: give two runs, or one run and two codecs: "
            "'nacbench compare RUN --codec Opus --codec \"AMR-WB\"'."
        )
    if metrics:
        pairs = [pair for pair in pairs if pair.metric.name in metrics]
    differences.show(pairs, console())
    if csv_path:
        differences.write_csv(pairs, csv_path)
