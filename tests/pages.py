"""A small real run whose clips have hostile names, and the browser that opens its report."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from browser import chromium

import nacbench
from nacbench import audio
from nacbench.cache import Cache
from nacbench.core import Clip
from nacbench.report.html.listening import Decoded
from nacbench.results import ResultTable
from nacbench.runner.work import decoded_of

# As a path below the source's folder the first one is the end of a script element.
HOSTILE = (
    "</script>.wav",
    '<img src=x onerror="document.title=1">.wav',
    "\u202eplain & \"quoted\" 'twice'.wav",
)
CLIP_S = 3
SUITE = """
name: tiny
version: 1
title: Tiny <b>run</b>
seed: 3
sources: [{folder: {path: CLIPS}}]
codecs: [{opus: {kbps: [6, 12, 16, 24], label: Opus}}, {mp3: {kbps: [32]}}, pcm:8]
metrics: [si_sdr, mel:dac]
"""


def run(folder: Path) -> tuple[ResultTable, Decoded]:
    """A run of three clips, and what finds its decoded audio."""
    rng = np.random.default_rng(5)
    for number, name in enumerate(HOSTILE):
        path = folder / "clips" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        seconds = np.arange(CLIP_S * 16000) / 16000
        tone = 0.3 * np.sin(2 * np.pi * (220 + 110 * number) * seconds)
        noise = 0.02 * 4**number * rng.standard_normal(seconds.size)
        audio.write(path, Clip((tone + noise).astype(np.float32).clip(-1, 1), 16000), "PCM_16")
    suite = folder / "tiny.yaml"
    suite.write_text(SUITE.replace("CLIPS", str(folder / "clips")), encoding="utf-8")
    table = nacbench.run(
        suite, workers=0, timing=False, out=folder / "results", cache=folder / "cache"
    )
    return table, partial(decoded_of, cache=Cache(folder / "cache"))


@contextmanager
def opened(
    path: Path, script: str = "", **context: Any
) -> Iterator[tuple[Any, list[str], list[str]]]:
    """The page in a browser, the requests it made, and what it wrote to the console.

    Args:
        script: runs before any of the page's own.
    """
    requests: list[str] = []
    complaints: list[str] = []
    with chromium() as browser:
        page = browser.new_context(**context).new_page()
        if script:
            page.add_init_script(script)
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(path.as_uri())
        yield page, requests, complaints
