"""Intelligibility by speech recognition: word and character error rates.

`wer` and `cer` compare with the clip's `transcript` tag, which a manifest or a public set gives;
`dwer` and `dcer` with what the same model hears in the original, so that only what the codec
added counts. The recipe names the model, a `transformers` one for speech recognition.
"""

from __future__ import annotations

import unicodedata
from typing import Any

from nacbench.core import Clip
from nacbench.errors import UnscorableError
from nacbench.metrics.transformers_models import (
    SAMPLE_RATE_HZ,
    NeedsModel,
    folder,
    import_transformers,
    load,
)

SHORTEST_S = 0.1


class _ErrorRate(NeedsModel):
    unit = ""
    bounds = (0.0, float("inf"))  # more insertions than there are words
    higher_is_better = False
    source = "Morris et al., Interspeech 2004; jiwer"
    example = "openai/whisper-small"
    packages = ("torch", "transformers", "jiwer")
    of_characters: bool
    by_transcript: bool

    def prepare(self, reference: Clip) -> str:
        if self.by_transcript:
            said = normalised(reference.tags.get("transcript", ""))
            if not said:
                raise UnscorableError("the clip has no 'transcript' tag")
            return said
        said = normalised(transcribe(self.model, reference))
        if not said:
            raise UnscorableError("the model hears no words in the reference")
        return said

    def score(self, prepared: str, decoded: Clip) -> float:
        import jiwer

        heard = normalised(transcribe(self.model, decoded))
        rate = jiwer.cer if self.of_characters else jiwer.wer
        return float(rate(prepared, heard))


class WordErrorRate(_ErrorRate):
    """Word error rate of a recogniser on the decoded audio against the transcript.

    Source: insertions, deletions and substitutions over the words of the transcript, through
        jiwer. Differs: case, punctuation and spaces do not count, see `normalised`.
    """

    name = base = "wer"
    of_characters, by_transcript = False, True


class CharacterErrorRate(_ErrorRate):
    """Character error rate of a recogniser on the decoded audio against the transcript.

    Source: as `wer`, over characters. Differs: as there.
    """

    name = base = "cer"
    of_characters, by_transcript = True, True


class DifferentialWordErrorRate(_ErrorRate):
    """Word error rate of the decoded audio's transcription against the original's.

    Source: as `wer`. Differs: as there.
    """

    name = base = "dwer"
    of_characters, by_transcript = False, False


class DifferentialCharacterErrorRate(_ErrorRate):
    """Character error rate of the decoded audio's transcription against the original's.

    Source: as `wer`, over characters. Differs: as there.
    """

    name = base = "dcer"
    of_characters, by_transcript = True, False


def normalised(text: str) -> str:
    """Words without case, punctuation and marks of symbols, one space between them (NFKC)."""
    kept = (
        " " if unicodedata.category(character)[0] in "PSZC" else character
        for character in unicodedata.normalize("NFKC", text).casefold().replace("'", "")
    )
    return " ".join("".join(kept).split())


def transcribe(model: str, clip: Clip) -> str:
    """What a model hears, greedily decoded.

    Raises:
        UnscorableError: too short for the model.
    """
    import torch

    if clip.duration_s < SHORTEST_S:
        raise UnscorableError(f"too short: recognition needs {SHORTEST_S} s")
    place = folder(model)
    assert place is not None, "missing() was asked before"
    config = import_transformers().AutoConfig.from_pretrained(place, local_files_only=True)
    is_ctc = any(name.endswith("ForCTC") for name in config.architectures or ())
    auto_class = "AutoModelForCTC" if is_ctc else "AutoModelForSpeechSeq2Seq"
    network, processor = load(place, auto_class)
    inputs: Any = processor(clip.samples[0], sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt")
    with torch.inference_mode():
        if is_ctc:
            tokens = network(**inputs).logits.argmax(dim=-1)
        else:
            tokens = network.generate(**inputs, do_sample=False, num_beams=1)
    text: str = processor.batch_decode(tokens, skip_special_tokens=True)[0]
    return text
