"""EnCodec, DAC and Mimi on tiny random checkpoints in the official layout, without a network."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_checkpoints
from signals import voice

from nacbench import coding, devices
from nacbench.codecs import checkpoint, token_stream
from nacbench.codecs.dac import Dac
from nacbench.codecs.encodec import Encodec
from nacbench.codecs.mimi import Mimi
from nacbench.core import Bitstream, Clip
from nacbench.errors import CodecUnavailableError, DecodeError, UserError
from nacbench.testing import check_codec

pytest.importorskip("transformers")
MAKERS: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "encodec": ("encodec", tiny_checkpoints.encodec),
    "encodec_stereo": ("encodec", tiny_checkpoints.encodec_stereo),
    "dac": ("dac", tiny_checkpoints.dac),
    "mimi": ("mimi", tiny_checkpoints.mimi),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "encodec": {"kbps": 1.8},
    "encodec_stereo": {"kbps": 3.6},
    "dac": {"codebooks": 3},
    "mimi": {"codebooks": 3},
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("checkpoints")
    return {name: make(root / name) for name, (_, make) in MAKERS.items()}


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    yield


def build(folders: dict[str, Path], name: str, **options: Any) -> Any:
    chosen = options or OPTIONS[name]
    return coding.build(MAKERS[name][0], {"model": str(folders[name]), **chosen})


def peer(folders: dict[str, Path], name: str) -> Any:
    import transformers

    cls = {"encodec": "EncodecModel", "dac": "DacModel", "mimi": "MimiModel"}[MAKERS[name][0]]
    return getattr(transformers, cls).from_pretrained(folders[name]).eval()


def clip_for(codec: Any, seconds: float) -> Clip:
    rate, channels = codec.sample_rates_hz[0], codec.channels[0]
    mono = voice(seconds, rate).samples
    return Clip(np.concatenate([mono, mono[:, ::-1]])[:channels], rate)


@pytest.mark.slow
@pytest.mark.parametrize("name", MAKERS)
def test_each_keeps_the_contract(folders: dict[str, Path], name: str) -> None:
    report = check_codec(MAKERS[name][0], model=str(folders[name]), **OPTIONS[name])
    nominal = build(folders, name).nominal_kbps
    # Of a second: header, gains, and the frame that is only begun.
    assert report.measured["payload_kbps"] == pytest.approx(nominal, abs=0.2)


# Tokens and audio are those of the peer's own calls


@pytest.mark.parametrize("seconds", [0.41, 2.083])
def test_encodec_gives_the_tokens_and_the_audio_of_its_own_calls(
    folders: dict[str, Path], seconds: float
) -> None:
    import torch

    codec, model = build(folders, "encodec"), peer(folders, "encodec")
    clip = clip_for(codec, seconds)
    (stream,) = coding.encode(codec, clip)
    with torch.inference_mode():
        own = model.encode(torch.tensor(clip.samples)[None], bandwidth=1.8)
        audio = model.decode(own.audio_codes, [None]).audio_values[0, :, : clip.length]
    np.testing.assert_array_equal(codec.tokens(stream), own.audio_codes[0, 0])
    np.testing.assert_array_equal(codec.decode(stream).samples, audio)
    assert len(np.unique(codec.tokens(stream))) > 10  # a collapsed codebook would prove nothing


@pytest.mark.parametrize("seconds", [0.3, 1.0, 100_001 / 48_000, 2.99])
def test_encodec_at_48_khz_sends_chunks_and_gains_but_no_padding(
    folders: dict[str, Path], seconds: float
) -> None:
    import torch

    codec, model = build(folders, "encodec_stereo"), peer(folders, "encodec_stereo")
    clip = clip_for(codec, seconds)
    (stream,) = coding.encode(codec, clip)
    with torch.inference_mode():
        own = model.encode(torch.tensor(clip.samples)[None], bandwidth=3.6)
        pad = own.last_frame_pad_length
        audio = model.decode(own.audio_codes, own.audio_scales, last_frame_pad_length=pad)
    codes = own.audio_codes[:, 0].transpose(0, 1).flatten(1)  # chunk after chunk
    expected = codes[:, : codes.shape[1] - pad]
    np.testing.assert_array_equal(codec.tokens(stream), expected)
    np.testing.assert_array_equal(
        codec.decode(stream).samples, audio.audio_values[0, :, : clip.length]
    )
    chunks = -(-clip.length // 47_520)
    assert len(own.audio_scales) == chunks
    body = 4 * chunks + -(-expected.numel() * 6 // 8)
    assert 0 < len(stream.payload) - body <= 6  # the header


@pytest.mark.parametrize("length", [100, 15_992, 16_000, 16_001])
def test_dac_gives_the_tokens_of_its_own_calls_and_the_clip_s_length(
    folders: dict[str, Path], length: int
) -> None:
    import torch

    codec, model = build(folders, "dac"), peer(folders, "dac")
    clip = Clip(voice(1.1).samples[:, :length], 16_000)
    (stream,) = coding.encode(codec, clip)
    whole = np.pad(clip.samples, ((0, 0), (0, -length % 320)))
    with torch.inference_mode():
        own = model.encode(torch.tensor(whole)[None], n_quantizers=3)
        audio = model.decode(audio_codes=own.audio_codes).audio_values.numpy()
    np.testing.assert_array_equal(codec.tokens(stream), own.audio_codes[0])
    decoded = codec.decode(stream).samples
    assert decoded.shape == (1, length)
    common = min(length, audio.shape[1])
    np.testing.assert_array_equal(decoded[:, :common], audio[:, :common])


def test_mimi_gives_the_tokens_and_the_audio_of_its_own_calls(folders: dict[str, Path]) -> None:
    import torch

    codec, model = build(folders, "mimi"), peer(folders, "mimi")
    clip = clip_for(codec, 1.234)
    (stream,) = coding.encode(codec, clip)
    with torch.inference_mode():
        own = model.encode(torch.tensor(clip.samples)[None], num_quantizers=3).audio_codes
        audio = model.decode(own).audio_values[0, :, : clip.length]
    np.testing.assert_array_equal(codec.tokens(stream), own[0])
    np.testing.assert_array_equal(codec.decode(stream).samples, audio)
    assert codec.tokens(stream).shape == (3, 16)  # 12.5 frames a second, the last one begun


@pytest.mark.parametrize(
    ("name", "option", "values"),
    [("encodec", "kbps", (0.9, 1.8, 3.6)), ("dac", "codebooks", (1, 2, 3, 4)),
     ("mimi", "codebooks", (1, 2, 4, 6))],
)  # fmt: skip
def test_every_rate_is_an_operating_point_and_lower_ones_are_beginnings(
    folders: dict[str, Path], name: str, option: str, values: tuple[float, ...]
) -> None:
    codecs = [build(folders, name, **{option: value}) for value in values]
    clip = clip_for(codecs[0], 0.5)
    streams = [coding.encode(codec, clip)[0] for codec in codecs]
    best = codecs[-1].tokens(streams[-1])
    for codec, stream in zip(codecs, streams, strict=True):
        tokens = codec.tokens(stream)
        np.testing.assert_array_equal(tokens, best[: len(tokens)])
        measured = 8 * len(stream.payload) / clip.duration_s / 1000
        assert measured == pytest.approx(codec.nominal_kbps, abs=0.2)
    rates = [codec.nominal_kbps for codec in codecs]
    assert rates == sorted(set(rates))


# What may not happen


def test_a_payload_of_another_setting_is_refused(folders: dict[str, Path]) -> None:
    low, high = (build(folders, "dac", codebooks=n) for n in (1, 4))
    (stream,) = coding.encode(high, clip_for(high, 0.3))
    with pytest.raises(DecodeError, match="tokens for 4800 samples"):
        low.decode(stream)


def test_a_gain_that_is_not_finite_is_refused(folders: dict[str, Path]) -> None:
    codec = build(folders, "encodec_stereo")
    (stream,) = coding.encode(codec, clip_for(codec, 0.3))
    found = token_stream.unpack(stream.payload, codec._all_sizes, codec._side_bytes)
    for gain in (np.nan, np.inf, 1e9):
        side = np.array([gain], "<f4").tobytes()
        bad = token_stream.TokenStream(found.length, found.tokens, side)
        with pytest.raises(DecodeError, match="a gain is damaged"):
            codec.decode(Bitstream(token_stream.pack(bad, codec.codebook_sizes)))


def test_pickled_weights_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    import torch

    (tmp_path / "config.json").write_text((folders["dac"] / "config.json").read_text())
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"pytorch_model\.bin only.*refused.*model\.safetensors"):
        coding.build("dac", {"model": str(tmp_path)})


def test_weights_that_are_not_whole_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    """transformers would go on with random numbers in their place."""
    from safetensors.torch import load_file, save_file

    (tmp_path / "config.json").write_text((folders["dac"] / "config.json").read_text())
    state = load_file(folders["dac"] / "model.safetensors")
    state.pop("decoder.conv1.bias")
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    codec: Any = coding.build("dac", {"model": str(tmp_path)})
    with pytest.raises(UserError, match=r"lack 1 tensors: decoder\.conv1\.bias"):
        codec.encode(voice(0.1))


def test_a_model_of_another_kind_is_refused(folders: dict[str, Path]) -> None:
    with pytest.raises(UserError, match="is a model of type 'dac', not 'mimi'"):
        coding.build("mimi", {"model": str(folders["dac"])})


def test_a_config_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"")
    for text in ("{", "[]", '{"model_type": "dac", "downsampling_ratios": 7}'):
        (tmp_path / "config.json").write_text(text)
        checkpoint._config.cache_clear()
        with pytest.raises(UserError, match=r"config\.json"):
            coding.build("dac", {"model": str(tmp_path)})


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [("encodec", {"kbps": 2}, r"kbps must be one of 0\.9, 1\.8, 3\.6; got 2"),
     ("dac", {"codebooks": 5}, "codebooks must be from 1 to 4, got 5"),
     ("mimi", {"codebooks": 0}, "codebooks must be from 1 to 6, got 0")],
)  # fmt: skip
def test_a_setting_that_the_model_does_not_have_is_refused(
    folders: dict[str, Path], name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        build(folders, name, **options)


# Where weights come from, and what the record says of them


def test_what_is_not_in_the_hub_s_cache_is_said_with_the_way_to_get_it() -> None:
    with pytest.raises(CodecUnavailableError, match=r"hf download descript/dac_16khz .*--revision"):
        coding.build("dac", {"model": "16khz"})
    with pytest.raises(CodecUnavailableError, match=r"neither a folder, nor a hub id, nor one of"):
        coding.build("dac", {"model": "no such folder"})


def test_a_hub_id_stands_for_a_pinned_revision_in_the_cache(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    """In a process of its own: the hub's library reads its environment once."""
    commit = "89091b3e466eb6a9d11e537bf26b144f194978f7"
    snapshot = tmp_path / "models--kyutai--mimi" / "snapshots" / commit
    snapshot.mkdir(parents=True)
    for file in folders["mimi"].iterdir():
        (snapshot / file.name).symlink_to(file)
    (snapshot / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n")
    program = (
        "from nacbench import coding\n"
        "print(coding.build('mimi', {'codebooks': 2}).build_id())\n"
        "try: coding.build('mimi', {'revision': 'main'})\n"
        "except Exception as error: print(error)\n"
        "import os, pathlib\n"
        "refs = pathlib.Path(os.environ['HF_HUB_CACHE'], 'models--kyutai--mimi', 'refs')\n"
        f"refs.mkdir(); (refs / 'main').write_text('{commit}')\n"
        "print(coding.build('mimi', {'revision': 'main'}).build_id())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True,
        env={"HF_HUB_CACHE": str(tmp_path), "PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    found, refused, moving = done.stdout.splitlines()
    assert f"(kyutai/mimi@{commit[:7]}, cc-by-4.0)" in found
    assert "kyutai/mimi at 'main' is not in the hub's cache" in refused
    assert f"(kyutai/mimi@{commit[:7]}, revision main: not pinned, cc-by-4.0)" in moving


def test_every_published_checkpoint_is_pinned_to_a_commit_and_the_guide_names_it() -> None:
    guide = (Path(__file__).parents[1] / "docs" / "codecs.md").read_text("utf-8")
    for codec in (Encodec, Dac, Mimi):
        for name, published in codec.published.items():
            assert checkpoint.COMMIT.fullmatch(published.revision), (codec.name, name)
            assert f"{published.hub}@{published.revision[:7]}" in guide


def test_the_build_names_weights_by_their_content(folders: dict[str, Path], tmp_path: Path) -> None:
    from nacbench.identity import file_sha256

    weights = folders["dac"] / "model.safetensors"
    assert file_sha256(weights)[:12] in build(folders, "dac").build_id()
    assert "licence not stated" in build(folders, "dac").build_id()


HEAVY = ("torch", "transformers", "torchaudio", "ai_edge_litert", "onnxruntime", "nemo")


def test_nothing_heavy_is_imported_before_the_first_clip(folders: dict[str, Path]) -> None:
    """Nor by building every other codec that can be built without options."""
    program = (
        "import json, sys\nfrom nacbench import coding\nfrom nacbench.codecs import CODECS\n"
        "from nacbench.errors import UserError\n"
        "for name, options in json.loads(sys.argv[1]):\n"
        "    coding.build(name, options).build_id()\n"
        "for name in CODECS.names():\n"
        "    try: coding.build(name, {})\n"
        "    except UserError: pass\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    made = [[MAKERS[name][0], {"model": str(folder)}] for name, folder in folders.items()]
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(made)], capture_output=True, text=True,
        check=True, env={"PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    assert done.stdout == "[]\n"


# Batches


def test_chunks_in_batches_give_nearly_the_same_tokens(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = build(folders, "encodec_stereo")
    clip = clip_for(codec, 3.3)
    one = codec.tokens(coding.encode(codec, clip)[0])
    monkeypatch.setenv(devices.BATCH, "2")
    assert "batch 2" in codec.build_id()
    many = codec.tokens(coding.encode(codec, clip)[0])
    assert many.shape == one.shape
    assert (many == one).mean() > 0.99  # a sum in another order moves a token at a tie
