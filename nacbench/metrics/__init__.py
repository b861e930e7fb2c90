"""Metrics by recipe name. Importing this package imports none of them.

A recipe is a registered name (`mel:dac`), a path (`lab:SegmentalSnr`), or a name with the model it
needs behind a colon (`wer:openai/whisper-small`).
"""

from typing import Any

from nacbench.registry import Registry

METRICS = Registry(
    "metric",
    "nacbench.metrics",
    {
        "bandwidth_hz": "nacbench.metrics.diagnostics:Bandwidth",
        "cer": "nacbench.metrics.recognition:CharacterErrorRate",
        "clipping": "nacbench.metrics.diagnostics:Clipping",
        "dc": "nacbench.metrics.diagnostics:Dc",
        "dcer": "nacbench.metrics.recognition:DifferentialCharacterErrorRate",
        "dnsmos:bak": "nacbench.metrics.dnsmos:DnsmosBackground",
        "dnsmos:ovrl": "nacbench.metrics.dnsmos:DnsmosOverall",
        "dnsmos:p808": "nacbench.metrics.dnsmos:DnsmosP808",
        "dnsmos:sig": "nacbench.metrics.dnsmos:DnsmosSignal",
        "dwer": "nacbench.metrics.recognition:DifferentialWordErrorRate",
        "estoi": "nacbench.metrics.stoi:Estoi",
        "f0_error": "nacbench.metrics.pitch:F0Error",
        "loudness_difference": "nacbench.metrics.diagnostics:LoudnessDifference",
        "lsd": "nacbench.metrics.spectral:Lsd",
        "mel:audiotools": "nacbench.metrics.spectral:MelAudiotools",
        "mel:dac": "nacbench.metrics.spectral:MelDac",
        "mel:nemo": "nacbench.metrics.spectral:MelNemo",
        "nacmos:pesq": "nacbench.metrics.nacmos:NacmosPesq",
        "nacmos:stoi": "nacbench.metrics.nacmos:NacmosStoi",
        "nacmos:visqol": "nacbench.metrics.nacmos:NacmosVisqol",
        "nisqa": "nacbench.metrics.nisqa:Nisqa",
        "pesq:nb": "nacbench.metrics.pesq:PesqNarrowband",
        "pesq:wb": "nacbench.metrics.pesq:PesqWideband",
        "plcmos": "nacbench.metrics.plcmos:Plcmos",
        "si_sdr": "nacbench.metrics.si_sdr:SiSdr",
        "snr": "nacbench.metrics.si_sdr:Snr",
        "speaker_similarity": "nacbench.metrics.speaker:SpeakerSimilarity",
        "squim:objective-pesq": "nacbench.metrics.squim:SquimPesq",
        "squim:objective-si_sdr": "nacbench.metrics.squim:SquimSiSdr",
        "squim:objective-stoi": "nacbench.metrics.squim:SquimStoi",
        "squim:subjective": "nacbench.metrics.squim:SquimSubjective",
        "squim:subjective-matching": "nacbench.metrics.squim:SquimSubjectiveMatching",
        "stft:audiotools": "nacbench.metrics.spectral:StftAudiotools",
        "stft:nemo": "nacbench.metrics.spectral:StftNemo",
        "stoi": "nacbench.metrics.stoi:Stoi",
        "visqol:audio": "nacbench.metrics.visqol:VisqolAudio",
        "visqol:speech-exponential": "nacbench.metrics.visqol:VisqolSpeechExponential",
        "visqol:speech-lattice": "nacbench.metrics.visqol:VisqolSpeechLattice",
        "voicing_error": "nacbench.metrics.pitch:VoicingError",
        "wer": "nacbench.metrics.recognition:WordErrorRate",
    },
)

# Metrics over a set of clips (`core.CorpusMetric`); a suite names them among its metrics.
CORPUS_METRICS = Registry(
    "corpus metric", "nacbench.corpus_metrics", {"fad": "nacbench.metrics.fad:Fad"}
)

# Names that say what is meant and leave the recipe to the suite, which may set others.
ALIASES = {"fad": "fad:logmel", "mel_distance": "mel:dac", "nacmos": "nacmos:visqol"}


def lookup(recipe: str) -> tuple[Any, dict[str, Any]]:
    """The class that a recipe names, and what the recipe gives behind its colon.

    Raises:
        UserError: the name is unknown.
    """
    over_sets = recipe.partition(":")[0] in CORPUS_METRICS.names()
    registry = CORPUS_METRICS if over_sets else METRICS
    base, argument = registry.split(recipe)
    return registry.get(base), argument


def class_of(recipe: str) -> Any:
    """As `lookup`, the class alone."""
    return lookup(recipe)[0]


def is_over_sets(cls: Any) -> bool:
    """Whether a class is a CorpusMetric, whose value is of a set of clips and not of each."""
    return hasattr(cls, "embed") and hasattr(cls, "compare")


def missing(recipe: str) -> str | None:
    """Why a recipe cannot run here and what to get; None when it can."""
    cls, argument = lookup(recipe)
    ask = getattr(cls, "missing", None)
    return ask(**argument) if ask else None


def build(recipe: str) -> Any:
    """A Metric or CorpusMetric by recipe. Ask `missing` before."""
    cls, argument = lookup(recipe)
    return cls(**argument)
