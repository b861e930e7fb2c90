"""Debian's Chromium under Playwright, for tests that need a real browser."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = Path("/usr/bin/chromium")
# Nothing but the page itself may reach for a network.
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Set by .ci/run: there a missing browser or database fails.
REQUIRED = "NACBENCH_REQUIRE_SYSTEM_PACKAGES"


@contextmanager
def chromium(*more: str) -> Iterator[Any]:
    """A browser; skips with a reason where there is none and none is required."""
    if not CHROMIUM.exists() and not os.environ.get(REQUIRED):
        pytest.skip(f"{CHROMIUM} is not there: .ci/system-packages installs it")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, launched(playwright.chromium, *more) as browser:
        yield browser


@contextmanager
def launched(kind: Any, *more: str) -> Iterator[Any]:
    """Another browser, with flags of its own, beside one that runs: `browser.browser_type`."""
    browser = kind.launch(executable_path=str(CHROMIUM), args=[*ARGUMENTS, *more])
    try:
        yield browser
    finally:
        browser.close()
