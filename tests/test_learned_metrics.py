"""Metrics that need weights, on tiny random models in the official layout, offline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from signals import noise, voice, with_noise

from nacbench import metrics
from nacbench.core import Clip
from nacbench.errors import CodecUnavailableError
from nacbench.identity import file_sha256
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


def test_nisqa_without_weights_says_how_to_get_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "nisqa.tar" in str(metrics.missing("nisqa"))


def test_every_learned_recipe_keeps_the_contract(recogniser: Path, speaker_model: Path) -> None:
    """All but the order of qualities, of which random weights know nothing."""
    from nacbench.testing import check_metric

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
