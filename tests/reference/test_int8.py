"""int8 exports: what they round, what they say of it, and that they remain a codec."""

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
import tiny
from click.testing import CliRunner

import reference_codec
from reference_codec import checkpoint, export, int8
from reference_codec.cli import nac
from reference_codec.errors import UserError
from reference_codec.plugin import Reference

FAST = ("tiny-causal", "tiny-spectral")
FAMILIES = [pytest.param(n, marks=[pytest.mark.slow] * (n not in FAST)) for n in tiny.CONFIGS]


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tiny-causal` as a checkpoint, as float32 and as int8; and the clip it was made with."""
    folder = tmp_path_factory.mktemp("exports")
    model = tiny.model("tiny-causal")
    checkpoint.save(model, folder / "tiny.safetensors")
    export.export(model, folder / "float32")
    soundfile.write(folder / "clip.wav", tiny.music(4.0, 16_000).T, 16_000, "FLOAT")
    call = ["export", "tiny.safetensors", "int8", "--precision", "int8", "--calibrate", "clip.wav"]
    places = [str(folder / word) if (folder / word).exists() else word for word in call]
    places[2] = str(folder / "int8")
    done = CliRunner().invoke(nac, places, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    (folder / "said").write_text(done.output, encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_codes_in_int8_much_as_in_float32(name: str, tmp_path: Path) -> None:
    config = tiny.CONFIGS[name]
    audio = tiny.music(4.0, config.sample_rate_hz, config.channels)
    paths, effect = int8.export(tiny.model(name), tmp_path, audio, config.sample_rate_hz)
    for path in paths:
        rounded = {node.op_type for node in onnx.load(path).graph.node}
        assert "DequantizeLinear" in rounded
    assert 0 < effect.changed < 0.9 and effect.changed_first <= effect.changed + 0.1
    assert effect.snr_db > 10
    assert effect.encode_speed > 0 and effect.decode_speed > 0


def test_the_effect_is_that_of_the_half_that_gave_no_ranges(exports: Path) -> None:
    said = (exports / "said").read_text(encoding="utf-8")
    found = re.search(
        r"int8 changes ([\d.]+)% of the codes and ([\d.]+)% of the first codebook's; "
        r"audio from the same codes is ([\d.]+) dB from float32's\n"
        r"processor time of float32 ÷ int8 here: encode [\d.]+, decode [\d.]+\n",
        said,
    )
    assert found is not None, said
    audio = tiny.music(4.0, 16_000)[:, 32_000:]
    exact, rough = (reference_codec.load(exports / name) for name in ("float32", "int8"))
    data = [codec.encode(audio, 16_000) for codec in (exact, rough)]
    ours, theirs = (exact.codes(each)[1] for each in data)  # a file of int8 is a file like any
    assert float(found[1]) == pytest.approx(100 * (ours != theirs).mean(), abs=0.051)
    assert float(found[2]) == pytest.approx(100 * (ours != theirs)[:, 0].mean(), abs=0.051)
    wanted, got = exact.decode(data[0])[0], rough.decode(data[0])[0]
    snr_db = 10 * np.log10(np.square(wanted).sum() / np.square(got - wanted).sum())
    assert float(found[3]) == pytest.approx(snr_db, abs=0.1)


def test_a_stream_in_int8_is_the_file_in_int8(exports: Path) -> None:
    """Ranges that were taken from each piece would give other codes for other pieces."""
    codec = reference_codec.load(exports / "int8")
    audio = tiny.music(2.0, 16_000)
    _, whole = codec.codes(codec.encode(audio, 16_000))
    encoder = codec.stream_encoder(16_000, block_s=0.3)
    data = b"".join(encoder.push(audio[:, at : at + 997]) for at in range(0, 32_000, 997))
    _, streamed = codec.codes(data + encoder.finish())
    assert np.array_equal(streamed, whole)


def test_encoding_with_it_repeats_what_it_changes(exports: Path, tmp_path: Path) -> None:
    coded, out = tmp_path / "clip.nac", tmp_path / "out.wav"
    call = ["encode", exports / "clip.wav", coded, "--model", exports / "int8"]
    done = CliRunner().invoke(nac, list(map(str, call)), catch_exceptions=False)
    effect = (exports / "said").read_text(encoding="utf-8").splitlines()[2]
    assert done.stderr == f"{effect} (measured when it was exported)\n"
    call = ["decode", coded, out, "--model", exports / "tiny.safetensors"]
    assert CliRunner().invoke(nac, list(map(str, call)), catch_exceptions=False).exit_code == 0
    assert soundfile.info(out).frames == 64_000


def test_the_bench_tells_precisions_of_the_same_weights_apart(exports: Path) -> None:
    exact, rough = (Reference(str(exports / name)).build_id() for name in ("float32", "int8"))
    assert rough == f"{exact} int8"


def test_layers_at_the_waveform_and_codebooks_stay_in_float32(exports: Path) -> None:
    graph = onnx.load(exports / "int8" / "encoder.onnx").graph
    kept = {w.name for w in graph.initializer if w.data_type == onnx.TensorProto.FLOAT}
    assert {"encoder.first.weight", "quantizer.vectors"} <= kept
    assert "encoder.last.weight" not in kept


def test_a_recording_is_needed_and_long_enough(exports: Path, tmp_path: Path) -> None:
    model = str(exports / "tiny.safetensors")
    for options in (["--precision", "int8"], ["--calibrate", model]):
        with pytest.raises(UserError, match="go together"):
            CliRunner().invoke(
                nac, ["export", model, str(tmp_path), *options],
                catch_exceptions=False, standalone_mode=False,
            )  # fmt: skip
    with pytest.raises(UserError, match="at least 2 s"):
        int8.export(tiny.model("tiny-causal"), tmp_path, tiny.music(1.0, 16_000), 16_000)
