"""Who else is told of trials while they run: W&B and MLflow, where they are set up."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from typing import Any


def loggers(name: str, say: Callable[[str], None]) -> list[Any]:
    """Ray Tune's callbacks for the sweep ``name``.

    They are told where their own environment says so, and nobody else ever is.
    """
    found: list[Any] = []
    if _wanted("wandb", ("WANDB_API_KEY", "WANDB_MODE"), say):
        from ray.air.integrations.wandb import WandbLoggerCallback

        project = os.environ.get("WANDB_PROJECT_NAME") or os.environ.get("WANDB_PROJECT") or "llink_ray"
        found.append(WandbLoggerCallback(project=project, group=name))
    if _wanted("mlflow", ("MLFLOW_TRACKING_URI",), say):
        from ray.air.integrations.mlflow import MLflowLoggerCallback

        found.append(
            MLflowLoggerCallback(tracking_uri=os.environ["MLFLOW_TRACKING_URI"], experiment_name=name)
        )
    return found


def _wanted(package: str, variables: tuple[str, ...], say: Callable[[str], None]) -> bool:
    there = [variable for variable in variables if os.environ.get(variable)]
    if not there:
        return False
    if importlib.util.find_spec(package) is None:
        say(f"{there[0]} is set, but {package} is not installed: nothing is sent; pip install {package}")
        return False
    return True
