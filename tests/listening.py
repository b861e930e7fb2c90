"""A small study whose signals say who they are, and the real app that serves it."""

from __future__ import annotations

import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from mushra_app import server
from mushra_app.study import Condition, Item, Question, Stimulus, Study
from nacbench import audio
from nacbench.core import Clip

RATE_HZ = 16000
CLIP_S = 3.0
START_S = 120.0
# Names that occur nowhere else, so that finding one means that it leaked.
ROLES = {
    "xq-original": "reference",
    "xq-muffled": "low_anchor",
    "xq-dull": "mid_anchor",
    "xq-opus": "system",
    "xq-nac": "system",
}
TITLES = ("Hidden reference", "3.5 kHz anchor", "7 kHz anchor", "Opus 16 kbps", "Neural 6 kbps")
ITEMS = ("zw-harbour", "zw-violin")
TRAINING = ("zw-kitchen",)


def gain(condition: str) -> float:
    """Level of a condition's copy of the item's noise: heard levels tell the signals apart."""
    return 0.1 * (1 + list(ROLES).index(condition))


def noise(item: str, seconds: float = CLIP_S) -> NDArray[np.float32]:
    """`[time]`, in syllables, never zero: a quotient of two signals is their ratio of gains."""
    rng = np.random.default_rng(sum(item.encode()))
    time = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    phrase = 0.6 + 0.4 * np.sin(2 * np.pi * 0.45 * time + rng.uniform(0, 6))
    syllables = 0.08 + 0.92 * phrase * np.abs(np.sin(np.pi * 2.7 * time)) ** 1.5
    magnitude = syllables * rng.uniform(0.5, 1.0, time.size)
    return np.asarray(magnitude * rng.choice([-1, 1], time.size), np.float32)


def write_study(
    folder: Path,
    items: tuple[str, ...] = ITEMS,
    training: tuple[str, ...] = TRAINING,
    replicate_share: float = 0.34,
    block_trials: int = 2,
    seconds: float = CLIP_S,
) -> Study:
    """Every item is one noise at a level per condition; 24 bit."""

    def item(name: str) -> Item:
        def stimulus(condition: str) -> Stimulus:
            file = f"audio/{name}/{condition}.wav"
            path = folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            samples = gain(condition) * noise(name, seconds)
            soundfile.write(path, samples, RATE_HZ, subtype="PCM_24")
            stored, _ = soundfile.read(path, dtype="float32")
            return Stimulus(
                condition=condition,
                role=ROLES[condition],
                file=file,
                pcm_sha256=audio.sha256(Clip(stored, RATE_HZ)),
                frames=samples.size,
            )

        made = tuple(map(stimulus, ROLES))
        return Item(id=name, title=f"The {name}", reference=made[0], conditions=made)

    study = Study(
        slug="levels",
        title="Listening test",
        sample_rate_hz=RATE_HZ,
        created="2026-01-01",
        replicate_share=replicate_share,
        block_trials=block_trials,
        seed=1,
        questionnaire=(
            Question(id="experience", kind="number", label={"en": "Years of experience"}),
            Question(
                id="headphones",
                kind="choice",
                label={"en": "Headphones", "de": "Kopfhörer"},
                optional=False,
                choices={"closed": {"en": "Closed"}, "open": {"en": "Open"}},
            ),
        ),
        conditions=tuple(
            Condition(id=name, role=role, title=title)
            for (name, role), title in zip(ROLES.items(), TITLES, strict=True)
        ),
        items=tuple(map(item, items)),
        training=tuple(map(item, training)),
    )
    study.save(folder)
    return study


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Server:
    """The app as a process; `restart` brings it back at the same address."""

    folder: Path
    port: int
    db: str | None = None
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    def start(self) -> None:
        root = Path(__file__).parents[1]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                server.command("127.0.0.1", self.port),
                env={**server.environment(self.folder, self.db), "PYTHONPATH": str(root)},
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )
        until = time.monotonic() + START_S
        while not self.healthy():
            if self.process.poll() is not None or time.monotonic() > until:
                raise AssertionError(self.log.read_text(encoding="utf-8", errors="replace"))
            time.sleep(0.1)

    def healthy(self) -> bool:
        try:
            with urllib.request.urlopen(self.url + "_stcore/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def kill(self) -> None:
        """As a power cut would."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextmanager
def served(folder: Path, db: str | None = None) -> Iterator[Server]:
    running = Server(folder, free_port(), db)
    running.start()
    try:
        yield running
    finally:
        running.kill()
