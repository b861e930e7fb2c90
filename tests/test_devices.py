"""Where networks run, and what gives way when memory is short. A GPU is played by a stand-in."""

import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from signals import voice

import nacbench
from nacbench import coding, devices
from nacbench.cli import cli
from nacbench.codecs.pcm import Pcm
from nacbench.core import Bitstream, Clip
from nacbench.errors import UserError
from nacbench.runner import timing


class OutOfMemoryError(RuntimeError):
    """Named as PyTorch's."""


@pytest.fixture(autouse=True)
def _no_choice(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in (devices.DEVICE, devices.BATCH):
        monkeypatch.setenv(name, "")  # and put back what the command line sets
    yield


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "gpu", lambda: "Stand-in GPU")


def test_the_processor_is_the_default_and_needs_no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "gpu", lambda: pytest.fail("asked for a GPU"))
    assert devices.chosen() == "cpu"
    assert devices.batch_size() == 1
    assert devices.described() == ""


def test_auto_takes_a_gpu_where_there_is_one(gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(devices.DEVICE, "auto")
    monkeypatch.setenv(devices.BATCH, "4")
    assert devices.chosen() == "cuda"
    assert devices.described() == "on Stand-in GPU batch 4"
    monkeypatch.setattr(devices, "gpu", lambda: None)
    assert devices.chosen() == "cpu"


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        (devices.DEVICE, "tpu", "'tpu' is none of cpu, cuda, auto"),
        (devices.DEVICE, "cuda", "PyTorch finds no GPU here. Use 'cpu' or 'auto'"),
        (devices.BATCH, "0", "'0' is not a whole number from 1 on"),
        (devices.BATCH, "two", "'two' is not a whole number"),
    ],
)
def test_what_cannot_be_is_said(
    variable: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "gpu", lambda: None)
    monkeypatch.setenv(variable, value)
    with pytest.raises(UserError, match=message):
        devices.described()


def test_the_command_says_at_once_that_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "gpu", lambda: None)
    done = CliRunner().invoke(cli, ["run", "speech", "--device", "cuda"])
    assert done.exit_code == 2
    assert "PyTorch finds no GPU here" in done.output


@pytest.mark.parametrize(
    ("fits", "tried", "note"),
    [
        (8, [("cuda", 8)], ()),
        (2, [("cuda", 8), ("cuda", 4), ("cuda", 2)], ("out of memory on the GPU: batch 2",)),
        (
            0,
            [("cuda", 8), ("cuda", 4), ("cuda", 2), ("cuda", 1), ("cpu", 1)],
            ("out of memory on the GPU: done on the processor",),
        ),
    ],
)
def test_the_batch_gives_way_first_and_then_the_gpu(
    gpu: None,
    fits: int,
    tried: list[tuple[str, int]],
    note: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(devices.DEVICE, "cuda")
    monkeypatch.setenv(devices.BATCH, "8")
    seen: list[tuple[str, int]] = []

    def work(device: str, batch: int) -> str:
        seen.append((device, batch))
        if device == "cuda" and batch > fits:
            raise OutOfMemoryError
        return "done"

    assert devices.run(work) == ("done", note)
    assert seen == tried


def test_other_errors_and_the_processor_s_own_are_not_repeated(
    gpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def work(device: str, batch: int) -> None:
        calls.append(device)
        raise OutOfMemoryError if device == "cpu" else ValueError

    with pytest.raises(OutOfMemoryError):
        devices.run(work)
    monkeypatch.setenv(devices.DEVICE, "cuda")
    with pytest.raises(ValueError):
        devices.run(work)
    assert calls == ["cpu", "cuda"]
    assert devices.is_out_of_memory(RuntimeError("CUDA error: out of memory"))
    assert not devices.is_out_of_memory(RuntimeError("shapes differ"))


class StandInTorch(types.ModuleType):
    """A GPU whose work is done only when somebody waits for it, on a clock of its own."""

    def __init__(self) -> None:
        super().__init__("torch")
        self.cuda = self
        self.now_s = self.pending_s = 0.0
        self.emptied = 0

    def is_initialized(self) -> bool:
        return True

    def synchronize(self) -> None:
        self.now_s += self.pending_s
        self.pending_s = 0.0

    def empty_cache(self) -> None:
        self.emptied += 1


def test_the_clock_waits_for_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither is work counted that came before, nor is work missed that is still queued."""
    torch = StandInTorch()
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setattr("time.perf_counter", lambda: torch.now_s)

    class Queued(Pcm):
        def encode(self, clip: Clip) -> Bitstream:
            torch.pending_s += 2.0
            return super().encode(clip)

        def decode(self, bitstream: Bitstream) -> Clip:
            torch.pending_s += 0.5
            return super().decode(bitstream)

    torch.pending_s = 100.0  # the warm-up's
    seconds, streams = timing._timed_encode(Queued(), [voice(0.1)] * 3)
    assert seconds == 6.0
    assert timing._timed_decode(Queued(), streams) == 1.5
    devices.free_memory()
    assert torch.emptied == 1


class Cramped(Pcm):
    """Codes as PCM does, and had to give way both times."""

    name = "cramped"
    sweep = ()
    default_points: ClassVar[Any] = ({},)
    usual: ClassVar[tuple[str, ...]] = ("of another kind",)

    def __init__(self) -> None:
        super().__init__(8)
        self.notes: tuple[str, ...] = self.usual

    def encode(self, clip: Clip) -> Bitstream:
        self.notes = (*self.notes, "out of memory on the GPU: batch 2")
        return super().encode(clip)

    def decode(self, bitstream: Bitstream) -> Clip:
        self.notes = (*self.notes, "out of memory on the GPU: done on the processor")
        return super().decode(bitstream)


def test_what_gave_way_is_in_the_record_and_is_not_cached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NACBENCH_CACHE", str(tmp_path / "cache"))
    soundfile.write(tmp_path / "voice.wav", voice(0.5).samples[0], 16_000)
    (tmp_path / "suite.yaml").write_text(
        f"name: cramped\nversion: 1\nsources: [{{folder: {{path: {tmp_path}}}}}]\n"
        f"codecs: ['{__name__}:Cramped']\nmetrics: [si_sdr]\n"
    )
    for _ in range(2):
        table = nacbench.run(tmp_path / "suite.yaml", out=tmp_path / "out", workers=0, fresh=True)
        (record,) = table.records
        assert record.notes == (
            "of another kind",
            "out of memory on the GPU: done on the processor",
            "out of memory on the GPU: batch 2",
        )
        assert record.failure is None
    kinds = {path.relative_to(tmp_path / "cache").parts[0] for path in
             (tmp_path / "cache").rglob("*") if path.is_file()}  # fmt: skip
    assert not {"bitstream", "decoded"} & kinds, kinds
    (speed,) = table.timings
    assert speed.encode_rtf is None
    assert "out of memory on the GPU" in str(speed.failure)


def test_a_network_that_does_not_fit_does_the_clip_on_the_processor(
    gpu: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real adapter, its network replaced by one that the GPU has no room for."""
    pytest.importorskip("transformers")
    import tiny_checkpoints

    from nacbench.codecs import pretrained

    folder = tiny_checkpoints.dac(tmp_path / "dac")
    build: Any = lambda: coding.build("dac", {"model": str(folder)})  # noqa: E731
    (expected,) = coding.encode(build(), voice(0.3))
    real = pretrained.network

    def network(model_class: str, where: Path, device: str) -> Any:
        if device == "cuda":
            raise OutOfMemoryError
        return real(model_class, where, device)

    monkeypatch.setattr(pretrained, "network", network)
    import torch

    monkeypatch.setattr(torch.Tensor, "to", lambda self, *args, **kwargs: self)
    monkeypatch.setenv(devices.DEVICE, "cuda")
    codec = build()
    assert "on Stand-in GPU" in codec.build_id()
    (stream,) = coding.encode(codec, voice(0.3))
    assert stream.payload == expected.payload
    assert codec.notes == ("out of memory on the GPU: done on the processor",)
    assert np.isfinite(codec.decode(stream).samples).all()
