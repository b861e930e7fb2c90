"""Checkpoints: whole or absent, in parts on request, and the same weights after `kill -9`."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tiny_run import saving_run

from reference_codec.errors import UserError
from reference_codec.training import checkpoints

ROOT = Path(__file__).parents[2]
TENSORS = {"a/x": torch.arange(6.0).view(2, 3), "b/n": torch.tensor(7), "c": torch.zeros(0, 4)}


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    path = checkpoints.save(tmp_path, 5, TENSORS, {"step": 5})
    tensors, state = checkpoints.load(path)
    assert state == {"step": 5}
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)


def test_split_checkpoints_have_no_file_over_16_mb_and_join(tmp_path: Path) -> None:
    large = {"large": torch.arange(9e6, dtype=torch.float32), **TENSORS}  # 36 MB
    path = checkpoints.save(tmp_path, 1, large, {}, split=True)
    sizes = sorted(file.stat().st_size for file in path.iterdir())
    assert len(sizes) == 4  # three parts and the state
    assert sizes[-1] <= 16e6
    assert torch.equal(checkpoints.load(path)[0]["large"], large["large"])


def test_the_last_two_stay(tmp_path: Path) -> None:
    for number in (1, 2, 30, 4):
        checkpoints.save(tmp_path, number, TENSORS, {})
    left = sorted(path.name for path in (tmp_path / checkpoints.FOLDER).iterdir())
    assert left == ["00000004", "00000030"]
    assert checkpoints.latest(tmp_path) == tmp_path / checkpoints.FOLDER / "00000030"


def test_a_half_written_checkpoint_is_passed_over(tmp_path: Path) -> None:
    good = checkpoints.save(tmp_path, 1, TENSORS, {})
    left = good.with_name("00000002.unfinished")
    left.mkdir()
    (left / "tensors.safetensors").write_bytes(b"half")
    assert checkpoints.latest(tmp_path) == good
    assert not left.exists()


@pytest.mark.parametrize("damage", ["cut", "flip", "part", "state"])
def test_damage_is_told(tmp_path: Path, damage: str) -> None:
    path = checkpoints.save(tmp_path, 1, TENSORS, {}, split=True)
    file = path / ("state.json" if damage == "state" else "tensors.safetensors.000")
    data = bytearray(file.read_bytes())
    if damage == "part":
        file.unlink()
    else:
        data[-1] ^= 1
        file.write_bytes(data[:-9] if damage in ("cut", "state") else data)
    with pytest.raises(UserError, match=str(path)):
        checkpoints.load(path)


RUN = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from tiny_run import saving_run
saving_run(Path(sys.argv[1]))
"""


def killed_after(directory: Path, delay_s: float) -> int:
    """Exit status of a run, killed so long after its first checkpoint, if it is still there."""
    paths = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
    known = newest(directory)
    with subprocess.Popen(
        [sys.executable, "-c", RUN, str(directory)], env={**os.environ, "PYTHONPATH": paths}
    ) as process:
        while newest(directory) == known and process.poll() is None:
            time.sleep(0.002)  # however long a busy machine takes; the test's own timeout ends it
        time.sleep(delay_s)
        process.kill()
        return process.wait()


def newest(directory: Path) -> str:
    """Name of the newest finished checkpoint, without touching any."""
    return max((p.name for p in (directory / checkpoints.FOLDER).glob("????????")), default="")


@pytest.mark.parametrize(
    "delays_s",
    [
        pytest.param((0.0, 0.13), id="twice"),
        # In a step, in the midst of a checkpoint, in the prior's stage.
        pytest.param(
            (0.0, 0.01, 0.05, 0.09, 0.2, 0.4),
            id="often",
            marks=[pytest.mark.slow, pytest.mark.timeout(1800)],
        ),
    ],
)
def test_a_run_killed_at_any_moment_ends_with_the_weights_of_one_left_alone(
    tmp_path: Path, delays_s: tuple[float, ...]
) -> None:
    statuses = [killed_after(tmp_path / "killed", delay_s) for delay_s in delays_s]
    assert statuses[0] == -signal.SIGKILL
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for name in ("killed", "whole"):
        saving_run(tmp_path / name)
    torch.set_num_threads(threads)
    expected, found = (
        checkpoints.load(tmp_path / name / checkpoints.FOLDER / newest(tmp_path / name))[0]
        for name in ("whole", "killed")
    )
    assert expected.keys() == found.keys()
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []
