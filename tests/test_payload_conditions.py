"""Loss, bit errors and truncation: closed forms, determinism, and codecs that meet them."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from signals import noise, voice

from nacbench import alignment, coding, conditions
from nacbench.conditions.payload import BitErrors, Loss, Truncation
from nacbench.core import Bitstream, Clip
from nacbench.errors import DecodeError, UserError
from nacbench.metrics import METRICS
from nacbench.runner import run

PACKETS = 200_000
# Four standard errors. Of a share p over n independent packets: sqrt(p (1 - p) / n); in bursts of
# mean length b neighbours are correlated and it grows by at most sqrt(2 b). Of a mean over runs of
# geometric length b: sqrt(b (b - 1) / runs).
SIGMAS = 4.0


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def stream(packets: int = 100, size: int = 40) -> Bitstream:
    payload = rng(9).bytes(5 + packets * size)
    return Bitstream(payload, (5, *[size] * packets), len(payload) + 300)


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.5])
def test_bernoulli_loses_its_share_in_runs_of_mean_length_one_over_one_minus_rate(
    rate: float,
) -> None:
    lost = Loss(rate).lost(PACKETS, rng())
    assert abs(lost.mean() - rate) < SIGMAS * np.sqrt(rate * (1 - rate) / PACKETS)
    lengths = runs(lost)
    expected = 1 / (1 - rate)
    error = np.sqrt(expected * (expected - 1) / len(lengths))
    assert abs(np.mean(lengths) - expected) < SIGMAS * error


@pytest.mark.parametrize(("rate", "burst"), [(0.03, 2.0), (0.1, 3.0), (0.1, 10.0), (0.3, 1.5)])
def test_gilbert_loses_its_share_in_runs_of_the_mean_burst_length(
    rate: float, burst: float
) -> None:
    lost = Loss(rate, burst=burst).lost(PACKETS, rng())
    error = np.sqrt(rate * (1 - rate) / PACKETS * 2 * burst)
    assert abs(lost.mean() - rate) < SIGMAS * error
    lengths = runs(lost)
    error = np.sqrt(burst * (burst - 1) / len(lengths))
    assert abs(np.mean(lengths) - burst) < SIGMAS * error


def test_elliott_loses_its_share_and_is_correlated_as_the_chain_is() -> None:
    """Covariance of neighbours: pi (1 - pi) (in - between)^2 (1 - 1/burst - enter)."""
    rate, burst, inside, between = 0.08, 8.0, 0.6, 0.02
    lost = Loss(rate, burst, inside, between).lost(PACKETS, rng()).astype(float)
    bad = (rate - between) / (inside - between)
    memory = 1 - 1 / burst - bad / (1 - bad) / burst
    assert abs(lost.mean() - rate) < SIGMAS * np.sqrt(rate * (1 - rate) / PACKETS * 2 * burst)
    expected = bad * (1 - bad) * (inside - between) ** 2 * memory
    measured = np.mean((lost[1:] - rate) * (lost[:-1] - rate))
    assert measured == pytest.approx(expected, rel=0.1)


def runs(lost: np.ndarray) -> list[int]:
    return [sum(1 for _ in group) for value, group in itertools.groupby(lost) if value]


def test_a_higher_rate_loses_the_same_packets_and_more() -> None:
    few, many = (Loss(rate).lost(1000, rng()) for rate in (0.03, 0.1))
    assert few.sum() < many.sum()
    assert (many | ~few).all()


def test_lost_packets_keep_their_place_and_the_set_up_always_arrives() -> None:
    sent = stream()
    arrived = Loss(1.0).damage(sent, rng())
    assert arrived.packet_sizes == (5, *[0] * 100)
    assert arrived.payload == sent.payload[:5]
    assert arrived.container_bytes == sent.container_bytes


def test_bit_errors_come_at_their_rate_and_leave_the_set_up_alone() -> None:
    sent = stream(packets=500, size=100)
    rate = 1e-2
    arrived = BitErrors(rate).damage(sent, rng())
    assert arrived.packet_sizes == sent.packet_sizes
    assert arrived.payload[:5] == sent.payload[:5]
    before, after = (np.frombuffer(s.payload[5:], np.uint8) for s in (sent, arrived))
    bits = 8 * before.size
    wrong = np.unpackbits(before ^ after).sum() / bits
    assert abs(wrong - rate) < SIGMAS * np.sqrt(rate * (1 - rate) / bits)


def test_truncation_keeps_the_packets_that_fit_into_its_share_of_the_bytes() -> None:
    arrived = Truncation(0.25).damage(stream(packets=10, size=30), rng())
    assert arrived.packet_sizes == (5, 30, 30, 0, 0, 0, 0, 0, 0, 0, 0)


@pytest.mark.parametrize("spec", [{"loss": {"rate": 0}}, {"bit_errors": {"rate": 0}},
                                  {"truncation": {"kept": 1}}, "clean"])  # fmt: skip
def test_no_damage_is_the_same_stream(spec: object) -> None:
    sent = (stream(), stream(50))
    assert conditions.build(spec).damage(sent, "clip", 0) == sent  # type: ignore[arg-type]


def test_damage_is_drawn_by_clip_and_seed_and_is_the_same_for_both_channels() -> None:
    condition = conditions.build({"loss": {"rate": 0.2, "burst": 2}})
    sent = (stream(), stream())
    left, right = condition.damage(sent, "clip", 0)
    assert left == right == condition.damage(sent, "clip", 0)[0]
    assert left != condition.damage(sent, "clip", 1)[0]
    assert left != condition.damage(sent, "other", 0)[0]


def test_noise_and_loss_chain_and_share_the_noisy_clip_with_noise_alone() -> None:
    pink = {"noise": {"source": "pink", "snr_db": 10}}
    both = conditions.build([pink, {"loss": {"rate": 0.03}}])
    alone = conditions.build(pink)
    clip = voice(1.0)
    assert both.name == "noise(pink, 10 dB) + loss(3 %)"
    np.testing.assert_array_equal(both.apply(clip, 3).samples, alone.apply(clip, 3).samples)
    assert conditions.build({"loss": {"rate": 0.1}}).apply(clip, 3) is clip


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"loss": {"rate": 1.5}}, "rate must lie in 0…1"),
        ({"loss": {"rate": 0.5, "burst": 0.5}}, "burst must be at least 1 packets"),
        ({"loss": {"rate": 0.9, "burst": 2}}, "burst must be at least 9 packets"),
        ({"loss": {"rate": 0.1, "in_burst": 0.5}}, "give burst too"),
        ({"loss": {"rate": 0.6, "burst": 3, "in_burst": 0.5}}, "outside 0…0.5"),
        ({"bit_errors": {"rate": 0.6}}, "0…0.5"),
        ({"truncation": {"kept": -1}}, "kept must lie in 0…1"),
        ({"losss": {"rate": 0.1}}, "Did you mean 'loss'"),
        ([{"loss": {"rate": 0.1}}, {"level": {"db": 3}}], "List 'level' first"),
        ([{"loss": {"rate": 0.1}}, {"loss": {"rate": 0.2}}], "given twice"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(spec: object, says: str) -> None:
    with pytest.raises(UserError, match=says):
        conditions.build(spec)  # type: ignore[arg-type]


def test_a_codec_without_packets_has_none_to_lose() -> None:
    condition = conditions.build({"loss": {"rate": 0.1}})
    with pytest.raises(DecodeError, match="declares no packets"):
        condition.damage((Bitstream(b"payload"),), "clip", 0)


CONCEALING = [
    ("opus", {"kbps": 16, "application": "voip"}),
    ("opus", {"kbps": 32, "frame_ms": 60, "application": "audio"}),
    ("lc3", {"kbps": 32}),
    ("amr_nb", {"kbps": 12.2}),
    ("amr_wb", {"kbps": 12.65}),
    ("speex", {"quality": 6}),
]


def decoded(codec: str, options: dict[str, object], clip: Clip, spec: object) -> Clip:
    built = coding.build(codec, options)
    streams = conditions.build(spec).damage(coding.encode(built, clip), clip.id, 0)  # type: ignore[arg-type]
    return coding.decode(coding.build(codec, options), streams, clip)


@pytest.mark.parametrize(("codec", "options"), CONCEALING)
def test_a_concealing_codec_keeps_the_length_and_gets_worse_with_loss(
    codec: str, options: dict[str, object]
) -> None:
    if reason := coding.missing(codec):
        pytest.skip(reason)
    clip = voice(4.0)
    metric = METRICS.get("mel:dac")()
    whole = decoded(codec, options, clip, "clean")
    distances = []
    for rate in (0, 0.1, 0.3, 0.8):
        heard = decoded(codec, options, clip, {"loss": {"rate": rate}})
        assert heard.length == whole.length
        if rate == 0:
            np.testing.assert_array_equal(heard.samples, whole.samples)
        aligned, _ = alignment.align(clip, heard)
        distances.append(metric.score(metric.prepare(clip), aligned))
    assert distances == sorted(distances)
    assert len(set(distances)) == len(distances)


@pytest.mark.parametrize(("codec", "options"), CONCEALING)
def test_concealment_begins_where_the_loss_does(codec: str, options: dict[str, object]) -> None:
    """Nothing moves: what came before the first lost packet is untouched."""
    if reason := coding.missing(codec):
        pytest.skip(reason)
    clip = voice(2.0)
    built = coding.build(codec, options)
    (sent,) = coding.encode(built, clip)
    packets = sent.packets()
    middle = len(packets) // 2
    packets[middle] = b""
    arrived = Bitstream(b"".join(packets), tuple(map(len, packets)))
    whole, holed = (coding.decode(built, (s,), clip).samples[0] for s in (sent, arrived))
    changed = np.flatnonzero(whole != holed)
    # Resampling to the clip's rate and the overlap of frames reach a little ahead: 30 ms.
    first = (middle - 1) / (len(packets) - 1) * whole.size - 0.03 * clip.sample_rate_hz
    assert changed.size and changed[0] >= first


@pytest.mark.parametrize("codec", ["codec2", "g711", "mp3", "aac"])
def test_a_codec_without_concealment_says_so(codec: str) -> None:
    if reason := coding.missing(codec):
        pytest.skip(reason)
    with pytest.raises(DecodeError, match=r"is lost, and .* conceals no losses"):
        decoded(codec, {}, voice(1.0), {"loss": {"rate": 0.3}})


@pytest.mark.parametrize(("codec", "options"), CONCEALING)
@pytest.mark.parametrize("rate", [1e-3, 0.05])
def test_bit_errors_and_truncation_never_crash_a_decoder(
    codec: str, options: dict[str, object], rate: float
) -> None:
    if reason := coding.missing(codec):
        pytest.skip(reason)
    for spec in ({"bit_errors": {"rate": rate}}, {"truncation": {"kept": 0.37}}):
        try:
            heard = decoded(codec, options, noise(1.0), spec)
        except DecodeError as error:
            assert str(error)
        else:
            assert np.isfinite(heard.samples).all()


def test_nothing_arrived_is_a_reason_or_silence() -> None:
    clip = voice(1.0)
    with pytest.raises(DecodeError, match="no packet arrived"):
        decoded("opus", {"kbps": 16}, clip, {"loss": {"rate": 1}})
    if not coding.missing("lc3"):
        silence = decoded("lc3", {"kbps": 32}, clip, {"loss": {"rate": 1}})
        assert not silence.samples.any()


def test_the_ones_that_stand_for_a_lost_lc3_frame_are_concealed_as_a_null_frame_is() -> None:
    """liblc3 conceals when it is given no data at all; its binding cannot, so call past it."""
    lc3 = pytest.importorskip("lc3")
    import ctypes

    from nacbench.codecs.lc3 import FRAMES_MS, LOST, Lc3

    for frame_ms, rate in itertools.product(FRAMES_MS, Lc3.sample_rates_hz):
        kbps = {2.5: 128, 5: 96}.get(frame_ms, 64)
        packets = Lc3(kbps, frame_ms).encode(voice(0.3, rate)).packets()[1:6]
        outputs = []
        for null in (False, True):
            decoder = lc3.Decoder(round(frame_ms * 1000), rate)
            for packet in packets:
                decoder.decode(packet)
            pcm = (ctypes.c_float * decoder.get_frame_samples())()
            if null:
                state = decoder._Decoder__decoders[0]
                assert decoder.lib.lc3_decode(state, None, 0, 3, pcm, 1) == 1
                outputs.append(np.frombuffer(pcm, np.float32))
            else:
                outputs.append(np.asarray(decoder.decode(LOST), np.float32))
        np.testing.assert_array_equal(*outputs)


def test_a_run_codes_each_clip_once_and_judges_what_arrives(tmp_path: Path) -> None:
    suite = tmp_path / "lossy.yaml"
    suite.write_text(
        "name: lossy\nversion: 1\nsources: [embedded:speech]\nmetrics: [mel_distance]\n"
        "conditions: [clean, loss: {rate: 0}, loss: {rate: 0.3}, truncation: {kept: 0.9}]\n"
        "codecs: [opus: {kbps: 16}, codec2: {kbps: 3.2}]\n"
    )
    table = run(
        suite, limit=1, workers=0, out=tmp_path / "out", cache=tmp_path / "cache", timing=False
    )
    found = {(record.codec, record.condition): record for record in table.records}
    clean, none, some = (found["opus", name] for name in ("clean", "loss(0 %)", "loss(30 %)"))
    assert clean.hashes == none.hashes and clean.scores == none.scores
    assert some.hashes["payload"] == clean.hashes["payload"]
    assert some.hashes["reference"] == clean.hashes["reference"]
    assert some.hashes["decoded"] != clean.hashes["decoded"]
    assert some.payload_bytes == clean.payload_bytes  # what was sent
    assert clean.notes == () and none.notes[-1].startswith("all ")
    assert re.fullmatch(r"\d+ of \d+ packets lost", some.notes[-1])
    if not coding.missing("codec2"):
        failed = found["codec2", "loss(30 %)"]
        assert failed.failure and "conceals no losses" in failed.failure
        assert {score.reason for score in failed.scores.values()} == {failed.failure}
    streams = [path for path in (tmp_path / "cache").rglob("*") if "bitstream" in str(path)]
    assert sum(path.is_file() for path in streams) == len({codec for codec, _ in found})
