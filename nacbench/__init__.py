"""nacbench: which codec, at which bitrate, sounds best on which material, and are we sure?"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nacbench.results import ResultTable
    from nacbench.runner import run

__version__ = "0.1.0"
__all__ = ["ResultTable", "run"]


def __getattr__(name: str) -> Any:
    """`nacbench.run` and `nacbench.ResultTable`, imported when they are first asked for."""
    if name == "run":
        from nacbench.runner import run

        return run
    if name == "ResultTable":
        from nacbench.results import ResultTable

        return ResultTable
    raise AttributeError(f"module 'nacbench' has no attribute '{name}'")
