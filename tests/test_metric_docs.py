"""What docs/metrics.md and docs/adding-a-metric.md say about metrics is what the code does."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest
from signals import voice, with_noise

from nacbench.metrics import ALIASES, METRICS
from nacbench.scoring import Scorer
from nacbench.testing import check_corpus_metric, check_metric

DOCS = Path(__file__).parents[1] / "docs"
METRICS_PAGE = (DOCS / "metrics.md").read_text(encoding="utf-8")
EXAMPLE_PAGE = (DOCS / "adding-a-metric.md").read_text(encoding="utf-8")
BUILT_IN = sorted(METRICS._builtin)


def rows(title: str) -> dict[str, list[str]]:
    """Table rows after a phrase of the page, by recipe."""
    after = METRICS_PAGE[METRICS_PAGE.index(title) :].split("\n\n")
    table = next(part for part in after if part.startswith("|"))
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {row[0].strip("`"): row[1:] for row in cells}


def span(low: float, high: float) -> str:
    shown = ["" if abs(bound) == float("inf") else f"{bound:g}" for bound in (low, high)]
    return f"{shown[0]} … {shown[1]}".strip()


def test_the_table_of_recipes_is_that_of_the_code() -> None:
    expected = {}
    for name in BUILT_IN:
        cls = METRICS.get(name)
        better = {True: "higher", False: "lower", None: "–"}[cls.higher_is_better]
        rate = f"{cls.sample_rate_hz} Hz" if cls.sample_rate_hz else "own"
        channels = "mono" if cls.mono else "all"
        expected[name] = [
            cls.unit or "–", span(*cls.bounds), better, rate, channels, cls.domain, cls.version
        ]  # fmt: skip
    assert rows("There is no stand-in") == expected


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_recipe_has_a_section_and_a_cost(name: str) -> None:
    assert f"\n### {name}\n" in METRICS_PAGE
    assert name in rows("## What they cost")


def test_every_alias_is_documented() -> None:
    for alias, recipe in ALIASES.items():
        assert f"`{alias}` is an alias: `{recipe}`" in METRICS_PAGE


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", EXAMPLE_PAGE, re.M | re.S)


def test_the_worked_example_keeps_the_contract_and_prints_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example, test, *_ = blocks("python")
    (tmp_path / "lab.py").write_text(example, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "lab", raising=False)
    importlib.invalidate_caches()
    assert 'check_metric("lab:SegmentalSnr")' in test
    printed = str(check_metric("lab:SegmentalSnr")).splitlines()
    shown = re.search(r"It prints:\n\n((?:    .*\n)+)", EXAMPLE_PAGE)
    assert shown
    for line, documented in zip(printed, shown[1].splitlines(), strict=True):
        assert line.startswith(documented.strip("\n").removeprefix("    ").removesuffix("…"))


def test_the_worked_example_of_a_metric_over_a_set_keeps_the_contract(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    *_, example, test = blocks("python")
    (tmp_path / "longterm.py").write_text(example, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "longterm", raising=False)
    importlib.invalidate_caches()
    assert 'check_corpus_metric("longterm:LongTermSpectrum")' in test
    report = check_corpus_metric("longterm:LongTermSpectrum")
    assert report.scores["copies"] == 0


def test_the_worked_example_scores_beside_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lab.py").write_text(blocks("python")[0], encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "lab", raising=False)
    scores = Scorer(["snr", "lab:SegmentalSnr"]).score(voice(), with_noise(voice(), 20))
    assert scores["snr"].value == pytest.approx(20, abs=0.01)
    assert scores["lab:SegmentalSnr"].ok
