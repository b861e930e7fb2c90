"""Metrics by recipe name. Importing this package imports none of them."""

from nacbench.registry import Registry

METRICS = Registry(
    "metric",
    "nacbench.metrics",
    {
        "bandwidth_hz": "nacbench.metrics.diagnostics:Bandwidth",
        "clipping": "nacbench.metrics.diagnostics:Clipping",
        "dc": "nacbench.metrics.diagnostics:Dc",
        "dnsmos:bak": "nacbench.metrics.dnsmos:DnsmosBackground",
        "dnsmos:ovrl": "nacbench.metrics.dnsmos:DnsmosOverall",
        "dnsmos:p808": "nacbench.metrics.dnsmos:DnsmosP808",
        "dnsmos:sig": "nacbench.metrics.dnsmos:DnsmosSignal",
        "estoi": "nacbench.metrics.stoi:Estoi",
        "loudness_difference": "nacbench.metrics.diagnostics:LoudnessDifference",
        "lsd": "nacbench.metrics.spectral:Lsd",
        "mel:audiotools": "nacbench.metrics.spectral:MelAudiotools",
        "mel:dac": "nacbench.metrics.spectral:MelDac",
        "mel:nemo": "nacbench.metrics.spectral:MelNemo",
        "pesq:nb": "nacbench.metrics.pesq:PesqNarrowband",
        "pesq:wb": "nacbench.metrics.pesq:PesqWideband",
        "plcmos": "nacbench.metrics.plcmos:Plcmos",
        "si_sdr": "nacbench.metrics.si_sdr:SiSdr",
        "snr": "nacbench.metrics.si_sdr:Snr",
        "stft:audiotools": "nacbench.metrics.spectral:StftAudiotools",
        "stft:nemo": "nacbench.metrics.spectral:StftNemo",
        "stoi": "nacbench.metrics.stoi:Stoi",
        "visqol:audio": "nacbench.metrics.visqol:VisqolAudio",
        "visqol:speech-exponential": "nacbench.metrics.visqol:VisqolSpeechExponential",
        "visqol:speech-lattice": "nacbench.metrics.visqol:VisqolSpeechLattice",
    },
)

# Names that say what is meant and leave the recipe to the suite, which may set others.
ALIASES = {"mel_distance": "mel:dac"}
