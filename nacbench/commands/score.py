"""`nacbench score`: for people who only have the audio."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nacbench.commands.terminal import (
    EXIT_FAILED_RECORDS,
    plural,
    print_table,
    steps,
    weights_option,
    words,
)

if TYPE_CHECKING:
    from nacbench.core import Score
    from nacbench.pairs import Heard

DEFAULT_METRICS = (
    *("visqol:speech-lattice", "visqol:audio", "pesq:wb", "stoi", "estoi"),
    *("si_sdr", "mel:dac", "stft:audiotools", "lsd"),
)


@click.command()
@click.argument("reference", type=click.Path(path_type=Path))
@click.argument("decoded", type=click.Path(path_type=Path))
@click.option(
    "--metric",
    multiple=True,
    callback=words,
    metavar="NAME,…",
    help="Recipes to score by; 'nacbench list metrics' shows all.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per pair.")
@click.option("--csv", "as_csv", is_flag=True, help="One line per pair, for spreadsheets.")
@click.option(
    "--workers", type=click.IntRange(min=1), metavar="N", help="Worker processes. [default: cores]"
)
@weights_option
def score(
    reference: Path,
    decoded: Path,
    metric: tuple[str, ...],
    as_json: bool,
    as_csv: bool,
    workers: int | None,
) -> None:
    """Score decoded audio against its reference: two files, or two folders.

    Folders are paired by file name, without the suffix. Delay is measured, reported and removed
    before scoring.
    """
    from nacbench import pairs
    from nacbench.errors import UserError

    if as_json and as_csv:
        raise UserError("score: give --json or --csv, not both.")
    found = pairs.pair_up(reference, decoded)
    metrics = metric or _that_run_here(DEFAULT_METRICS)
    with steps() as shown:
        if len(found) > 1:
            shown.begin("scoring", len(found))
        results = pairs.score(
            found, metrics, workers,
            lambda heard: shown.advance(heard.name, heard.failure) if len(found) > 1 else None,
        )  # fmt: skip
    if as_json:
        for result in results:
            click.echo(json.dumps(_flat(result), ensure_ascii=False))
    elif as_csv:
        click.echo(_csv(results), nl=False)
    elif len(results) == 1:
        _show_one(results[0])
    else:
        _show_several(results)
    if any(result.failure for result in results):
        raise click.exceptions.Exit(EXIT_FAILED_RECORDS)


def _that_run_here(recipes: Sequence[str]) -> list[str]:
    from nacbench.metrics import METRICS
    from nacbench.suite.points import missing_reason

    known = METRICS.names()
    return [name for name in recipes if name in known and not missing_reason(METRICS.get(name))]


def _flat(result: Heard) -> dict[str, Any]:
    alignment = result.alignment
    return {
        "name": result.name,
        **{name: score.value for name, score in result.scores.items()},
        "delay_ms": alignment.delay_ms if alignment else None,
        "gain_db": alignment.gain_db if alignment else None,
        "polarity": alignment.polarity if alignment else None,
        "correlation": alignment.correlation if alignment else None,
        "failure": result.failure,
        "reasons": {name: s.reason for name, s in result.scores.items() if not s.ok},
        "notes": list(result.notes),
    }


def _csv(results: Sequence[Heard]) -> str:
    rows = []
    for result in results:
        row = _flat(result)
        row["reasons"] = "; ".join(f"{name}: {why}" for name, why in row["reasons"].items())
        row["notes"] = "; ".join(row["notes"])
        rows.append(row)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _show_one(result: Heard) -> None:
    """A metric per line."""
    from rich.markup import escape

    if result.failure:
        click.echo(f"{result.name}: {result.failure}")
        return
    rows = [
        [name, _value(score), _unit(name) if score.ok else escape(score.reason or "")]
        for name, score in result.scores.items()
    ]
    if result.alignment:
        rows += [
            ["delay", f"{result.alignment.delay_ms:z.3f}", "ms, removed before scoring"],
            ["gain", f"{result.alignment.gain_db:z.2f}", "dB, left as it is"],
            ["polarity", f"{result.alignment.polarity:+d}", "left as it is"],
        ]
    rows += [["note", "", escape(note)] for note in result.notes]
    print_table(("metric", "value", ""), rows, right=("value",))


def _unit(metric: str) -> str:
    from nacbench.metrics import class_of

    cls: Any = class_of(metric)
    better = {True: "higher is better", False: "lower is better", None: ""}[cls.higher_is_better]
    return ", ".join(filter(None, (cls.unit, better)))


def _show_several(results: Sequence[Heard]) -> None:
    """A pair per line, the means, and why scores are missing."""
    metrics = list(results[0].scores)
    rows = [
        [result.name, *(_value(result.scores[name]) for name in metrics), _delay(result)]
        for result in results
    ]
    rows.append(["[bold]mean[/]", *(_mean(results, name) for name in metrics), ""])
    print_table(("pair", *metrics, "delay ms"), rows, right=(*metrics, "delay ms"))
    reasons: Counter[str] = Counter()
    for result in results:
        reasons.update({f"{s.reason}" for s in result.scores.values() if not s.ok})
        reasons.update(f"{result.name}: {note}" for note in result.notes)
    for reason, count in reasons.items():
        click.echo(f"{reason} ({plural(count, 'pair')})" if count > 1 else reason)


def _value(score: Score) -> str:
    return "–" if score.value is None else f"{score.value:.4f}"


def _delay(result: Heard) -> str:
    return f"{result.alignment.delay_ms:z.2f}" if result.alignment else "–"


def _mean(results: Sequence[Heard], name: str) -> str:
    values = [v for result in results if (v := result.scores[name].value) is not None]
    if not values:
        return "–"
    few = f" ({len(values)}/{len(results)})" if len(values) < len(results) else ""
    return f"[bold]{sum(values) / len(values):.4f}{few}[/]"
