"""Discriminators: shapes, gradients, and the networks of the projects that published them."""

import importlib.util
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from reference_codec.errors import UserError
from reference_codec.training import adversarial, discriminators
from reference_codec.training.adversarial import Judgement
from reference_codec.training.discriminators.spectrograms import MultiBandSTFT, MultiScaleSTFT
from reference_codec.training.discriminators.speech_model import SpeechModel, resample
from reference_codec.training.discriminators.waveforms import MultiPeriod
from reference_codec.training.recipe import AdversarialOptions

FLOAT32 = 1e-5  # sums of some hundred products of values near one
JURY = AdversarialOptions.model_validate(
    {
        "discriminators": (
            {"kind": "ms_stft", "n_ffts": (256, 128), "channels": 2},
            {"kind": "multi_period", "periods": (2, 3), "channels": 2},
            {"kind": "multi_scale", "scales": 2, "channels": 4},
            {"kind": "multi_band", "n_ffts": (256, 128), "channels": 2},
        )
    }
).discriminators


def noise(channels: int = 1, length: int = 2000, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 0.1 * torch.randn(2, channels, length, generator=generator)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("option", JURY, ids=lambda option: option.kind)
def test_each_judges_both_clips_and_hands_a_gradient_back(option: Any, channels: int) -> None:
    jury = discriminators.build([option], channels, 16_000)
    audio = noise(channels).requires_grad_()
    judgements = jury(audio)
    assert len(judgements) == 2
    for judgement in judgements:
        assert judgement.logits.shape[0] == 2
        assert len(judgement.features) >= 5
    adversarial.generator_loss(judgements, "hinge").backward()
    assert audio.grad is not None
    assert audio.grad[..., 500:1500].abs().amax(-1).min() > 0  # in every channel


def copy_in_order(source: nn.Module, target: nn.Module) -> None:
    """Weights of weight-normed layers, from one network to another of the same order."""
    old = [m for m in source.modules() if isinstance(m, nn.Conv1d | nn.Conv2d)]
    new = [m for m in target.modules() if isinstance(m, nn.Conv1d | nn.Conv2d)]
    assert len(old) == len(new)
    for a, b in zip(old, new, strict=True):
        b.weight = a.weight.detach()  # through the parametrisation
        assert a.bias is not None and b.bias is not None
        b.bias.data.copy_(a.bias.data)


def assert_same(ours: list[Judgement], theirs: list[tuple[Tensor, list[Tensor]]]) -> None:
    assert len(ours) == len(theirs)
    for judgement, (logits, features) in zip(ours, theirs, strict=True):
        torch.testing.assert_close(judgement.logits, logits, rtol=0, atol=FLOAT32)
        assert len(judgement.features) == len(features)
        for a, b in zip(judgement.features, features, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=FLOAT32)


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
def test_the_ms_stft_discriminator_is_that_of_the_encodec_package() -> None:
    pytest.importorskip("einops")
    if importlib.util.find_spec("encodec") is None:
        pytest.skip("encodec is not installed")
    from nacbench.torchaudio_cpu import import_torchaudio

    import_torchaudio()
    from encodec.msstftd import MultiScaleSTFTDiscriminator

    theirs = MultiScaleSTFTDiscriminator(
        4, in_channels=2, n_ffts=[256, 128], hop_lengths=[64, 32], win_lengths=[256, 128]
    )
    ours = MultiScaleSTFT(2, (256, 128), 4)
    copy_in_order(theirs, ours)
    logits, features = theirs(noise(2))
    assert_same(ours(noise(2)), list(zip(logits, features, strict=True)))


class Signal:
    """What `dac`'s discriminator uses of `audiotools`: spectra whose frames match the strides."""

    def __init__(self, audio: Tensor, rate_hz: int, stft_params: Any) -> None:
        self.audio, self.window_length = audio, stft_params["window_length"]

    def stft(self) -> Tensor:
        window, hop = self.window_length, self.window_length // 4
        right = -self.audio.shape[-1] % hop
        pad = (window - hop) // 2
        padded = nn.functional.pad(self.audio[:, 0], (pad, pad + right), "reflect")
        hann = torch.hann_window(window)
        found = torch.stft(padded, window, hop, window=hann, return_complex=True)
        return found[:, None, :, 2:-2]


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
def test_the_banded_discriminator_is_that_of_the_dac_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("einops")
    package = PathFinder.find_spec("dac")  # another test may have a stand-in in sys.modules
    if package is None or package.origin is None:
        pytest.skip("descript-audio-codec is not installed")
    ml = SimpleNamespace(BaseModel=nn.Module)
    tools = SimpleNamespace(AudioSignal=Signal, STFTParams=dict, ml=ml)
    monkeypatch.setitem(sys.modules, "audiotools", tools)
    path = Path(package.origin).parent / "model" / "discriminator.py"
    namespace: dict[str, Any] = {"__name__": "dac_discriminator"}
    exec(compile(path.read_text(encoding="utf-8"), path, "exec"), namespace)
    theirs = namespace["Discriminator"](periods=[], fft_sizes=[256, 128])
    ours = MultiBandSTFT(1, (256, 128), (0.1, 0.25, 0.5, 0.75), 32)
    copy_in_order(theirs, ours)
    found = [(maps[-1], maps[:-1]) for maps in theirs(noise(1, 1999))]
    assert_same(ours(noise(1, 1999)), found)


def test_the_bands_tile_the_spectrum() -> None:
    scale: Any = MultiBandSTFT(1, (256,), (0.1, 0.25, 0.5, 0.75), 2).scales[0]
    bins = [bin_ for band in scale.bands for bin_ in range(band.start, band.stop)]
    assert bins == list(range(129))


def test_a_period_discriminator_sees_every_pth_sample_alone() -> None:
    [period] = MultiPeriod(1, (3,), 2).periods
    audio = noise(1, 1500).requires_grad_()
    [column] = torch.unbind(period(audio).logits.sum(2)[:1, 0, 1:2], 1)
    column.sum().backward()
    assert audio.grad is not None
    touched = audio.grad[0, 0].nonzero().flatten() % 3
    assert set(touched.tolist()) == {1}


@pytest.mark.parametrize("kind", ["hinge", "lsgan"])
def test_the_game_has_its_closed_forms(kind: Any) -> None:
    def says(value: float) -> list[Judgement]:
        return [Judgement(torch.full((2, 3), value), [])] * 2

    target = {"hinge": -1.0, "lsgan": 0.0}[kind]
    assert adversarial.discriminator_loss(says(1), says(target), kind) == 0
    assert adversarial.generator_loss(says(1), kind) == 0
    # Undecided: 1 + 1 for hinge, ¼ + ¼ for least squares
    undecided = {"hinge": (0.0, 2.0), "lsgan": (0.5, 0.5)}[kind]
    loss = adversarial.discriminator_loss(says(undecided[0]), says(undecided[0]), kind)
    assert loss == undecided[1]
    wrong = adversarial.discriminator_loss(says(-1), says(1), kind)
    assert wrong == {"hinge": 4, "lsgan": 5}[kind]


def test_feature_matching_is_relative_to_the_reference_layer_by_layer() -> None:
    x = [torch.full((2, 4), 2.0), torch.full((2, 3), 100.0)]
    x_hat = [torch.full((2, 4), 3.0), torch.full((2, 3), 110.0)]
    none = torch.zeros(1)
    loss = adversarial.feature_matching([Judgement(none, x)], [Judgement(none, x_hat)])
    assert float(loss) == pytest.approx((1 / 2 + 10 / 100) / 2, abs=FLOAT32)


def tiny_wavlm(folder: Path) -> Path:
    from transformers import WavLMConfig, WavLMModel

    torch.manual_seed(0)
    config = WavLMConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
        conv_dim=(8, 8), conv_stride=(5, 4), conv_kernel=(10, 8), num_feat_extract_layers=2,
        num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2, num_buckets=8,
    )  # fmt: skip
    WavLMModel(config).save_pretrained(folder)
    return folder


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_the_speech_model_judges_and_stays_frozen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    option = AdversarialOptions.model_validate(
        {
            "discriminators": (
                {"kind": "speech_model", "model": str(tiny_wavlm(tmp_path)), "channels": 4},
            )
        }
    ).discriminators
    jury = discriminators.build(option, 2, 24_000)
    audio = noise(2, 4800).requires_grad_()
    [judgement] = jury(audio)
    adversarial.generator_loss([judgement], "lsgan").backward()
    assert audio.grad is not None
    assert audio.grad.abs().max() > 0
    assert not any("backbone" in name or "frozen" in name for name in jury.state_dict())
    [member] = jury.members
    assert isinstance(member, SpeechModel)
    assert all(not p.requires_grad and p.grad is None for p in member._frozen[0].parameters())


def test_a_speech_model_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match=r"'.*nowhere' cannot be loaded"):
        SpeechModel.named(str(tmp_path / "nowhere"), 16_000, 4)


@pytest.mark.parametrize(
    ("source_hz", "target_hz"), [(24_000, 16_000), (16_000, 24_000), (44_100, 16_000)]
)
def test_resampling_keeps_a_tone_where_and_as_it_was(source_hz: int, target_hz: int) -> None:
    def tone(rate_hz: int, hz: float = 1000.0) -> Tensor:
        return torch.sin(2 * torch.pi * hz * torch.arange(rate_hz // 4) / rate_hz)[None]

    found = resample(tone(source_hz), source_hz, target_hz)
    assert found.shape == tone(target_hz).shape
    middle = slice(200, -200)
    torch.testing.assert_close(found[:, middle], tone(target_hz)[:, middle], rtol=0, atol=2e-3)
    if target_hz < source_hz:  # what would alias is gone
        high = resample(tone(source_hz, 0.6 * target_hz), source_hz, target_hz)
        assert high[:, middle].abs().max() < 1e-2
