"""The README's example is a codec that keeps the contract; its links and pictures exist."""

import re
from pathlib import Path

import pytest

from nacbench.testing import check_codec

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_ten_lines_pass_the_conformance_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = re.search(r"```python\n# lab\.py\n(.*?)```", TEXT, re.S)
    assert code
    (tmp_path / "readme_lab.py").write_text(code[1], encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert check_codec("readme_lab:EightBit").measured["correlation"] > 0.99


def test_every_link_leads_to_a_file() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", TEXT)
    assert len(links) > 20
    missing = [link for link in links if not (ROOT / link).exists()]
    assert missing == []
