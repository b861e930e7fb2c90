"""The index of recordings, how they are found, fetched, converted and verified."""

import csv
import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from loopback import Behaviour, serving

from nacbench import data, sources
from nacbench.data import index
from nacbench.data.build_index import COLUMNS, build
from nacbench.data.convert import FADE_S, convert, cut, decode, pcm_sha256
from nacbench.data.download import Patience
from nacbench.data.fetching import fetch
from nacbench.errors import UserError
from nacbench.sources.loading import load

ROOT = Path(__file__).parents[1]
REAL = ROOT / ".." / "shared" / "data"
WEIGHTS = REAL.parent / "weights"
needs_recordings = pytest.mark.skipif(
    not ((REAL / "MANIFEST.csv").exists() and WEIGHTS.exists()),
    reason="no recordings in ../shared/data or no weights in ../shared/weights",
)
SHORT = Patience(silence_s=0.5, attempts=2, pause_s=0.01)
RATE = 8000


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


# The tracked index


def test_every_url_is_https_and_pinned_to_a_commit_and_every_hash_is_one() -> None:
    entries = [entry for name in index.collections() for entry in index.collection(name)]
    assert len(entries) > 60
    for entry in entries:
        assert re.match(r"https://raw\.githubusercontent\.com/[^/]+/[^/]+/[0-9a-f]{40}/", entry.url)
        assert re.fullmatch(r"[0-9a-f]{64}", entry.source_sha256)
        assert re.fullmatch(r"[0-9a-f]{64}", entry.sha256)
        assert 0 < entry.source_bytes < 100_000_000
        assert entry.tags["licence"]
        assert not Path(entry.path).is_absolute()
        assert ".." not in Path(entry.path).parts
        if entry.audio:
            assert re.fullmatch(r"[0-9a-f]{64}", entry.audio.pcm_sha256)
    assert len({entry.path for entry in entries}) == len(entries)


def test_the_sets_that_suites_name_are_there() -> None:
    sizes = {name: len(index.members(name)[1]) for name in ("speech_eval", "music_eval", "rir")}
    assert sizes == {"speech_eval": 27, "music_eval": 14, "rir": 10}
    with pytest.raises(UserError, match=r"unknown set.* Did you mean 'speech_eval'\?"):
        index.members("speech_evla")
    with pytest.raises(UserError, match=r"unknown data.* Did you mean 'real-speech'\?"):
        index.collection("real-speach")


@needs_recordings
def test_the_index_is_what_the_builder_writes(tmp_path: Path) -> None:
    build(REAL, WEIGHTS, tmp_path)
    for path in index.FOLDER.iterdir():
        assert (tmp_path / path.name).read_text() == path.read_text(), path.name


@needs_recordings
def test_a_folder_named_by_the_variable_serves_every_set_offline(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NACBENCH_CACHE", str(tmp_path))
    monkeypatch.setenv("NACBENCH_DATA", f"{REAL}{os.pathsep}{WEIGHTS}")
    for name, count in (("speech_eval", 27), ("music_eval", 14), ("noise_eval", 5), ("rir", 10)):
        refs = sources.build({"real": {"set": name}}).clips()
        assert len(refs) == count
        assert load(refs[0]).duration_s > 0.1
    speech = sources.build("real:speech_eval").clips()
    assert len({ref.tags["speaker"] for ref in speech}) == 27
    assert len(fetch("lyra")) == 3
    assert fetch("real-music")[0].is_relative_to(REAL)


# Conversion


def recipe(samples: np.ndarray, rate: int = RATE, **changes: object) -> index.Conversion:
    options = {
        "start_s": None,
        "end_s": None,
        "frames": len(samples),
        "sample_rate_hz": rate,
        "channels": 1,
        "subtype": "PCM_16",
        "pcm_sha256": "",
        "exact": True,
    }
    return index.Conversion(**{**options, **changes})  # type: ignore[arg-type]


def test_a_cut_averages_rounds_and_fades_the_cut_edges_only() -> None:
    samples = np.full((RATE, 2), 0.5)
    samples[:, 1] = 0.25
    whole = cut(samples, RATE, recipe(samples)) >> 16
    assert whole.shape == (RATE, 1)
    assert (whole == 12288).all()  # 0.375 · 2^15
    inner = (cut(samples, RATE, recipe(samples, start_s=0.25, end_s=0.75)) >> 16)[:, 0]
    fade = round(FADE_S * RATE)
    assert len(inner) == RATE // 2
    assert inner[0] == inner[-1] == 0
    assert inner[fade // 2] == inner[-1 - fade // 2] == 6144  # half way up a raised cosine
    assert (inner[fade:-fade] == 12288).all()
    first = (cut(samples, RATE, recipe(samples, start_s=0, end_s=0.5)) >> 16)[:, 0]
    assert first[0] == 12288
    assert first[-1] == 0


def test_rounding_is_to_nearest_and_full_scale_is_clipped() -> None:
    steps = np.array([[0.4], [0.6], [1.5], [2.5], [-0.6], [32767.4], [40000.0], [-40000.0]])
    kept = cut(steps / 32768, RATE, recipe(steps)) >> 16
    assert kept[:, 0].tolist() == [0, 1, 2, 2, -1, 32767, 32767, -32768]


def test_what_libsndfile_cannot_read_is_decoded_by_ffmpeg(tmp_path: Path) -> None:
    import av

    samples = np.random.default_rng(0).integers(-30000, 30000, (2, 4000), dtype=np.int16)
    with av.open(str(tmp_path / "a.wv"), "w") as container:
        stream = container.add_stream("wavpack", rate=RATE, layout="stereo")
        stream.codec_context.format = "s16p"
        frame = av.AudioFrame.from_ndarray(samples, format="s16p", layout="stereo")
        frame.rate = RATE
        container.mux([*stream.encode(frame), *stream.encode(None)])
    decoded, rate = decode(tmp_path / "a.wv")
    assert rate == RATE
    np.testing.assert_array_equal(decoded.T * 32768, samples)
    (tmp_path / "text.wv").write_text("no audio")
    with pytest.raises(UserError, match=r"text\.wv: no decoder reads it"):
        decode(tmp_path / "text.wv")


def test_other_samples_than_the_index_has_are_refused_unless_decoders_may_differ(
    tmp_path: Path,
) -> None:
    samples = 0.1 * np.random.default_rng(0).standard_normal((RATE, 1))
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    with pytest.raises(UserError, match=r"with other samples; the index expects"):
        convert(tmp_path / "a.wav", tmp_path / "a.flac", recipe(samples, pcm_sha256="0" * 64))
    assert not (tmp_path / "a.flac").exists()
    lossy = recipe(samples, pcm_sha256="0" * 64, exact=False)
    assert convert(tmp_path / "a.wav", tmp_path / "a.flac", lossy) is False
    with pytest.raises(UserError, match=r"decodes to 8000 frames at 8000 Hz in 1 channels"):
        convert(tmp_path / "a.wav", tmp_path / "b.flac", recipe(samples[1:], exact=False))


# Fetching


class Shelf:
    """A collection `toy` of three recordings and one weights file, and its server."""

    def __init__(self, folder: Path, address: str, server: Behaviour) -> None:
        self.server = server
        rows = [
            {"path": "toy/w.bin", "set": "", **self._serve("/w.bin", b"weights" * 9000, address)}
        ]
        for number in range(3):
            samples = 0.1 * np.random.default_rng(number).standard_normal((2 * RATE, 2))
            file = folder / "source.wav"
            soundfile.write(file, samples, RATE, subtype="FLOAT")
            decoded = soundfile.read(file)[0]
            conversion = recipe(decoded, start_s=0.5, end_s=1.5, frames=RATE)
            kept = cut(decoded, RATE, conversion)
            rows.append(
                {
                    "path": f"toy/{number}.flac",
                    "set": "toy_eval",
                    "frames": str(RATE),
                    "sample_rate_hz": str(RATE),
                    "channels": "1",
                    "subtype": "PCM_16",
                    "start_s": "0.5",
                    "end_s": "1.5",
                    "exact": "yes",
                    "speaker": f"s{number}",
                    "pcm_sha256": pcm_sha256(kept, RATE),
                    **self._serve(f"/{number}.wav", file.read_bytes(), address),
                    "sha256": "f" * 64,  # as if another FLAC encoder had written the index's file
                }
            )
        (folder / "index").mkdir()
        with (folder / "index" / "toy.csv").open("w", newline="") as target:
            writer = csv.DictWriter(target, COLUMNS, restval="")
            writer.writeheader()
            writer.writerows(rows)

    def _serve(self, path: str, content: bytes, address: str) -> dict[str, str]:
        self.server.files[path] = content
        digest = sha256(content)
        return {
            "url": address + path,
            "source_bytes": str(len(content)),
            "source_sha256": digest,
            "sha256": digest,
            "licence": "CC0",
        }


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    server = Behaviour()
    with serving(server) as address:
        filled = Shelf(tmp_path, address, server)
        monkeypatch.setattr(index, "FOLDER", tmp_path / "index")
        monkeypatch.setenv("NACBENCH_CACHE", str(tmp_path / "cache"))
        monkeypatch.delenv("NACBENCH_DATA", raising=False)
        index.collection.cache_clear()
        yield filled
    index.collection.cache_clear()


def asked(shelf: Shelf) -> list[str]:
    paths = sorted(path for path, _ in shelf.server.requests)
    shelf.server.requests.clear()
    return paths


ALL = ["/0.wav", "/1.wav", "/2.wav", "/w.bin"]


def test_a_collection_is_fetched_once_converted_and_then_found(
    shelf: Shelf, tmp_path: Path
) -> None:
    reported: list[tuple[str, int, int, int]] = []
    paths = fetch("toy", progress=lambda *state: reported.append(state), patience=SHORT)
    assert asked(shelf) == ALL
    assert [path.name for path in paths] == ["w.bin", "0.flac", "1.flac", "2.flac"]
    assert paths[0].read_bytes() == shelf.server.files["/w.bin"]
    assert (soundfile.info(paths[1]).frames, soundfile.info(paths[1]).subtype) == (RATE, "PCM_16")
    total = sum(map(len, shelf.server.files.values()))
    assert reported[-1] == ("toy", total, total, 0)
    fetched = [done for _, done, _, _ in reported]
    assert fetched == sorted(fetched)

    assert fetch("toy", patience=SHORT) == paths
    assert asked(shelf) == []
    refs = sources.build({"real": {"set": "toy_eval"}}).clips()
    assert [ref.tags["speaker"] for ref in refs] == ["s0", "s1", "s2"]
    clip = load(refs[0])
    assert (clip.id, clip.channels, clip.length) == ("0", 1, RATE)
    assert list((tmp_path / "cache" / "data" / ".sources").iterdir()) == []


def test_a_damaged_file_is_refused_by_its_source_and_replaced_by_fetching(shelf: Shelf) -> None:
    paths = fetch("toy", patience=SHORT)
    asked(shelf)
    content = bytearray(paths[2].read_bytes())
    content[-1] ^= 1
    paths[2].write_bytes(content)
    with pytest.raises(UserError, match=r"1\.flac: its sha256 is not the one.*fetch toy"):
        sources.build("real:toy_eval").clips()
    fetch("toy", patience=SHORT)
    assert asked(shelf) == ["/1.wav"]
    assert len(sources.build("real:toy_eval").clips()) == 3


def test_what_a_folder_of_the_user_has_is_not_fetched(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch("toy", tmp_path / "mine", patience=SHORT)
    asked(shelf)
    with pytest.raises(UserError, match=r"3 of 3 recordings .*data fetch toy.*NACBENCH_DATA"):
        sources.build("real:toy_eval").clips()
    monkeypatch.setenv("NACBENCH_DATA", str(tmp_path / "mine"))
    assert len(sources.build("real:toy_eval").clips()) == 3
    fetch("toy", patience=SHORT)
    assert asked(shelf) == []
    monkeypatch.setenv("NACBENCH_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="NACBENCH_DATA: no folder"):
        data.roots()


def test_one_file_that_is_gone_or_wrong_costs_only_itself(shelf: Shelf) -> None:
    gone = shelf.server.files.pop("/0.wav")
    right = shelf.server.files["/2.wav"]
    shelf.server.files["/2.wav"] = right[:-1] + b"?"
    with pytest.raises(UserError) as problem:
        fetch("toy", patience=SHORT)
    assert "toy: 2 of 4 files could not be fetched" in str(problem.value)
    assert "/0.wav: the server answers 404" in str(problem.value)
    assert "/2.wav: refused: sha256 is" in str(problem.value)
    asked(shelf)

    shelf.server.files.update({"/0.wav": gone, "/2.wav": right})
    fetch("toy", patience=SHORT)
    assert asked(shelf) == ["/0.wav", "/2.wav"]


def test_a_folder_that_cannot_be_written_is_a_clear_error(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UserError, match=r"cannot be written .* Name another folder with --data"):
        fetch("toy", tmp_path / "file", patience=SHORT)


PROGRAM = """
import sys
from pathlib import Path
from nacbench.data import index
from nacbench.data.fetching import fetch
index.FOLDER = Path(sys.argv[1])
fetch("toy", jobs=1, progress=lambda *state: print(*state, flush=True))
"""


def start(tmp_path: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "index")]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )


def wait_for_bytes(process: "subprocess.Popen[str]", count: int) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if int(line.split()[1]) >= count:
            return
    raise AssertionError(process.stderr.read() if process.stderr else "")


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_a_fetch_that_is_killed_goes_on_where_it_was(
    shelf: Shelf, tmp_path: Path, end: signal.Signals
) -> None:
    shelf.server.drip_s = 0.002
    process = start(tmp_path)
    wait_for_bytes(
        process, 63_000 + 60_000
    )  # the weights are there, and half of the first recording
    began = time.monotonic()
    process.send_signal(end)
    process.communicate(timeout=10)
    assert time.monotonic() - began < 5
    assert process.returncode != 0
    asked(shelf)

    shelf.server.drip_s = None
    paths = fetch("toy", jobs=1, patience=SHORT)
    ranges = dict(shelf.server.requests)
    assert sorted(ranges) == ["/0.wav", "/1.wav", "/2.wav"]
    assert re.fullmatch(r"bytes=[1-9]\d{3,}-", ranges["/0.wav"] or "")
    assert len(paths) == 4


def test_two_at_once_fetch_every_file_once(shelf: Shelf, tmp_path: Path) -> None:
    shelf.server.drip_s = 0.001
    both = [start(tmp_path), start(tmp_path)]
    for process in both:
        _, trouble = process.communicate(timeout=60)
        assert process.returncode == 0, trouble
    assert asked(shelf) == ALL


def test_the_command_fetches_and_says_where(shelf: Shelf, tmp_path: Path) -> None:
    from click.testing import CliRunner

    from nacbench.cli import cli

    done = CliRunner().invoke(cli, ["data", "fetch", "toy", "--data", str(tmp_path / "mine")])
    assert done.exit_code == 0, done.output
    assert f"toy: 4 files in {tmp_path / 'mine' / 'toy'}" in done.output
    wrong = CliRunner().invoke(cli, ["data", "fetch", "tooy"])
    assert wrong.exit_code == 2
    assert "Did you mean 'toy'?" in wrong.output
