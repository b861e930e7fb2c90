"""`nacbench selftest`: does the bench catch codecs that lie?"""

from __future__ import annotations

import click

from nacbench.commands.terminal import print_table


@click.command()
def selftest() -> None:
    """Run codecs with known answers, liars among them, and check what is reported."""
    from nacbench import selftest as checks

    outcomes = checks.run()
    rows = [
        (
            outcome.name,
            "[green]passed[/]" if outcome.passed else "[bold red]FAILED[/]",
            outcome.detail,
        )
        for outcome in outcomes
    ]
    print_table(("check", "outcome", "what was seen"), rows)
    failed = sum(not outcome.passed for outcome in outcomes)
    click.echo(f"{len(outcomes) - failed} of {len(outcomes)} checks passed.")
    if failed:
        raise click.exceptions.Exit(1)
