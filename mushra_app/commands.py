"""`nacbench mushra …`: from a run to a listening test to its report.

The bench finds this group by its entry point (`nacbench.commands`) and imports nothing else of it
until one of its commands runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nacbench.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from mushra_app.store import Store
    from mushra_app.study import Study

FOLDER = click.Path(file_okay=False, path_type=Path)
STUDY = click.argument("study", type=click.Path(path_type=Path))
DB = click.option(
    "--db",
    metavar="URL",
    help="Where answers are kept: sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME "
    "[default: $NACBENCH_MUSHRA_DB, or ratings.sqlite in STUDY].",
)


@click.group()
def mushra() -> None:
    """Listening tests after ITU-R BS.1534-3: prepare, check, serve, analyze."""


def words(context: click.Context, option: click.Parameter, value: str | None) -> tuple[str, ...]:
    """`opus@12,mp3` -> ("opus@12", "mp3")."""
    return tuple(word.strip() for word in (value or "").split(",") if word.strip())


@mushra.command()
@click.argument("run", required=False, type=click.Path(path_type=Path))
@click.option("--out", type=FOLDER, required=True, help="The study's folder.")
@click.option(
    "--codecs",
    callback=words,
    metavar="NAME,…",
    help="opus (all its points), opus@12 (the one nearest to 12 kbps), or 'Opus 12 kbps'.",
)
@click.option("--kbps", type=float, help="Of each codec the point whose payload rate is nearest.")
@click.option("--items", type=click.IntRange(min=1), help="[default: 1.5 per system, at least 7]")
@click.option("--item", multiple=True, metavar="CLIP", help="This clip; several make the list.")
@click.option(
    "--choose",
    type=click.Choice(["telling", "random"]),
    default="telling",
    show_default=True,
    help="Items on which the metrics spread most across the codecs, or any.",
)
@click.option("--condition", help="The run's condition [default: its first].")
@click.option("--training", type=click.IntRange(min=0), default=1, show_default=True)
@click.option(
    "--from-folder", type=FOLDER, help="WAVs instead of RUN: reference/ and one per system."
)
@click.option("--seconds", type=float, default=10.0, show_default=True, help="At most 12.")
@click.option("--lufs", type=float, default=-23.0, show_default=True, help="Of every reference.")
@click.option("--rate", type=click.IntRange(16_000, 192_000), help="Sample rate in Hz.")
@click.option("--replicates", type=click.FloatRange(0, 1), default=0.25, show_default=True)
@click.option("--title", help="Shown to listeners.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
def prepare(
    run: Path | None,
    out: Path,
    codecs: tuple[str, ...],
    kbps: float | None,
    items: int | None,
    item: tuple[str, ...],
    choose: str,
    condition: str | None,
    training: int,
    from_folder: Path | None,
    seconds: float,
    lufs: float,
    rate: int | None,
    replicates: float,
    title: str | None,
    seed: int,
) -> None:
    """Make a study of RUN's decoded audio: one folder with everything a test needs.

    RUN is a directory that 'nacbench run' wrote, or results/SUITE for its latest run.
    """
    from mushra_app import materials
    from mushra_app import prepare as making

    if (run is None) == (from_folder is None):
        raise UserError("prepare: give either RUN or '--from-folder DIR'.")
    settings = making.Settings(
        slug=making.slug_of(out.absolute().name), title=title or "Listening test",
        sample_rate_hz=rate, length_s=seconds, lufs=lufs, seed=seed, replicate_share=replicates,
    )  # fmt: skip
    if from_folder is not None:
        study = materials.from_folder(from_folder, settings, out, training)
    else:
        from functools import partial

        from mushra_app import selection
        from nacbench.cache import Cache, default_root
        from nacbench.commands.report import latest_run
        from nacbench.results import ResultTable
        from nacbench.runner.work import decoded_of

        assert run is not None
        table = ResultTable.load(latest_run(run))
        chosen = selection.choose(
            table, codecs=codecs, kbps=kbps, condition=condition, items=items, clips=item,
            by=choose, training=training, seed=seed,
        )  # fmt: skip
        stored = partial(decoded_of, cache=Cache(default_root()))
        study = materials.from_run(table, chosen, stored, settings, out)
    _describe(study)
    for note in study.notes:
        click.echo(f"  {note}")
    _show_findings(study)
    click.echo(f"\nStart it:  nacbench mushra serve {out}")


def _describe(study: Study) -> None:
    systems = [c for c in study.conditions if c.role == "system"]
    click.echo(
        f"{study.folder}: {len(study.items)} items × {len(study.conditions)} signals "
        f"({len(systems)} systems, hidden reference and anchors), {len(study.training)} for "
        f"training, {study.sample_rate_hz / 1000:g} kHz."
    )
    for system in systems:
        rate = f", {system.payload_kbps:.2f} kbps" if system.payload_kbps else ""
        click.echo(f"  {system.title}{rate}")


def _show_findings(study: Study) -> bool:
    """Whether the study is free of errors."""
    from mushra_app import lint

    found = lint.check(study)
    for finding in found:
        click.echo(str(finding))
    if not found:
        click.echo("BS.1534-3: nothing to find fault with.")
    return not any(finding.level == "error" for finding in found)


@mushra.command()
@STUDY
def check(study: Path) -> None:
    """Hold a study against BS.1534-3; each finding says which page and what to do."""
    from mushra_app.study import Study

    if not _show_findings(Study.load(study)):
        raise click.exceptions.Exit(1)


@mushra.command()
@STUDY
@DB
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="0.0.0.0 for the whole network."
)
@click.option("--port", type=click.IntRange(1, 65535), default=8502, show_default=True)
def serve(study: Path, db: str | None, host: str, port: int) -> None:
    """Let listeners rate STUDY in their browsers."""
    import importlib.util

    if importlib.util.find_spec("streamlit") is None:
        raise UserError("serve: Streamlit is not installed. pip install 'nacbench[mushra]'")
    from mushra_app import server

    server.serve(study, host=host, port=port, db=db)


@mushra.command()
@STUDY
@DB
@click.option(
    "--csv",
    "from_csv",
    type=click.Path(exists=True, path_type=Path),
    help="Exported ratings, ours or webMUSHRA's mushra.csv, instead of the database.",
)
@click.option("--out", type=FOLDER, help="[default: report in STUDY]")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
def analyze(
    study: Path, db: str | None, from_csv: Path | None, out: Path | None, seed: int
) -> None:
    """Screen listeners, summarise, test, and hold the run's metrics against the ratings."""
    from mushra_app import analysis, report
    from mushra_app.study import Study

    loaded = Study.load(study)
    found = _ratings(loaded, db, from_csv)
    result = analysis.analyse(loaded, found, seed)
    files = report.write(result, found, out or loaded.folder / report.FOLDER)
    for excluded in result.screening.excluded:
        click.echo(excluded.sentence)
    for summary in result.summaries:
        interval = f"[{summary.low:.1f}, {summary.high:.1f}]"
        click.echo(
            f"  {summary.condition.title:<24} median {summary.box.median:5.1f}   "
            f"mean {summary.mean:5.1f} {interval}"
        )
    for warning in result.warnings:
        click.echo(f"Note: {warning}")
    click.echo(f"Written to {files[0].parent}: {', '.join(file.name for file in files)}")


def _ratings(study: Study, db: str | None, from_csv: Path | None) -> pd.DataFrame:
    from mushra_app import ratings, webmushra

    if from_csv is not None:
        if webmushra.is_results(from_csv):
            practice = [item.id for item in study.training]
            return webmushra.from_csv(from_csv, study, practice)
        return ratings.read_csv(from_csv)
    with _opened(study, db) as (store, number):
        return ratings.frame(store.ratings(number))


def _answers(study: Study, db: str | None) -> dict[str, dict[str, str]]:
    with _opened(study, db) as (store, number):
        return store.answers(number)


@contextmanager
def _opened(study: Study, db: str | None) -> Iterator[tuple[Store, int]]:
    """The store and the study's number in it.

    Raises:
        UserError: it was never served.
    """
    from mushra_app.database import url_for
    from mushra_app.store import Store

    store = Store(url_for(study.folder, db))
    try:
        number = store.find_study(study)
        if number is None:
            raise UserError(
                f"{study.folder}: nobody has rated it yet. Start it: nacbench mushra serve "
                f"{study.folder}"
            )
        yield store, number
    finally:
        store.close()


@mushra.command("import")
@click.argument("config", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", type=FOLDER, required=True, help="The study's folder.")
@click.option("--root", type=FOLDER, help="webMUSHRA's folder [default: the one above CONFIG's].")
@click.option("--seconds", type=float, default=12.0, show_default=True, help="At most 12.")
def import_(config: Path, out: Path, root: Path | None, seconds: float) -> None:
    """Make a study of webMUSHRA's CONFIG (YAML); anchors are made anew."""
    from mushra_app import prepare as making
    from mushra_app import webmushra

    name = making.slug_of(config.stem)
    settings = making.Settings(slug=name, title=config.stem, length_s=seconds)
    study = webmushra.import_config(config, root or config.absolute().parents[1], settings, out)
    _describe(study)
    _show_findings(study)


@mushra.command()
@STUDY
@DB
@click.option(
    "--to",
    "what",
    type=click.Choice(["csv", "parquet", "webmushra-csv", "webmushra"]),
    default="csv",
    show_default=True,
    help="Ratings, or (webmushra) the study itself as webMUSHRA's YAML with its audio.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="File or folder.")
@click.option("--questionnaire", is_flag=True, help="Its answers too (webmushra-csv).")
def export(study: Path, db: str | None, what: str, out: Path, questionnaire: bool) -> None:
    """Write STUDY's ratings for other programs, or the study for webMUSHRA."""
    from mushra_app import ratings, webmushra
    from mushra_app.study import Study

    loaded = Study.load(study)
    if what == "webmushra":
        click.echo(webmushra.export(loaded, out))
        return
    found = _ratings(loaded, db, None)
    if what == "parquet":
        out.write_bytes(ratings.to_parquet(found))
    elif what == "csv":
        out.write_text(ratings.to_csv(found), encoding="utf-8")
    else:
        answers = _answers(loaded, db) if questionnaire else None
        out.write_text(webmushra.to_csv(found, loaded, answers), encoding="utf-8")
    click.echo(f"{out}: {len(found):,} scores")
