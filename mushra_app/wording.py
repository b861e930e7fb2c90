"""What listeners read: one YAML file per language in `texts/`; a new file is a new language."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

TEXTS = Path(__file__).parent / "texts"
FALLBACK = "en"


def languages() -> dict[str, str]:
    """Code of each language that there is a file for, and its own name for itself."""
    codes = sorted(path.stem for path in TEXTS.glob("*.yaml"))
    return {code: str(texts(code)["language"]) for code in codes}


@cache
def texts(language: str) -> dict[str, Any]:
    """All texts of a language; English where there is no file for it."""
    path = TEXTS / f"{language}.yaml"
    if language not in {known.stem for known in TEXTS.glob("*.yaml")}:
        path = TEXTS / f"{FALLBACK}.yaml"
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def choose(offered: tuple[str, ...], wanted: str | None) -> str:
    """The offered language that is nearest to what a browser asks for, else the first."""
    known = [code for code in offered if code in languages()] or [FALLBACK]
    base = (wanted or "").split("-")[0].lower()
    return next((code for code in known if code.split("-")[0].lower() == base), known[0])
