"""A figure with its intervals, the share of the way from floor to ceiling, and whether it decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from llink_ray.corpus.pair import Pair
from llink_ray.evaluation.real.collect import Figure
from llink_ray.evaluation.real.settings import MeasureSettings
from llink_ray.metrics.bootstrap import Curve, Resampled, share_of_the_way, stands_clear

NO_SOURCE = "unknown"
"""Source of pairs whose file names none."""
Roles = Mapping[str, str]
"""System -> its role; what is no system (an encoder by itself) has none."""


def told(figure: Figure, roles: Roles, pairs: Sequence[Pair], settings: MeasureSettings) -> dict[str, Any]:
    """A figure as it stands in the document.

    ``systems``: value and interval of each. ``gaps``: each ceiling minus the floor, and whether it is
    ``clear``. ``shares``: bundle -> ceiling -> share of the way, of clear ceilings alone. ``decides``:
    whether any ceiling is clear; absent where floor and ceiling mean nothing. ``by_source``: the same of
    each source's examples, where the text names two sources or more.
    """
    document: dict[str, Any] = {"measure": figure.measure}
    if figure.chance is not None:
        document["chance"] = figure.chance
    document |= {**figure.about, **_told(figure, roles, settings, np.arange(len(figure.places)))}
    sources = [pairs[place].source or NO_SOURCE for place in figure.places]
    if figure.by_source and len(set(sources)) > 1:
        document["by_source"] = {
            source: _told(figure, roles, settings, np.flatnonzero([s == source for s in sources]))
            for source in sorted(set(sources))
        }
    return document


def _told(
    figure: Figure, roles: Roles, settings: MeasureSettings, rows: np.ndarray[Any, np.dtype[np.intp]]
) -> dict[str, Any]:
    drawn = Resampled(len(rows), settings.seed, settings.draws)
    curves = {
        name: drawn.curve(found.statistics[rows], found.value) for name, found in figure.systems.items()
    }
    document: dict[str, Any] = {
        "examples": len(rows),
        "systems": {name: curve.estimate.as_dict() for name, curve in curves.items()},
    }
    if not figure.compared:
        return document
    scale = next(iter(figure.systems.values())).scale
    floor = next((curve for name, curve in curves.items() if roles.get(name) == "floor"), None)
    if floor is None:
        return document
    ceilings = {n: c for n, c in curves.items() if roles.get(n) in ("ceiling", "trained_ceiling")}
    clear = {name: curve for name, curve in ceilings.items() if stands_clear(curve, floor, scale)}
    document["gaps"] = {
        name: {**curve.minus(floor).estimate.as_dict(), "clear": name in clear}
        for name, curve in ceilings.items()
    }
    document["shares"] = _shares(curves, floor, clear, roles)
    document["decides"] = bool(clear)
    return document


def _shares(
    curves: Mapping[str, Curve], floor: Curve, clear: Mapping[str, Curve], roles: Roles
) -> dict[str, dict[str, dict[str, float]]]:
    return {
        name: {other: share_of_the_way(curve, floor, ceiling).as_dict() for other, ceiling in clear.items()}
        for name, curve in curves.items()
        if roles.get(name) not in ("floor", "ceiling", "trained_ceiling")
    }
