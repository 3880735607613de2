"""The settings file that a sweep leaves, which ``jobs/train.py`` takes as it is."""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from llink_ray.settings import Settings
from llink_ray.sweeps.trials import Trial


def best_yaml(trial: Trial, settings: Settings, figures: Mapping[str, float], command: str) -> str:
    """A settings file that is complete, so that no preset or default stands between it and the trial."""
    measured = ", ".join(f"{name} {value:.4f}" for name, value in figures.items())
    head = f"# The best of a sweep: trial {trial.name}, {measured}, on validation pairs.\n#   {command}\n"
    searched = "".join(f"#   {key} = {value}\n" for key, value in trial.config.items())
    tree = settings.model_dump(mode="json")
    body = yaml.safe_dump(tree, default_flow_style=None, sort_keys=False, width=110, allow_unicode=True)
    return f"{head}# Searched:\n{searched}{body}"
