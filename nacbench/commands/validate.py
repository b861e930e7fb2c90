"""`nacbench validate`: everything that can be wrong with a suite, before anything runs."""

from __future__ import annotations

import click


@click.command()
@click.argument("suite", nargs=-1, required=True)
def validate(suite: tuple[str, ...]) -> None:
    """Check suites; show every problem at once, with its line.

    SUITE is a file or the name of one in suites/: speech, real/speech.
    """
    from nacbench import suite as suites
    from nacbench.commands.terminal import plural
    from nacbench.errors import UserError

    problems: list[str] = []
    for name in suite:
        try:
            checked = suites.load(name)
        except UserError as error:
            problems += str(error).splitlines()
            continue
        notes = [
            *(f"{point.name} is skipped: {why}" for point, why in checked.skipped),
            *(f"{recipe} is skipped: {why}" for recipe, why in checked.skipped_metrics),
        ]
        clips = ""
        try:
            clips = f"{plural(len(checked.clips()), 'clip')} × "
        except UserError as error:
            notes.append(str(error))
        series = {point.series for point in checked.points}
        click.echo(
            f"{name}: fine. {clips}{plural(len(checked.conditions), 'condition')} × "
            f"{plural(len(checked.points), 'operating point')} of {plural(len(series), 'codec')}, "
            f"{plural(len(checked.metrics) + len(checked.set_metrics), 'metric')}."
        )
        for note in notes:
            click.echo(f"  {note}")
    problems = list(dict.fromkeys(problems))  # suites that extend the same file share its own
    if problems:
        count = [f"{len(problems)} problems."] if len(problems) > 1 else []
        raise UserError("\n".join([*problems, *count]))
