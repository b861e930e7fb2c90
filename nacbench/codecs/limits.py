"""What a foreign program may take of this machine, should the bench itself be killed."""

from __future__ import annotations

MAX_FILE_BYTES = 1 << 30  # neither audio nor chatter of a program gone wild may fill the disk


def limit_files(pid: int, processor_s: int | None = None) -> None:
    """Bound the files that a process writes and, if told, the processor time it uses."""
    try:
        import resource

        resource.prlimit(pid, resource.RLIMIT_FSIZE, (MAX_FILE_BYTES, MAX_FILE_BYTES))
        if processor_s is not None:
            resource.prlimit(pid, resource.RLIMIT_CPU, (processor_s, processor_s))
    except (ImportError, AttributeError, OSError):  # not Linux, or the process is gone already
        pass
