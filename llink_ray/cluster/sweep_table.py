"""A sweep as a person follows it: a table at a terminal, a line for each trial elsewhere."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table as RichTable

from llink_ray.progress import track
from llink_ray.sweeps.journal import Trial
from llink_ray.sweeps.plan import Plan
from llink_ray.sweeps.report.read import read
from llink_ray.sweeps.report.tensorboard import FOLDER, write_events
from llink_ray.sweeps.results import write_results

_ROWS = 12


class TrialTable:
    """Follows a plan; keeps ``results.parquet`` and ``tensorboard/`` up to date while it does."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._plan, self._folder, self._started = plan, folder, time.monotonic()
        self._told = {trial.name for trial in self._trials() if trial.state != "running"}
        terminal = sys.stderr.isatty()
        self._live = Live(console=Console(stderr=True), auto_refresh=False) if terminal else None
        self._progress = track("sweep", "trials", plan.search.trials * len(plan.search.studies))
        self._progress.resume_at(len(self._told))

    def __enter__(self) -> TrialTable:
        if self._live:
            self._live.start()
        else:
            self._progress.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()
        else:
            self._progress.__exit__(kind, error, trace)

    def _trials(self) -> list[Trial]:
        return [trial for study in self._plan.search.studies for trial in self._plan.trials(study)]

    def changed(self) -> None:
        """A trial has reported or ended."""
        new = [t for t in self._trials() if t.state != "running" and t.name not in self._told]
        if new:
            write_results(self._plan, self._folder)
            write_events(read(self._folder), self._folder / FOLDER)
        self._told |= {trial.name for trial in new}
        if self._live:
            self._live.update(self._table(), refresh=True)
            return
        self._progress.update(len(self._told) + self._under_way())
        for trial in new:
            config = "  ".join(f"{key.split('.')[-1]} {_short(v)}" for key, v in trial.config.items())
            print(
                f"{self._done()}  {trial.name}  {trial.state}  {self._figures(trial)}  {config}"
                f"{f'  ({trial.cause})' if trial.cause else ''}",
                file=sys.stderr,
                flush=True,
            )

    def _under_way(self) -> float:
        """What running trials have done, as a share of the longest that ended."""
        longest = max((trial.steps for trial in self._trials() if trial.state != "running"), default=0)
        running = [trial.steps for trial in self._trials() if trial.state == "running"]
        return sum(min(1.0, steps / longest) for steps in running) if longest else 0.0

    def _done(self) -> str:
        total = self._plan.search.trials * len(self._plan.search.studies)
        return f"{len(self._told)}/{total}"

    def _figures(self, trial: Trial) -> str:
        told = []
        for objective in self._plan.search.objectives:
            values = []
            for code in self._plan.search.languages_of(trial.study):
                seen = self._plan.judged(trial, code)
                if seen:
                    score = objective.score(seen[-1].metrics, seen[-1].seconds) or 0.0
                    values.append(_short(score if objective.larger_is_better else -score))
            told.append(f"{objective.name} {' '.join(values) or '-'}")
        return "  ".join(told)

    def _table(self) -> RichTable:
        trials = self._trials()
        minutes = (time.monotonic() - self._started) / 60
        table = RichTable(title=f"{self._done()} trials, {minutes:.1f} min", title_justify="left")
        for name in ("trial", "state", "step", "figures", *(k for k in self._plan.search.space.ranges)):
            table.add_column(name)
        best = [trial for study in self._plan.search.studies for trial in self._plan.best(study)]
        shown = [*best[:_ROWS], *(t for t in trials[-_ROWS:] if t not in best)]
        for trial in shown:
            state = "[bold]best[/bold]" if trial in best else trial.state
            row = [trial.name, state, str(trial.steps), self._figures(trial)]
            table.add_row(*row, *(_short(trial.config[key]) for key in self._plan.search.space.ranges))
        return table


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
