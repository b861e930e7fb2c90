"""The downloader against a server that drops, lies, stalls and refuses."""

import hashlib
import random
import time
from pathlib import Path
from threading import Event, Timer

import pytest
from loopback import Behaviour, serving

from nacbench.data.download import Patience, Stopped, download
from nacbench.errors import UserError

CONTENT = random.Random(1).randbytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
SHORT = Patience(silence_s=0.3, attempts=3, pause_s=0.01)


def serve(**behaviour: object) -> Behaviour:
    return Behaviour(files={"/file": CONTENT}, **behaviour)  # type: ignore[arg-type]


def get(address: str, target: Path, **options: object) -> None:
    options = {"patience": SHORT, **options}
    download(f"{address}/file", target, len(CONTENT), SHA256, **options)  # type: ignore[arg-type]


def test_a_file_arrives_whole_with_progress_and_no_leftovers(tmp_path: Path) -> None:
    seen: list[int] = []
    with serving(serve()) as address:
        get(address, tmp_path / "new" / "file", progress=seen.append)
    assert (tmp_path / "new" / "file").read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["file"]
    assert seen == sorted(seen)
    assert seen[-1] == len(CONTENT)


def test_a_server_that_drops_every_connection_is_resumed_where_it_stopped(tmp_path: Path) -> None:
    server = serve(drop_after=70_000)
    with serving(server) as address:
        get(address, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    asked = [asked for _, asked in server.requests]
    assert asked == [None, *(f"bytes={n}-" for n in (70_000, 140_000, 210_000, 280_000))]


def test_what_an_earlier_call_left_is_continued(tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT[:123_456])
    server = serve()
    with serving(server) as address:
        get(address, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.requests == [("/file", "bytes=123456-")]


def test_without_ranges_the_file_is_fetched_again_from_its_start(tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT[:123_456])
    with serving(serve(ranges=False)) as address:
        get(address, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_without_ranges_a_server_that_always_drops_ends_in_a_clear_error(tmp_path: Path) -> None:
    with serving(serve(ranges=False, drop_after=70_000)) as address, pytest.raises(UserError) as e:
        get(address, tmp_path / "file")
    assert "stopped at 70,000 of 300,000 bytes (the connection ended early)" in str(e.value)
    assert not (tmp_path / "file").exists()


@pytest.mark.parametrize(
    "left", [CONTENT[:1000], b"rubbish" * 1000, CONTENT + b"more", b"x" * 300_000]
)
def test_rubbish_left_behind_is_replaced(tmp_path: Path, left: bytes) -> None:
    (tmp_path / "file.part").write_bytes(left)
    with serving(serve()) as address:
        get(address, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize("ranges", [True, False])
def test_wrong_bytes_are_refused_and_nothing_is_kept(tmp_path: Path, ranges: bool) -> None:
    wrong = bytearray(CONTENT)
    wrong[150_000] ^= 1
    server = Behaviour(files={"/file": bytes(wrong)}, ranges=ranges)
    with serving(server) as address, pytest.raises(UserError, match="refused: sha256 is"):
        get(address, tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_sends_more_than_the_index_says_is_cut_off(tmp_path: Path) -> None:
    endless = serve(extra=b"\0" * 50_000_000)
    with serving(endless) as address, pytest.raises(UserError, match="more than the 300,000 bytes"):
        get(address, tmp_path / "file")
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) == 0


@pytest.mark.parametrize("left", [0, 100_000, 200_000])
@pytest.mark.parametrize("length", [1, 150_000, 300_001])
def test_a_file_of_another_size_is_refused(tmp_path: Path, left: int, length: int) -> None:
    server = Behaviour(files={"/file": (CONTENT + b"?")[:length]})
    if left:
        (tmp_path / "file.part").write_bytes(CONTENT[:left])
    with serving(server) as address, pytest.raises(UserError, match=f"file has {length:,} bytes"):
        get(address, tmp_path / "file")
    assert len(server.requests) <= 2


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_refusal_is_final_and_named(tmp_path: Path, status: int) -> None:
    server = serve(status=status)
    with serving(server) as address, pytest.raises(UserError, match=f"the server answers {status}"):
        get(address, tmp_path / "file")
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_passing_trouble_is_tried_again(tmp_path: Path, status: int) -> None:
    with serving(serve(status=status, times=2)) as address:
        get(address, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_server_that_falls_silent_is_left_and_what_came_is_kept(tmp_path: Path) -> None:
    server = serve(hang_after=0)
    began = time.monotonic()
    with serving(server) as address, pytest.raises(UserError, match="timed out"):
        get(address, tmp_path / "file")
    assert time.monotonic() - began < 5
    assert len(server.requests) == 3

    with serving(serve(hang_after=200_000)) as address:
        get(address, tmp_path / "file")  # silence after progress: the next connection goes on
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_server_that_only_trickles_is_left_and_what_came_is_kept(tmp_path: Path) -> None:
    patience = Patience(silence_s=0.2, attempts=2, pause_s=0.01, slowest_bytes_per_s=1e9)
    began = time.monotonic()
    with serving(serve(drip_s=0.02)) as address, pytest.raises(UserError, match="too slow"):
        get(address, tmp_path / "file", patience=patience)
    assert time.monotonic() - began < 5
    assert (tmp_path / "file.part").stat().st_size > 1000


def test_nobody_there_is_a_clear_error(tmp_path: Path) -> None:
    with serving(serve()) as address:
        pass
    with pytest.raises(UserError, match=r"at 0 of 300,000 bytes .*refused.*Check the network"):
        get(address, tmp_path / "file")


def test_a_stop_ends_it_and_keeps_what_came(tmp_path: Path) -> None:
    stop = Event()
    with serving(serve()) as address, pytest.raises(Stopped):
        get(address, tmp_path / "file", stop=stop, progress=lambda have: have and stop.set())
    assert 0 < (tmp_path / "file.part").stat().st_size < len(CONTENT)
    assert CONTENT.startswith((tmp_path / "file.part").read_bytes())


def test_a_stop_does_not_wait_for_the_next_attempt(tmp_path: Path) -> None:
    stop = Event()
    Timer(0.1, stop.set).start()
    began = time.monotonic()
    with serving(serve(status=503)) as address, pytest.raises(Stopped):
        get(address, tmp_path / "file", stop=stop, patience=Patience(pause_s=60))
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "url", ["http://example.org/file", "ftp://example.org/file", "file:///etc/passwd", "x"]
)
def test_only_https_is_fetched(tmp_path: Path, url: str) -> None:
    with pytest.raises(UserError, match="only https"):
        download(url, tmp_path / "file", 1, SHA256, patience=SHORT)


def test_a_redirect_to_an_unsafe_address_is_refused(tmp_path: Path) -> None:
    for elsewhere in ("http://example.org/file", "ftp://example.org/file"):
        with (
            serving(serve(redirect=elsewhere)) as address,
            pytest.raises(UserError, match="only https"),
        ):
            get(address, tmp_path / "file")
