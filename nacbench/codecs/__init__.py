"""Codecs by name. Importing this package imports none of them."""

from nacbench.registry import Registry

CODECS = Registry(
    "codec",
    "nacbench.codecs",
    {
        "aac": "nacbench.codecs.aac:Aac",
        "amr_nb": "nacbench.codecs.amr:AmrNb",
        "amr_wb": "nacbench.codecs.amr:AmrWb",
        "codec2": "nacbench.codecs.codec2:Codec2",
        "command": "nacbench.codecs.command:Command",
        "dac": "nacbench.codecs.dac:Dac",
        "encodec": "nacbench.codecs.encodec:Encodec",
        "files": "nacbench.codecs.files:Files",
        "flac": "nacbench.codecs.flac:Flac",
        "g711": "nacbench.codecs.telephony:G711",
        "g722": "nacbench.codecs.telephony:G722",
        "g726": "nacbench.codecs.telephony:G726",
        "identity": "nacbench.codecs.pcm:Identity",
        "lc3": "nacbench.codecs.lc3:Lc3",
        "lowpass": "nacbench.codecs.pcm:LowPass",
        "lyra": "nacbench.codecs.lyra:Lyra",
        "mimi": "nacbench.codecs.mimi:Mimi",
        "mp3": "nacbench.codecs.mp3:Mp3",
        "nemo": "nacbench.codecs.nemo:Nemo",
        "opus": "nacbench.codecs.opus:Opus",
        "pcm": "nacbench.codecs.pcm:Pcm",
        "speex": "nacbench.codecs.speex:Speex",
        "tokens": "nacbench.codecs.tokens:Tokens",
        "vorbis": "nacbench.codecs.vorbis:Vorbis",
    },
)
