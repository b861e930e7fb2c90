"""The real app in a real browser: a whole session, what it gives away, and who looks on."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from listener import PAGE_MS, SIGNALS, listener, opened, session_of, stored
from listening import ITEMS, ROLES, TITLES, TRAINING, Server, served, write_study

from mushra_app.service import SECRET_FILE, experimenter_secret
from mushra_app.study import Study
from mushra_app.trial import plan_session

TALL = {"width": 1100, "height": 1500}  # the experimenter's whole page

pytestmark = pytest.mark.xdist_group("browser")


class Everything:
    """All that a curious listener could look at."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.seen: list[tuple[str, str]] = []
        self.bodies: dict[str, bytes] = {}
        self.headers: dict[str, dict[str, str]] = {}
        self.hosts: set[str] = set()
        page.on("console", lambda message: self.add("console", message.text))
        page.on("websocket", self._websocket)
        page.on("request", self._request)
        self.responses: list[Any] = []
        page.on("response", lambda response: self.responses.append(response))
        page.route("**/api/signal/**", self._signal)

    def add(self, where: str, what: str | bytes) -> None:
        self.seen.append((where, what if isinstance(what, str) else what.decode("latin-1")))

    def _websocket(self, socket: Any) -> None:
        for event in ("framesent", "framereceived"):
            socket.on(event, lambda frame, event=event: self.add(f"websocket {event}", frame))

    def _request(self, request: Any) -> None:
        if host := urlsplit(request.url).hostname:  # blobs and data have none
            self.hosts.add(host)
        self.add("url", request.url)
        self.add("request headers", json.dumps(request.headers))
        self.add("request body", request.post_data_buffer or b"")

    def _signal(self, route: Any) -> None:
        """Pass a request on and keep what comes back, which the browser itself soon forgets."""
        response = route.fetch()
        name = route.request.url.rsplit("/", 1)[-1]
        self.bodies[name], self.headers[name] = response.body(), response.headers
        self.add("a signal's headers", json.dumps(response.headers))
        self.add("a signal", response.body())
        route.fulfill(response=response)

    def collect(self) -> None:
        """What has come since the last time, and the state of the page as it is now."""
        for response in self.responses:
            # Streamlit's own files are the same for every study.
            if any(part in response.url for part in ("/static/", "/api/signal/", "blob:")):
                continue
            self.add(f"headers from {response.url}", json.dumps(response.all_headers()))
            if response.status == 200:
                self.add(f"body from {response.url}", response.body())
        self.responses.clear()
        whole = """() => {
            const inside = (node) => (node.shadowRoot ? inside(node.shadowRoot) : "")
                + (node.outerHTML ?? "") + [...node.children].map(inside).join("");
            return inside(document.documentElement);
        }"""
        self.add("document", self.page.evaluate(whole))
        kept = "() => JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])"
        self.add("storage", self.page.evaluate(kept))


def test_a_whole_session_gives_nothing_away_and_stores_every_grade(
    study: Study, server: Server, browser: Any
) -> None:
    trials = len(ITEMS) + 1  # one of them twice
    graded: dict[int, list[int]] = {}
    with listener(browser) as one:
        everything = Everything(one.page)
        one.consent(server.url)
        everything.collect()
        one.questions()
        one.volume()
        one.train()
        everything.collect()
        assert one.title() == f"Training 1 of {len(TRAINING)}"
        assert one.shown() == ["–"] * SIGNALS  # no value before the listener gives one
        one.grade_all([100, 80, 60, 40, 20])
        one.next()
        one.see("Now the test begins")
        one.button("Begin the test").click()
        for number in range(1, trials + 1):
            one.page.get_by_text(f"Trial {number} of {trials}").wait_for(timeout=PAGE_MS)
            one.loaded()
            scores = [100, 83 - number, 61, 40 + number, number - 1]
            one.grade_all(scores)
            assert one.shown() == [str(score) for score in scores]
            if number == 1:
                one.picture("trial")
            everything.collect()
            graded[number] = scores
            one.next()
            if number == study.block_trials:
                one.see("Time for a break")
                one.picture("break")
                one.button("Continue").click()
        one.see("Almost done")
        one.picture("comment")
        one.page.get_by_label("Comment").fill("All clear & quiet + <b>calm</b>")
        one.button("Finish").click()
        one.see("Thank you")
        one.picture("done")
        everything.collect()
        one.page.locator("code").nth(1).wait_for()
        codes = one.page.locator("code").all_inner_texts()
        assert len(set(codes)) == 2
        assert one.page.evaluate("() => Object.keys(localStorage).join()").count("session.") == 0

    found = [rated for rated in stored(study) if rated.phase != "training"]
    by_trial: dict[int, list[int]] = {}
    for rated in found:
        by_trial.setdefault(rated.position - len(TRAINING) + 1, []).append(rated.score)
    assert by_trial == graded
    assert {rated.finished for rated in found} == {True}

    names = [
        *ROLES,
        *TITLES,
        *ITEMS,
        *TRAINING,
        str(study.folder),
        "low_anchor",
        "mid_anchor",
    ]
    names += [stimulus.pcm_sha256 for item in study.all_items for stimulus in item.stimuli]
    leaks = [(where, name) for where, text in everything.seen for name in names if name in text]
    assert leaks == []
    assert [where for where, text in everything.seen if re.search(r"\.wav\b", text)] == []
    assert everything.hosts == {"127.0.0.1"}

    bodies = everything.bodies
    assert len(bodies) >= (trials + len(TRAINING)) * (SIGNALS + 1)
    assert len({len(body) for body in bodies.values()}) == 1
    assert len(set(bodies.values())) == len(bodies)
    told = {tuple(sorted((k, v) for k, v in h.items() if k != "date"))
            for h in everything.headers.values()}  # fmt: skip
    assert len(told) == 1
    headers = dict(told.pop())
    assert headers.get("content-encoding", "identity") == "identity"
    assert "etag" not in headers
    assert "last-modified" not in headers
    assert headers["cache-control"] == "no-store"


def test_german_is_another_file_and_the_choice_is_kept(server: Server, browser: Any) -> None:
    with listener(browser, locale="de-AT") as one:
        one.page.goto(server.url)
        one.see("Ich habe dies gelesen")
        one.page.get_by_text("Ich habe dies gelesen").click()
        one.button("Beginnen").click()
        one.see("Einige Fragen")
        one.see("Kopfhörer")


def test_withdrawing_deletes_everything(tmp_path: Path, browser: Any) -> None:
    mine = write_study(tmp_path)
    with served(mine.folder) as running, listener(browser) as one:
        one.begin(running.url)
        one.grade_all([100, 80, 60, 40, 20])
        one.next()
        one.see("Now the test begins")
        assert len(stored(mine)) == SIGNALS
        with opened(mine) as store:
            session = session_of(store, one)
        late: list[Any] = []  # the script that tells the page of the session that was left
        one.page.route("**/player/player.js", lambda route: late.append(route))
        with one.page.expect_request("**/player/player.js"):
            one.page.goto(running.url)
        one.page.get_by_text("Withdraw earlier answers").click()
        one.page.get_by_label("Withdrawal code").fill(session.withdrawal_code.lower())
        late.pop().continue_()
        one.see("This browser holds a session")  # it takes nothing away from who is typing
        one.page.get_by_label("Withdrawal code").press("Tab")
        one.button("Delete everything that I gave").click()
        one.see("has been deleted")
        assert stored(mine) == []
        with opened(mine) as store:
            assert store.find_session(session.secret) is None


LISTENERS = 14
CARELESS = 1  # rates the hidden reference low


def rate_all(study: Study) -> None:
    """Listeners who finished, put into the store as the browser would."""
    rng = np.random.default_rng(8)
    with opened(study) as store:
        number = store.add_study(study)
        for row in range(LISTENERS):
            session = store.start_session(
                number, plan_session, seed=row, consent_text="yes", language="en"
            )
            for seq, trial in enumerate(store.trials(session)):
                centre, spread = [20, 45, 68, 82], [8, 10, 9, 8]
                drawn = rng.normal(centre, spread).clip(0, 99).astype(int).tolist()
                truth = [40 if row == CARELESS else 100, *drawn]
                ratings = {str(s): truth[i] for s, i in enumerate(trial.permutation)}
                event = {"seq": seq, "nonce": f"{row:08}{seq:08}", "type": "submit"}
                store.take(session.secret, [{**event, "trial": trial.key, "ratings": ratings}])
            store.finish(session, "<b>fine</b>")


def test_the_experimenter_sees_progress_and_exports_behind_a_secret(
    tmp_path: Path, browser: Any
) -> None:
    mine = write_study(tmp_path)
    rate_all(mine)
    with served(mine.folder) as running, listener(browser, viewport=TALL) as one:
        secret = experimenter_secret(mine.folder)
        assert (mine.folder / SECRET_FILE).stat().st_mode & 0o077 == 0
        one.page.goto(running.url + "?experimenter=" + secret[:-1])
        one.see("This link does not work")
        assert one.page.get_by_text("Finished").count() == 0
        one.page.goto(running.url + "?experimenter=" + secret)
        one.see("Valid so far")
        numbers = one.page.locator("[data-testid=stMetricValue]").all_inner_texts()
        trials = len(ITEMS) + len(TRAINING) + 1
        expected = [LISTENERS, LISTENERS, LISTENERS - 1, LISTENERS * trials, 0]
        assert numbers == [str(number) for number in expected]
        one.see("Left out by the screening: 1")
        one.page.locator("canvas, svg.marks").first.wait_for()
        one.picture("experimenter")
        files = {}
        for label in ("CSV, one line per score", "webMUSHRA CSV", "Parquet"):
            with one.page.expect_download() as download:
                one.button(label).click()
            files[label] = Path(download.value.path()).read_bytes()
        lines = files["CSV, one line per score"].decode().splitlines()
        assert len(lines) == 1 + LISTENERS * trials * SIGNALS
        assert files["webMUSHRA CSV"].startswith(b"session_test_id,")
        assert files["Parquet"][:4] == b"PAR1"
        one.button("Close the study").click()
        one.see("The study is closed")
        one.page.goto(running.url)
        one.see("This listening test is closed")
