"""The systems that our run is compared with: baselines, the paper's recipe, ours with one part changed."""

from __future__ import annotations

import difflib
from functools import cache
from importlib import resources
from typing import Any

import yaml

from llink_ray.errors import LlinkError
from llink_ray.settings import Settings, configure

BASE = "base"
"""The untrained decoder."""
OURS = "ours"
"""The run that all others are compared with."""
_SHARED = (
    *("encoder", "decoder", "corpus", "features", "deepspeed"),
    *("cluster", "checkpoint", "evaluation", "seed"),
)
"""What another recipe takes over from our run: models, data, hardware."""


@cache
def groups() -> dict[str, dict[str, dict[str, Any]]]:
    """``baselines`` and ``ablations``: name -> description and how its settings come about."""
    text = resources.files("llink_ray.evaluation").joinpath("baselines.yaml").read_text("utf-8")
    parsed: dict[str, dict[str, dict[str, Any]]] = yaml.safe_load(text)
    return parsed


def known() -> dict[str, dict[str, Any]]:
    """Every baseline and ablation by name."""
    return {name: entry for group in groups().values() for name, entry in group.items()}


def expand(names: str) -> list[str]:
    """``base,finetune`` or a group's name, with commas between, as a list of names, each once.

    Raises:
        LlinkError: an unknown name.
    """
    expanded: list[str] = []
    for name in filter(None, (part.strip().casefold() for part in names.split(","))):
        if name not in groups() and name not in known():
            choices = [*groups(), *known()]
            near = difflib.get_close_matches(name, choices, n=3, cutoff=0.5)
            raise LlinkError(
                f"there is nothing named {name!r} to compare with: "
                + (f"did you mean {' or '.join(near)}?" if near else f"choose among {', '.join(choices)}")
            )
        expanded += groups().get(name, [name])
    return list(dict.fromkeys(expanded))


def other_counts() -> list[str]:
    """Those that differ from ours in the number of slots and in nothing else."""
    settings = {name: entry.get("settings") or {} for name, entry in known().items()}
    return [
        name
        for name, tree in settings.items()
        if list(tree) == ["slots"] and list(tree["slots"]) == ["count"]
    ]


def stage_a_of(settings: Settings) -> dict[str, Any] | None:
    """All settings that Stage A's curve depends on; None where there is no Stage A."""
    if not settings.stage_a.enabled:
        return None
    return settings.model_dump(mode="json", include={"stage_a", "projector", "seed"})


def settings_of(name: str, ours: Settings) -> Settings:
    """Settings of a baseline that is trained as ours was.

    The paper's recipe is the preset made for ours (``<preset>-paper-recipe``), or ``paper``; models, data,
    Stage B's steps and batch are those of our run.
    """
    entry, tree = known()[name], ours.model_dump(mode="json")
    if "recipe" not in entry:
        return configure.resolve(tree, entry["settings"])
    paired = f"{ours.preset}-{entry['recipe']}"
    recipe = paired if paired in configure.presets() else "paper"
    shared = {key: tree[key] for key in _SHARED}
    kept = ("steps", "batch_size", "micro_batch_size", "micro_batch_tokens")
    stage_b = {key: tree["stage_b"][key] for key in kept}
    return configure.resolve(configure.preset(recipe), {"preset": recipe}, shared, {"stage_b": stage_b})
