"""Synthetic speech: our own sentences, spoken by the least robotic voices that Debian packages.

Statistical voices (RHVoice, HTS, SVOX Pico, flite's clustergen) come first; a unit-selection and a
diphone voice add other textures. Every voice keeps the rate its own bandwidth deserves.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nacbench.pack.rebuild.room import Room
from nacbench.pack.rebuild.track import (
    Audio,
    Track,
    amplitude,
    debian_versions,
    high_pass,
    noise_of_slope,
    run,
    to_active_level,
)

ROOM_TONE_DBFS = -70.0
HIGH_PASS_HZ = 40.0

# As Debian's copyright files give them, by SPDX identifier.
FESTIVAL = "MIT-Festival"
LGPL = "LGPL-2.1-or-later"

CLOSE = Room(0.12, 22)
STUDIO = Room(0.2, 17)
OFFICE = Room(0.35, 12)


@dataclass(frozen=True)
class Voice:
    """A voice of one engine.

    Attributes:
        engine: names the function that runs it.
        voice: as the engine calls it.
        packages: Debian packages of engine and voice.
        licence: of the voice, and so of the clip.
        sample_rate_hz: where the engine offers a choice. `encoding`: what it reads.
    """

    engine: str
    voice: str
    language: str
    gender: str
    packages: tuple[str, ...]
    licence: str
    sample_rate_hz: int = 0
    encoding: str = "utf-8"

    @property
    def speaker(self) -> str:
        return f"{self.engine}:{self.voice}"

    def speak(self, text: str) -> tuple[Audio, int]:
        """`[time]` and its rate, as the engine made it."""
        import soundfile

        with tempfile.TemporaryDirectory() as folder:
            source, wav = Path(folder, "text.txt"), Path(folder, "speech.wav")
            source.write_bytes(text.encode(self.encoding))
            run(self._command(source, wav, text), " ".join(self.packages))
            samples, sample_rate_hz = soundfile.read(wav)
        return samples, sample_rate_hz

    def _command(self, source: Path, wav: Path, text: str) -> list[str]:
        match self.engine:
            case "rhvoice":
                quality = {16000: "min", 24000: "max"}[self.sample_rate_hz]
                given = ["-p", self.voice, "-q", quality, "-i", str(source), "-o", str(wav)]
                return ["RHVoice-test", *given]
            case "festival":
                choose = f"(voice_{self.voice})"
                return ["text2wave", "-eval", choose, "-o", str(wav), str(source)]
            case "flite":
                return ["flite", "-voice", self.voice, "-f", str(source), "-o", str(wav)]
            case "pico":
                return ["pico2wave", "-l", self.voice, "-w", str(wav), text]
            case "open_jtalk":
                dictionary = "/var/lib/mecab/dic/open-jtalk/naist-jdic"
                model = f"/usr/share/hts-voice/nitech-jp-atr503-m001/{self.voice}.htsvoice"
                given = ["-x", dictionary, "-m", model, "-ow", str(wav), str(source)]
                return ["open_jtalk", *given]
        raise ValueError(f"no engine {self.engine}")


def rhvoice(
    voice: str, language: str, gender: str, package: str, licence: str, sample_rate_hz: int
) -> Voice:
    return Voice("rhvoice", voice, language, gender, ("rhvoice", package), licence, sample_rate_hz)


def festival(
    voice: str, language: str, gender: str, packages: str, licence: str, encoding: str
) -> Voice:
    return Voice(
        "festival",
        voice,
        language,
        gender,
        ("festival", *packages.split()),
        licence,
        encoding=encoding,
    )


def flite(voice: str, language: str, gender: str) -> Voice:
    return Voice("flite", voice, language, gender, ("flite", "libflite1"), FESTIVAL)


def pico(voice: str) -> Voice:
    packages = ("libttspico-utils", "libttspico-data")
    return Voice("pico", voice, voice, "female", packages, "Apache-2.0")


# RHVoice's alan, clb and aleksandr hold nothing above 8 kHz, so they stay at 16 kHz.
BDL = rhvoice("bdl", "en-US", "male", "rhvoice-english", LGPL, 24000)
CLB = rhvoice("clb", "en-US", "female", "rhvoice-english", LGPL, 16000)
ALAN = rhvoice("alan", "en-GB", "male", "rhvoice-english", LGPL, 16000)
ELENA = rhvoice("elena", "ru-RU", "female", "rhvoice-russian", LGPL, 24000)
ALEKSANDR = rhvoice("aleksandr", "ru-RU", "male", "rhvoice-russian", LGPL, 16000)
NATALIA = rhvoice("natalia", "uk-UA", "female", "rhvoice-ukrainian", LGPL, 24000)
ANATOL = rhvoice("anatol", "uk-UA", "male", "rhvoice-ukrainian", LGPL, 24000)
SPOMENKA = rhvoice("spomenka", "eo", "female", "rhvoice-esperanto", LGPL, 24000)
LETICIA = rhvoice(
    "Letícia-F123", "pt-BR", "female", "rhvoice-brazilian-portuguese", "CC-BY-SA-4.0", 24000
)
SLT = festival("cmu_us_slt_arctic_hts", "en-US", "female", "festvox-us-slt-hts", FESTIVAL, "ascii")
NSH = festival("msu_ru_nsh_clunits", "ru-RU", "male", "festvox-ru", FESTIVAL, "utf-8")
ONA = festival(
    "upc_ca_ona_hts", "ca-ES", "female", "festvox-ca-ona-hts festival-ca", LGPL, "iso-8859-15"
)
LJ = festival(
    "suo_fi_lj_diphone",
    "fi-FI",
    "female",
    "festvox-suopuhe-lj",
    "LGPL-2.0-or-later",
    "iso-8859-1",
)
M001 = Voice(
    "open_jtalk",
    "nitech_jp_atr503_m001",
    "ja-JP",
    "male",
    ("open-jtalk", "open-jtalk-mecab-naist-jdic", "hts-voice-nitech-jp-atr503-m001"),
    "CC-BY-3.0",
)


@dataclass(frozen=True)
class Line:
    """What a voice says, and the room and level it says it in."""

    voice: Voice
    text: str
    room: Room
    level_dbfs: float


# Ordered so that the first few already differ in language, gender and engine.
LINES = {
    "en_bdl": Line(
        BDL,
        "The ferry left the harbour at half past six, carrying nine bicycles, a piano, "
        "and one very seasick dog.",
        CLOSE,
        -26,
    ),
    "de_pico": Line(
        pico("de-DE"),
        "Der alte Uhrmacher hörte am Klang der Zahnräder, welche Feder müde geworden war.",
        STUDIO,
        -25,
    ),
    "ru_elena": Line(
        ELENA,
        "Поздним вечером в библиотеке слышно, как шуршат страницы и за окном медленно идёт дождь.",
        CLOSE,
        -27,
    ),
    "pt_leticia": Line(
        LETICIA,
        "Na feira de domingo, minha avó escolhe as laranjas pelo cheiro e nunca discute o preço "
        "com ninguém.",
        STUDIO,
        -24,
    ),
    "ja_m001": Line(
        M001,
        "港の朝は早く、漁師たちは霧の中から静かに戻ってきて、温かいお茶を飲みます。",
        CLOSE,
        -26,
    ),
    "fr_pico": Line(
        pico("fr-FR"),
        "Chaque jeudi, le boulanger du quartier garde une brioche tiède pour la jeune fille qui "
        "rentre du conservatoire.",
        OFFICE,
        -27,
    ),
    "en_clb": Line(
        CLB,
        "She measured the rainfall every morning, wrote the figure in chalk, and wiped it away "
        "before anyone asked.",
        STUDIO,
        -23,
    ),
    "uk_anatol": Line(
        ANATOL,
        "Щоранку дідусь виходить у сад, слухає пташок і записує погоду в стару зелену книжку.",
        STUDIO,
        -28,
    ),
    "ca_ona": Line(
        ONA,
        "Quan bufa el vent de garbí, les finestres de casa canten i el gat s'amaga sota la taula "
        "gran.",
        CLOSE,
        -25,
    ),
    "en_alan": Line(
        ALAN,
        "Grand designs rarely survive the weather up here, but a thick jacket and a decent "
        "kettle usually do.",
        OFFICE,
        -26,
    ),
    "es_pico": Line(
        pico("es-ES"),
        "El guarda del faro enciende la lámpara cuando baja la niebla y cuenta los barcos hasta "
        "que amanece.",
        CLOSE,
        -29,
    ),
    "ru_aleksandr": Line(
        ALEKSANDR,
        "В старой мастерской пахнет стружкой и лаком, а на стене тикают часы с кукушкой.",
        OFFICE,
        -26,
    ),
    "en_slt": Line(
        SLT,
        "Would you rather fix the broken window first, or shall we share these oranges while "
        "the sun is out?",
        CLOSE,
        -26,
    ),
    "ru_nsh": Line(
        NSH,
        "Мы долго шли вдоль реки, пока за холмом не показались жёлтые огни станции.",
        CLOSE,
        -25,
    ),
    "it_pico": Line(
        pico("it-IT"),
        "Nella piazzetta dietro la chiesa, gli anziani giocano a scacchi e commentano ogni mossa "
        "con passione.",
        STUDIO,
        -24,
    ),
    "en_rms": Line(
        flite("rms", "en-US", "male"),
        "Both engineers agreed that the bridge would hold, although neither chose to walk across "
        "it first.",
        STUDIO,
        -27,
    ),
    "uk_natalia": Line(
        NATALIA,
        "На ярмарку приїхали гончарі з усього краю, і кожен привіз глечик, що дзвенить по-своєму.",
        OFFICE,
        -26,
    ),
    "fi_lj": Line(
        LJ,
        "Kesäyönä järvi makaa aivan tyynenä, ja jokainen airon veto kuuluu vastarannalle saakka.",
        STUDIO,
        -26,
    ),
    "en_awb": Line(
        flite("awb", "en-GB", "male"),
        "A quiet village lies beyond the gorge, where the miller's daughter keeps bees and plays "
        "the fiddle.",
        CLOSE,
        -22,
    ),
    "eo_spomenka": Line(
        SPOMENKA,
        "La malnova ponto grincas sub ĉiu paŝo, sed la infanoj ŝatas ĝian kanton.",
        CLOSE,
        -26,
    ),
    "en_pico": Line(
        pico("en-GB"),
        "I thought the jazz quartet was wonderful, yet the usual crowd just shrugged and went "
        "home early.",
        STUDIO,
        -30,
    ),
}


SEEDS = {name: seed for seed, name in enumerate(LINES, start=101)}


def render(name: str) -> Track:
    line, seed = LINES[name], SEEDS[name]
    rng = np.random.default_rng(seed)
    spoken, sample_rate_hz = line.voice.speak(line.text)
    spoken = high_pass(spoken, sample_rate_hz, HIGH_PASS_HZ)
    before_s, after_s = rng.uniform(0.2, 0.4), rng.uniform(0.3, 0.5)
    dry = _between_pauses(spoken, sample_rate_hz, before_s, after_s)
    wet = line.room.apply(dry[np.newaxis], sample_rate_hz, rng)
    audio = to_active_level(wet, sample_rate_hz, line.level_dbfs)
    tone = noise_of_slope(rng, audio.shape[1], 1.0) * amplitude(ROOM_TONE_DBFS)
    return Track(
        id=name,
        set="speech",
        audio=audio + tone,
        sample_rate_hz=sample_rate_hz,
        genre="read sentence",
        licence=line.voice.licence,
        generator=debian_versions(*line.voice.packages),
        processing=(
            f"high-pass {HIGH_PASS_HZ:g} Hz; {line.room}; "
            f"active level {line.level_dbfs:g} dBFS; room tone {ROOM_TONE_DBFS:g} dBFS"
        ),
        seed=seed,
        speaker=line.voice.speaker,
        gender=line.voice.gender,
        language=line.voice.language,
        transcript=line.text,
    )


def _between_pauses(speech: Audio, sample_rate_hz: int, before_s: float, after_s: float) -> Audio:
    """Cut what the engine padded with, then put natural pauses around the sentence."""
    loud = np.flatnonzero(np.abs(speech) > np.abs(speech).max() * amplitude(-45))
    margin = round(0.03 * sample_rate_hz)
    start, stop = max(loud[0] - margin, 0), min(loud[-1] + margin, speech.size)
    pauses = round(before_s * sample_rate_hz), round(after_s * sample_rate_hz)
    return np.pad(speech[start:stop], pauses)
