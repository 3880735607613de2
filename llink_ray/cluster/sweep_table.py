"""A sweep as a person follows it: a table at a terminal, a line for each trial elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table

from llink_ray.progress import track
from llink_ray.sweeps.search import Search
from llink_ray.sweeps.trials import Trial

_ROWS = 12


class TrialTable:
    """Follows a search while it runs."""

    def __init__(self, search: Search) -> None:
        self._search, self._started = search, time.monotonic()
        self._total = search.config.trials * len(search.config.studies)
        self._ended = {trial.name for trial in search.all_trials() if trial.state != "running"}
        self._live = Live(console=Console(stderr=True), auto_refresh=False) if sys.stderr.isatty() else None
        self._progress = track("sweep", "trials", self._total)
        self._progress.resume_at(len(self._ended))

    def __enter__(self) -> TrialTable:
        (self._live or self._progress).__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        (self._live or self._progress).__exit__(kind, error, trace)

    def changed(self) -> None:
        """A trial has reported or ended."""
        trials = self._search.all_trials()
        new = [t for t in trials if t.state != "running" and t.name not in self._ended]
        self._ended |= {trial.name for trial in new}
        if self._live:
            self._live.update(self._table(trials), refresh=True)
            return
        # Running trials count as far as they are, measured by the longest that ended.
        longest = max((trial.steps for trial in trials if trial.state != "running"), default=0)
        running = [min(1.0, t.steps / longest) for t in trials if t.state == "running" and longest]
        self._progress.update(len(self._ended) + sum(running))
        for trial in new:
            config = "  ".join(f"{key.split('.')[-1]} {_short(v)}" for key, v in trial.config.items())
            cause = f"  ({trial.cause})" if trial.cause else ""
            line = f"{trial.name}  {trial.state}  {self._figures(trial)}  {config}{cause}"
            print(f"{len(self._ended)}/{self._total}  {line}", file=sys.stderr, flush=True)

    def _figures(self, trial: Trial) -> str:
        texts = []
        for objective in self._search.config.objectives:
            codes = self._search.config.languages_of(trial.study)
            values = [trial.last(code, objective.name) for code in codes]
            texts.append(f"{objective.name} {' '.join(_short(v) for v in values if v is not None) or '-'}")
        return "  ".join(texts)

    def _table(self, trials: list[Trial]) -> Table:
        """The best trials, then the latest."""
        minutes = (time.monotonic() - self._started) / 60
        title = f"{len(self._ended)}/{self._total} trials, {minutes:.1f} min"
        table = Table(title=title, title_justify="left")
        keys = list(self._search.config.space.parameters)
        for name in ("trial", "state", "step", "figures", *keys):
            table.add_column(name)
        best = {t.name: t for study in self._search.config.studies for t in self._search.best(study)}
        for trial in [*list(best.values())[:_ROWS], *(t for t in trials[-_ROWS:] if t.name not in best)]:
            state = "[bold]best[/bold]" if trial.name in best else trial.state
            row = [trial.name, state, str(trial.steps), self._figures(trial)]
            table.add_row(*row, *(_short(trial.config[key]) for key in keys))
        return table


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
