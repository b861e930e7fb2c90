"""The suites that come with the project: valid, honest about what they are, and complete."""

import pytest

from nacbench import suite as suites
from nacbench.codecs import CODECS

ANCHORS = {"pcm(bits=8)", "lowpass(hz=3500)", "lowpass(hz=7000)"}
EMBEDDED = ("speech", "noisy_speech", "music", "ci")
RECORDED = ("real/speech", "real/noisy_speech", "real/music", "mls", "daps")
LEADERBOARDS = ("speech", "noisy_speech", "music", "real/speech", "real/noisy_speech", "real/music")


def test_all_of_them_are_listed() -> None:
    assert {*EMBEDDED, *RECORDED} <= set(suites.names())


@pytest.mark.parametrize("name", suites.names())
def test_each_is_valid(name: str) -> None:
    suite = suites.load(name)
    assert suite.metrics
    assert suite.title != suite.name


def test_no_two_of_them_write_into_one_folder() -> None:
    names = [suites.load(name).name for name in suites.names()]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("name", EMBEDDED)
def test_those_of_the_pack_say_that_they_are_synthetic_and_find_their_clips(name: str) -> None:
    suite = suites.load(name)
    assert suite.synthetic
    assert suite.clips()


@pytest.mark.parametrize("name", RECORDED)
def test_those_of_recordings_do_not(name: str) -> None:
    assert not suites.load(name).synthetic


@pytest.mark.parametrize("name", LEADERBOARDS)
def test_a_leaderboard_has_ten_codecs_and_the_anchors(name: str) -> None:
    suite = suites.load(name)
    points = [*suite.points, *(point for point, _ in suite.skipped)]
    anchors = {point.codec for point in points if point.key in ANCHORS}
    assert {point.key for point in points} >= ANCHORS
    assert len({point.codec for point in points} - anchors) >= 10


def test_speech_has_35_operating_points() -> None:
    suite = suites.load("speech")
    assert len(suite.points) + len(suite.skipped) >= 35


@pytest.mark.parametrize("name", [name for name in suites.names() if name != "ci"])
def test_no_suite_runs_a_codec_with_random_weights(name: str) -> None:
    """But for `ci`, whose gate watches that the machinery of our own stays as it is."""
    for point in suites.load(name).points:
        assert not getattr(CODECS.get(point.codec)(**point.options), "untrained", False), point


@pytest.mark.parametrize("name", ["speech", "noisy_speech", "music"])
def test_a_suite_and_its_twin_on_recordings_compare_the_same(name: str) -> None:
    own, recorded = suites.load(name), suites.load(f"real/{name}")
    assert own.points == recorded.points
    # What was trained on recordings is asked about recordings only.
    assert set(own.metrics) <= set(recorded.metrics)
    assert [name for name in recorded.metrics if name in own.metrics] == list(own.metrics)
