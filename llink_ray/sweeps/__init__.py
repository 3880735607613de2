"""Search for the best settings: spaces, suggestions, pruning, reports. Optuna below, no Ray in here."""

from __future__ import annotations

import optuna

from llink_ray.sweeps.space import SearchSpace, choice, integer, real

optuna.logging.set_verbosity(optuna.logging.WARNING)  # it would announce every study

__all__ = ["SearchSpace", "choice", "integer", "real"]
