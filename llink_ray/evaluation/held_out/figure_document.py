"""A figure as JSON: intervals, gaps between floor and ceilings, and what of them each bundle recovers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from llink_ray.corpus.pair import Pair
from llink_ray.evaluation.held_out.figures import Figure
from llink_ray.evaluation.held_out.settings import MeasureSettings
from llink_ray.metrics.intervals import PairedBootstrap, gap_recovered, is_clear_gap

NO_SOURCE = "unknown"
"""Source of pairs whose file names none."""
CEILINGS = ("ceiling", "trained_ceiling")
Roles = Mapping[str, str]
"""System -> its role; an encoder by itself has none."""


def figure_document(
    figure: Figure, roles: Roles, pairs: Sequence[Pair], settings: MeasureSettings
) -> dict[str, Any]:
    """A figure of the measurement's document.

    ``systems``: value and interval of each. ``gaps``: each ceiling minus the floor, and whether it is
    ``clear``. ``shares``: bundle -> ceiling -> share of the gap recovered, of clear ceilings alone.
    ``kept``: what the English read with a bundle's adapters on has, over the ceiling without. ``decides``:
    whether any ceiling is clear; absent where floor and ceiling are not compared. ``by_source``: the same of
    each source's examples, where the text names two sources or more.
    """
    document: dict[str, Any] = {"measure": figure.measure}
    if figure.chance is not None:
        document["chance"] = figure.chance
    every = np.arange(len(figure.pair_indices))
    document |= {**figure.details, **_of_examples(figure, roles, settings, every)}
    sources = [pairs[index].source or NO_SOURCE for index in figure.pair_indices]
    if figure.by_source and len(set(sources)) > 1:
        document["by_source"] = {
            source: _of_examples(figure, roles, settings, np.flatnonzero([s == source for s in sources]))
            for source in sorted(set(sources))
        }
    return document


def _of_examples(
    figure: Figure, roles: Roles, settings: MeasureSettings, rows: npt.NDArray[np.intp]
) -> dict[str, Any]:
    bootstrap = PairedBootstrap(len(rows), settings.seed, settings.draws)
    systems = {
        name: bootstrap.resample(part.statistics[rows], part.value) for name, part in figure.systems.items()
    }
    document: dict[str, Any] = {
        "examples": len(rows),
        "systems": {name: system.estimate.as_dict() for name, system in systems.items()},
    }
    floor = next((system for name, system in systems.items() if roles.get(name) == "floor"), None)
    if not figure.has_gap or floor is None:
        return document
    scale = next(iter(figure.systems.values())).scale
    ceilings = {name: system for name, system in systems.items() if roles.get(name) in CEILINGS}
    clear = {name: ceiling for name, ceiling in ceilings.items() if is_clear_gap(ceiling, floor, scale)}
    return document | {
        "gaps": {
            name: {**ceiling.minus(floor).estimate.as_dict(), "clear": name in clear}
            for name, ceiling in ceilings.items()
        },
        "shares": {
            name: {other: gap_recovered(system, floor, top).as_dict() for other, top in clear.items()}
            for name, system in systems.items()
            if roles.get(name) not in ("floor", "adapted", *CEILINGS)
        },
        "kept": {
            name: system.estimate.value / top.estimate.value
            for name, system in systems.items()
            for top in [systems[n] for n in ceilings if roles.get(n) == "ceiling"]
            if roles.get(name) == "adapted" and top.estimate.value
        },
        "decides": bool(clear),
    }
