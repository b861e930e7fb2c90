"""What `nacbench run` shows from the plan to the last record."""

from __future__ import annotations

from pathlib import Path

from nacbench.commands.terminal import Steps, about, console, plural
from nacbench.runner import Plan, Progress
from nacbench.suite import Suite

PHASES = {
    "score": "scoring",
    "time": "timing",
    "tokens": "tokens",
    "sets": "comparing sets",
    "tables": "tables",
}


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
    from rich.markup import escape

    suite, screen = plan.suite, console()
    screen.print(f"[bold]{suite.title}[/]" + " (synthetic pack)" * suite.synthetic)
    screen.print(
        f"{plural(len(plan.clips), 'clip')} × {plural(len(suite.conditions), 'condition')} × "
        f"{plural(len(suite.points), 'operating point')} = {plural(plan.total, 'coded clip')}, "
        f"each scored by {plural(len(suite.metrics), 'metric')}"
        + (f", and sets of them by {', '.join(suite.set_metrics)}" if suite.set_metrics else "")
    )
    for what, reason in _skipped(suite):
        screen.print(f"[yellow]skipped[/] {escape(what)}: {escape(reason)}", soft_wrap=True)
    if plan.done:
        screen.print(f"{plan.done:,} are done already, {len(plan.tasks):,} to go")
    if plan.tasks and plan.estimate_s:
        screen.print(f"about {about(plan.estimate_s)}, going by earlier runs")


def _skipped(suite: Suite) -> list[tuple[str, str]]:
    """What cannot run here and how to install it, a codec's points taken together."""
    series: dict[tuple[str, str], int] = {}
    for point, reason in suite.skipped:
        series[point.series, reason] = series.get((point.series, reason), 0) + 1
    codecs = [(f"{name} ({plural(n, 'point')})", why) for (name, why), n in series.items()]
    return codecs + list(suite.skipped_metrics)
