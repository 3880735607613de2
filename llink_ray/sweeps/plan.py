"""Which trial comes next, which is given up, which is best: all read off the journal.

A suggestion knows the trials that came at least ``window`` places before it, and waits for those alone. So it
does not depend on which of the trials that run beside it ends first, and neither does pruning: the same seed
gives the same sweep, broken off and resumed or not, as far as the trials themselves repeat.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from llink_ray.errors import LlinkError
from llink_ray.sweeps.journal import JOINT, Journal, Report, Trial
from llink_ray.sweeps.objective import Objective, ranks
from llink_ray.sweeps.space import Space
from llink_ray.sweeps.suggest import Known, suggest

FACTOR = 3
"""Of the trials that come to a rung, one in this many goes on; the next rung is this many times as far."""


@dataclass(frozen=True)
class Search:
    """What a sweep was asked to do."""

    space: Space
    languages: tuple[str, ...]
    joint: bool
    """One setting for all languages, by the mean of its ranks; else each language has a study of its own."""
    trials: int
    """In each study."""
    objectives: tuple[Objective, ...]
    algorithm: str
    seed: int
    prune: bool
    window: int
    """A suggestion knows trials from this many places before it on."""

    @property
    def studies(self) -> tuple[str, ...]:
        """Language codes, or ``joint`` alone."""
        return (JOINT,) if self.joint else self.languages

    def languages_of(self, study: str) -> tuple[str, ...]:
        """Languages that each trial of a study is trained in."""
        return self.languages if study == JOINT else (study,)


class Plan:
    """A search with its journal."""

    def __init__(
        self, search: Search, journal: Journal, check: Callable[[Trial], None] = lambda _: None
    ) -> None:
        """``check`` raises an LlinkError for a trial that cannot be: it counts as failed at once."""
        self.search, self.journal, self._check = search, journal, check
        self._lost = [trial for trial in journal.trials.values() if trial.state == "running"]
        self.running: list[Trial] = []

    def trials(self, study: str) -> list[Trial]:
        """Trials of a study so far, in order."""
        return self.journal.study(study)

    def next(self) -> Trial | Literal["done"] | None:
        """The trial to start now; None: not before one that runs has ended."""
        while True:
            trial = self._next()
            if not isinstance(trial, Trial):
                return trial
            try:
                self._check(trial)
            except LlinkError as error:
                self.journal.ended(trial, "failed", str(error))
                continue
            self.running.append(trial)
            return trial

    def _next(self) -> Trial | Literal["done"] | None:
        if self._lost:
            trial = self._lost.pop(0)
            self.journal.again(trial)
            return trial
        begun = {study: len(self.trials(study)) for study in self.search.studies}
        waiting = [study for study in begun if begun[study] < self.search.trials]
        for study in sorted(waiting, key=begun.__getitem__):
            number, so_far = begun[study], self.trials(study)
            before = self._before(so_far, number)
            if all(trial.state != "running" for trial in before):
                return self.journal.suggested(study, number, self._suggest(before, so_far, number))
        return None if waiting else "done"

    def _before(self, trials: Sequence[Trial], number: int) -> list[Trial]:
        """Earlier trials that trial ``number`` may know of, whatever else has ended."""
        return list(trials[: max(0, number - self.search.window + 1)])

    def _suggest(self, before: Sequence[Trial], so_far: Sequence[Trial], number: int) -> dict[str, object]:
        s = self.search
        known = [
            Known(trial.config, "failed" if scores is None else _outcome(trial), scores or (), len(judged))
            for trial, scores, judged in zip(
                before, self.scores(before), map(self._shortest, before), strict=True
            )
        ]
        known += [Known(trial.config, "running") for trial in so_far[len(before) :]]
        return suggest(s.space, s.algorithm, s.seed, number, known, len(s.objectives))

    # Figures ------------------------------------------------------------------------------------------

    def judged(self, trial: Trial, language: str) -> list[Report]:
        """Reports of a trial that hold every objective."""
        return [
            report
            for report in trial.reports.get(language, [])
            if all(o.score(report.metrics, report.seconds) is not None for o in self.search.objectives)
        ]

    def _shortest(self, trial: Trial) -> list[Report]:
        return min((self.judged(trial, code) for code in self.search.languages_of(trial.study)), key=len)

    def _score(self, report: Report) -> tuple[float, ...]:
        found = [o.score(report.metrics, report.seconds) for o in self.search.objectives]
        return tuple(value for value in found if value is not None)

    def _fine(self, report: Report) -> list[tuple[float, float]]:
        found = [o.fine_score(report.metrics, report.seconds) for o in self.search.objectives]
        return [value for value in found if value is not None]

    def scores(self, trials: Sequence[Trial]) -> list[tuple[float, ...] | None]:
        """One for each trial of a study, larger is better; None where it has none in some language.

        Of a joint study: for each objective the mean over languages of the trial's rank in each, negative
        and as a share of the trials. Who came farther ranks before who was given up.
        """
        found: list[tuple[float, ...] | None] = [None] * len(trials)
        able = [i for i, t in enumerate(trials) if t.state != "failed" and self._shortest(t)]
        if not able:
            return found
        codes = self.search.languages_of(trials[0].study)
        if len(codes) == 1:
            for i in able:
                found[i] = self._score(self.judged(trials[i], codes[0])[-1])
            return found
        columns = []
        for place in range(len(self.search.objectives)):
            total = [0.0] * len(able)
            for code in codes:
                last = [self.judged(trials[i], code) for i in able]
                values = [(float(len(seen)), self._score(seen[-1])[place]) for seen in last]
                total = [a + b for a, b in zip(total, ranks(values), strict=True)]
            columns.append([-rank / len(codes) / len(able) for rank in total])
        for i, scores in zip(able, zip(*columns, strict=True), strict=True):
            found[i] = scores
        return found

    # What happens -------------------------------------------------------------------------------------

    def reported(self, trial: Trial, told: dict[str, Report], *, last: bool = False) -> bool:
        """Keep figures by language; whether the trial shall go on. At its last look it has."""
        for language, report in told.items():
            self.journal.reported(trial, language, report)
        return last or not self.search.prune or self._promising(trial)

    def _promising(self, trial: Trial) -> bool:
        """Successive halving: at each rung, the best of those known that came to it; equal ones by more
        than the objective, since nearly all may have reached the most there is."""
        codes = self.search.languages_of(trial.study)
        look = len(self._shortest(trial))
        if not _is_rung(look):
            return True
        before = self._before(self.trials(trial.study), trial.number)
        rivals = [t for t in before if t.state != "failed" and len(self._shortest(t)) >= look]
        if len(rivals) + 1 < FACTOR:
            return True
        total = 0.0
        for code in codes:
            values = [self._fine(self.judged(t, code)[look - 1]) for t in [trial, *rivals]]
            total += 1 + sum(value > values[0] for value in values[1:])
        return total / len(codes) <= (len(rivals) + 1) / FACTOR

    def ended(self, trial: Trial, cause: str | None = None, *, pruned: bool = False) -> None:
        """A trial is over: ``cause`` says why where it failed."""
        if cause is None and not pruned and not self._shortest(trial):
            names = ", ".join(o.name for o in self.search.objectives)
            cause = f"it ended without a figure of {names}"
        self.running.remove(trial)
        self.journal.ended(trial, "failed" if cause else "pruned" if pruned else "finished", cause)

    def best(self, study: str) -> list[Trial]:
        """The best finished trial; with several objectives those that none surpasses, best first."""
        trials = [trial for trial in self.trials(study) if trial.state == "finished"]
        scored = [(s, t) for s, t in zip(self.scores(trials), trials, strict=True) if s is not None]
        front = [(s, t) for s, t in scored if not any(_surpasses(other, s) for other, _ in scored)]
        front.sort(key=lambda pair: (tuple(-value for value in pair[0]), pair[1].number))
        return [trial for _, trial in (front if len(self.search.objectives) > 1 else front[:1])]


def _outcome(trial: Trial) -> Literal["finished", "pruned", "failed", "running"]:
    return trial.state


def _surpasses(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a >= b for a, b in zip(one, other, strict=True))


def _is_rung(look: int) -> bool:
    rung = 1
    while rung < look:
        rung *= FACTOR
    return rung == look
