"""torchaudio imports beside a CPU torch, in a fresh process, without touching site-packages."""

import subprocess
import sys

import pytest

pytest.importorskip("torch")


def test_torchaudio_imports_and_its_transforms_work_beside_cpu_torch() -> None:
    program = (
        "from nacbench.torchaudio_cpu import import_torchaudio\n"
        "import torch\n"
        "ta = import_torchaudio()\n"
        "mel = ta.transforms.MelSpectrogram(16000)(torch.ones(1, 1600))\n"
        "assert mel.shape == (1, 128, 9), mel.shape\n"
        "assert ta.pipelines.SQUIM_OBJECTIVE is not None\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
