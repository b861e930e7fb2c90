"""Two processes that share a batch have the result of one process that has it alone."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_run import SMALL_PRIOR, Tones, adversarial, recipe

from reference_codec.training import checkpoints, distributed
from reference_codec.training.recipe import Recipe
from reference_codec.training.trainer import Trainer

ROOT = Path(__file__).parents[2]
# Sums run in another order; five steps let the last bits of float32 grow.
LARGEST_DIFFERENCE = 2e-5

RUN = """
import json, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from tiny_run import Tones
from reference_codec.training import distributed
from reference_codec.training.recipe import Recipe
from reference_codec.training.trainer import Trainer

run = Recipe.model_validate_json(sys.argv[1])
distributed.start()
data = Tones(run, distributed.world_size(), distributed.rank())
Trainer(run, data, Path(sys.argv[2])).run()
torch.distributed.destroy_process_group()
"""


def shared_run(batch_size: int, balancer: bool) -> Recipe:
    return recipe(
        **adversarial(start_step=1, balancer=balancer),
        steps=5, batch_size=batch_size, quantizer_dropout=1.0,
        prior={**SMALL_PRIOR, "batch_size": batch_size, "steps": 0 if balancer else 3},
    )  # fmt: skip


@pytest.mark.parametrize("balancer", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_two_processes_train_as_one_with_the_whole_batch(tmp_path: Path, balancer: bool) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parent)]),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2",
    }  # fmt: skip
    halves = json.dumps(shared_run(2, balancer).to_dict())
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RUN, halves, str(tmp_path / "two")],
            env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(2)
    ]
    whole = shared_run(4, balancer)
    Trainer(whole, Tones(whole), tmp_path / "one").run()
    assert [process.wait(timeout=200) for process in processes] == [0, 0]
    one, two = (
        checkpoints.load(checkpoints.latest(tmp_path / name) or tmp_path)[0]
        for name in ("one", "two")
    )
    assert one.keys() == two.keys()
    weights = [n for n in one if n.startswith(("generator", "average", "discriminators", "prior"))]
    for name in weights:
        torch.testing.assert_close(
            two[name], one[name], rtol=LARGEST_DIFFERENCE, atol=LARGEST_DIFFERENCE, msg=name
        )


def test_without_other_processes_everything_stays_as_it_is() -> None:
    assert (distributed.rank(), distributed.world_size()) == (0, 1)
    values = torch.randn(3)
    assert distributed.mean(values) is values
    assert distributed.any_of(True, values.device)
    assert not distributed.any_of(False, values.device)
