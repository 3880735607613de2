"""Tables of a sweep's report: what was tried, how it ended, and what it took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llink_ray.evaluation.table import DASH, Table, format_duration, format_number
from llink_ray.sweeps.report.data import FAILED, FINISHED, PRUNED, Sweep, Trial, called
from llink_ray.sweeps.report.labels import listed, measured, named, short, told
from llink_ray.sweeps.report.selection import in_order, steps

SHOWN = 10
"""Trials of each language."""


def trials_sheet(sweep: Sweep, language: str) -> Table | None:
    """The best few trials of a language."""
    found = [trial for trial in in_order(sweep, language) if trial.state != FAILED][:SHOWN]
    if not found:
        return None
    names, goals = short(sweep.settings), sweep.objectives
    rows = tuple(
        (
            trial.name,
            trial.state,
            *(measured(goal.name, trial.last(goal.name)) for goal in goals),
            format_number(trial.step),
            format_duration(trial.seconds),
            listed(trial.settings, names),
        )
        for trial in found
    )
    columns = ("trial", "state", *(named(goal.name) for goal in goals), "step", "time", "settings")
    title = f"{called(language)}: the first {len(found)} of {len(sweep.of(language))} trials"
    return Table(title, columns, "ll" + "r" * (len(goals) + 2) + "l", rows)


def failed_sheet(sweep: Sweep) -> Table | None:
    """What failed, where, and why; a trial of several languages once."""
    failed: dict[str, list[Trial]] = {}
    for trial in sweep.trials:
        if trial.state == FAILED:
            failed.setdefault(trial.name, []).append(trial)
    names = short(sweep.settings)
    rows = tuple(
        (
            name,
            ", ".join(called(trial.language) for trial in found),
            format_number(max(trial.step for trial in found)),
            next((trial.cause for trial in found if trial.cause), "no cause was told"),
            listed(found[0].settings, names),
        )
        for name, found in failed.items()
    )
    columns = ("trial", "language", "step", "cause", "settings")
    return Table("Failed trials", columns, "llrll", rows) if rows else None


def count_sheet(sweep: Sweep) -> Table | None:
    """Trials, steps and time of each language."""
    if not sweep.trials:
        return None
    rows = []
    for code in sweep.languages:
        spent, trials = steps(sweep, code), sweep.of(code)
        less = spent.spent / spent.unpruned if spent and spent.unpruned else None
        rows.append(
            (
                called(code),
                *(format_number(len(sweep.of(code, state))) for state in (FINISHED, PRUNED, FAILED)),
                format_number(sum(trial.step for trial in trials)),
                format_number(spent.unpruned if spent else None),
                DASH if less is None else f"{less:.0%}",
                format_duration(sum(trial.seconds for trial in trials)),
            )
        )
    columns = ("", "finished", "pruned", "failed", "steps", "without pruning", "share", "time of trials")
    note = (
        "Without pruning: the steps, had every pruned trial run as long as the longest finished one. "
        "Time: the trials' own, one after the other; side by side they end sooner."
    )
    if sweep.told.get("joint"):
        note += " A joint trial's time is that of all its languages, and stands in each row."
    return Table("Trials, steps, time", columns, "lrrrrrrr", tuple(rows), note)


def time_sheet(sweep: Sweep) -> Table | None:
    """Where the time went, as far as the trials or the sweep told."""
    parts = sweep.told.get("parts")
    found = dict(parts) if isinstance(parts, Mapping) else {}
    for trial in sweep.trials:
        for name, seconds in trial.times.items():
            found[f"trials: {name}"] = found.get(f"trials: {name}", 0.0) + seconds
    rows = tuple((str(n), format_duration(float(s))) for n, s in found.items() if isinstance(s, int | float))
    return Table("Where the time went", ("", "time"), "lr", rows) if rows else None


def asked_sheet(sweep: Sweep) -> Table:
    """What was searched, how, and how far it came."""
    found, space = sweep.told, sweep.told.get("space")
    name = space.get("name") if isinstance(space, Mapping) else space
    goals = [f"{named(o.name)}, {'less' if o.sign < 0 else 'more'} is better" for o in sweep.objectives]
    together = "one setting for all languages, by the mean of its ranks" if found.get("joint") else ""
    rows = {
        "languages": ", ".join(called(code) for code in sweep.languages),
        "objective": "; ".join(goals),
        "space": name,
        "search": found.get("algorithm"),
        "pruning": found.get("scheduler"),
        "joint": together,
        "seed": found.get("seed"),
        "trials a study": None if sweep.planned is None else format_number(sweep.planned),
    }
    return Table("Search", ("", ""), "ll", tuple((k, str(v)) for k, v in rows.items() if v not in (None, "")))


def space_sheet(sweep: Sweep) -> Table | None:
    """Each setting: where it was searched, where trials went, why."""
    if not sweep.settings:
        return None
    rows = []
    for name in sweep.settings:
        values = [trial.settings[name] for trial in sweep.trials if name in trial.settings]
        given = sweep.ranges.get(name, {})
        rows.append((name, _searched(given), _tried(values), str(given.get("why") or "")))
    columns: tuple[str, ...] = ("setting", "searched", "tried", "why")
    if not any(row[-1] for row in rows):
        return Table("Space", columns[:-1], "lll", tuple(row[:-1] for row in rows))
    return Table("Space", columns, "llll", tuple(rows))


def _searched(given: Mapping[str, object]) -> str:
    if given.get("low") is not None and given.get("high") is not None:
        return f"{told(given['low'])} to {told(given['high'])}{', by ratio' if given.get('log') else ''}"
    values = given.get("values")
    return ", ".join(map(told, values)) if isinstance(values, list) else DASH


def _tried(values: Sequence[object]) -> str:
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    different = list(dict.fromkeys(values))
    if len(different) > 6 and len(numbers) == len(values):
        return f"{told(min(numbers))} to {told(max(numbers))}"
    return ", ".join(map(told, sorted(different, key=lambda v: v if numbers and v in numbers else str(v))))
