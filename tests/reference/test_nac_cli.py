"""The `nac` command: files, pipes, errors in one line, memory that does not grow."""

import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tiny

import reference_codec
from reference_codec import checkpoint

ROOT = Path(__file__).parents[2]
BFLOAT16 = ("--precision", "bfloat16")
SEED_FILE = ROOT.parent / "shared/data/seed_nac/8kn.nac"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    checkpoint.save(tiny.model("tiny-causal"), path)
    return path


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.wav"
    soundfile.write(path, tiny.music(1.0, 44_100, 2).T, 44_100)
    return path


def nac(*arguments: object, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    program = "from reference_codec.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        input=stdin, capture_output=True, cwd=ROOT,
    )  # fmt: skip


def test_a_file_goes_in_and_comes_back_with_its_rate_channels_and_length(
    model: Path, clip: Path, tmp_path: Path
) -> None:
    coded, out = tmp_path / "clip.nac", tmp_path / "out.flac"
    done = nac("encode", clip, coded, "--model", model, "--kbps", 1.2)
    assert (done.returncode, done.stderr) == (0, b"")
    done = nac("decode", coded, out, "--model", model)
    assert (done.returncode, done.stderr) == (0, b"")
    before, after = soundfile.info(clip), soundfile.info(out)
    assert (before.samplerate, before.channels, before.frames) == (
        after.samplerate, after.channels, after.frames,
    )  # fmt: skip
    described = nac("info", coded).stdout.decode()
    assert "tiny-causal" in described and "whole file:" in described and "bits" in described


def test_standard_input_and_output_work(model: Path, clip: Path) -> None:
    coded = nac("encode", "-", "-", "--model", model, stdin=clip.read_bytes())
    assert coded.returncode == 0, coded.stderr
    decoded = nac("decode", "-", "-", "--model", model, stdin=coded.stdout)
    samples, rate = soundfile.read(io.BytesIO(decoded.stdout))
    assert (rate, samples.shape) == (44_100, (44_100, 2))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("decode", "CLIP", "out.wav", "--model", "seanet-16k"), "not a .nac file"),
        (("encode", "nowhere.wav", "out.nac", "--model", "seanet-16k"), "no such file"),
        (("encode", "CLIP", "out.nac", "--model", "seanet-17k"), "Did you mean 'seanet-16k'"),
        (("encode", "CLIP", "no/such/out.nac", "--model", "MODEL"), "no such directory"),
        (("encode", "MODEL", "out.nac", "--model", "MODEL"), "not readable as audio"),
        (("encode", "CLIP", "out.nac", "--model", "MODEL", "--kbps", "0.1"), "below its lowest"),
        (("encode", "CLIP", "out.nac", "--model", "MODEL", "--coding", "neural"), "no neural"),
        (("encode", "CLIP", "out.nac", "--model", "EXPORT", *BFLOAT16), "Use --backend torch"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    arguments: tuple[str, ...], complaint: str, model: Path, clip: Path, tmp_path: Path
) -> None:
    places = {
        "CLIP": clip,
        "MODEL": model,
        "EXPORT": model.parent,
        "out.nac": tmp_path / "o.nac",
        "out.wav": tmp_path / "o",
    }
    done = nac(*[places.get(argument, argument) for argument in arguments])
    assert done.returncode == 2
    assert complaint in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1
    assert list(tmp_path.iterdir()) == [clip]  # nothing half-written stays


def test_encoding_with_an_export_starts_without_torch(model: Path, tmp_path: Path) -> None:
    """Importing PyTorch alone would take the second and a half that a start may last."""
    clip, folder, coded = tmp_path / "clip.wav", tmp_path / "model.onnx", tmp_path / "clip.nac"
    soundfile.write(clip, tiny.music(10.0, 16_000).T, 16_000)
    assert nac("export", model, folder).returncode == 0
    program = (
        "import sys\n"
        "from reference_codec.cli import nac\n"
        "nac.main(sys.argv[1:], standalone_mode=False)\n"
        "print(*sys.modules)\n"
    )
    call = [sys.executable, "-c", program, "encode", clip, coded, "--model", folder]
    done = subprocess.run(list(map(str, call)), capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert "onnxruntime" in loaded
    assert not loaded & {"torch", "onnx", "transformers", "nacbench", "pandas", "matplotlib"}
    assert coded.stat().st_size > 1000


def test_bfloat16_says_how_many_codes_it_changes(model: Path, clip: Path, tmp_path: Path) -> None:
    exact, rough = tmp_path / "exact.nac", tmp_path / "rough.nac"
    for coded, precision in ((exact, "float32"), (rough, "bfloat16")):
        done = nac("encode", clip, coded, "--model", model, "--precision", precision)
        assert done.returncode == 0, done.stderr
    said = re.fullmatch(
        r"bfloat16 changes ([\d.]+)% of the codes and ([\d.]+)% of the first codebook's "
        r"\(first 1\.0 s, beside float32\)\n",
        done.stderr.decode(),
    )
    assert said is not None
    codec = reference_codec.load(model)
    (_, ours), (_, theirs) = (codec.codes(file.read_bytes()) for file in (rough, exact))
    different = 100 * (ours != theirs)
    assert float(said[1]) == pytest.approx(different.mean(), abs=0.051)
    assert float(said[2]) == pytest.approx(different[:, 0].mean(), abs=0.051)
    assert 0 < different.mean() < 50
    assert nac("decode", rough, tmp_path / "out.wav", "--model", model).returncode == 0


def test_models_lists_presets_and_says_that_they_are_untrained() -> None:
    listed = nac("models").stdout.decode()
    assert "seanet-24k" in listed and "untrained" in listed


@pytest.mark.skipif(not SEED_FILE.exists(), reason="the founding project's file is not at hand")
def test_info_lists_the_codes_of_the_founding_projects_file() -> None:
    done = nac("info", SEED_FILE, "--codes")
    assert done.returncode == 0
    assert b"codes 0: 560 560 355 176" in done.stdout
    assert nac("decode", SEED_FILE, "-").returncode == 2


@pytest.mark.slow
@pytest.mark.timeout(1800)  # half a minute of processor time, which a busy machine may stretch
def test_two_hours_encode_and_decode_within_600_mb_above_the_model(tmp_path: Path) -> None:
    model = tmp_path / "spectral.safetensors"
    checkpoint.save(tiny.model("tiny-spectral"), model)
    long, short = tmp_path / "long.wav", tmp_path / "short.wav"
    noise = (3000 * np.random.default_rng(0).standard_normal(16_000 * 60)).astype(np.int16)
    with soundfile.SoundFile(long, "w", 16_000, 1, "PCM_16") as file:
        for _ in range(120):
            file.write(noise)
    soundfile.write(short, noise[:1600], 16_000)

    def peak_mb(*arguments: object) -> float:
        program = (
            "import resource, sys\n"
            "from reference_codec.cli import nac\n"
            "nac.main(sys.argv[1:], standalone_mode=False)\n"
            # KiB on Linux
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, *map(str, arguments)],
            capture_output=True, text=True, cwd=ROOT,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return float(done.stdout)

    coded, out = tmp_path / "long.nac", tmp_path / "long-out.wav"
    few = peak_mb("encode", short, tmp_path / "s.nac", "--model", model)
    assert peak_mb("encode", long, coded, "--model", model) - few < 600
    assert peak_mb("decode", coded, out, "--model", model) - few < 600
    assert soundfile.info(out).frames == 16_000 * 7200
