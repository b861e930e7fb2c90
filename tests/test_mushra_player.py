"""The shipped player, rendered offline, against a model that counts every sample."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from browser import chromium
from numpy.typing import NDArray

from mushra_app.bodies import keystream, pcm

APP = Path(__file__).parents[1] / "mushra_app"
EXACT = 1e-6  # float32 samples times float64 gains, rounded once to float32
RATE_HZ = 48000
FADE = 240  # 5 ms
GRAPH_SLACK = 4  # samples: where the fallback's curves may sit between frames

Script = list[tuple[int, dict[str, Any]]]

# Samples travel as base64: as lists of numbers they would take most of the time.
CODING = """
    const floats = (text) =>
        new Float32Array(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
    const text = (samples) => {
        const bytes = new Uint8Array(samples.buffer);
        let letters = "";
        for (let at = 0; at < bytes.length; at += 8192) {
            letters += String.fromCharCode(...bytes.subarray(at, at + 8192));
        }
        return btoa(letters);
    };
"""

RENDER = """async ([coded, script, frames, rate]) => {CODING
    const signals = coded.map((channels) => channels.map(floats));
    const context = new OfflineAudioContext(signals[0].length, frames, rate);
    await context.audioWorklet.addModule("/player/worklet.js");
    const load = { type: "load", signals };
    const messages = [load, ...script.map(([frame, command]) => ({ frame, ...command }))];
    const node = new AudioWorkletNode(context, "switch-player", {
        numberOfInputs: 0, outputChannelCount: [signals[0].length], processorOptions: { messages },
    });
    node.connect(context.destination);
    const buffer = await context.startRendering();
    return signals[0].map((_, channel) => text(buffer.getChannelData(channel)));
}"""

RENDER_GRAPH = """async ([coded, script, frames, rate]) => {CODING
    const signals = coded.map((channels) => channels.map(floats));
    const { SourceGraph } = await import("/player/engine.js");
    const context = new OfflineAudioContext(signals[0].length, frames, rate);
    const graph = new SourceGraph(context, context.destination, rate);
    graph.load(signals);
    for (const [frame, { type, signal, start, end, position }] of script) {
        const obey = () => {
            if (type === "select") graph.select(signal);
            else if (type === "loop") graph.loop(start, end);
            else if (type === "seek") graph.seek(position);
            else graph[type]();
        };
        if (frame === 0) obey();
        else context.suspend(frame / rate).then(() => { obey(); context.resume(); });
    }
    const buffer = await context.startRendering();
    graph.pause();
    return signals[0].map((_, channel) => text(buffer.getChannelData(channel)));
}"""


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    """A page of a secure origin from which the shipped files can be loaded."""

    class Files(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=str(APP))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        with chromium() as browser:
            page = browser.new_page()
            page.goto(f"http://127.0.0.1:{server.server_port}/texts/")
            yield page
        server.shutdown()


def signals(count: int, frames: int, channels: int = 1) -> NDArray[np.float32]:
    """`[signal, channel, time]`, all different, never zero."""
    rng = np.random.default_rng(2)
    drawn = rng.uniform(0.1, 1.0, (count, channels, frames)) * rng.choice([-1, 1], (1, 1, frames))
    return drawn.astype(np.float32)


def rendered(
    page: Any, program: str, x: NDArray[np.float32], script: Script, frames: int
) -> NDArray[np.float32]:
    """`[channel, time]` as the browser computes it."""
    coded = [[base64.b64encode(channel.tobytes()).decode() for channel in one] for one in x]
    program = program.replace("CODING", CODING)
    channels = page.evaluate(program, [coded, script, frames, RATE_HZ])
    return np.stack([np.frombuffer(base64.b64decode(text), "<f4") for text in channels])


def model(x: NDArray[np.float32], script: Script, frames: int) -> NDArray[np.float64]:
    """What must be heard, one sample at a time, as BS.1534-3 describes it.

    Written from the rules, in terms of "which level, which signal, which position": leaving falls
    along the cosine, arriving climbs along it, and nothing overlaps.
    """
    count, channels, length = x.shape
    out = np.zeros((channels, frames))
    due = sorted(script, key=lambda entry: entry[0])
    playing, wanted, sounding = False, 0, None
    here, begin, end = 0, 0, length
    pending: dict[str, Any] = {}
    phase = np.pi  # 0: full level, pi: silent
    for now in range(frames):
        while due and due[0][0] <= now:
            _, command = due.pop(0)
            kind = command["type"]
            if kind in ("play", "pause"):
                playing = kind == "play"
            elif kind == "select":
                wanted = command["signal"]
            else:
                pending[kind] = command
        goal = wanted if playing else None
        silent = phase > np.pi - 1e-9
        if silent and (sounding != goal or pending):
            sounding = goal
            if "loop" in pending:
                begin, end = pending["loop"]["start"], pending["loop"]["end"]
            if "seek" in pending:
                here = pending["seek"]["position"]
            if not begin <= here < end:
                here = begin
            pending = {}
        if sounding is None:
            phase = np.pi
            continue
        level = (1 + np.cos(phase)) / 2
        near = min(here - begin, end - 1 - here, FADE)
        level *= (1 - np.cos(np.pi * near / FADE)) / 2
        out[:, now] = level * x[sounding, :, here].astype(np.float64)
        here = begin if here + 1 >= end else here + 1
        away = sounding != goal or pending
        phase = min(np.pi, phase + np.pi / FADE) if away else max(0.0, phase - np.pi / FADE)
    assert count
    return out


SWITCHES: Script = [
    (0, {"type": "play"}),
    (3000, {"type": "select", "signal": 2}),
    (7001, {"type": "select", "signal": 1}),
    (7101, {"type": "select", "signal": 3}),  # while the last one still fades out
    (7400, {"type": "select", "signal": 0}),  # while that one fades in
    (7450, {"type": "select", "signal": 3}),  # and back before it has left
    (12000, {"type": "pause"}),
    (13000, {"type": "select", "signal": 1}),  # not heard: nothing plays
    (14000, {"type": "play"}),
    (20000, {"type": "seek", "position": 100}),
    (30001, {"type": "loop", "start": 9000, "end": 33000}),  # the shortest, 500 ms
    (60000, {"type": "select", "signal": 2}),
    (70000, {"type": "loop", "start": 0, "end": 36000}),
    (110000, {"type": "select", "signal": 0}),
]


@pytest.mark.parametrize("channels", [1, 2])
def test_the_worklet_equals_a_model_that_counts_every_sample(page: Any, channels: int) -> None:
    x = signals(4, 36000, channels)
    frames = 130_000
    heard = rendered(page, RENDER, x, SWITCHES, frames)
    error = np.abs(heard - model(x, SWITCHES, frames)).max()
    assert error <= EXACT


def test_a_switch_fades_out_then_in_and_never_mixes(page: Any) -> None:
    # Signal k is the constant k + 1, so the output says what is heard and how loud.
    x = np.ones((2, 1, 48000), np.float32) * np.array([1, 4], np.float32)[:, None, None]
    script: Script = [(0, {"type": "play"}), (9600, {"type": "select", "signal": 1})]
    (heard,) = rendered(page, RENDER, x, script, 14400)
    k = np.arange(FADE + 1)
    down = (1 + np.cos(np.pi * k / FADE)) / 2
    np.testing.assert_allclose(heard[9600 : 9600 + FADE + 1], down, rtol=0, atol=EXACT)
    arriving = heard[9600 + FADE : 9600 + 2 * FADE + 1]
    np.testing.assert_allclose(arriving, 4 * down[::-1], rtol=0, atol=4 * EXACT)
    assert heard[9600 + FADE] == 0  # the least that a cross-fade would break


def test_the_fallback_graph_plays_the_same_outside_its_fades(page: Any) -> None:
    x = signals(4, 36000)
    # Scheduled between render quanta, so commands fall on multiples of 128 frames.
    script: Script = [
        (0, {"type": "play"}),
        (128 * 40, {"type": "select", "signal": 2}),
        (128 * 100, {"type": "select", "signal": 1}),
        (128 * 200, {"type": "loop", "start": 9000, "end": 33000}),
        (128 * 500, {"type": "select", "signal": 3}),
    ]
    frames = 90_000
    heard = rendered(page, RENDER_GRAPH, x, script, frames)
    expected = model(x, script, frames)
    error = np.abs(heard - expected)[0]
    near = np.zeros(frames, bool)
    for frame, _ in script:
        near[frame : frame + 2 * FADE + GRAPH_SLACK] = True
    assert error[~near].max() <= EXACT
    # Within a fade a curve point may be taken one frame early or late; still no cross-fade.
    assert error[near].max() <= 2 * np.pi / 2 / FADE * np.abs(x).max() * GRAPH_SLACK


@pytest.mark.parametrize("bits", [16, 24, 32])
def test_samples_reach_the_page_exactly(page: Any, bits: int) -> None:
    rng = np.random.default_rng(4)
    x = rng.uniform(-1, 1, (500, 2)).astype(np.float32)
    if bits < 32:
        x = (np.round(x * 2.0 ** (bits - 1)) / 2.0 ** (bits - 1)).astype(np.float32)
        x[0] = (-1, 1 - 2.0 ** (1 - bits))

    plain = b"nPCM" + struct.pack("<HHII", 2, bits, 44100, 500) + pcm(x, bits)
    plain += b"\0" * (-len(plain) % 4 + 64)
    words = np.frombuffer(plain, "<u4") ^ keystream(0x89ABCDEF, len(plain) // 4)
    body = struct.pack("<I", 0x89ABCDEF) + words.tobytes()
    found = page.evaluate(
        """async (text) => {
            const { parse } = await import("/player/pcm.js");
            const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
            const { samples, sampleRate, frames } = parse(bytes.buffer);
            return { samples: samples.map((s) => Array.from(s)), sampleRate, frames };
        }""",
        base64.b64encode(body).decode(),
    )
    assert (found["sampleRate"], found["frames"]) == (44100, 500)
    np.testing.assert_array_equal(np.array(found["samples"], np.float32), x.T)
