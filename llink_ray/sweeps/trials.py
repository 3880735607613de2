"""The trials of a sweep in Optuna's journal: the only memory that a resumed sweep needs.

``trials.jsonl`` holds one Optuna study for each language, or one named ``joint``. Every line is written
before anything acts on it. Figures by evaluation are user attributes of a trial, by language.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from llink_ray.sweeps.space import SearchSpace

FILE = "trials.jsonl"
JOINT = "joint"
"""Study whose settings are tried in all languages at once."""

TIME = "time."
"""Prefix of the figures that say where a trial's seconds went."""

_STATES = {
    "running": TrialState.RUNNING,
    "finished": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}
_STATE_NAMES = {state: name for name, state in _STATES.items()}

Metrics = Mapping[str, float]
"""One language's figures at one evaluation, ``step`` and ``seconds`` since the trial's start among them."""


@dataclass(frozen=True)
class Trial:
    """One setting, tried: a snapshot."""

    study: str
    """Language code, or ``joint``."""
    frozen: FrozenTrial

    @property
    def number(self) -> int:
        """Place in its study, from 0."""
        return self.frozen.number

    @property
    def name(self) -> str:
        """The same before and after a resume."""
        return f"{self.study}-{self.number:04d}"

    @property
    def config(self) -> dict[str, Any]:
        """The searched settings, by dotted name."""
        return self.frozen.params

    @property
    def state(self) -> str:
        """running, finished, pruned or failed."""
        return _STATE_NAMES[self.frozen.state]

    @property
    def cause(self) -> str | None:
        """Why it failed."""
        return self.frozen.user_attrs.get("cause")

    @property
    def reports(self) -> dict[str, list[Metrics]]:
        """Figures of each evaluation, by language."""
        return {key: value for key, value in self.frozen.user_attrs.items() if key != "cause" and value}

    @property
    def steps(self) -> int:
        """Training steps done, over all languages, as far as reported."""
        return sum(self.steps_in(language) for language in self.reports)

    def steps_in(self, language: str) -> int:
        """Training steps done in one language."""
        return int(self.last(language, "step") or 0)

    def last(self, language: str, metric: str) -> float | None:
        """A figure as last reported; None where it never was."""
        reported = (
            metrics[metric] for metrics in reversed(self.reports.get(language, [])) if metric in metrics
        )
        return next(reported, None)


class TrialLog:
    """The studies of a sweep, kept in an Optuna journal."""

    def __init__(self, path: Path, studies: Sequence[str], directions: Sequence[StudyDirection]) -> None:
        backend = JournalFileBackend(str(path), JournalFileOpenLock(str(path)))
        self._storage = JournalStorage(backend)
        known = {study.study_name: study._study_id for study in self._storage.get_all_studies()}
        self._ids = {
            name: known[name] if name in known else self._storage.create_new_study(directions, name)
            for name in studies
        }

    def trials(self, study: str) -> list[Trial]:
        """Trials of one study, in order."""
        return [Trial(study, t) for t in self._storage.get_all_trials(self._ids[study], deepcopy=False)]

    def _id(self, trial: Trial) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._ids[trial.study], trial.number)

    def begin(self, study: str, space: SearchSpace, config: Mapping[str, Any]) -> Trial:
        """A new trial, running."""
        template = create_trial(
            state=TrialState.RUNNING, params=dict(config), distributions=space.distributions
        )
        self._storage.create_new_trial(self._ids[study], template)
        return self.trials(study)[-1]

    def restart(self, trial: Trial) -> None:
        """Forget what a trial reported that was running when the sweep was lost."""
        for language in trial.reports:
            self._storage.set_trial_user_attr(self._id(trial), language, [])

    def report(self, trial: Trial, language: str, metrics: Metrics) -> Trial:
        """Add the finite figures of one evaluation; returns the trial as it is then."""
        finite = {name: float(value) for name, value in metrics.items() if math.isfinite(value)}
        reports = [*self.trials(trial.study)[trial.number].reports.get(language, []), finite]
        self._storage.set_trial_user_attr(self._id(trial), language, reports)
        return self.trials(trial.study)[trial.number]

    def end(self, trial: Trial, state: str, values: Sequence[float] | None, cause: str | None = None) -> None:
        """The end of a trial, for good."""
        if cause:
            self._storage.set_trial_user_attr(self._id(trial), "cause", cause)
        self._storage.set_trial_state_values(self._id(trial), _STATES[state], values)


def repair(path: Path) -> None:
    """Undo what a kill may have left: half a last line, and the lock. For the one process that writes."""
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    if path.exists():
        data = path.read_bytes()
        os.truncate(path, data.rfind(b"\n") + 1)
