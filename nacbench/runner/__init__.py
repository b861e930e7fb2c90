"""From a suite to a finished run directory; `run` is the whole of it.

plan.py      what there is to do and what is done already
work.py      what one worker does with one clip: encode, decode, score
session.py   drives the workers and appends what comes back
timing.py    the serial timing pass
tokens.py    how token codecs use their codebooks
manifest.py  what a run says of itself
"""

from nacbench.runner.plan import Plan
from nacbench.runner.session import Progress, run

__all__ = ["Plan", "Progress", "run"]
