"""A folder of odd files through a whole run: each gets a clear record, none stops the others."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import soundfile

from nacbench import runner, suite
from nacbench.records import Record

RATE = 16000
SUITE = """
name: odd
version: 1
sources: [folder: {{path: {folder}}}]
conditions: [clean, noise: {{source: pink, snr_db: 10}}]
codecs: [pcm: {{bits: 8}}, opus: {{kbps: 12}}]
metrics: [si_sdr]
"""


def write_all(folder: Path) -> None:
    rng = np.random.default_rng(0)

    def speechlike(frames: int, channels: int = 1, rate: int = RATE) -> np.ndarray:
        slow = 1 + np.sin(2 * np.pi * 3 * np.arange(frames) / rate)
        return 0.1 * rng.standard_normal((frames, channels)) * slow[:, np.newaxis]

    def put(name: str, samples: np.ndarray, rate: int = RATE, subtype: str = "PCM_16") -> None:
        soundfile.write(folder / name, samples, rate, subtype=subtype)

    put("silent.wav", np.zeros((RATE, 1)))
    put("clipped.wav", np.clip(20 * speechlike(RATE), -1, 1))
    put("one_sample.wav", np.full((1, 1), 0.1))
    put("eight_channels.wav", speechlike(RATE, 8))
    put("eight_bit.wav", speechlike(RATE), subtype="PCM_U8")
    put("twenty_four_bit.flac", speechlike(RATE), subtype="PCM_24")
    put("at_192_khz.wav", speechlike(96000, 2, 192000), 192000)
    put("beyond_full_scale.wav", 30 * speechlike(RATE), subtype="FLOAT")
    put("empty.wav", np.zeros((0, 1)))
    (folder / "zero_bytes.wav").touch()
    (folder / "not_audio.wav").write_text("hello")
    for name, bad in (("nan.wav", np.nan), ("infinite.wav", np.inf)):
        samples = speechlike(RATE)
        samples[100] = bad
        put(name, samples, subtype="FLOAT")
    for suffix in ("wav", "flac"):
        put(f"whole.{suffix}", speechlike(RATE))
        content = (folder / f"whole.{suffix}").read_bytes()
        (folder / f"truncated.{suffix}").write_bytes(content[:9000])


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Mapping[tuple[str, str, str], Record]:
    folder = tmp_path_factory.mktemp("odd")
    (folder / "clips").mkdir()
    write_all(folder / "clips")
    (folder / "odd.yaml").write_text(SUITE.format(folder=folder / "clips"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NACBENCH_CACHE", str(folder / "cache"))
        table = runner.run(
            suite.load(folder / "odd.yaml"), out=folder / "out", workers=1, timing=False
        )
    return {
        (record.clip, record.condition.partition("(")[0], record.codec): record
        for record in table.records
    }


def test_every_file_has_a_record_for_every_condition_and_codec(
    records: Mapping[tuple[str, str, str], Record],
) -> None:
    assert len(records) == 17 * 2 * 2


@pytest.mark.parametrize(
    ("clip", "reason"),
    [
        ("empty.wav", "holds no samples"),
        ("zero_bytes.wav", "not readable as audio"),
        ("not_audio.wav", "not readable as audio"),
        ("nan.wav", "sample 100 (0.006 s) of channel 1 is nan"),
        ("infinite.wav", "sample 100 (0.006 s) of channel 1 is inf"),
        ("truncated.wav", "truncated: "),
        ("truncated.flac", "Is it truncated?"),
    ],
)
def test_a_broken_file_is_a_failed_record_with_its_reason(
    records: Mapping[tuple[str, str, str], Record], clip: str, reason: str
) -> None:
    for condition in ("clean", "noise"):
        for codec in ("pcm", "opus"):
            record = records[clip, condition, codec]
            assert record.failure is not None
            assert record.failure.startswith("load: ")
            assert reason in record.failure
            assert record.scores["si_sdr"].reason


@pytest.mark.parametrize(
    "clip",
    [
        "at_192_khz.wav",
        "beyond_full_scale.wav",
        "clipped.wav",
        "eight_bit.wav",
        "eight_channels.wav",
        "twenty_four_bit.flac",
        "whole.flac",
        "whole.wav",
    ],
)
def test_an_odd_but_sound_file_is_scored(
    records: Mapping[tuple[str, str, str], Record], clip: str
) -> None:
    for condition in ("clean", "noise"):
        for codec in ("pcm", "opus"):
            assert records[clip, condition, codec].failure is None
        pcm = records[clip, condition, "pcm"]
        # 8 bits: 6.02 dB each above a step's noise, less the signal's distance from full scale.
        assert pcm.scores["si_sdr"].value is not None
        assert pcm.scores["si_sdr"].value > 25


def test_silence_is_coded_but_has_neither_a_score_nor_an_snr(
    records: Mapping[tuple[str, str, str], Record],
) -> None:
    clean, noisy = (records["silent.wav", name, "opus"] for name in ("clean", "noise"))
    assert clean.failure is None
    assert clean.scores["si_sdr"].reason
    assert noisy.failure is not None
    assert "silent, so it has no SNR" in noisy.failure


def test_one_sample_is_coded_and_its_score_is_a_number_or_a_reason(
    records: Mapping[tuple[str, str, str], Record],
) -> None:
    for condition in ("clean", "noise"):
        record = records["one_sample.wav", condition, "pcm"]
        assert record.failure is None
        assert record.scores["si_sdr"].reason


def test_a_float_file_beyond_full_scale_is_attenuated_and_tagged(
    records: Mapping[tuple[str, str, str], Record],
) -> None:
    assert float(records["beyond_full_scale.wav", "clean", "pcm"].tags["attenuated_db"]) > 10
