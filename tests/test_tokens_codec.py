"""Token models of users, the guide's examples among them, and NVIDIA's archives."""

import io
import re
import sys
import tarfile
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_checkpoints
import yaml
from numpy.typing import NDArray
from signals import voice

from nacbench import coding
from nacbench.codecs import nemo, token_stream, tokens
from nacbench.core import Bitstream, Clip
from nacbench.errors import CodecUnavailableError, DecodeError, UserError
from nacbench.testing import check_codec

GUIDE = (Path(__file__).parents[1] / "docs" / "adding-a-codec.md").read_text("utf-8")


class SignAndSize:
    """Two codebooks per sample pair at 8 kHz: coarse, and what is left."""

    sample_rate_hz, frame_rate = 8000, 8000.0
    codebook_sizes = (16, 10)
    version, licence = "3", "CC0-1.0"

    def __init__(self, device: str = "cpu", gain: float = 1.0) -> None:
        self.device, self.gain = device, gain

    def encode(self, samples: NDArray[np.float32]) -> NDArray[np.int64]:
        level = (samples[0].clip(-1, 1) * self.gain + 1) / 2
        coarse = np.minimum((level * 16).astype(np.int64), 15)
        return np.stack([coarse, np.clip((level * 16 - coarse) * 10, 0, 9).astype(np.int64)])

    def decode(self, found: NDArray[np.int64]) -> NDArray[np.float64]:
        fine = (found[1] + 0.5) / 10 if len(found) > 1 else 0.5
        return ((found[0] + fine) / 16 * 2 - 1) / self.gain


HERE = f"{__name__}:SignAndSize"


def test_a_class_with_two_calls_keeps_the_contract_of_a_codec() -> None:
    report = check_codec("tokens", model=HERE)
    assert report.measured["payload_kbps"] == pytest.approx(64, rel=0.01)  # 4 + 4 bits
    assert report.measured["correlation"] > 0.98  # the check's clip is beyond full scale


def test_fewer_codebooks_are_another_operating_point() -> None:
    clip = voice(0.5, 8000)
    errors, sizes = [], []
    for count in (1, 2):
        codec = coding.build("tokens", {"model": HERE, "codebooks": count})
        (stream,) = coding.encode(codec, clip)
        decoded = coding.decode(codec, (stream,), clip)
        errors.append(float(np.square(decoded.samples - clip.samples).mean()))
        sizes.append(len(stream.payload))
    assert errors[1] < errors[0] / 50
    assert sizes[1] - sizes[0] == 2000  # four bits more per sample


def test_settings_and_device_reach_the_class() -> None:
    codec: Any = coding.build("tokens", {"model": HERE, "settings": {"gain": 0.5}})
    model = codec._model("cpu")
    assert (model.gain, model.device) == (0.5, "cpu")
    assert codec._model("cpu") is model
    with pytest.raises(UserError, match=r"settings do not fit: .*'gian'"):
        coding.build("tokens", {"model": HERE, "settings": {"gian": 0.5}})


def test_the_build_names_version_source_licence_and_weights(tmp_path: Path) -> None:
    codec: Any = coding.build("tokens", {"model": HERE})
    assert re.fullmatch(
        r"SignAndSize 3 test_tokens_codec\.py [0-9a-f]{12} CC0-1\.0", codec.build_id()
    )
    (tmp_path / "weights.bin").write_bytes(b"w")

    class Weighed(SignAndSize):
        @staticmethod
        def weights(gain: float = 1.0) -> list[str]:
            return [str(tmp_path / "weights.bin")]

    codec._class = Weighed
    assert "weights weights.bin 50e721e49c01" in codec.build_id()
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(CodecUnavailableError, match="no such file of weights"):
        codec.build_id()


def made(**attributes: Any) -> type:
    return type("Made", (SignAndSize,), attributes)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"codebook_sizes": ()}, "positive whole numbers"),
        ({"codebook_sizes": (1024, 1)}, "positive whole numbers"),
        ({"sample_rate_hz": 16e3}, "positive whole numbers"),
        ({"frame_rate": 0}, "frame_rate must be positive"),
        ({"missing": staticmethod(lambda: "needs its weights")}, "needs its weights"),
    ],
)
def test_a_class_that_says_too_little_or_nonsense_is_refused(
    attributes: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(tokens.TOKEN_MODELS._added, "made", made(**attributes))
    with pytest.raises(UserError, match=message):
        coding.build("tokens", {"model": "made"})


def test_what_is_no_token_model_is_refused() -> None:
    with pytest.raises(UserError, match="has no sample_rate_hz, frame_rate, codebook_sizes"):
        coding.build("tokens", {"model": "nacbench.codecs.opus:Opus"})
    with pytest.raises(UserError, match="unknown token model 'nonesuch'"):
        coding.build("tokens", {"model": "nonesuch"})
    with pytest.raises(UserError, match="codebooks must be from 1 to 2, got 3"):
        coding.build("tokens", {"model": HERE, "codebooks": 3})


@pytest.mark.parametrize(
    ("encode", "message"),
    [
        (lambda self, x: np.zeros((2, 99), int), "99 frames for 2.00 s"),
        (lambda self, x: np.zeros((2, x.shape[1])), "float64, not whole numbers"),
        (lambda self, x: np.full((2, x.shape[1]), 16), "codebook 0 has the tokens 0…15"),
        (lambda self, x: np.zeros((1, x.shape[1]), int), r"tokens must be .*\[2 codebooks"),
    ],
)
def test_tokens_that_are_not_as_described_fail_the_clip(
    encode: Callable[..., Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(tokens.TOKEN_MODELS._added, "made", made(encode=encode))
    with pytest.raises(ValueError, match=message):
        coding.encode(coding.build("tokens", {"model": "made"}), voice(2.0, 8000))


def test_a_length_that_its_frames_cannot_have_is_refused() -> None:
    codec: Any = coding.build("tokens", {"model": HERE})
    stream = token_stream.TokenStream(1 << 27, np.zeros((2, 8000), np.int64))
    with pytest.raises(DecodeError, match="8000 frames for 134217728 samples"):
        codec.decode(Bitstream(token_stream.pack(stream, (16, 10))))


# The guide's examples


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a module that the guide shows where it can be imported from."""

    def save(name: str) -> None:
        (program,) = re.findall(rf"```python\n# {name}\.py\n(.*?)```", GUIDE, re.S)
        (tmp_path / f"{name}.py").write_text(program)
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, name, raising=False)

    return save


def test_snac_by_the_guide_gives_the_tokens_and_audio_of_its_own_calls(
    tmp_path: Path, example: Callable[[str], None]
) -> None:
    import json

    import torch

    snac = pytest.importorskip("snac")
    from safetensors.torch import save_file

    config = {
        "sampling_rate": 24_000, "encoder_dim": 4, "encoder_rates": [2, 4, 8, 8],
        "decoder_dim": 32, "decoder_rates": [8, 8, 4, 2], "attn_window_size": None,
        "codebook_size": 4096, "codebook_dim": 8, "vq_strides": [4, 2, 1],
    }  # fmt: skip
    torch.manual_seed(0)
    peer = snac.SNAC(**config).eval()
    (tmp_path / "config.json").write_text(json.dumps(config))
    save_file(peer.state_dict(), tmp_path / "model.safetensors")
    example("snac_tokens")
    options = {"model": "snac_tokens:Snac24k", "settings": {"folder": str(tmp_path)}}
    codec: Any = coding.build("tokens", options)
    clip = voice(1.0, 24_000)
    (stream,) = coding.encode(codec, clip)
    with torch.inference_mode():
        codes = peer.encode(torch.tensor(clip.samples)[None])
        torch.manual_seed(0)
        audio = peer.decode(codes)[0, :, : clip.length]
    found = codec.tokens(stream)
    assert found.shape == (7, 12)
    np.testing.assert_array_equal(found[0], codes[0][0])
    np.testing.assert_array_equal(found[1:3].T.ravel(), codes[1][0])
    np.testing.assert_array_equal(found[3:].T.ravel(), codes[2][0])
    np.testing.assert_array_equal(codec.decode(stream).samples, audio)
    assert len(stream.payload) == 5 + 12 * 7 * 12 // 8  # header; frames x rows x bits
    assert "weights model.safetensors" in codec.build_id()


@pytest.fixture(scope="module")
def small_speech_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """The real package around few random weights, and the folder that the guide names."""
    import json
    import warnings

    import torch

    pytest.importorskip("einops")
    # Its training half wants packages that coding does not.
    sys.modules["speechtokenizer.trainer"] = types.ModuleType("speechtokenizer.trainer")
    sys.modules["speechtokenizer.trainer"].SpeechTokenizerTrainer = None  # type: ignore[attr-defined]
    speechtokenizer: Any = pytest.importorskip("speechtokenizer")
    config = {
        "n_filters": 4, "dimension": 16, "semantic_dimension": 12, "strides": [8, 5, 4, 2],
        "lstm_layers": 2, "bidirectional": True, "dilation_base": 2, "residual_kernel_size": 3,
        "n_residual_layers": 1, "activation": "ELU", "sample_rate": 16_000, "n_q": 8,
        "codebook_size": 1024,
    }  # fmt: skip
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # it uses the older weight_norm
        peer = speechtokenizer.SpeechTokenizer(config).eval()
    with torch.no_grad():  # codebooks of zeros would give one token
        latents = peer.encoder(torch.tensor(voice(2.0).samples)[None])
        codebooks = [layer._codebook.embed for layer in peer.quantizer.vq.layers]
        tiny_checkpoints.fill(codebooks, latents[0].T)
    folder = tmp_path_factory.mktemp("speechtokenizer")
    (folder / "config.json").write_text(json.dumps(config))
    torch.save(peer.state_dict(), folder / "SpeechTokenizer.pt")
    return peer, folder


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize("count", [1, 8])
def test_speechtokenizer_by_the_guide_gives_the_tokens_and_audio_of_its_own_calls(
    small_speech_tokenizer: tuple[Any, Path], count: int, example: Callable[[str], None]
) -> None:
    import torch

    peer, folder = small_speech_tokenizer
    example("speech_tokens")
    settings = {"folder": str(folder)}
    options = {"model": "speech_tokens:Speech16k", "codebooks": count, "settings": settings}
    codec: Any = coding.build("tokens", options)
    clip = voice(0.77)
    (stream,) = coding.encode(codec, clip)
    with torch.inference_mode():
        own = peer.encode(torch.tensor(clip.samples)[None])[:count]
        audio = peer.decode(own)[0, :, : clip.length]
    found = codec.tokens(stream)
    np.testing.assert_array_equal(found, own[:, 0])
    np.testing.assert_array_equal(codec.decode(stream).samples, audio)
    assert found.shape == (count, 39)
    assert len(np.unique(found)) > 10  # a collapsed codebook would prove nothing
    assert "weights SpeechTokenizer.pt" in codec.build_id()
    assert "Apache-2.0" in codec.build_id()


# NVIDIA's archives

TARGET = "nemo.collections.tts.modules.audio_codec_modules"
SMALL = {
    "target": "nemo.collections.tts.models.audio_codec.AudioCodecModel",
    "sample_rate": 22_050,
    "samples_per_frame": 24,
    "audio_encoder": {
        "_target_": f"{TARGET}.HiFiGANEncoder",
        "down_sample_rates": [2, 3, 4],
        "encoded_dim": 8,
        "base_channels": 4,
        "activation": "lrelu",
        "resblock_dilation_sizes": [1],
    },
    "audio_decoder": {
        "_target_": f"{TARGET}.HiFiGANDecoder",
        "up_sample_rates": [4, 3, 2],
        "input_dim": 8,
        "base_channels": 32,
        "activation": "lrelu",
        "output_activation": "tanh",
    },
    "vector_quantizer": {
        "_target_": f"{TARGET}.GroupFiniteScalarQuantizer",
        "num_groups": 2,
        "num_levels_per_group": [8, 7, 6, 6],
    },
}


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:") as packed:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture(scope="module")
def small_nemo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As NeMo's save_to packs it, with random weights in NeMo's names."""
    import torch

    from reference_codec import peer_configs, peer_names
    from reference_codec.neural_codec import NeuralCodec

    config = peer_configs.nemo(SMALL)
    own = NeuralCodec.untrained(config).state_dict()
    names = peer_names.nemo(config.network)  # type: ignore[arg-type]
    state = {
        f"{theirs}.{name.removeprefix(ours)[1:]}": value
        for theirs, ours in names.items()
        for name, value in own.items()
        if name.startswith(f"{ours}.")
    }
    weights = io.BytesIO()
    torch.save(state, weights)
    return archive(
        tmp_path_factory.mktemp("nemo") / "small.nemo",
        {"./model_config.yaml": yaml.safe_dump(SMALL).encode(),
         "./model_weights.ckpt": weights.getvalue()},
    )  # fmt: skip


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the entry point offers, whether or not the package is installed from here."""
    from reference_codec.token_model import PeerModel

    monkeypatch.setitem(tokens.TOKEN_MODELS._added, "nemo", PeerModel)


def test_the_package_declares_its_reader_of_archives() -> None:
    import tomllib

    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    target = project["entry-points"]["nacbench.token_models"]["nemo"]
    assert target == "reference_codec.token_model:PeerModel"


@pytest.mark.usefixtures("reader")
def test_an_archive_runs_without_nemo_and_gives_its_own_tokens(small_nemo: Path) -> None:
    import torch

    from reference_codec import convert

    codec: Any = coding.build("nemo", {"model": str(small_nemo), "backend": "reference"})
    clip = voice(0.5, 22_050)
    (stream,) = coding.encode(codec, clip)
    whole = np.pad(clip.samples, ((0, 0), (0, -clip.length % 24)))
    model = convert.load(small_nemo)
    own, _ = model.encode(torch.tensor(whole)[None])
    np.testing.assert_array_equal(codec.tokens(stream), own[0])
    assert codec.decode(stream).length == clip.length
    assert codec.nominal_kbps == pytest.approx(2 * 11 * 22.05 / 24)
    assert len(np.unique(own)) > 20
    assert "NSCLv1" in codec.build_id()


@pytest.mark.slow
@pytest.mark.usefixtures("reader")
def test_an_archive_keeps_the_contract(small_nemo: Path) -> None:
    check_codec("nemo", model=str(small_nemo), backend="reference")


class StandInNemo:
    """`AudioCodecModel` by its signatures: keyword arguments, batches, lengths."""

    @classmethod
    def restore_from(cls, path: str, map_location: Any = None) -> Any:
        assert (Path(path).name, map_location) == ("small.nemo", "cpu")
        return cls()

    def eval(self) -> Any:
        return self

    def encode(self, audio: Any, audio_len: Any, sample_rate: int | None = None) -> Any:
        import torch

        assert audio.shape == (1, int(audio_len[0]))
        frames = torch.nn.functional.pad(audio, (0, -audio.shape[1] % 24)).reshape(1, -1, 24)
        tokens = (frames.abs().mean(-1).clamp(max=0.99) * 2016).int()
        return torch.stack([tokens, 2015 - tokens], 1), torch.tensor([tokens.shape[1]])

    def decode(self, tokens: Any, tokens_len: Any) -> Any:
        assert tokens.shape[1:] == (2, int(tokens_len[0]))
        return (tokens[:, 0] / 2016).repeat_interleave(24, dim=1), tokens_len * 24


def test_an_archive_runs_through_the_toolkit_where_it_is_installed(
    small_nemo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    models: Any = types.ModuleType("nemo.collections.tts.models")
    models.AudioCodecModel = StandInNemo
    monkeypatch.setitem(sys.modules, models.__name__, models)
    nemo._loaded.cache_clear()
    codec: Any = coding.build("nemo", {"model": str(small_nemo), "backend": "toolkit"})
    clip = voice(0.5, 22_050)
    (stream,) = coding.encode(codec, clip)
    samples = torch.tensor(clip.samples)
    own, _ = StandInNemo().encode(audio=samples, audio_len=torch.tensor([clip.length]))
    np.testing.assert_array_equal(codec.tokens(stream), own[0])
    assert codec.decode(stream).length == clip.length
    assert codec.build_id().startswith("toolkit ")
    nemo._loaded.cache_clear()


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"model_weights.ckpt": b""}, "has no model_config.yaml"),
        ({"model_config.yaml": b"{"}, "not a readable archive"),
        ({"model_config.yaml": b"!!python/object/apply:os.system [true]"}, "not a readable"),
        ({"model_config.yaml": b"sample_rate: 22050"}, "does not describe a codec with finite"),
    ],
)
def test_an_archive_of_something_else_is_refused(
    members: dict[str, bytes], message: str, tmp_path: Path
) -> None:
    path = archive(tmp_path / "odd.nemo", members)
    with pytest.raises(UserError, match=message):
        coding.build("nemo", {"model": str(path), "backend": "reference"})


def test_an_archive_that_is_none_or_missing_is_said(tmp_path: Path) -> None:
    (tmp_path / "odd.nemo").write_bytes(b"no tar")
    with pytest.raises(UserError, match="not a readable archive"):
        coding.build("nemo", {"model": str(tmp_path / "odd.nemo"), "backend": "toolkit"})
    with pytest.raises(
        CodecUnavailableError, match=r"no such archive. Get one from its model card"
    ):
        coding.build("nemo", {"model": str(tmp_path / "none.nemo")})


def test_clips_shorter_than_a_frame_come_back(reader: None, small_nemo: Path) -> None:
    codec: Any = coding.build("nemo", {"model": str(small_nemo), "backend": "reference"})
    clip = Clip(voice(0.1, 22_050).samples[:, :5], 22_050)
    assert coding.decode(codec, coding.encode(codec, clip), clip).length == 5
