"""Which way to score choices tells the human English from the foreign text best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llink_ray.evaluation.held_out.measure import Measurement
from llink_ray.evaluation.held_out.scoring import correct, score, variants
from llink_ray.evaluation.held_out.systems import System
from llink_ray.evaluation.table import Table, format_number, format_signed
from llink_ray.metrics.intervals import PairedBootstrap, means


def calibration(measurement: Measurement, systems: Sequence[System]) -> list[dict[str, Any]]:
    """Accuracy of every system under every scoring, kind by kind; the widest gap to the floor first.

    The first two systems are floor and ceiling. Each row has ``kind``, ``scoring``, ``accuracy`` by system
    and ``gap``, ceiling minus floor with its interval. To be run on text that decides nothing later.
    """
    settings, rows = measurement.settings, list[dict[str, Any]]()
    # System by system, so that each is loaded once.
    scored = {
        system.name: {kind: measurement.scored(system, kind) for kind in measurement.choices}
        for system in systems
    }
    floor, ceiling = systems[0].name, systems[1].name
    for kind, choices in measurement.choices.items():
        bootstrap = PairedBootstrap(len(choices), settings.seed, settings.draws)
        by_scoring = []
        for scoring in variants(labels=kind.startswith("labelled")):
            accuracies = {
                name: bootstrap.resample(
                    means(correct(choices, score(choices, part[kind].scores, part[kind].empty, scoring)))
                )
                for name, part in scored.items()
            }
            by_scoring.append(
                {
                    "kind": kind,
                    "scoring": scoring.model_dump(),
                    "accuracy": {name: accuracy.value for name, accuracy in accuracies.items()},
                    "gap": accuracies[ceiling].minus(accuracies[floor]).estimate.as_dict(),
                }
            )
        rows += sorted(by_scoring, key=lambda row: -row["gap"]["value"])
    return rows


def calibration_table(rows: Sequence[dict[str, Any]]) -> Table:
    """The rows as a table."""
    names = list(rows[0]["accuracy"]) if rows else []
    cells = []
    for row in rows:
        scoring, (value, low, high) = row["scoring"], map(format_signed, row["gap"].values())
        way = f"{scoring['length']}, prior {scoring['prior']}, end {'counted' if scoring['end'] else 'apart'}"
        accuracies = (format_number(row["accuracy"][name]) for name in names)
        cells.append((row["kind"], way, *accuracies, f"{value} [{low}, {high}]"))
    columns = ("choice", "scoring", *names, "ceiling − floor")
    return Table("Ways to score", columns, "ll" + "r" * (len(names) + 1), tuple(cells))
