"""The app in a real browser: what is cut, killed, closed or opened twice, and loses nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cable import cable
from listener import PAGE_MS, Listener, listener, opened, session_of, stored
from listening import Server, served, write_study

from mushra_app.study import Study

LONG_CUT_MS = 10_000  # Streamlit would say so in a dialog that disables the page

pytestmark = pytest.mark.xdist_group("browser")


def test_reload_and_closed_tab_resume_at_the_same_trial(
    study: Study, server: Server, browser: Any
) -> None:
    with listener(browser) as one:
        one.begin(server.url)
        one.rate(2, 77)
        one.rate(4, 12)
        one.saved()
        before = one.shown()
        one.page.reload()
        one.loaded()
        assert one.shown() == before
        address = one.page.url
        one.page.close()
        one.page = one.page.context.new_page()
        one.page.set_default_timeout(PAGE_MS)
        one.page.goto(server.url)  # without the secret: this browser remembers
        one.see("was not finished")
        with opened(study) as store:
            one.see(session_of(store, one, address).withdrawal_code)  # for who goes for good
        one.button("Continue it").click()
        one.loaded()
        assert one.shown() == before == ["–", "77", "–", "12", "–"]


def test_a_killed_server_and_its_return_lose_nothing(
    study: Study, tmp_path: Path, browser: Any
) -> None:
    mine = write_study(tmp_path)
    with served(mine.folder) as running, listener(browser) as one:
        one.begin(running.url)
        one.rate(1, 91)
        running.kill()
        one.rate(2, 100)  # what was loaded plays on
        one.rate(3, 33)
        one.see("No connection")
        running.start()
        one.saved()
        one.hear(0)
        one.rate(4, 55)
        running.kill()
        one.rate(5, 5)
        one.next()  # into the void
        one.see("Saving your grades")
        one.page.wait_for_timeout(500)
        running.start()
        one.see("Now the test begins")
        scores = [rated.score for rated in stored(mine)]
        assert scores == [91, 100, 33, 55, 5]


def test_a_cut_network_in_the_middle_of_a_trial_loses_nothing(server: Server, browser: Any) -> None:
    with listener(browser) as one:
        one.begin(server.url)
        one.rate(1, 70)
        one.saved()
        one.page.context.set_offline(True)
        one.rate(2, 42)
        one.see("No connection")
        one.rate(2, 41)
        one.page.context.set_offline(False)
        one.saved()
        one.page.reload()
        one.loaded()
        assert one.shown() == ["70", "41", "–", "–", "–"]


def test_a_cable_that_is_cut_and_mended_loses_nothing(tmp_path: Path, browser: Any) -> None:
    mine = write_study(tmp_path)
    with served(mine.folder) as running, cable(running.port) as wire, listener(browser) as one:
        one.begin(wire.url)
        with opened(mine) as store:
            session = session_of(store, one)
            before = store.state(session).trial
        one.rate(1, 70)
        one.saved()
        assert wire.cut() > 0
        one.rate(2, 42)  # what was loaded plays on
        one.see("No connection")
        one.page.wait_for_timeout(LONG_CUT_MS)
        one.rate(2, 41)
        wire.mend()
        one.saved()
        assert one.shown() == ["70", "41", "–", "–", "–"]
        with opened(mine) as store:
            state = store.state(session)
        assert (state.trial, dict(state.ratings)) == (before, {0: 70, 1: 41})
        one.page.reload()
        one.loaded()
        assert one.shown() == ["70", "41", "–", "–", "–"]
        one.hear(0)
        for number, score in ((3, 100), (4, 12), (5, 3)):
            one.rate(number, score)
        for number in (1, 2):  # since the reload nothing counts as heard
            one.hear(number)
        wire.cut()
        one.next()
        one.see("Saving your grades")
        one.page.wait_for_timeout(1000)
        wire.mend()
        one.see("Now the test begins")
        assert [rated.score for rated in stored(mine)] == [70, 41, 100, 12, 3]


@pytest.mark.slow  # half a minute: as long as the browser waits for an answer
def test_a_network_that_swallows_an_answer_is_not_waited_for(tmp_path: Path, browser: Any) -> None:
    mine = write_study(tmp_path)
    with served(mine.folder) as running, cable(running.port) as wire, listener(browser) as one:
        one.begin(wire.url)
        one.saved()
        wire.swallows = True
        one.rate(2, 42)
        one.page.wait_for_timeout(2000)
        wire.swallows = False
        one.saved()
        with opened(mine) as store:
            assert dict(store.state(session_of(store, one)).ratings) == {1: 42}


def test_a_closed_tab_without_a_server_still_delivers_later(tmp_path: Path, browser: Any) -> None:
    mine = write_study(tmp_path)
    with served(mine.folder) as running, listener(browser) as one:
        one.begin(running.url)
        running.kill()
        one.rate(3, 64)
        address = one.page.url
        one.page.close()
        running.start()
        one.page = one.page.context.new_page()
        one.page.set_default_timeout(PAGE_MS)
        one.page.goto(address)
        one.train()  # the server knows of no grade yet
        one.loaded()
        assert one.shown() == ["–", "–", "64", "–", "–"]
        one.saved()


def test_two_tabs_of_one_listener_do_not_swallow_each_other(
    study: Study, server: Server, browser: Any
) -> None:
    answers = "**/api/answers"
    with listener(browser) as one:
        one.begin(server.url)
        one.saved()
        other = Listener(one.page.context.new_page())
        other.page.set_default_timeout(PAGE_MS)
        other.page.goto(one.page.url)
        other.train()
        # Both number their events alike: what the first tab could not post meets numbers in use.
        one.page.route(answers, lambda route: route.abort())
        one.rate(1, 23)  # in six steps, and it is the last that counts
        other.rate(2, 40)
        other.saved()
        one.page.unroute(answers)
        one.saved()
        with opened(study) as store:
            assert store.state(session_of(store, one)).ratings == {0: 23, 1: 40}
        other.rate(1, 31)  # the later of two grades counts
        other.saved()
        one.page.route(answers, lambda route: route.abort())
        one.rate(3, 50)
        other.rate(4, 60)
        one.page.close()  # with a grade that nobody has but this browser's storage
        other.saved()
        other.page.reload()
        other.loaded()
        assert other.shown() == ["31", "40", "50", "60", "–"]
        other.saved()
        left = "() => Object.keys(localStorage).filter((key) => key.includes('outbox'))"
        assert other.page.evaluate(left) == []
