"""`nacbench view`: runs over time, in a browser on this machine."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import click

ADDRESS = "127.0.0.1"  # nobody else's business


@click.command()
@click.argument("run", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--port", type=click.IntRange(1, 65535), default=8501, show_default=True)
def view(run: tuple[Path, ...], port: int) -> None:
    """Browse RUN… on a local page: trends per codec and metric, and each run's report.

    RUN is a run's directory, or any directory above runs, such as results.
    """
    from nacbench.errors import UserError
    from nacbench.report.trend import find_runs

    if importlib.util.find_spec("streamlit") is None:
        raise UserError("view: Streamlit is not installed. pip install 'nacbench[mushra]'")
    runs = [str(path.resolve()) for path in find_runs(run)]
    words = command(runs, port)
    os.execv(words[0], words)  # whoever stops this process stops the page, and no child is left


def command(runs: list[str], port: int) -> list[str]:
    """What serves the page: to this machine alone, telling nobody."""
    page = Path(__file__).parents[1] / "view.py"
    return [
        *(sys.executable, "-m", "streamlit", "run", str(page)),
        f"--server.address={ADDRESS}",
        f"--server.port={port}",
        "--server.headless=true",
        "--server.fileWatcherType=none",
        "--browser.gatherUsageStats=false",
        "--client.toolbarMode=minimal",  # no "Deploy"
        "--",
        *runs,
    ]
