"""A worker process that crashes, hangs, eats memory or lies costs its own task, nothing else."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from nacbench.executors import Answer, Call, Failure, Limits, Role, process
from nacbench.executors.inline import InlineExecutor
from nacbench.executors.local import LocalExecutor

TESTS = str(Path(__file__).parent)
LIMITS = Limits(seconds=1.5, memory_mb=400)
PATIENCE_S = 20.0  # for things that take milliseconds on an idle machine


@pytest.fixture(autouse=True)
def _handlers_are_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(TESTS)


def roles(target: str = "Hostile", **options: object) -> dict[str, Role]:
    return {"it": Role(f"hostile.handlers:{target}", **options)}


def ask(task: object):
    return (yield Call("it", task))


def ask_numbered(numbered: tuple[int, object]):
    return (yield Call("it", numbered[1]))


def outcomes(executor, tasks: list, group=lambda task: 0) -> list:
    """The answers in the order of the tasks."""
    numbered = [(group(task), (number, task)) for number, task in enumerate(tasks)]
    try:
        results = {number: answer for (number, _), answer in executor.map(ask_numbered, numbered)}
    finally:
        executor.close()
    return [results[number] for number in range(len(tasks))]


def local(lanes: int = 1, limits: Limits = LIMITS, **options) -> LocalExecutor:
    return LocalExecutor(options.pop("roles", roles()), lanes, limits, **options)


@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        ("segfault", "act: crashed (SIGSEGV)"),
        ("abort", "act: crashed (SIGABRT): terminate called: mutex is gone"),
        ("leave", "act: ended itself (status 7)"),
        ("loop", "act: still running after 1.5 s"),
        (("sleep_in_c", 30), "act: still running after 1.5 s"),
        ("eat", "act: used more than 400 MB"),
        ("refuse", "act: ValueError: no thank you"),
        ("system_exit", "act: SystemExit: codec says goodbye"),
        ("unpicklable", "answer: "),
        ("close_the_pipe", "act: closed its pipe"),
    ],
    ids=str,
)
def test_a_hostile_task_costs_itself_and_is_told_by_stage_and_kind(deed, reason: str) -> None:
    limits = LIMITS if "still running" in reason else Limits(PATIENCE_S, LIMITS.memory_mb)
    before, hostile, after = outcomes(local(limits=limits), [("echo", 1), deed, ("echo", 2)])
    assert (before.value, after.value) == (1, 2)
    assert isinstance(hostile, Failure)
    assert str(hostile).startswith(reason)
    assert hostile.facts == ({"task": deed} if hostile.stage == "act" else hostile.facts)


def test_noise_on_both_outputs_reaches_neither_our_output_nor_the_disk(capfd) -> None:
    (answer,) = outcomes(local(limits=Limits(30, 400)), [("shout", 30)])
    assert answer.value == "done"
    assert capfd.readouterr() == ("", "")


def test_tasks_on_several_lanes_all_come_back_whatever_dies_among_them() -> None:
    deeds = [
        ("echo", n) if n % 5 else ("segfault", "abort", "leave")[n // 5 % 3] for n in range(40)
    ]
    answers = outcomes(
        local(lanes=3), deeds, group=lambda task: task[1] if task[0] == "echo" else 0
    )
    for deed, answer in zip(deeds, answers, strict=True):
        assert isinstance(answer, Failure) == isinstance(deed, str)


def test_a_crash_caused_by_an_earlier_task_is_tried_again_in_a_fresh_process() -> None:
    answers = outcomes(local(roles=roles("Contaminated")), [0, 1, 2, 3])
    assert [answer.value for answer in answers] == [0, 1, 2, 3]


def test_a_handler_that_cannot_be_built_fails_every_task_with_the_reason() -> None:
    for answer in outcomes(local(roles=roles("Unbuildable")), [1, 2]):
        assert "weights are missing" in str(answer)


def test_a_large_task_for_a_process_that_hangs_at_its_start_does_not_hang_us(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process, "START_S", 1.0)
    large = b"x" * 10_000_000
    (answer,) = outcomes(local(roles=roles("SlowToStart", arguments={"seconds": 0.5})), [large])
    assert answer.value == len(large)
    hanging = local(roles=roles("SlowToStart", arguments={"seconds": 60}))
    began = time.monotonic()
    (answer,) = outcomes(hanging, [large])
    assert str(answer) == "start: still running after 1.5 s"
    assert time.monotonic() - began < PATIENCE_S


def test_lanes_keep_to_their_group_and_help_out_at_the_end() -> None:
    groups = ["a"] * 12 + ["b"] * 12
    tasks = [("process", index) for index in range(24)]
    executor = local(lanes=2, roles={"it": Role("test_executors:Pid")}, limits=Limits(30, 1000))
    with_groups = list(zip(groups, tasks, strict=True))
    found: dict[str, list[int]] = {"a": [], "b": []}
    for (_, index), answer in executor.map(ask, with_groups):
        found[groups[index]].append(answer.value)
    executor.close()
    first = {group: pids[0] for group, pids in found.items()}
    assert first["a"] != first["b"]
    assert all(len(set(pids[:5])) == 1 for pids in found.values()), found

    one_group = [("a", task) for task in tasks]
    executor = local(lanes=2, roles={"it": Role("test_executors:Pid")}, limits=Limits(30, 1000))
    pids = {answer.value for _, answer in executor.map(ask, one_group)}
    executor.close()
    assert len(pids) == 2, "an idle lane takes half of what is left"


class Pid:
    def __call__(self, task, stage):
        time.sleep(0.03)
        return os.getpid()


def test_a_role_per_group_gets_a_fresh_process_for_each_group() -> None:
    tasks = [("process",) for _ in range(6)]
    executor = local(roles=roles(per_group=True))
    pids = [a.value for _, a in executor.map(ask, [(i // 2, t) for i, t in enumerate(tasks)])]
    executor.close()
    assert len(set(pids)) == 3
    assert pids[0] == pids[1] != pids[2]


def test_each_process_has_one_thread_and_the_environment_it_was_given() -> None:
    names = ["OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_CACHE_DIR"]
    executor = local(environment={"NUMBA_CACHE_DIR": "there"})
    answers = outcomes(executor, [("environment", name) for name in names])
    assert [answer.value for answer in answers] == ["1", "1", "1", "there"]


def test_what_a_killed_worker_started_is_killed_with_it() -> None:
    executor = local()
    (_, answer), *_ = executor.map(ask, [(0, "leave_a_child")])
    child = psutil.Process(answer.value)
    executor.close()
    _wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_giving_up_in_the_middle_leaves_no_process_busy_and_the_executor_usable() -> None:
    executor = local(lanes=2, limits=Limits(60, 1000))
    results = executor.map(ask, [(n, t) for n, t in enumerate([("echo", 1), "loop", "loop"])])
    assert next(results)[1].value == 1
    results.close()
    assert outcomes(executor, [("echo", 2)])[0].value == 2
    assert not psutil.Process().children()


def test_workers_die_with_a_parent_that_is_killed_while_they_are_busy() -> None:
    program = f"""
        import sys; sys.path[:0] = {[TESTS, str(Path(TESTS).parent)]!r}
        from test_executors import *
        executor = LocalExecutor(roles(), 2, Limits(300, 1000))
        tasks = [(0, "process"), (0, "loop"), (1, "process"), (1, "loop")]
        for _, answer in executor.map(ask, tasks):
            print(answer.value, flush=True)
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    pids = [int(parent.stdout.readline()) for _ in range(2)]
    assert all(psutil.pid_exists(pid) for pid in pids)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    _wait_until(lambda: not any(psutil.pid_exists(pid) for pid in pids))


def _wait_until(true) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.02)


def test_in_one_process_jobs_have_the_same_answers_and_reasons() -> None:
    tasks = [("echo", 5), "refuse", "system_exit"]
    inside = outcomes(InlineExecutor(roles()), tasks)
    outside = outcomes(local(), tasks)
    assert [str(a) if isinstance(a, Failure) else a.value for a in inside] == [
        str(a) if isinstance(a, Failure) else a.value for a in outside
    ]


def test_seconds_are_told_per_stage() -> None:
    (answer,) = outcomes(local(), [("sleep_in_c", 0.2)])
    assert isinstance(answer, Answer)
    assert 0.15 < answer.seconds["act"] < PATIENCE_S
    assert set(answer.seconds) == {"start", "prepare", "act"}
