"""Which trial comes next, which is pruned, which is best: all read off the journal.

A suggestion knows the trials that came at least ``window`` places before it, and waits for those alone. So it
does not depend on which of the trials that run beside it ends first, and neither does pruning: the same seed
gives the same sweep, broken off and resumed or not, as far as the trials themselves repeat.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Literal

import optuna

from llink_ray.errors import LlinkError
from llink_ray.sweeps.config import SweepConfig, read_config
from llink_ray.sweeps.objective import ranks
from llink_ray.sweeps.sampler import known_trial, suggest
from llink_ray.sweeps.trials import FILE, Metrics, Trial, TrialLog

REDUCTION_FACTOR = 3
"""Of the trials that come to a rung, one in this many goes on; the next rung is this many times as far."""


class Search:
    """A sweep under way, or as it lies on the disk."""

    def __init__(
        self, config: SweepConfig, log_path: Path, check: Callable[[Trial], None] = lambda _: None
    ) -> None:
        """``check`` raises an LlinkError for a setting that cannot be: its trial counts as failed at once."""
        self.config, self._check = config, check
        self._log = TrialLog(log_path, config.studies, [o.direction for o in config.objectives])
        self._lost = [trial for trial in self.all_trials() if trial.state == "running"]
        self._running: set[str] = set()

    def trials(self, study: str) -> list[Trial]:
        """Trials of a study so far, in order."""
        return self._log.trials(study)

    def all_trials(self) -> list[Trial]:
        """Trials of all studies."""
        return [trial for study in self.config.studies for trial in self.trials(study)]

    def running(self) -> list[Trial]:
        """Trials that were handed out and have not ended."""
        return [trial for trial in self.all_trials() if trial.name in self._running]

    # The next trial -----------------------------------------------------------------------------------

    def next_trial(self) -> Trial | Literal["done"] | None:
        """The trial to start now; None: not before one that runs has ended."""
        while isinstance(trial := self._next_trial(), Trial):
            try:
                self._check(trial)
            except LlinkError as error:
                self._log.end(trial, "failed", None, str(error))
                continue
            self._running.add(trial.name)
            break
        return trial

    def _next_trial(self) -> Trial | Literal["done"] | None:
        if self._lost:
            trial = self._lost.pop(0)
            self._log.restart(trial)
            return trial
        begun = {study: self.trials(study) for study in self.config.studies}
        waiting = [study for study in begun if len(begun[study]) < self.config.trials]
        for study in sorted(waiting, key=lambda study: len(begun[study])):
            known = self._known(begun[study], len(begun[study]))
            if all(trial.state != "running" for trial in known):
                return self._log.begin(study, self.config.space, self._suggest(known, begun[study]))
        return None if waiting else "done"

    def _known(self, trials: Sequence[Trial], number: int) -> list[Trial]:
        """Earlier trials that trial ``number`` may know of, whatever else has ended."""
        return list(trials[: max(0, number - self.config.window + 1)])

    def _suggest(self, known: Sequence[Trial], begun: Sequence[Trial]) -> dict[str, object]:
        c = self.config
        history = [
            known_trial(trial, scores, len(self._fewest(trial)))
            for trial, scores in zip(known, self.scores(known), strict=True)
        ]
        history += [known_trial(trial, None, running=True) for trial in begun[len(known) :]]
        return suggest(c.space, c.algorithm, c.seed, len(begun), history, len(c.objectives))

    # Figures ------------------------------------------------------------------------------------------

    def complete(self, trial: Trial, language: str) -> list[Metrics]:
        """Reports of a trial that hold every objective."""
        names = [objective.name for objective in self.config.objectives]
        return [m for m in trial.reports.get(language, []) if all(name in m for name in names)]

    def _fewest(self, trial: Trial) -> list[Metrics]:
        """Reports of the language that has the fewest."""
        return min((self.complete(trial, code) for code in self.config.languages_of(trial.study)), key=len)

    def scores(self, trials: Sequence[Trial]) -> list[tuple[float, ...] | None]:
        """One for each trial of a study, larger is better; None where it has none in some language.

        Of a joint study: for each objective the mean over languages of the trial's rank in each, negative
        and as a share of the trials. Who came farther ranks before who was pruned.
        """
        able = [i for i, t in enumerate(trials) if t.state != "failed" and self._fewest(t)]
        reports = {
            code: [self.complete(trials[i], code) for i in able]
            for code in (self.config.languages_of(trials[0].study) if trials else ())
        }
        columns = []
        for objective in self.config.objectives:
            by_language = [[(len(r), objective.score(r[-1])) for r in column] for column in reports.values()]
            if len(by_language) == 1:
                columns.append([score for _, score in by_language[0]])
            else:
                means = zip(*map(ranks, by_language), strict=True)
                columns.append([-fmean(row) / len(able) for row in means])
        by_place = dict(zip(able, zip(*columns, strict=True), strict=True))
        return [by_place.get(i) for i in range(len(trials))]

    # What happens -------------------------------------------------------------------------------------

    def report(self, trial: Trial, by_language: Mapping[str, Metrics], *, last: bool = False) -> bool:
        """Keep figures by language; returns whether the trial goes on. After its last evaluation it does."""
        for language, metrics in by_language.items():
            trial = self._log.report(trial, language, metrics)
        return last or not self.config.prune or self._promising(trial)

    def _promising(self, trial: Trial) -> bool:
        """Successive halving: at each rung, the best of those known that came to it go on.

        Optuna's pruners compare with whatever was reported by then, by one number; these trials are compared
        with a fixed set of earlier ones, by ranks in all languages, with ties broken by a second figure.
        """
        rung = len(self._fewest(trial))
        if not _is_rung(rung):
            return True
        known = self._known(self.trials(trial.study), trial.number)
        rivals = [t for t in known if t.state != "failed" and len(self._fewest(t)) >= rung]
        if len(rivals) + 1 < REDUCTION_FACTOR:
            return True
        places = []
        for code in self.config.languages_of(trial.study):
            own, *others = (
                [o.score_with_tie_break(self.complete(t, code)[rung - 1]) for o in self.config.objectives]
                for t in (trial, *rivals)
            )
            places.append(1 + sum(other > own for other in others))
        return fmean(places) <= (len(rivals) + 1) / REDUCTION_FACTOR

    def end(self, trial: Trial, cause: str | None = None, *, pruned: bool = False) -> None:
        """A trial is over: ``cause`` says why where it failed."""
        trial = self.trials(trial.study)[trial.number]
        reports = [self.complete(trial, code) for code in self.config.languages_of(trial.study)]
        if cause is None and not pruned and not all(reports):
            names = ", ".join(o.name for o in self.config.objectives)
            cause = f"it ended without a figure of {names}"
        state = "failed" if cause else "pruned" if pruned else "finished"
        values = None
        if state == "finished":
            values = [fmean(r[-1][o.name] for r in reports) for o in self.config.objectives]
        self._running.discard(trial.name)
        self._log.end(trial, state, values, cause)

    def best(self, study: str) -> list[Trial]:
        """The best finished trial; with several objectives those that none surpasses, best first."""
        finished = [trial for trial in self.trials(study) if trial.state == "finished"]
        return best_of(finished, self.scores(finished))


def best_of(trials: Sequence[Trial], scores: Sequence[tuple[float, ...] | None]) -> list[Trial]:
    """The best by one score, larger being better; of several scores the Pareto set, ordered by the first."""
    pairs = [(trial, score) for trial, score in zip(trials, scores, strict=True) if score is not None]
    if not pairs:
        return []
    study = optuna.create_study(directions=["maximize"] * len(pairs[0][1]))
    study.add_trials([known_trial(trial, score) for trial, score in pairs])
    front = [pairs[trial.number] for trial in study.best_trials]
    front.sort(key=lambda pair: ([-score for score in pair[1]], pair[0].number))
    return [trial for trial, _ in (front if len(pairs[0][1]) > 1 else front[:1])]


def _is_rung(evaluation: int) -> bool:
    """1, 3, 9, …"""
    while evaluation > 1 and evaluation % REDUCTION_FACTOR == 0:
        evaluation //= REDUCTION_FACTOR
    return evaluation == 1


def read_search(folder: Path) -> Search:
    """The sweep in ``folder``, running or not, to be looked at.

    Raises:
        LlinkError: it holds no sweep, or one that cannot be read.
    """
    config = read_config(folder)
    try:
        return Search(config, folder / FILE)
    except (ValueError, KeyError) as error:
        raise LlinkError(
            f"{folder / FILE} cannot be read ({error}): restore it, or begin a new sweep"
        ) from error
