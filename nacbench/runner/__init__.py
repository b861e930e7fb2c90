"""From a suite to a finished run directory: `run`, or its two halves `plan` and `execute`.

planning.py  what there is to do and what is done already
work.py      what one process does with one clip: encode; decode and score
course.py    how one record comes about
session.py   drives the processes and appends what comes back
manifest.py  what a run says of itself
"""

from nacbench.runner.planning import Plan
from nacbench.runner.session import Progress, execute, plan, run

__all__ = ["Plan", "Progress", "execute", "plan", "run"]
