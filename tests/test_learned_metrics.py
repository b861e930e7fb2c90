"""Metrics that need weights, on tiny random models in the official layout, offline."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from signals import noise, voice, with_noise

from nacbench import metrics
from nacbench.core import Clip
from nacbench.errors import CodecUnavailableError, UnscorableError
from nacbench.identity import file_sha256
from nacbench.metrics import squim
from nacbench.metrics.recognition import normalised, transcribe
from nacbench.metrics.transformers_models import folder
from nacbench.scoring import Scorer
from nacbench.torchaudio_cpu import import_torchaudio

torch = pytest.importorskip("torch")
import_torchaudio()  # transformers imports it, extension or not
transformers = pytest.importorskip("transformers")

EQUAL = 1e-4  # of a score; what the issue allows a faster path to differ by
TINY: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "conv_dim": (8, 8),
    "conv_kernel": (10, 8),
    "conv_stride": (8, 8),
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
    "num_feat_extract_layers": 2,
}


@pytest.fixture(scope="module")
def recogniser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wav2Vec2 for CTC over a few letters, as `save_pretrained` writes it."""
    place = tmp_path_factory.mktemp("asr")
    letters = ["<pad>", "<s>", "</s>", "<unk>", "|", *"abcdefgh"]
    vocabulary = place / "vocab.json"
    vocabulary.write_text(json.dumps({letter: k for k, letter in enumerate(letters)}))
    tokenizer = transformers.Wav2Vec2CTCTokenizer(str(vocabulary))
    extractor = transformers.Wav2Vec2FeatureExtractor()
    transformers.Wav2Vec2Processor(extractor, tokenizer).save_pretrained(place)
    torch.manual_seed(1)
    config = transformers.Wav2Vec2Config(**TINY, vocab_size=len(letters), pad_token_id=0)
    network = transformers.Wav2Vec2ForCTC(config)
    with torch.no_grad():
        network.lm_head.weight.mul_(200)  # so that not every frame says the same
    network.save_pretrained(place)
    return place


@pytest.fixture(scope="module")
def speaker_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("speaker")
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(place)
    torch.manual_seed(0)
    config = transformers.Wav2Vec2Config(
        **TINY, tdnn_dim=(16, 16), tdnn_kernel=(3, 1), tdnn_dilation=(1, 1), xvector_output_dim=8
    )
    transformers.Wav2Vec2ForXVector(config).save_pretrained(place)
    return place


def spoken(seconds: float = 2.0) -> Clip:
    clip = voice(seconds)
    return Clip(clip.samples, clip.sample_rate_hz, clip.id, {"transcript": "Abba, face a cab!"})


def score(recipe: str, reference: Clip, decoded: Clip) -> float:
    found = Scorer([recipe]).score(reference, decoded)[recipe]
    assert found.value is not None, found.reason
    return found.value


def test_error_rates_are_those_of_the_transcriptions(recogniser: Path) -> None:
    import jiwer

    clip, decoded = spoken(), with_noise(spoken(), 5)
    heard, original = (normalised(transcribe(str(recogniser), c)) for c in (decoded, clip))
    assert heard != original
    assert heard and original
    said = "abba face a cab"
    expected = {
        "wer": jiwer.wer(said, heard),
        "cer": jiwer.cer(said, heard),
        "dwer": jiwer.wer(original, heard),
        "dcer": jiwer.cer(original, heard),
    }
    for base, value in expected.items():
        assert score(f"{base}:{recogniser}", clip, decoded) == pytest.approx(value)
    assert score(f"dcer:{recogniser}", clip, clip) == 0.0


def test_without_a_transcript_there_is_no_error_rate(recogniser: Path) -> None:
    found = Scorer([f"wer:{recogniser}"]).score(voice(), voice())
    assert "transcript" in str(found[f"wer:{recogniser}"].reason)


@pytest.mark.parametrize(
    ("text", "words"),
    [("Don't stop -- now!", "dont stop now"), ("  ÉTÉ\tà ", "été à"), ("…", "")],
)
def test_text_is_compared_without_case_and_punctuation(text: str, words: str) -> None:
    assert normalised(text) == words


def test_speaker_similarity_is_the_cosine_of_the_models_embeddings(speaker_model: Path) -> None:
    recipe = f"speaker_similarity:{speaker_model}"
    assert score(recipe, spoken(), spoken()) == pytest.approx(1.0, abs=1e-6)
    other = noise(2.0)
    network = transformers.AutoModelForAudioXVector.from_pretrained(speaker_model).eval()
    extractor = transformers.AutoFeatureExtractor.from_pretrained(speaker_model)
    with torch.no_grad():
        vectors = [
            network(**extractor(c.samples[0], sampling_rate=16000, return_tensors="pt")).embeddings
            for c in (spoken(), other)
        ]
    expected = float(torch.cosine_similarity(*vectors))
    assert score(recipe, spoken(), other) == pytest.approx(expected, abs=1e-5)


def test_a_models_weights_are_hashed_and_its_absence_says_how_to_get_it(
    recogniser: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metric: Any = metrics.build(f"cer:{recogniser}")
    (weights,) = metric.weights()
    assert weights.about["sha256"] == file_sha256(recogniser / "model.safetensors")
    assert weights.sha256[:8] in metric.build_id()
    assert "'hf download nobody/asr'" in str(metrics.missing("cer:nobody/asr"))
    assert "cer:openai/whisper-small" in str(metrics.missing("cer"))
    with pytest.raises(CodecUnavailableError, match="hf download"):
        Scorer(["cer:nobody/asr"])
    assert folder(recogniser.name) is None
    monkeypatch.setenv("NACBENCH_WEIGHTS", str(recogniser.parent))
    assert folder(recogniser.name) == recogniser


def test_pickled_weights_are_not_read(recogniser: Path, tmp_path: Path) -> None:
    for file in recogniser.iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    assert metrics.missing(f"cer:{tmp_path}") is not None


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


def test_squim_has_the_values_of_the_pipelines_call(tiny_squim: Any) -> None:
    objective, subjective = tiny_squim
    clean, decoded = spoken(), with_noise(spoken(), 10)
    heard = torch.from_numpy(decoded.samples.copy())
    for network in (objective, subjective):
        network.requires_grad_(False)
    for target, value in zip(("stoi", "pesq", "si_sdr"), objective(heard), strict=True):
        recipe = f"squim:objective-{target}"
        assert score(recipe, clean, decoded) == pytest.approx(float(value), abs=EQUAL)
    matching = subjective(heard, torch.from_numpy(clean.samples.copy()))
    found = score("squim:subjective-matching", clean, decoded)
    assert found == pytest.approx(float(matching), abs=EQUAL)
    other = squim.SquimSubjective().prepare(clean)
    assert other.length == decoded.length
    elsewhere = subjective(heard, torch.from_numpy(other.samples.copy()))
    found = score("squim:subjective", clean, decoded)
    assert found == pytest.approx(float(elsewhere), abs=EQUAL)


def test_the_speech_that_squim_compares_with_depends_on_the_clips_id_alone() -> None:
    drawn = {squim._drawn(f"clip-{k}") for k in range(50)}
    assert len(drawn) > 5
    assert squim._drawn("clip-1") == squim._drawn("clip-1")


def test_a_quickened_network_gives_the_same_hidden_features() -> None:
    """Scores of random weights hardly differ; what they are made of does."""
    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True).eval()
    ours = squim.quicken(torch.nn.Sequential(copy.deepcopy(layer)))
    x = torch.randn(2, 1100, 32)
    with torch.inference_mode():
        torch.testing.assert_close(ours(x), layer(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize("recipe", ["squim:objective-pesq", "squim:subjective"])
def test_squim_without_weights_says_how_to_get_them(
    recipe: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    reason = str(metrics.missing(recipe))
    assert "get_model()" in reason
    assert "--weights" in reason
    assert "CC BY" in reason


def test_nisqa_without_weights_says_how_to_get_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "nisqa.tar" in str(metrics.missing("nisqa"))


def test_squim_refuses_silence(tiny_squim: Any) -> None:
    silence = Clip(np.zeros(16000, np.float32), 16000)
    with pytest.raises(UnscorableError, match="silent"):
        squim.SquimPesq().score(None, silence)


def test_every_learned_recipe_keeps_the_contract(
    tiny_squim: Any, recogniser: Path, speaker_model: Path
) -> None:
    """All but the order of qualities, of which random weights know nothing."""
    from nacbench.testing import check_metric

    recipes = [name for name in metrics.METRICS.names() if name.startswith("squim")]
    for recipe in recipes:
        check = _broken_by(lambda r=recipe: check_metric(r, reference=spoken()))
        assert all("scores better than" in line for line in check), check
    for base in ("wer", "cer", "dwer", "dcer", "speaker_similarity"):
        model = speaker_model if base == "speaker_similarity" else recogniser
        cls = metrics.class_of(base)
        bound = type(cls.__name__, (cls,), {
            "__init__": lambda self, c=cls, m=model: c.__init__(self, str(m)),
            "__doc__": cls.__doc__, "missing": classmethod(lambda _: None),
        })  # fmt: skip
        check = _broken_by(lambda b=bound: check_metric(b, reference=spoken()))
        assert all("scores better than" in line for line in check), check


def _broken_by(check: Any) -> list[str]:
    try:
        check()
    except AssertionError as error:
        return str(error).splitlines()[1:]
    return []
