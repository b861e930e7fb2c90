"""The real app in a real browser: a whole session, what it gives away, and what it survives."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from browser import chromium, launched
from listening import (
    ITEMS,
    ROLES,
    TITLES,
    TRAINING,
    Server,
    gain,
    noise,
    served,
    write_study,
)
from numpy.typing import NDArray

from mushra_app import database
from mushra_app.service import SECRET_FILE, experimenter_secret
from mushra_app.store import Rated, Store
from mushra_app.study import Study
from mushra_app.trial import plan_session

PAGE_MS = 90_000  # for a page of a busy machine to come
SIGNALS = len(ROLES)
TALL = {"width": 1100, "height": 1250}  # the experimenter's whole page
MIN_TRACK_PX = 378  # 10 cm, as BS.1534-3 asks for
SIZES = {"laptop": (1280, 720), "tablet": (1024, 768), "tablet upright": (768, 1024)}

pytestmark = pytest.mark.xdist_group("browser")


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
        self.page.locator(".saved").get_by_text("All saved").wait_for(timeout=PAGE_MS)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return write_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def server(study: Study) -> Iterator[Server]:
    with served(study.folder) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as running:
        yield running


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


def test_only_the_slider_of_what_plays_moves_and_nothing_is_skipped(
    server: Server, browser: Any
) -> None:
    with listener(browser) as one:
        one.begin(server.url)
        tracks = one.page.locator(".track")

        def drag(slot: int, share: float) -> None:
            box = tracks.nth(slot).bounding_box()
            one.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
            one.page.mouse.down()
            one.page.mouse.move(box["x"] + 5, box["y"] + box["height"] * (1 - share), steps=3)
            one.page.mouse.up()

        drag(0, 0.9)
        assert one.shown() == ["–"] * SIGNALS  # nothing plays
        one.hear(0)
        drag(0, 0.9)
        assert one.shown() == ["–"] * SIGNALS  # the reference plays
        one.hear(2)
        drag(0, 0.9)
        assert one.shown() == ["–"] * SIGNALS  # another signal plays
        drag(1, 1.5)  # far beyond the end
        assert one.shown()[1] == "100"
        drag(1, -0.5)
        assert one.shown()[1] == "0"
        told = tracks.nth(1).evaluate(
            "(e) => ['role', 'aria-valuenow', 'aria-valuetext', 'aria-disabled']"
            ".map((n) => e.getAttribute(n))"
        )
        assert told == ["slider", "0", "0, Bad", "false"]
        assert tracks.nth(0).get_attribute("aria-valuenow") is None
        assert tracks.nth(0).get_attribute("aria-valuetext") == "not graded"
        assert tracks.nth(0).get_attribute("aria-disabled") == "true"
        active = one.page.locator(".signal[aria-pressed=true]")
        assert active.count() == 1
        mark = active.locator("b").evaluate("(e) => getComputedStyle(e, '::before').content")
        assert "▶" in mark  # not by colour alone
        assert one.page.locator(".next").is_disabled()
        for number in (1, 3, 4, 5):
            assert one.page.locator(".next").is_disabled()
            one.rate(number, 30)
        assert one.page.locator(".next").is_enabled()
        one.next()
        one.see("No signal has 100")
        one.button("Back to the signals").click()
        assert one.title().startswith("Training")
        one.rate(4, 100)
        one.next()
        one.see("Now the test begins")


def test_every_command_has_a_key(server: Server, browser: Any) -> None:
    with listener(browser) as one:
        one.begin(server.url)
        press = one.page.keyboard.press

        def playing() -> str | None:
            active = one.page.locator(".signal[aria-pressed=true]")
            return active.get_attribute("data-signal") if active.count() else None

        for key, expected in [
            ("r", "0"), ("3", "3"), ("0", "0"), ("5", "5"), ("PageDown", "0"), ("PageDown", "1"),
            ("PageUp", "0"), ("2", "2"), (" ", None), (" ", "2"), ("9", "2"),
        ]:  # fmt: skip
            press(key)
            assert playing() == expected, key
        press("ArrowUp")
        assert one.shown()[1] == "0"
        press("Shift+ArrowUp")
        press("ArrowUp")
        press("ArrowRight")
        press("ArrowDown")
        assert one.shown()[1] == "11"
        handles = one.page.locator(".handle")

        def loop() -> list[float]:
            return [float(handles.nth(edge).get_attribute("aria-valuenow")) for edge in (0, 1)]

        whole = loop()
        one.page.wait_for_timeout(900)
        press("a")
        start, end = loop()
        assert start > whole[0]
        assert end == whole[1]
        press("b")  # at once: the loop keeps its shortest length
        assert loop()[1] - loop()[0] >= 0.5 - 1e-9
        press("w")
        assert loop() == whole
        handles.nth(0).focus()
        press("ArrowRight")
        assert loop()[0] == pytest.approx(0.05)
        press("?")
        one.page.locator("dialog.keys[open]").wait_for()
        press("4")
        assert playing() == "2"  # keys rest while the list is open
        press("Escape")
        press("4")
        assert playing() == "4"


def test_a_loop_is_dragged_and_never_shorter_than_half_a_second(
    server: Server, browser: Any
) -> None:
    with listener(browser) as one:
        one.begin(server.url)
        box = one.page.locator(".waveform").bounding_box()

        def drag(start: float, end: float) -> None:
            y = box["y"] + box["height"] / 2
            one.page.mouse.move(box["x"] + start * box["width"], y)
            one.page.mouse.down()
            one.page.mouse.move(box["x"] + end * box["width"], y, steps=4)
            one.page.mouse.up()

        handles = one.page.locator(".handle")

        def loop() -> list[float]:
            return [float(handles.nth(edge).get_attribute("aria-valuenow")) for edge in (0, 1)]

        drag(0.2, 0.7)  # of three seconds
        assert loop() == pytest.approx([0.6, 2.1], abs=0.02)
        drag(0.9, 0.3)
        assert loop() == pytest.approx([0.9, 2.7], abs=0.02)
        drag(0.5, 0.52)
        assert loop()[1] - loop()[0] == pytest.approx(0.5, abs=0.001)
        one.button("Whole signal").click()
        assert loop() == [0, 3]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_trial_fits_the_screen(server: Server, size: str, browser: Any) -> None:
    width, height = SIZES[size]
    with listener(browser, viewport={"width": width, "height": height}, has_touch=True) as one:
        one.begin(server.url)
        boxes = [
            one.page.locator(what).bounding_box()
            for what in (".trial h1", ".waveform", ".next", ".column >> nth=4", ".transport")
        ]
        for box in boxes:
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
            assert box["y"] + box["height"] <= height
        track = one.page.locator(".track").first.bounding_box()
        assert track["height"] >= MIN_TRACK_PX
        assert track["width"] >= 40  # a finger
        one.page.locator(".signal[data-signal='2']").tap()
        one.page.locator(".column.active").wait_for()
        one.page.touchscreen.tap(*centre(one.page.locator(".track").nth(1).bounding_box()))
        assert one.shown()[1] in ("49", "50", "51")


def centre(box: dict[str, float]) -> tuple[float, float]:
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_no_sound_is_made_before_a_click(server: Server, browser: Any) -> None:
    script = """
        window.made = [];
        const Real = window.AudioContext;
        window.AudioContext = class extends Real {
            constructor(options) {
                super(options);
                window.made.push({ active: navigator.userActivation.isActive, context: this });
            }
        };"""
    flags = ("--autoplay-policy=document-user-activation-required",)
    with launched(browser.browser_type, *flags) as own, listener(own, script) as one:
        one.consent(server.url)
        one.questions()
        one.see("Headphones and volume")
        one.page.locator(".volume button:enabled").first.wait_for()
        assert one.page.evaluate("() => window.made.length") == 0
        one.volume()
        one.button("Begin the training").click()
        one.loaded()
        address = one.page.url
        one.page.goto("about:blank")
        one.page.goto(address)  # no gesture on this document yet
        one.button("Begin the training").click()
        one.loaded()
        assert one.page.evaluate("() => window.made.length") == 0
        one.page.keyboard.press("2")  # a key is a gesture as well
        one.hear(3)
        state = "() => window.made.map(({ active, context }) => [active, context.state])"
        assert one.page.evaluate(state) == [[True, "running"]]
        rate = one.page.evaluate("() => window.made[0].context.sampleRate")
        assert rate == 16000  # the files' own


RECORDER = """
    const source = `registerProcessor("recorder", class extends AudioWorkletProcessor {
        process([input]) {
            if (input.length) this.port.postMessage([currentFrame, input[0].slice()]);
            return true;
        }
    });`;
    window.recorded = [];
    const connect = AudioNode.prototype.connect;
    AudioNode.prototype.connect = function (to, ...rest) {
        if (to === this.context.destination) {
            const module = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
            this.context.audioWorklet.addModule(module).then(() => {
                const recorder = new AudioWorkletNode(this.context, "recorder");
                recorder.port.onmessage = ({ data }) => window.recorded.push(data);
                connect.call(this, recorder);
            });
        }
        return connect.call(this, to, ...rest);
    };"""
BLOCK = 128  # samples that the browser computes at once
PLAYED = 1e-4  # of a level: 24-bit steps of the softest signal


@pytest.mark.slow  # a browser that gets no processor time for 3 ms leaves a gap in the recording
def test_what_sounds_is_the_signal_that_was_asked_for_where_the_playhead_is(
    study: Study, server: Server, browser: Any
) -> None:
    asked = [0, 1, 2, 0, 5, 4, 3, 1]
    with listener(browser, RECORDER) as one:
        one.begin(server.url)
        one.page.evaluate("() => { window.recorded = []; }")
        for number in asked:
            one.page.keyboard.press(str(number))
            one.page.wait_for_timeout(400)
        one.page.keyboard.press("Space")
        recorded = one.page.evaluate("() => window.recorded.map(([f, x]) => [f, Array.from(x)])")
        secret = re.search(r"p=([\w-]+)", one.page.url)
        assert secret
        with opened(study) as store:
            session = store.find_session(secret[1])
            assert session
            trial = store.trials(session)[0]
    # What was recorded while the graph was put together is silence.
    begun = next(at for at, (_, block) in enumerate(recorded) if any(block))
    recorded = recorded[begun:]
    frames = [frame for frame, _ in recorded]
    assert np.diff(frames).tolist() == [BLOCK] * (len(frames) - 1)
    original = noise(trial.item).astype(np.float64)
    levels = np.array([gain("xq-original")] + [gain(list(ROLES)[i]) for i in trial.permutation])
    heard: list[tuple[int, int, int]] = []  # frame, position, signal
    for frame, block in recorded:
        level = steady_level(np.array(block), original)
        if level is None:
            continue  # silence, a switch, or the ends of the signal
        position, amount = level
        fits = np.flatnonzero(np.abs(levels - amount) < PLAYED)
        assert fits.size, amount  # between two levels there would be a cross-fade
        heard.append((frame, position, int(fits[0])))
    assert len(heard) > 100
    steps = {(p2 - p1 - (f2 - f1)) % original.size for (f1, p1, _), (f2, p2, _) in pairwise(heard)}
    assert steps == {0}  # the playhead never jumped
    order = [signal for signal, _ in groupby(signal for _, _, signal in heard)]
    hidden = 1 + trial.permutation.index(0)  # sounds as the reference does: told apart by nobody
    expected = [0 if number == hidden else number for number in asked]
    assert order == [signal for signal, _ in groupby(expected)]


def steady_level(
    block: NDArray[np.float64], original: NDArray[np.float64]
) -> tuple[int, float] | None:
    """Where in the original a block begins and how loud it is; None if it is no copy of it."""
    looped = np.concatenate([original, original[:BLOCK]])
    ratios = block[0] / looped[: original.size]
    fits = np.flatnonzero(
        np.abs(block[1] - ratios * looped[1 : original.size + 1]) < PLAYED * np.abs(ratios)
    )
    for position in fits:
        level = ratios[position]
        copy = level * looped[position : position + BLOCK]
        if level > PLAYED and np.abs(block - copy).max() < PLAYED * level:
            return int(position), float(level)
    return None


def test_without_a_secure_context_the_fallback_plays(server: Server, browser: Any) -> None:
    flag = f"--host-resolver-rules=MAP lab.test 127.0.0.1:{server.port}"
    with launched(browser.browser_type, flag) as own, listener(own) as one:
        one.begin("http://lab.test/")
        assert one.page.evaluate("() => isSecureContext") is False
        one.grade_all([100, 80, 60, 40, 20])
        one.next()
        one.see("Now the test begins")


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
        one.page.close()
        one.page = one.page.context.new_page()
        one.page.set_default_timeout(PAGE_MS)
        one.page.goto(server.url)  # without the secret: this browser remembers
        one.see("was not finished")
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


@pytest.mark.slow  # two browsers' pages at once: has failed once on two busy cores
def test_two_tabs_of_one_listener_do_not_swallow_each_other(
    study: Study, server: Server, browser: Any
) -> None:
    with listener(browser) as one:
        one.begin(server.url)
        other = Listener(one.page.context.new_page())
        other.page.goto(one.page.url)
        other.button("Begin the training").click()
        other.loaded()
        for tab, scores in ((one, (10, 20)), (other, (30, 40))):
            tab.rate(1, scores[0])
            tab.rate(2, scores[1])
        one.rate(3, 50)
        one.saved()
        other.saved()
        other.page.reload()
        other.loaded()
        assert other.shown() == ["30", "40", "50", "–", "–"]


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
        secret = re.search(r"p=([\w-]+)", one.page.url)
        assert secret
        with opened(mine) as store:
            session = store.find_session(secret[1])
        assert session
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
            assert store.find_session(secret[1]) is None


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
