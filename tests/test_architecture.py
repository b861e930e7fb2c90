"""The house plan, enforced: imports fall downhill, packages stay apart, no stray paths."""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A module imports modules of a lower layer only (or its own package). docs/architecture.md has
# the picture; a new module is placed here and there in the same commit.
LAYERS = {
    "core": 0,
    "errors": 0,
    "alignment": 1,
    "audio": 1,
    "data": 1,
    "devices": 1,
    "identity": 1,
    "pack": 1,
    "records": 1,
    "registry": 1,
    "stats": 1,
    "torchaudio_cpu": 1,
    "bd_rate": 2,
    "board": 2,
    "codecs": 2,
    "metrics": 2,
    "sources": 2,
    "conditions": 3,
    "cache": 3,
    "coding": 3,
    "executors": 3,
    "results": 3,
    "scoring": 3,
    "suite": 4,
    "leaderboard": 4,
    "metric_conformance": 4,
    "corpus_conformance": 5,
    "listeners": 5,
    "baseline": 5,
    "comparison": 5,
    "diagnosis": 6,
    "pareto": 5,
    "pairs": 5,
    "regression": 6,
    "suspicions": 5,
    "report": 7,
    "runner": 8,
    "selftest": 9,
    "testing": 9,
    "view": 9,
    "commands": 10,
    "cli": 11,
}
WITHIN_LAYER_1 = {("alignment", "audio"), ("data", "registry")}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported_names(path: Path) -> Iterator[str]:
    """Every absolute import of a file, those inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def component(path: Path) -> str:
    return path.relative_to(ROOT / "nacbench").parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", modules("nacbench"), ids=lambda path: str(path.name))
def test_imports_fall_downhill(path: Path) -> None:
    own = component(path)
    if own in ("__init__", "__main__"):
        return
    assert own in LAYERS, f"place {own} in LAYERS and in docs/architecture.md"
    for name in imported_names(path):
        parts = name.split(".")
        if parts[0] != "nacbench" or len(parts) < 2 or parts[1] in (own, "__version__"):
            continue
        other = parts[1]
        assert other in LAYERS, f"{path}: imports unplaced nacbench.{other}"
        downhill = LAYERS[other] < LAYERS[own] or (own, other) in WITHIN_LAYER_1
        assert downhill, f"{path.name} (layer {LAYERS[own]}) imports {other} ({LAYERS[other]})"


def test_the_bench_imports_neither_the_codec_nor_the_listening_test() -> None:
    for path in modules("nacbench"):
        for name in imported_names(path):
            assert name.split(".")[0] not in ("reference_codec", "mushra_app"), path


# The codec offered to the bench, and the bench's metrics watched while a codec is trained.
MAY_IMPORT_THE_BENCH = ("plugin.py", "training/validation.py")


def test_only_plugin_and_validation_of_the_reference_codec_import_the_bench() -> None:
    for path in modules("reference_codec"):
        if path.relative_to(ROOT / "reference_codec").as_posix() not in MAY_IMPORT_THE_BENCH:
            for name in imported_names(path):
                assert name.split(".")[0] not in ("nacbench", "mushra_app"), path


def test_no_tracked_file_names_an_absolute_path_of_a_checkout() -> None:
    home = str(ROOT.parent) + "/"
    done = subprocess.run(
        ["git", "grep", "-nIF", home], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stderr
    assert done.stdout == ""
