"""What `nacbench run` shows from the plan to the last record."""

from __future__ import annotations

from pathlib import Path

from nacbench.commands.terminal import Steps, about, console, plural
from nacbench.runner import Plan, Progress

PHASES = {"score": "scoring", "time": "timing", "tokens": "tokens", "tables": "tables"}


class Shown(Progress):
    """Prints the plan, then hands every step to the bar.

    Attributes:
        directory: of the run, once it is planned.
    """

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self.directory = Path()

    def planned(self, plan: Plan) -> None:
        self.directory = plan.directory
        show_plan(plan)

    def began(self, phase: str, total: int) -> None:
        self._steps.begin(PHASES.get(phase, phase), total)

    def advanced(self, what: str, failure: str | None = None) -> None:
        self._steps.advance(what, failure)


def show_plan(plan: Plan) -> None:
    suite, screen = plan.suite, console()
    screen.print(f"[bold]{suite.title}[/]" + " (synthetic pack)" * suite.synthetic)
    screen.print(
        f"{plural(len(plan.clips), 'clip')} × {plural(len(suite.conditions), 'condition')} × "
        f"{plural(len(suite.points), 'operating point')} = {plural(plan.total, 'coded clip')}, "
        f"each scored by {plural(len(suite.metrics), 'metric')}"
    )
    if plan.done:
        screen.print(f"{plan.done:,} are done already, {len(plan.tasks):,} to go")
    if plan.tasks and plan.estimate_s:
        screen.print(f"about {about(plan.estimate_s)}, going by earlier runs")
