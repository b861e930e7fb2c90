"""Lyra V2 on its published models, where they are at hand."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from signals import voice

from nacbench import audio, coding
from nacbench import suite as suites
from nacbench.codecs.lyra import DECODER, ENCODER, QUANTIZER, QUANTIZERS
from nacbench.core import Bitstream, Clip
from nacbench.errors import CodecUnavailableError, UserError
from nacbench.testing import check_codec

SHARED = Path(__file__).parents[1] / ".." / "shared"
WEIGHTS = SHARED / "weights" / "lyra"
SPEECH = SHARED / "data" / "speech_eval"
pytest.importorskip("ai_edge_litert")
needs_weights = pytest.mark.skipif(
    not WEIGHTS.is_dir(), reason="no weights of Lyra V2 in ../shared/weights"
)


def lyra(kbps: float = 6) -> Any:
    return coding.build("lyra", {"kbps": kbps, "weights": str(WEIGHTS)})


@needs_weights
@pytest.mark.parametrize("kbps", QUANTIZERS)
def test_it_keeps_the_contract(kbps: float) -> None:
    report = check_codec("lyra", kbps=kbps, weights=str(WEIGHTS))
    assert report.measured["payload_kbps"] == pytest.approx(kbps, rel=0.03)


@needs_weights
@pytest.mark.parametrize(("kbps", "frame_bytes"), [(3.2, 8), (6, 15), (9.2, 23)])
def test_every_20_ms_take_four_bits_a_codebook(kbps: float, frame_bytes: int) -> None:
    (stream,) = coding.encode(lyra(kbps), voice(1.0))
    assert stream.packet_sizes == (2, *[frame_bytes] * 50)  # 2: the length


@needs_weights
def test_the_tokens_are_those_of_the_models_called_by_hand() -> None:
    from ai_edge_litert.interpreter import Interpreter

    clip = voice(0.4)
    codec = lyra(6)
    (stream,) = coding.encode(codec, clip)
    encoder = Interpreter(str(WEIGHTS / ENCODER)).get_signature_runner()
    quantizer = Interpreter(str(WEIGHTS / QUANTIZER))
    decoder = Interpreter(str(WEIGHTS / DECODER)).get_signature_runner()
    tokens, speech = [], []
    for frame in clip.samples.reshape(-1, 1, 320):
        features = encoder(input_audio=frame)["output_0"]
        indices = quantizer.get_signature_runner("encode")(
            input_frames=features, num_quantizers=np.int32(30)
        )["output_0"]
        tokens.append(indices[:30, 0, 0])
        lossy = quantizer.get_signature_runner("decode")(encoding_indices=indices)["output_0"]
        speech.append(decoder(input_audio=lossy)["output_0"][0])
    np.testing.assert_array_equal(codec.tokens(stream), np.transpose(tokens))
    np.testing.assert_array_equal(
        lyra(6).decode(stream).samples[0], np.clip(np.concatenate(speech), -1, 1)
    )


@needs_weights
def test_every_clip_begins_in_the_state_of_a_new_call() -> None:
    """Which `reset_all_variables` would not bring back."""
    one, other = voice(0.3), Clip(voice(0.3).samples[:, ::-1], 16_000)
    codec = lyra()
    first = [coding.encode(codec, clip)[0].payload for clip in (one, other, one)]
    assert first[0] == first[2] == coding.encode(lyra(), one)[0].payload
    assert first[1] == coding.encode(lyra(), other)[0].payload


@needs_weights
def test_a_lost_frame_costs_itself_and_keeps_the_length() -> None:
    clip = voice(1.0)
    (stream,) = coding.encode(lyra(), clip)
    whole = lyra().decode(stream).samples[0]
    loudest = int(np.argmax(np.square(whole.reshape(-1, 320)).sum(axis=1)))
    packets = stream.packets()
    packets[1 + loudest] = b""
    damaged = Bitstream(b"".join(packets), tuple(map(len, packets)))
    concealed = lyra().decode(damaged).samples[0]
    assert concealed.shape == whole.shape
    np.testing.assert_array_equal(whole[: loudest * 320], concealed[: loudest * 320])
    lost = slice(loudest * 320, (loudest + 1) * 320)
    assert not np.array_equal(whole[lost], concealed[lost])
    assert np.abs(concealed[lost]).max() > 0.3 * np.abs(whole[lost]).max()


@needs_weights
def test_the_record_tells_weights_origin_and_licence(tmp_path: Path) -> None:
    build_id = lyra().build_id()
    assert "google/lyra@47698da, Apache-2.0" in build_id
    shutil.copytree(WEIGHTS, tmp_path / "mine", copy_function=shutil.copyfile)
    with (tmp_path / "mine" / QUANTIZER).open("ab") as file:
        file.write(b"\0")
    foreign = coding.build("lyra", {"weights": str(tmp_path / "mine")})
    assert "not as published" in foreign.build_id()  # type: ignore[attr-defined]


@needs_weights
def test_weights_are_found_beside_a_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    shutil.copytree(WEIGHTS, tmp_path / "weights" / "lyra", copy_function=shutil.copyfile)
    monkeypatch.setenv("NACBENCH_DATA", str(tmp_path / "data"))
    assert "Apache-2.0" in coding.build("lyra", {}).build_id()  # type: ignore[attr-defined]


def test_without_weights_it_is_skipped_with_the_way_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NACBENCH_CACHE", str(tmp_path))
    monkeypatch.delenv("NACBENCH_DATA", raising=False)
    with pytest.raises(CodecUnavailableError, match=r"nacbench data fetch lyra.*Apache-2\.0"):
        coding.build("lyra", {})
    skipped = {point.codec: reason for point, reason in suites.load("real/speech").skipped}
    assert "nacbench data fetch lyra" in skipped["lyra"]


def test_a_rate_that_lyra_does_not_have_is_refused() -> None:
    with pytest.raises(UserError, match=r"kbps must be one of 3\.2, 6 and 9\.2, got 8"):
        coding.build("lyra", {"kbps": 8})


# PESQ-WB and STOI, means over the 27 recordings, of an independent harness around the same models.
ANCHORS = {3.2: (2.45, 0.897), 6.0: (3.03, 0.926), 9.2: (3.23, 0.937)}
ROUNDING = (0.0051, 0.00051)  # half a unit of the last digit that the anchors have


@needs_weights
@pytest.mark.slow
@pytest.mark.skipif(not SPEECH.is_dir(), reason="no recordings in ../shared/data")
@pytest.mark.parametrize("kbps", ANCHORS)
def test_the_scores_on_recordings_are_those_measured_elsewhere(kbps: float) -> None:
    from nacbench.alignment import align
    from nacbench.scoring import Scorer

    scorer = Scorer(("pesq:wb", "stoi"))
    found = []
    for path in sorted(SPEECH.glob("**/*.flac")):
        clip = audio.at_rate(audio.read(path), 16_000)
        decoded = coding.decode(lyra(kbps), coding.encode(lyra(kbps), clip), clip)
        scores = scorer.score(clip, align(clip, decoded)[0])
        found.append([scores["pesq:wb"].value, scores["stoi"].value])
    assert len(found) == 27
    means = np.mean(np.array(found, float), axis=0)
    assert np.all(np.abs(means - ANCHORS[kbps]) <= ROUNDING), means
