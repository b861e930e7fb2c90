"""Handlers that do to a worker process what codecs have been seen to do."""

import ctypes
import os
import sys
import time


class Hostile:
    """Does what the task says."""

    def __call__(self, task, stage):
        stage("prepare", task=task)
        stage("act")
        name, *arguments = task if isinstance(task, tuple) else (task,)
        return getattr(self, name)(*arguments)

    def echo(self, value=None):
        return value

    def process(self):
        return os.getpid()

    def environment(self, name):
        return os.environ.get(name)

    def segfault(self):
        ctypes.string_at(0)

    def abort(self):
        os.write(2, b"terminate called: mutex is gone\n")
        os.abort()

    def leave(self):
        os._exit(7)

    def system_exit(self):
        sys.exit("codec says goodbye")

    def loop(self):
        while True:
            pass

    def sleep_in_c(self, seconds):
        ctypes.CDLL(None).usleep(int(seconds * 1e6))

    def eat(self):
        hoard = []
        while True:
            hoard.append(b"x" * 10_000_000)
            time.sleep(0.001)

    def refuse(self):
        raise ValueError("no\nthank you")

    def shout(self, megabytes):
        line = b"noise " * 1000
        for _ in range(int(megabytes * 1e6 / len(line))):
            os.write(1, line)
            os.write(2, line)
        return "done"

    def unpicklable(self):
        return lambda: None

    def close_the_pipe(self):
        os.closerange(3, 100)
        time.sleep(60)

    def leave_a_child(self):
        import subprocess

        return subprocess.Popen(["sleep", "600"]).pid


class Unbuildable:
    def __init__(self):
        raise OSError("weights are missing")


class Contaminated:
    """Crashes on the second task of a process, whatever it is."""

    def __init__(self):
        self.tasks = 0

    def __call__(self, task, stage):
        stage("act")
        self.tasks += 1
        if self.tasks == 2:
            os.abort()
        return task


class SlowToStart:
    """Takes its time before it reads a task, then says how much it was given."""

    def __init__(self, seconds):
        time.sleep(seconds)

    def __call__(self, task, stage):
        return len(task)
