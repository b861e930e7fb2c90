"""`nacbench cache`: what finished work takes on the disk, and how to have it back."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from nacbench.commands.terminal import plural, print_table

if TYPE_CHECKING:
    from nacbench.cache import Cache

UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


class Size(click.ParamType[int]):
    """`500MB`, `20 GB` -> bytes."""

    name = "size"

    def convert(
        self, value: Any, param: click.Parameter | None, context: click.Context | None
    ) -> int:
        match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)\s*([KMGT]B)", str(value).strip().upper())
        if match is None:
            self.fail(f"'{value}' is not a size; write 500MB or 20GB.", param, context)
        return round(float(match[1]) * UNITS[match[2]])


@click.group()
def cache() -> None:
    """Show or prune stored work: bitstreams, decoded audio, scores.

    Deleting any of it costs time and nothing else: results keep their records.
    """


@cache.command()
def show() -> None:
    """What is stored, where, and how large it is."""
    store = _store()
    usage = store.usage()
    rows = [(kind, f"{count:,}", _size(size)) for kind, (count, size) in usage.items()]
    total = sum(size for _, size in usage.values())
    rows.append(("[bold]all[/]", f"{sum(c for c, _ in usage.values()):,}", _size(total)))
    click.echo(f"{store.root}")
    print_table(("what", "entries", "size"), rows, right=("entries", "size"))


@cache.command()
@click.option(
    "--older-than",
    "days",
    type=click.FloatRange(min=0),
    metavar="DAYS",
    help="Delete what was not used for so many days.",
)
@click.option("--max-size", type=Size(), help="Delete the longest unused beyond 500MB, 20GB, …")
@click.option(
    "--outdated", is_flag=True, help="Delete what other versions of the installed codecs made."
)
@click.option("--all", "everything", is_flag=True, help="Delete all of it.")
def prune(days: float | None, max_size: int | None, outdated: bool, everything: bool) -> None:
    """Delete what is old or outdated, or the longest unused beyond a size."""
    from nacbench.errors import UserError
    from nacbench.runner import work

    if days is None and max_size is None and not outdated and not everything:
        raise UserError(
            "cache prune: say what goes, with --older-than DAYS, --max-size SIZE, --outdated "
            "or --all."
        )
    count, size = _store().prune(
        older_than_days=days,
        limit_bytes=0 if everything else max_size,
        stale=work.outdated if outdated else None,
    )
    click.echo(f"Deleted {plural(count, 'entrie' if count != 1 else 'entry')}, {_size(size)}.")


def _store() -> Cache:
    from nacbench.cache import Cache, default_root

    return Cache(default_root())


def _size(size: int) -> str:
    for unit, factor in reversed(UNITS.items()):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} B"
