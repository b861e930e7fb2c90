"""Every family, and every published size, keeps the bench's contract for codecs."""

from pathlib import Path

import pytest
import tiny

import reference_codec
from nacbench.testing import check_codec
from reference_codec import checkpoint, export
from reference_codec.presets import PRESETS

BY_PATH = "reference_codec.plugin:Reference"


# Causal steps, whole segments, and windows: the three ways to code a clip. Others are slow.
FAST = ("tiny-causal", "tiny-segments", "tiny-dac")


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] * (n not in FAST)) for n in tiny.CONFIGS],
)
def test_every_family_keeps_the_contract_of_codecs(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    checkpoint.save(tiny.model(name), path)
    report = check_codec(BY_PATH, model=str(path))
    assert report.measured["payload_kbps"] > 0


@pytest.mark.slow
def test_an_export_keeps_the_contract_of_codecs(tmp_path: Path) -> None:
    export.export(tiny.model("tiny-causal"), tmp_path)
    check_codec(BY_PATH, model=str(tmp_path))


@pytest.mark.slow
@pytest.mark.timeout(900)  # a minute on two free cores
@pytest.mark.parametrize("name", PRESETS)
def test_every_published_size_keeps_the_contract_of_codecs(name: str) -> None:
    config = PRESETS[name]
    report = check_codec("reference", model=name, kbps=config.kbps[0])
    # Entropy coding may save, the heads of file and blocks cost; a second has both.
    assert 0 < report.measured["payload_kbps"] < 2 * config.kbps[0] * config.channels + 2


def test_the_documentation_places_every_file_and_every_preset() -> None:
    page = (Path(__file__).parents[2] / "docs/reference-codec.md").read_text(encoding="utf-8")
    files = {path.name for path in Path(reference_codec.__file__).parent.glob("*.py")}
    table = page.partition("## File → paper")[2].partition("\n## ")[0]
    assert {name for name in files if f"`{name}`" not in table} == {"__init__.py"}
    assert {name for name in PRESETS if f"`{name}`" not in page} == set()
