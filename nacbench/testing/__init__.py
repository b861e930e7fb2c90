"""Conformance checks for third-party codecs and metrics, and for ours.

    from nacbench.testing import check_codec, check_corpus_metric, check_metric

    def test_my_codec_keeps_the_contract():
        print(check_codec("my_package.codec:MyCodec", kbps=6))

    def test_my_metric_keeps_the_contract():
        print(check_metric("my_package.metric:MyMetric"))

    def test_my_distance_of_sets_keeps_the_contract():
        print(check_corpus_metric("my_package.metric:MyDistance"))

A check raises an AssertionError that names every promise that was broken, in a sentence each, and
returns what was measured.
"""

from nacbench.corpus_conformance import check_corpus_metric
from nacbench.metric_conformance import MetricReport, check_metric
from nacbench.testing.codec import check_codec
from nacbench.testing.report import Report

__all__ = ["MetricReport", "Report", "check_codec", "check_corpus_metric", "check_metric"]
