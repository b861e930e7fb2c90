"""The clips worth hearing, and their audio: reference and every codec at the same playhead.

Nothing is decoded here. References are built again from the suite in the manifest, decoded audio
comes from the store; each is checked against the hash in its record, and what is not there any
more has a reason.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nacbench import alignment, audio, conditions, sources
from nacbench.board import Board, Section
from nacbench.core import Clip, ClipRef, Samples
from nacbench.errors import UserError
from nacbench.leaderboard import latest
from nacbench.records import Record
from nacbench.results import ResultTable
from nacbench.sources.loading import load

Decoded = Callable[[Record], Clip | None]  # before alignment; None where it is not stored any more

ITEMS = 4
EXCERPT_S = 8.0  # of a longer clip, where the reference is loudest
OPUS_HZ = 48000
OPUS_BPS = 64_000  # per channel; above the rate at which listeners tell Opus from its input
TOO_LARGE = "left out: the page would pass its size"
PRUNED = (
    "not stored any more (pruned, or another cache folder): run the suite again, what is stored "
    "is not coded twice"
)


@dataclass(frozen=True)
class Item:
    """A clip under a condition, with its records by row of its section.

    Attributes:
        badness: mean distance below the average clip, in standard deviations, over the codecs.
        failed: codecs that have no score on it.
    """

    section: int
    clip: str
    condition: str
    records: tuple[tuple[int, Record], ...]
    badness: float
    failed: int


@dataclass(frozen=True)
class Coding:
    """How audio is embedded: media type, writer, and what a listener should know."""

    media_type: str
    encode: Callable[[Clip], bytes]
    note: str


def worst(table: ResultTable, board: Board, count: int) -> list[Item]:
    """The clips that codecs fail on, then those on which they do worst by the leading metric.

    Scores are compared within an operating point, so that neither a poor codec nor a hard
    condition decides; anchors have no say.
    """
    records: dict[tuple[str, str], list[Record]] = {}
    for record in latest(table.records):
        records.setdefault((record.suite, record.condition), []).append(record)
    items = [
        item
        for place, section in enumerate(board.sections)
        for item in _items(board, place, section, records[section.suite, section.condition])
    ]
    return sorted(items, key=lambda item: (-item.failed, -item.badness, item.clip))[:count]


def _items(board: Board, place: int, section: Section, records: Sequence[Record]) -> Iterator[Item]:
    rows = {row.point_key: index for index, row in enumerate(section.rows)}
    clips = list(dict.fromkeys(r.clip for r in records))
    values = np.full((len(clips), len(rows)), np.nan)
    by_clip: dict[str, list[tuple[int, Record]]] = {clip: [] for clip in clips}
    lead = board.headline[0] if board.headline else None
    for record in records:
        by_clip[record.clip].append((rows[record.point_key], record))
        score = record.scores.get(lead.name) if lead else None
        if lead and score is not None and score.value is not None:
            sign = 1.0 if lead.higher_is_better else -1.0
            values[clips.index(record.clip), rows[record.point_key]] = sign * score.value
    competing = np.array([not row.anchor for row in section.rows])
    badness = _badness(values[:, competing] if competing.any() else values)
    for clip, how_bad in zip(clips, badness.tolist(), strict=True):
        ordered = tuple(sorted(by_clip[clip], key=lambda pair: pair[0]))
        failed = sum(record.failure is not None for _, record in ordered)
        yield Item(place, clip, section.condition, ordered, how_bad, failed)


def _badness(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """`[clips]` from `[clips, points]`, higher is better: mean of the negated z-scores."""
    known = np.isfinite(values)
    filled = np.where(known, values, 0.0)
    count = np.maximum(known.sum(axis=0), 1)
    centred = np.where(known, values - filled.sum(axis=0) / count, 0.0)
    spread = np.sqrt((centred**2).sum(axis=0) / count)
    z = np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 0)
    return np.asarray(-z.sum(axis=1) / np.maximum(known.sum(axis=1), 1))


def embed(
    items: Sequence[Item], table: ResultTable, decoded_of: Decoded, audio_coding: str, room: int
) -> tuple[list[dict[str, Any]], dict[str, tuple[str, bytes]]]:
    """Items for the page, and their sounds by id.

    Args:
        decoded_of: finds decoded audio, `nacbench.runner.work.decoded_of` with its cache.
        room: bytes of audio in all. Every item gets an equal share, and what one leaves over goes
            to the next; within an item the reference comes first, then the lowest rates.
    """
    coding = CODINGS[audio_coding]
    references = References(table)
    shown: list[dict[str, Any]] = []
    sounds: dict[str, tuple[str, bytes]] = {}
    for index, item in enumerate(items):
        share = (room - sum(len(data) for _, data in sounds.values())) // (len(items) - index)
        about, own = _item(item, index, references, decoded_of, coding, share)
        shown.append(about)
        sounds |= own
    return shown, sounds


def _item(
    item: Item, index: int, references: References, decoded_of: Decoded, coding: Coding, share: int
) -> tuple[dict[str, Any], dict[str, tuple[str, bytes]]]:
    sounds: dict[str, tuple[str, bytes]] = {}
    about: dict[str, Any] = {
        "section": item.section,
        "clip": item.clip,
        "badness": round(item.badness, 2),
        "failed": item.failed,
        "reference": None,
        "reason": None,
        "voices": [],
    }
    first = item.records[0][1]
    try:
        reference = references.get(next((r for _, r in item.records if r.failure is None), first))
    except UserError as error:
        return {**about, "reason": str(error)}, sounds
    part = excerpt(reference)
    name = f"sound-{index}-reference"
    data = coding.encode(cut(reference, part))
    if len(data) > share:
        return {**about, "reason": "its reference alone would pass the size of the page"}, sounds
    sounds[name] = coding.media_type, data
    rate = reference.sample_rate_hz
    about |= {
        "reference": name,
        "sample_rate_hz": rate,
        "start_s": part.start / rate,
        "duration_s": (part.stop - part.start) / rate,
        "whole_s": reference.duration_s,
    }
    full = False
    for row, record in item.records:
        sound, reason = None, record.failure or (TOO_LARGE if full else None)
        try:
            if reason is None:
                decoded, _ = alignment.align(reference, checked(record, decoded_of(record)))
                data = coding.encode(cut(decoded, part))
                if sum(len(d) for _, d in sounds.values()) + len(data) > share:
                    full, reason = True, TOO_LARGE  # the others are as large: no need to code them
                else:
                    sound = f"sound-{index}-{row}"
                    sounds[sound] = coding.media_type, data
        except UserError as error:
            reason = str(error)
        about["voices"].append({"row": row, "sound": sound, "reason": reason})
    return about, sounds


class References:
    """What went into the codecs, built again from the suite that a manifest describes."""

    def __init__(self, table: ResultTable) -> None:
        self._suites = {
            run: manifest.get("resolved_suite", {}) for run, manifest in table.manifests.items()
        }
        self._refs: dict[str, dict[str, ClipRef]] = {}

    def get(self, record: Record) -> Clip:
        """Raises:
        UserError: it cannot be built, or differs from what the record saw.
        """
        suite = self._suites.get(record.run)
        if not suite:
            raise UserError("the run has no manifest that says where its clips are from")
        ref = self._listed(record.run, suite).get(record.clip)
        if ref is None:
            raise UserError("the suite's sources do not hold this clip any more")
        spec = {c.name: c for c in map(conditions.build, suite.get("conditions", ["clean"]))}
        if record.condition not in spec:
            raise UserError(f"the run's manifest has no condition '{record.condition}'")
        clip = spec[record.condition].apply(load(ref), record.seed)
        if audio.sha256(clip) != record.hashes.get("reference"):
            raise UserError("the clip is not what it was when it was coded")
        return clip

    def _listed(self, run: str, suite: Mapping[str, Any]) -> dict[str, ClipRef]:
        if run not in self._refs:
            built = [_source(spec) for spec in suite.get("sources", ())]
            self._refs[run] = {ref.id: ref for source in built for ref in source.clips()}
        return self._refs[run]


def _source(spec: Any) -> sources.Source:
    """From a manifest, which writes `embedded:speech` as `{embedded:speech: {}}`."""
    if isinstance(spec, Mapping) and len(spec) == 1:
        ((name, options),) = spec.items()
        if not options:
            spec = str(name)
    return sources.build(spec)


def checked(record: Record, clip: Clip | None) -> Clip:
    """Raises:
    UserError: it is not stored, or is another.
    """
    if clip is None:
        raise UserError(PRUNED)
    if audio.sha256(clip) != record.hashes.get("decoded"):
        raise UserError("what is stored came out differently in a later run")
    return clip


def excerpt(reference: Clip) -> slice:
    """The loudest `EXCERPT_S` of a clip, or all of it."""
    length = round(EXCERPT_S * reference.sample_rate_hz)
    if reference.length <= length:
        return slice(0, reference.length)
    hop = reference.sample_rate_hz // 10
    energy = np.concatenate(
        [[0.0], np.cumsum(np.square(reference.samples).sum(axis=0), dtype=float)]
    )
    starts = np.arange(0, reference.length - length + 1, hop)
    start = int(starts[np.argmax(energy[starts + length] - energy[starts])])
    return slice(start, start + length)


def cut(clip: Clip, part: slice) -> Clip:
    return Clip(clip.samples[:, part], clip.sample_rate_hz, clip.id)


def _opus(clip: Clip) -> bytes:
    """Ogg Opus, through FFmpeg's libopus."""
    import av

    clip = audio.at_rate(_stereo_at_most(clip), OPUS_HZ)
    layout = "mono" if clip.channels == 1 else "stereo"
    file = io.BytesIO()
    with av.open(file, "w", format="ogg") as container:
        stream: Any = container.add_stream("libopus", rate=OPUS_HZ, layout=layout)
        stream.bit_rate = OPUS_BPS * clip.channels
        interleaved = np.ascontiguousarray(_in_range(clip.samples).T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(interleaved, format="flt", layout=layout)
        frame.sample_rate = OPUS_HZ
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    return file.getvalue()


def _flac(clip: Clip) -> bytes:
    import soundfile

    file = io.BytesIO()
    samples = _in_range(_stereo_at_most(clip).samples).T
    soundfile.write(file, samples, clip.sample_rate_hz, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def _stereo_at_most(clip: Clip) -> Clip:
    """Browsers' layouts of more channels differ; a mix is the same in all."""
    return audio.to_mono(clip) if clip.channels > 2 else clip


def _in_range(samples: Samples) -> Samples:
    """A player clips what is beyond full scale; so does this, the same in every browser."""
    return np.clip(samples, -1.0, 1.0)


CODINGS = {
    "opus": Coding(
        "audio/ogg",
        _opus,
        f"All players, the reference's too, hold Opus at {OPUS_BPS // 1000} kbit/s a channel: "
        "small differences may be lost. 'nacbench report --html --audio flac' embeds the samples.",
    ),
    "flac": Coding("audio/flac", _flac, "Players hold FLAC, 16 bits a sample."),
}
