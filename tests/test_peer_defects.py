"""Defects read in other harnesses' own code, each as a test that this bench passes.

Where they were read, with commits, is said at each test.
"""

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from signals import changed, sine, voice, with_noise
from tables import record

from nacbench import audio, coding, pairs
from nacbench.core import Bitstream, Clip, Score
from nacbench.leaderboard import leaderboard
from nacbench.metrics import METRICS
from nacbench.metrics.si_sdr import si_sdr
from nacbench.records import Record
from nacbench.results import ResultTable
from nacbench.scoring import Scorer
from nacbench.suspicions import suspicions

# Recipes whose weights are not there are tested with tiny ones, in the tests of their files.
QUALITY = [
    name
    for name in METRICS.names()
    if METRICS.get(name).higher_is_better is not None
    and not getattr(METRICS.get(name), "missing", bool)()
]
# An estimate without a reference promises no order; the pitch's error leaves noisy frames out.
JUDGED_BY_REFERENCE = [
    name
    for name in QUALITY
    if not getattr(METRICS.get(name), "reference_free", False) and name != "f0_error"
]


def table_of(records: list[Record]) -> ResultTable:
    metrics = {"pesq:wb": {"unit": "MOS", "higher_is_better": True}}
    return ResultTable(records, manifests={"example": {"metrics": metrics}})


def pesq(value: float | None) -> dict[str, Score]:
    return {"pesq:wb": Score(reason="no utterance detected") if value is None else Score(value)}


# Codec-SUPERB at cfccafc, scripts/update_leaderboard.py:12-103: rates from a hand-typed table
# ("Assumed 6kbps from 320d?", "Let's set 0.5 for now").


def test_the_rate_comes_from_the_bytes_whatever_the_label_says() -> None:
    labelled = record(nominal_kbps=0.5, payload_bytes=3750, duration_s=5.0, scores=pesq(3.0))
    table = table_of([labelled])
    board = leaderboard(table)
    assert board.sections[0].rows[0].payload_kbps == 6.0
    assert "asked for 0.5 kbps, wrote 6 kbps" in suspicions(table, board)[0].reason


def test_a_bitstream_has_no_field_in_which_a_rate_could_be_claimed() -> None:
    fields = set(Bitstream(b"").__dataclass_fields__)
    assert fields == {"payload", "packet_sizes", "container_bytes"}


# Codec-SUPERB, SoundCodec/metrics.py: PESQ's exception becomes 1.0, STOI's 0.0. VERSA at c398480,
# versa/utterance_metrics/pesq_score.py:98-102: 0.0, and averaged in.


def test_a_score_that_failed_moves_no_mean_and_stays_visible() -> None:
    values = [3.0, 3.2, None, 3.4]
    board = leaderboard(
        table_of([record(clip=f"c{i}", scores=pesq(v)) for i, v in enumerate(values)])
    )
    cell = board.sections[0].rows[0].cells["pesq:wb"]
    assert cell.mean == np.mean([3.0, 3.2, 3.4])
    assert (cell.n_ok, cell.n) == (3, 4)
    assert board.unscored[0].reason == "no utterance detected"


# Codec-SUPERB: failed items are filtered out and what is left is zipped with the full metadata, so
# that every later item gets its neighbour's category.


def test_a_failed_clip_does_not_shift_the_others_speakers() -> None:
    speakers = ["ann", "ann", "ben", "ben", "cy", "cy", "di", "di", "eve", "eve", "flo", "flo"]
    level = {"ann": 1.5, "ben": 2.0, "cy": 2.5, "di": 3.0, "eve": 3.5, "flo": 4.0}

    def interval(failed: set[int], listed: set[int]) -> tuple[Any, ...]:
        records = [
            record(
                clip=f"c{i}",
                tags={"speaker": name},
                scores=pesq(None if i in failed else level[name]),
            )
            for i, name in enumerate(speakers)
            if i in listed
        ]
        cell = leaderboard(table_of(records)).sections[0].rows[0].cells["pesq:wb"]
        return cell.mean, cell.low, cell.high

    everything = set(range(len(speakers)))
    assert interval({0}, everything) == interval(set(), everything - {0})


# Codec-SUPERB: sqcodec's mel distance grows from 3.47 to 4.08 between 0.75 and 12 kbps and is on
# the board without a word.


def test_a_codec_that_gets_worse_with_more_bits_is_pointed_out() -> None:
    rng = np.random.default_rng(0)
    records = [
        record(clip=f"c{i}", kbps=kbps, scores=pesq(value + rng.normal(scale=0.1)))
        for kbps, value in ((0.75, 2.6), (3.0, 2.3), (12.0, 1.9))
        for i in range(12)
    ]
    table = table_of(records)
    found = [r.reason for r in suspicions(table, leaderboard(table))]
    assert sum("gets worse with more bits" in reason for reason in found) == 2


# VERSA at c398480: a run in which a metric failed ends like any other; a truncated score set then
# reads like a complete one (ESPnet3 says so in its wrapper).


def test_a_codec_scored_on_fewer_clips_neither_wins_nor_looks_complete() -> None:
    full = [record(series="Full", clip=f"c{i}", scores=pesq(3.0 + i / 100)) for i in range(8)]
    partial = [record(series="Partial", clip=f"c{i}", scores=pesq(4.0)) for i in range(6)]
    board = leaderboard(table_of(full + partial))
    rows = {row.series: row for row in board.sections[0].rows}
    assert rows["Full"].cells["pesq:wb"].mark == "best"
    assert rows["Partial"].cells["pesq:wb"].mark == ""
    assert board.incomplete[0].reason == "6 of 8 clips were run"


# Codec-SUPERB at cfccafc, SoundCodec/base_codec/descript_audio_codec.py: a clip of 16 kHz is
# labelled 24 or 44.1 kHz and not resampled; the 44.1 kHz model then scores below that of 16 kHz.


class At44kHz:
    """Remembers what it was given."""

    name, version, sample_rates_hz = "at_44_khz", "1", (44_100,)

    def encode(self, clip: Clip) -> Bitstream:
        self.seen = clip
        return Bitstream(clip.samples.tobytes())

    def decode(self, bitstream: Bitstream) -> Clip:
        return Clip(np.frombuffer(bitstream.payload, np.float32), 44_100)


def pitch_hz(clip: Clip) -> float:
    spectrum = np.abs(np.fft.rfft(clip.samples[0]))
    return float(spectrum.argmax() / clip.duration_s)


def test_a_clip_on_its_way_to_a_codec_keeps_its_pitch_and_its_duration() -> None:
    tone, codec = sine(1000, seconds=1.0, sample_rate_hz=16_000), At44kHz()
    streams = coding.encode(codec, tone)
    assert codec.seen.duration_s == pytest.approx(tone.duration_s, abs=1 / 44_100)
    assert pitch_hz(codec.seen) == pytest.approx(1000, abs=1)
    decoded = coding.decode(At44kHz(), streams, tone)
    assert pitch_hz(decoded) == pytest.approx(1000, abs=1)
    assert si_sdr(tone.samples, decoded.samples[:, : tone.length]) > 40  # two soxr conversions


# Codec-SUPERB, git log 2025-12-30: "CRITICAL FIX: Deep copy entries before synthesis to prevent
# comparing audio with itself": the decoded audio was written into the reference.


def test_nobody_can_write_into_a_reference() -> None:
    recorded = voice().samples.copy()
    reference = Clip(recorded, 16_000)
    recorded[:] = 0  # the owner of the array reuses it
    assert reference.samples.any()
    with pytest.raises(ValueError, match="read-only"):
        reference.samples[:] = 0


# Codec-SUPERB, SoundCodec/metrics.py, and VERSA at c398480, pesq_score.py:98-102: an exception,
# even Ctrl-C, becomes 0.0 or 1.0. Audiocraft at 896ec7c, metrics/visqol.py: an empty result, 0.0.


@pytest.mark.parametrize(
    ("metric", "clip", "reason"),
    [
        ("pesq:wb", voice(0.2), "too short"),
        ("pesq:nb", changed(voice(), np.zeros((1, 48_000), np.float32)), "reference is silent"),
        ("stoi", voice(0.3), "too little speech"),
        ("visqol:audio", voice(0.3), "too short"),
        ("visqol:speech-lattice", voice(0.3), "too short"),
    ],
)
def test_what_cannot_be_scored_has_a_reason_and_no_number(
    metric: str, clip: Clip, reason: str
) -> None:
    score = Scorer([metric]).score(clip, clip)[metric]
    assert score.value is None
    assert reason in str(score.reason)


def test_ctrl_c_is_not_a_score(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: Any) -> float:
        raise KeyboardInterrupt

    monkeypatch.setattr(METRICS.get("snr"), "score", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Scorer(["snr"]).score(voice(), voice())


# Audiocraft at 896ec7c, solvers/compression.py:325: `visqol(y_pred, y, sr)` where the signature is
# (reference, degraded, sr).


@pytest.mark.parametrize("mode", ["wb", "nb"])
def test_pesq_is_told_which_is_the_reference(mode: str) -> None:
    library = pytest.importorskip("pesq")
    reference, decoded = voice(), with_noise(voice(), 5)
    right, swapped = (
        library.pesq(16_000, first.samples[0], second.samples[0], mode)
        for first, second in ((reference, decoded), (decoded, reference))
    )
    ours = Scorer([f"pesq:{mode}"]).score(reference, decoded)[f"pesq:{mode}"].value
    assert ours == pytest.approx(right, abs=1e-6)  # the library rounds float32 samples twice
    assert abs(right - swapped) > 0.01


@pytest.mark.usefixtures("one_openmp_thread")
def test_visqol_is_told_which_is_the_reference() -> None:
    api = pytest.importorskip("visqol.api").VisqolApi()
    api.create(mode="audio")
    reference = voice(2.0, 48_000)
    gap = reference.samples.copy()
    gap[:, 30_000:60_000] = 0
    decoded = changed(reference, gap)
    right = api.measure_from_arrays(reference.samples[0], decoded.samples[0], 48_000).moslqo
    swapped = api.measure_from_arrays(decoded.samples[0], reference.samples[0], 48_000).moslqo
    assert Scorer(["visqol:audio"]).score(reference, decoded)["visqol:audio"].value == right
    assert right != swapped


# VERSA at c398480, versa/scorer_shared.py:652: both signals go to the lower rate of the two, so
# what a band-limited codec has lost is not missed.


@pytest.mark.parametrize(
    ("metric", "least"), [("mel:dac", 1.0), ("lsd", 10.0), ("stft:nemo", 0.001)]
)
def test_audio_of_a_lower_rate_is_charged_for_the_band_it_lost(
    metric: str, least: float, tmp_path: Path
) -> None:
    reference = with_noise(voice(2.0, 48_000), 20)
    audio.write(tmp_path / "reference.wav", reference)
    audio.write(tmp_path / "decoded.wav", audio.at_rate(reference, 16_000))
    found = pairs.pair_up(tmp_path / "reference.wav", tmp_path / "decoded.wav")
    ((heard),) = pairs.score(found, [metric], workers=1)
    assert (heard.scores[metric].value or 0.0) > least  # 0 if compared at 16 kHz
    assert heard.notes == ("resampled 16000 -> 48000 Hz",)


# Descript Audio Codec at c7cfc5d, scripts/evaluate.py: SI-SDR comes out as a loss, negative (issue
# #72); the mel distance's parameters depend on whether `--args.load` was given.


def test_si_sdr_is_in_db_and_grows_with_quality() -> None:
    values = [
        si_sdr(voice().samples, with_noise(voice(), snr_db).samples) for snr_db in (0, 10, 30)
    ]
    assert values == pytest.approx([0, 10, 30], abs=0.2)
    assert METRICS.get("si_sdr").higher_is_better


@pytest.mark.parametrize("name", METRICS.names())
def test_a_recipe_has_nothing_to_set(name: str) -> None:
    metric = METRICS.get(name)
    in_its_name = {getattr(metric, "argument", None)}  # as the model in 'wer:MODEL'
    assert set(inspect.signature(metric).parameters) <= in_its_name


# AudioCodecBench at 91a1a7e: 50 clips are padded with zeros to the longest before STOI and PESQ; a
# ViSQOL model is loaded for every batch.


@pytest.mark.parametrize("name", QUALITY)
def test_a_score_does_not_depend_on_what_else_is_scored(name: str) -> None:
    short, long = voice(1.2), voice(2.5, seed=5)
    alone = Scorer([name]).score(short, with_noise(short, 15))[name]
    scorer = Scorer([name])
    scorer.score(long, with_noise(long, 15))
    among_others = scorer.score(short, with_noise(short, 15))[name]
    assert alone.ok
    assert alone == among_others


def test_a_model_is_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    mapper = pytest.importorskip("visqol.quality_mapper").SvrSimilarityToQualityMapper
    loaded = []
    load = mapper.init
    monkeypatch.setattr(mapper, "init", lambda self: loaded.append(self) or load(self))
    scorer = Scorer(["visqol:audio"])
    for seed in range(3):
        scorer.score(voice(1.0, seed=seed), with_noise(voice(1.0, seed=seed), 20))
    assert len(loaded) == 1


# Audiocraft at 896ec7c: SI-SNR is computed in segments of 5 s and only the first is used.


@pytest.mark.parametrize("name", JUDGED_BY_REFERENCE)
def test_damage_counts_wherever_it_is(name: str) -> None:
    reference = voice(6.0)
    width = reference.length // 20
    burst = 0.2 * np.random.default_rng(0).standard_normal(2 * width).astype(np.float32)
    scorer, sign = Scorer([name]), 1 if METRICS.get(name).higher_is_better else -1
    copy = scorer.score(reference, reference)[name].value
    for part in (0.1, 0.5, 0.9):
        at = round(part * reference.length)
        samples = reference.samples.copy()
        samples[:, at - width : at + width] += burst
        damaged = scorer.score(reference, changed(reference, samples))[name].value
        assert damaged is not None
        assert copy is not None
        assert sign * damaged < sign * copy, part
