"""Somebody who takes a listening test in a real browser, and what the store then holds of them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from listening import ROLES

from mushra_app import database
from mushra_app.records import Rated, Session
from mushra_app.store import Store
from mushra_app.study import Study

PAGE_MS = 90_000  # for a page of a busy machine to come
SIGNALS = len(ROLES)


class Listener:
    """Drives the page as a listener would, by what they see."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def picture(self, name: str) -> None:
        """For docs/listening-tests.md, where NACBENCH_PICTURES names a folder."""
        if folder := os.environ.get("NACBENCH_PICTURES"):
            self.page.wait_for_load_state("networkidle")
            self.page.wait_for_timeout(5000)  # for the page to come to rest
            self.page.screenshot(path=Path(folder) / f"listening-{name}.png")

    def button(self, name: str) -> Any:
        return self.page.get_by_role("button", name=name, exact=True)

    def see(self, text: str) -> None:
        self.page.get_by_text(text, exact=False).first.wait_for(timeout=PAGE_MS)

    def consent(self, url: str) -> None:
        self.page.goto(url)
        self.see("I have read this")
        self.picture("consent")
        self.page.get_by_text("I have read this").click()
        self.button("Begin").click()

    def questions(self) -> None:
        self.see("A few questions")
        self.picture("questions")
        self.page.get_by_text("Closed", exact=True).click()
        self.button("Next").click()

    def volume(self) -> None:
        self.see("Headphones and volume")
        self.button("Play").click()
        self.picture("volume")
        self.button("The level is right").click()

    def begin(self, url: str) -> None:
        """From the consent to the first trial."""
        self.consent(url)
        self.questions()
        self.volume()
        self.train()

    def train(self) -> None:
        self.see("Begin the training")
        self.picture("training")
        self.button("Begin the training").click()
        self.loaded()

    def loaded(self) -> None:
        self.page.locator(".signal.reference:enabled").wait_for(timeout=PAGE_MS)

    def title(self) -> str:
        return str(self.page.locator(".trial h1").inner_text())

    def hear(self, number: int) -> None:
        button = self.page.locator(f".signal[data-signal='{number}']")
        button.click()
        button.and_(self.page.locator(".heard")).wait_for(timeout=PAGE_MS)

    def rate(self, number: int, score: int) -> None:
        """Hear a signal and move its slider there with the keyboard."""
        self.hear(number)
        press = self.page.keyboard.press
        if score >= 50:
            press("End")
            tens, ones, up = *divmod(100 - score, 10), "ArrowDown"
        else:
            press("Home")
            tens, ones, up = *divmod(score, 10), "ArrowUp"
        for _ in range(tens):
            press(f"Shift+{up}")
        for _ in range(ones):
            press(up)

    def shown(self) -> list[str]:
        return [str(text) for text in self.page.locator(".column output").all_inner_texts()]

    def grade_all(self, scores: list[int]) -> None:
        self.hear(0)
        for number, score in enumerate(scores, 1):
            self.rate(number, score)

    def next(self) -> None:
        self.button("Next").click()

    def saved(self) -> None:
        """Wait until the server has everything."""
        self.page.locator(".saved[data-state=saved]").wait_for(timeout=PAGE_MS)


@contextmanager
def listener(browser: Any, script: str = "", **context: Any) -> Iterator[Listener]:
    """Somebody who has never been here."""
    size = {"width": 1280, "height": 720}
    opened = browser.new_context(**{"viewport": size, **context})
    try:
        page = opened.new_page()
        page.set_default_timeout(PAGE_MS)
        if script:
            page.add_init_script(script)
        yield Listener(page)
    finally:
        opened.close()


@contextmanager
def opened(study: Study) -> Iterator[Store]:
    store = Store(database.url_for(study.folder))
    try:
        yield store
    finally:
        store.close()


def stored(study: Study) -> list[Rated]:
    with opened(study) as store:
        number = store.find_study(study)
        assert number is not None
        return store.ratings(number)


def session_of(store: Store, one: Listener, address: str = "") -> Session:
    """The session whose secret is in the address, that of the page if none is given."""
    secret = re.search(r"p=([\w-]+)", address or one.page.url)
    assert secret
    session = store.find_session(secret[1])
    assert session
    return session
