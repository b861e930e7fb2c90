"""A trial in a real browser: what moves, what sounds, what has a key, and what fits."""

from __future__ import annotations

from itertools import groupby, pairwise
from typing import Any

import numpy as np
import pytest
from browser import launched
from listener import PAGE_MS, SIGNALS, Listener, listener, opened, session_of
from listening import ROLES, Server, gain, noise
from numpy.typing import NDArray

from mushra_app.study import Study

MIN_TRACK_PX = 378  # 10 cm, as BS.1534-3 asks for
SIZES = {"laptop": (1280, 720), "tablet": (1024, 768), "tablet upright": (768, 1024)}

pytestmark = pytest.mark.xdist_group("browser")


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
ASKED = (0, 1, 2, 0, 5, 4, 3, 1)
LISTENED_MS = 400  # to each
CAPTURES = 20  # tries


def test_what_sounds_is_the_signal_that_was_asked_for_where_the_playhead_is(
    study: Study, server: Server, browser: Any
) -> None:
    with listener(browser, RECORDER) as one:
        one.begin(server.url)
        with opened(study) as store:
            trial = store.trials(session_of(store, one))[0]
        one.hear(0)
        one.page.wait_for_function("() => window.recorded.length > 0", timeout=PAGE_MS)
        one.page.keyboard.press("Space")
        silence(one)
        sound = next(filter(None, (capture(one) for _ in range(CAPTURES))), None)
    assert sound is not None, "no capture without a gap"
    original = noise(trial.item).astype(np.float64)
    levels = np.array([gain("xq-original")] + [gain(list(ROLES)[i]) for i in trial.permutation])
    heard: list[tuple[int, int, int]] = []  # frame, position, signal
    for frame, block in sound:
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
    expected = [0 if number == hidden else number for number in ASKED]
    assert order == [signal for signal, _ in groupby(expected)]


def capture(one: Listener) -> list[tuple[int, list[float]]] | None:
    """Blocks of what sounded from the first to the last signal, and when; None with a gap.

    The audio thread of a busy machine leaves blocks out, of the recording or of the sound itself:
    then a block is missing, or silent in the middle. A player at fault would be so in each try.
    """
    one.page.evaluate("() => { window.recorded = []; }")
    for number in ASKED:
        one.page.keyboard.press(str(number))
        one.page.wait_for_timeout(LISTENED_MS)
    one.page.keyboard.press("Space")
    silence(one)
    blocks = one.page.evaluate("() => window.recorded.map(([f, x]) => [f, Array.from(x)])")
    sounding = [at for at, (_, block) in enumerate(blocks) if any(block)]
    if not sounding:
        return None
    sound = blocks[sounding[0] : sounding[-1] + 1]
    steps = {after[0] - before[0] for before, after in pairwise(sound)}
    return sound if steps == {BLOCK} and all(any(block) for _, block in sound) else None


def silence(one: Listener) -> None:
    """Wait until it is recorded."""
    quiet = "() => window.recorded.at(-1)?.[1].every((sample) => sample === 0)"
    one.page.wait_for_function(quiet, timeout=PAGE_MS)


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
