"""Every language says everything."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from mushra_app import wording


def leaves(texts: Any, place: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(texts, dict):
        for key, value in texts.items():
            yield from leaves(value, f"{place}.{key}")
    elif isinstance(texts, list):
        for number, value in enumerate(texts):
            yield from leaves(value, f"{place}[{number}]")
    else:
        yield place, texts


@pytest.mark.parametrize("language", sorted(set(wording.languages()) - {"en"}))
def test_a_language_has_the_keys_and_the_blanks_of_english(language: str) -> None:
    english, other = (dict(leaves(wording.texts(code))) for code in ("en", language))
    assert list(english) == list(other)
    for place, text in english.items():
        assert isinstance(other[place], str), place
        assert set(re.findall(r"{\w+}", text)) == set(re.findall(r"{\w+}", other[place])), place
    copied = [place for place in english if english[place] == other[place]]
    assert len(copied) < len(english) / 10, copied


def test_the_language_nearest_to_the_browsers_is_taken() -> None:
    assert wording.choose(("en", "de"), "de-AT") == "de"
    assert wording.choose(("en", "de"), "fr") == "en"
    assert wording.choose(("de", "en"), None) == "de"
    assert wording.choose(("xx",), "de") == "en"
    assert wording.texts("../../secrets") == wording.texts("en")
