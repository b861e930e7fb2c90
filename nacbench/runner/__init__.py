"""From a suite to a finished run directory: `run`, or its two halves `plan` and `execute`.

planning.py  what there is to do and what is done already
work.py      what one process does with one clip: encode; decode and score
course.py    how one record comes about
session.py   drives the processes and appends what comes back
timing.py    the serial timing pass
tokens.py    how token codecs use their codebooks
sets.py      metrics over all clips of a condition
pace.py      how long work takes here, for the plan's estimate
manifest.py  what a run says of itself
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nacbench.runner.planning import Plan
    from nacbench.runner.session import Progress, execute, plan, run

__all__ = ["Plan", "Progress", "execute", "plan", "run"]


def __getattr__(name: str) -> Any:
    """Lazily: a worker imports `work` alone and needs no suites and tables."""
    if name == "Plan":
        from nacbench.runner import planning

        return planning.Plan
    if name in __all__:
        from nacbench.runner import session

        return getattr(session, name)
    raise AttributeError(f"module 'nacbench.runner' has no attribute '{name}'")
