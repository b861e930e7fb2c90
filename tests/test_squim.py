"""Squim: the values of torchaudio's networks, alone and in batches, and what it refuses."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from signals import noise, voice, with_noise

from nacbench import metrics
from nacbench.core import Clip
from nacbench.errors import UnscorableError
from nacbench.metrics import squim
from nacbench.scoring import Scorer
from nacbench.torchaudio_cpu import import_torchaudio

torch = pytest.importorskip("torch")
import_torchaudio()

from nacbench.metrics import squim_network  # noqa: E402

EQUAL = 1e-4  # of a score; what the issue allows a faster path to differ by
ROUNDING = 1e-5  # of features near 1: sums of a few hundred products in another order
ROUNDING_MORE = 4  # times the rounding of torchaudio's own network; 1.2 to 2 seen at full size
RECIPES = [name for name in metrics.METRICS.names() if name.startswith("squim")]


@pytest.fixture
def tiny_squim(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Small networks of both kinds, their weights where the recipes look for them."""
    models = import_torchaudio().models
    torch.manual_seed(0)
    objective = models.squim_objective_model(
        feat_dim=16, win_len=64, d_model=16, nhead=2, hidden_dim=8, num_blocks=2,
        rnn_type="LSTM", chunk_size=71,
    ).eval()  # fmt: skip
    heard = models.wav2vec2_model(
        extractor_mode="group_norm", extractor_conv_layer_config=[(8, 10, 5), (8, 8, 8)],
        extractor_conv_bias=False, encoder_embed_dim=16, encoder_projection_dropout=0.0,
        encoder_pos_conv_kernel=4, encoder_pos_conv_groups=2, encoder_num_layers=1,
        encoder_num_heads=2, encoder_attention_dropout=0.0, encoder_ff_interm_features=16,
        encoder_ff_interm_dropout=0.0, encoder_dropout=0.0, encoder_layer_norm_first=False,
        encoder_layer_drop=0.0, aux_num_out=None,
    )  # fmt: skip
    from torchaudio.models.squim.subjective import Predictor, SquimSubjective

    subjective = SquimSubjective(heard, torch.nn.Linear(16, 4), Predictor(8, 5)).eval()
    for name, network in (("objective", objective), ("subjective", subjective)):
        monkeypatch.setattr(models, f"squim_{name}_base", lambda n=network: copy.deepcopy(n))
    torch.save(objective.state_dict(), tmp_path / "squim_objective_dns2020.pth")
    torch.save(subjective.state_dict(), tmp_path / "squim_subjective_bvcc_daps.pth")
    monkeypatch.setenv("NACBENCH_WEIGHTS", str(tmp_path))
    squim._network.cache_clear()
    return objective, subjective


def value(recipe: str, reference: Clip, decoded: Clip) -> float:
    found = Scorer([recipe]).score(reference, decoded)[recipe]
    assert found.value is not None, found.reason
    return found.value


def test_scores_are_those_of_the_pipelines_call(tiny_squim: Any) -> None:
    objective, subjective = tiny_squim
    clean, decoded = voice(2.0), with_noise(voice(2.0), 10)
    heard = torch.from_numpy(decoded.samples.copy())
    for network in (objective, subjective):
        network.requires_grad_(False)
    for target, score in zip(("stoi", "pesq", "si_sdr"), objective(heard), strict=True):
        found = value(f"squim:objective-{target}", clean, decoded)
        assert found == pytest.approx(float(score), abs=EQUAL)
    matching = subjective(heard, torch.from_numpy(clean.samples.copy()))
    found = value("squim:subjective-matching", clean, decoded)
    assert found == pytest.approx(float(matching), abs=EQUAL)
    other = squim.SquimSubjective().prepare(clean)
    assert other.length == decoded.length
    elsewhere = subjective(heard, torch.from_numpy(other.samples.copy()))
    found = value("squim:subjective", clean, decoded)
    assert found == pytest.approx(float(elsewhere), abs=EQUAL)


@pytest.mark.parametrize("seconds", [0.25, 1.0, 2.3])
@pytest.mark.parametrize("batch", [1, 3])
def test_the_objective_networks_features_are_torchaudios(
    tiny_squim: Any, seconds: float, batch: int
) -> None:
    """Scores of random weights hardly differ; what they are made of does."""
    network = tiny_squim[0]
    with torch.inference_mode():
        for parameter in network.parameters():
            parameter.mul_(2)  # so that gates open and close
        ours = squim_network.quicken(copy.deepcopy(network))
        x = 0.1 * torch.randn(batch, int(16000 * seconds))
        level = x.square().mean(dim=1, keepdim=True).sqrt() * 20
        frames = network.encoder(x / level)
        features = ours.dual_path(frames.transpose(1, 2))
        exact = copy.deepcopy(network.dprnn).double()(frames.double())
        apart = (network.dprnn(frames) - exact).abs().max()
        assert (features - exact).abs().max() < ROUNDING_MORE * apart
        for found, expected in zip(ours(x), network(x), strict=True):
            torch.testing.assert_close(found, expected, rtol=0, atol=ROUNDING)


def test_a_transformer_layer_in_blocks_of_queries_is_torchs() -> None:
    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True).eval()
    ours = squim_network.quicken(torch.nn.Sequential(copy.deepcopy(layer)))
    x = torch.randn(2, 3 * squim_network.QUERIES_AT_ONCE + 5, 32)
    with torch.inference_mode():
        torch.testing.assert_close(ours(x), layer(x), rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_clips_score_does_not_depend_on_its_batch(
    recipe: str, tiny_squim: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(squim, "BATCH_S", 3.0)  # three clips of a second, then two
    reference = voice(1.0)
    decoded = [with_noise(reference, snr_db) for snr_db in (20, 10, 0, -10, -20)]
    together = Scorer([recipe]).score_batch(reference, [*decoded, decoded[0]])
    for clip, scores in zip([*decoded, decoded[0]], together, strict=True):
        copied = Clip(clip.samples, clip.sample_rate_hz)  # nothing is known of this object
        assert scores[recipe].value == pytest.approx(value(recipe, reference, copied), abs=EQUAL)


def test_clips_of_one_length_go_through_the_network_together(
    tiny_squim: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(squim, "BATCH_S", 2.5)
    clips = [noise(seconds) for seconds in (1.0, 4.0, 1.0, 0.5, 1.0)]
    batches = [[clip.duration_s for clip in batch] for batch in squim._batches([*clips, clips[0]])]
    assert batches == [[0.5], [1.0, 1.0], [1.0], [4.0]]


def test_the_speech_that_squim_compares_with_depends_on_the_clips_id_alone() -> None:
    drawn = {squim._drawn(f"clip-{k}") for k in range(50)}
    assert len(drawn) > 5
    assert squim._drawn("clip-1") == squim._drawn("clip-1")


@pytest.mark.parametrize("recipe", ["squim:objective-pesq", "squim:subjective"])
def test_squim_without_weights_says_how_to_get_them(
    recipe: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    reason = str(metrics.missing(recipe))
    assert "get_model()" in reason
    assert "--weights" in reason
    assert "CC BY" in reason


def test_silence_is_refused(tiny_squim: Any) -> None:
    silence = Clip(np.zeros(16000, np.float32), 16000)
    with pytest.raises(UnscorableError, match="silent"):
        squim.SquimPesq().score(None, silence)


def test_a_silent_clip_costs_only_its_own_score(tiny_squim: Any) -> None:
    recipe, clip = "squim:objective-pesq", voice(1.0)
    silence = Clip(np.zeros_like(clip.samples), clip.sample_rate_hz)
    heard = Scorer([recipe]).score_batch(clip, [with_noise(clip, 10), silence])
    assert [scores[recipe].ok for scores in heard] == [True, False]
    assert "silent" in str(heard[1][recipe].reason)


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_keeps_the_contract(recipe: str, tiny_squim: Any) -> None:
    """All but the order of qualities, of which random weights know nothing."""
    from nacbench.testing import check_metric

    try:
        check_metric(recipe, reference=voice(2.0))
    except AssertionError as error:
        assert all("scores better than" in line for line in str(error).splitlines()[1:]), error
