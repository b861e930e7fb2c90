"""Conformance check for metrics over a set; `nacbench.testing` offers it.

from nacbench.testing import check_corpus_metric

def test_my_metric_keeps_the_contract():
    print(check_corpus_metric("my_package.metric:MyDistance"))
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nacbench import audio, pack
from nacbench.core import Clip, CorpusMetric
from nacbench.errors import UnscorableError
from nacbench.metric_conformance import (
    BEYOND,
    CHANGE,
    SNRS_DB,
    MetricReport,
    attribute_faults,
    with_noise,
)
from nacbench.metrics import CORPUS_METRICS, build, class_of

CLIPS = 8  # of the embedded speech: 52 s


def check_corpus_metric(
    metric: str | type, /, references: Sequence[Clip] | None = None
) -> MetricReport:
    """Check that a metric over a set keeps the contract of `nacbench.core.CorpusMetric`.

    Args:
        metric: a recipe (`fad:logmel`), `package.module:Class`, or a class that needs no argument.
        references: mono clips to degrade; eight of the embedded speech by default.

    Returns:
        Its values for copies and for noise at 30, 15 and 0 dB, and the checks that held.

    Raises:
        AssertionError: promises that were broken, one line each.
        UserError: an unknown name.
    """
    cls = class_of(metric) if isinstance(metric, str) else metric
    first, second = (build(metric) if isinstance(metric, str) else cls() for _ in range(2))
    recipe = metric if isinstance(metric, str) else str(getattr(first, "name", cls.__name__))
    report = MetricReport(recipe)
    broken = list(attribute_faults(cls, first))
    if recipe.partition(":")[0] in CORPUS_METRICS.names() and first.name != recipe:
        broken.append(f"is asked for as '{recipe}' and calls itself '{first.name}'")
    if not broken:
        files = sorted((Path(pack.__file__).parent / "speech").glob("*.flac"))[:CLIPS]
        rate = getattr(first, "sample_rate_hz", None) or 16000
        given = [
            audio.at_rate(audio.to_mono(c), rate) for c in references or map(audio.read, files)
        ]
        report.passed.append("attributes")
        for title, faults in (
            ("every clip has rows of one width", _shapes(first, given)),
            ("the same rows by any instance", _repeatable(first, second, given[0])),
            ("copies are best and more noise never better", _order(first, given, report)),
            ("odd clips get rows or a reason", _odd_clips(first, given[0])),
            ("a set of one clip gets a value or a reason", _small(first, given[0])),
        ):
            before = len(broken)
            try:
                broken.extend(faults)
            except Exception as error:
                broken.append(f"{title}: raised {type(error).__name__}: {error}")
            if len(broken) == before:
                report.passed.append(title)
    assert not broken, "\n".join([f"{recipe}:", *broken])
    return report


def _shapes(metric: CorpusMetric, clips: Sequence[Clip]) -> Iterator[str]:
    shapes = [np.asarray(metric.embed(clip)).shape for clip in clips]
    if any(len(shape) != 2 for shape in shapes):
        yield f"embed gave arrays of the shapes {set(shapes)}, expected [parts, dimensions]"
    elif len({width for _, width in shapes}) > 1:
        yield f"embed gave rows of {sorted({width for _, width in shapes})} dimensions"


def _repeatable(metric: CorpusMetric, other: CorpusMetric, clip: Clip) -> Iterator[str]:
    rows = metric.embed(clip)
    for what, again in (("a second time", metric.embed(clip)), ("another", other.embed(clip))):
        if not np.allclose(rows, again, rtol=0, atol=CHANGE):
            yield f"the same clip has other rows, {what}"


def _order(metric: CorpusMetric, clips: Sequence[Clip], report: MetricReport) -> Iterator[str]:
    references = np.concatenate([metric.embed(clip) for clip in clips])
    values = {"copies": metric.compare(references, references)}
    for snr_db in SNRS_DB:
        decoded = np.concatenate([metric.embed(with_noise(clip, snr_db)) for clip in clips])
        values[f"{snr_db:g} dB SNR"] = metric.compare(references, decoded)
        if metric.compare(references, decoded) != values[f"{snr_db:g} dB SNR"]:
            yield f"{snr_db:g} dB SNR: the same set has two values"
    report.scores |= values
    low, high = metric.bounds
    for name, value in values.items():
        if not (math.isfinite(value) and low - BEYOND <= value <= high + BEYOND):
            yield f"{name}: {value} is no number within the bounds {low} to {high}"
    if metric.higher_is_better is not None:
        sign = 1 if metric.higher_is_better else -1
        for (better, first), (worse, second) in itertools.pairwise(values.items()):
            if sign * second > sign * first + BEYOND:
                yield f"{worse} scores better than {better}: {second} and {first}"


def _odd_clips(metric: CorpusMetric, clip: Clip) -> Iterator[str]:
    for name, samples in (
        ("silence", np.zeros_like(clip.samples)),
        ("no samples", clip.samples[:, :0]),
        ("one sample", clip.samples[:, :1]),
        ("beyond full scale", clip.samples * np.float32(100)),
    ):
        rows = _rows(metric, Clip(samples, clip.sample_rate_hz, clip.id))
        if isinstance(rows, str):
            yield from ([rows] if rows.startswith("raised") else [])
        elif not np.isfinite(rows).all():
            yield f"{name}: rows that are not finite; UnscorableError is the way to say no"


def _rows(metric: CorpusMetric, clip: Clip) -> NDArray[np.float64] | str:
    try:
        rows = metric.embed(clip)
    except UnscorableError as error:
        return str(error) or "raised UnscorableError without a reason"
    except Exception as error:
        return f"raised {type(error).__name__}: {error}"
    return rows


def _small(metric: Any, clip: Clip) -> Iterator[str]:
    rows = metric.embed(clip)
    try:
        value = metric.compare(rows, rows)
    except UnscorableError as error:
        if not str(error):
            yield "a set of one clip: UnscorableError without a reason"
    else:
        if not math.isfinite(value):
            yield f"a set of one clip: {value}; UnscorableError is the way to say no"
