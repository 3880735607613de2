"""Which way to score a choice tells the human English from the foreign text best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llink_ray.evaluation.real.measure import Measurement
from llink_ray.evaluation.real.scoring import right, score, variants
from llink_ray.evaluation.real.systems import System
from llink_ray.evaluation.real.translating import mean_of
from llink_ray.evaluation.table import Table, format_number, format_signed
from llink_ray.metrics.bootstrap import Resampled, ratio


def calibration(measurement: Measurement, systems: Sequence[System]) -> list[dict[str, Any]]:
    """Accuracy of every system under every scoring, kind by kind; the widest gap to the floor first.

    The first two systems are floor and ceiling. Each row has ``kind``, ``scoring``, ``accuracy`` by system
    and ``gap``, ceiling minus floor with its interval. To be run on text that decides nothing later.
    """
    settings, rows = measurement.settings, list[dict[str, Any]]()
    weighed = {
        system.name: {kind: measurement.weighed(system, kind) for kind in measurement.choices}
        for system in systems
    }
    floor, ceiling = systems[0].name, systems[1].name
    for kind, choices in measurement.choices.items():
        drawn = Resampled(len(choices), settings.seed, settings.draws)
        found = []
        for how in variants(labels=kind.startswith("labelled")):
            said = {name: by_kind[kind] for name, by_kind in weighed.items()}
            good = {
                name: right(choices, score(choices, one.told, one.empty, how)) for name, one in said.items()
            }
            curves = {name: drawn.curve(mean_of(rows).statistics, ratio) for name, rows in good.items()}
            gap = curves[ceiling].minus(curves[floor]).estimate.as_dict()
            accuracy = {name: curve.value for name, curve in curves.items()}
            found.append({"kind": kind, "scoring": how.model_dump(), "accuracy": accuracy, "gap": gap})
        rows += sorted(found, key=lambda row: -row["gap"]["value"])
    return rows


def calibration_sheet(rows: Sequence[dict[str, Any]]) -> Table:
    """The rows as a table."""
    names = list(rows[0]["accuracy"]) if rows else []
    cells = []
    for row in rows:
        how, gap = row["scoring"], row["gap"]
        way = f"{how['length']}, prior {how['prior']}, end {'counted' if how['end'] else 'apart'}"
        told = f"{format_signed(gap['value'])} [{format_signed(gap['low'])}, {format_signed(gap['high'])}]"
        cells.append((row["kind"], way, *(format_number(row["accuracy"][name]) for name in names), told))
    columns = ("choice", "scoring", *names, "ceiling − floor")
    return Table("Ways to score", columns, "ll" + "r" * (len(names) + 1), tuple(cells))
