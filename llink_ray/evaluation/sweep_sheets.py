"""The tables of a sweep's report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llink_ray.evaluation.sheets import DASH, Sheet, duration, figure, signed
from llink_ray.evaluation.sweep_choice import (
    Shared,
    agreement,
    behind,
    best,
    in_order,
    pareto,
    steps,
    top,
)
from llink_ray.evaluation.sweep_data import FAILED, FINISHED, PRUNED, Sweep, Trial, called
from llink_ray.evaluation.sweep_words import listed, measured, named, short, told

SHOWN = 10
"""Trials of each language."""
CHOICES = 5
"""Settings for all languages, the chosen one first."""


def asked_sheet(sweep: Sweep) -> Sheet:
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
        "trials a study": None if sweep.planned is None else figure(sweep.planned),
    }
    return Sheet("Search", ("", ""), "ll", tuple((k, str(v)) for k, v in rows.items() if v not in (None, "")))


def space_sheet(sweep: Sweep) -> Sheet | None:
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
        return Sheet("Space", columns[:-1], "lll", tuple(row[:-1] for row in rows))
    return Sheet("Space", columns, "llll", tuple(rows))


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


def count_sheet(sweep: Sweep) -> Sheet | None:
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
                *(figure(len(sweep.of(code, state))) for state in (FINISHED, PRUNED, FAILED)),
                figure(sum(trial.step for trial in trials)),
                figure(spent.unpruned if spent else None),
                DASH if less is None else f"{less:.0%}",
                duration(sum(trial.seconds for trial in trials)),
            )
        )
    columns = ("", "finished", "pruned", "failed", "steps", "without pruning", "share", "time of trials")
    note = (
        "Without pruning: the steps, had every pruned trial run as long as the longest finished one. "
        "Time: the trials' own, one after the other; side by side they end sooner."
    )
    return Sheet("Trials, steps, time", columns, "lrrrrrrr", tuple(rows), note)


def best_sheet(sweep: Sweep, chosen: Shared | None) -> Sheet | None:
    """Settings of each language's best trial, and of the one chosen for all."""
    found = {code: trial for code in sweep.languages if (trial := best(sweep, code))}
    if not found:
        return None
    shown = dict.fromkeys([objective.name for objective in sweep.objectives])
    rows = [("trial", *(trial.name for trial in found.values()), "")]
    rows += [(named(m), *(measured(m, trial.score(m)) for trial in found.values()), "") for m in shown]
    ranged = any(len(sweep.scored(code, sweep.main.name)) > 3 for code in found)
    for name in sweep.settings:
        cells = [_with_range(sweep, code, trial, name) for code, trial in found.items()]
        rows.append((name, *cells, told(chosen.settings.get(name)) if chosen else ""))
    columns = ("", *map(called, found), "for all")
    if chosen is None:
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    note = "In brackets: what the best quarter of the finished trials had, at least three." if ranged else ""
    return Sheet("Best settings", columns, "l" + "r" * (len(columns) - 1), tuple(rows), note)


def _with_range(sweep: Sweep, language: str, trial: Trial, name: str) -> str:
    value = told(trial.settings.get(name))
    few = [one.settings[name] for one in top(sweep, language) if name in one.settings]
    if len(few) < 2 or len(sweep.scored(language, sweep.main.name)) <= 3:
        return value
    if all(isinstance(one, int | float) and not isinstance(one, bool) for one in few):
        low, high = told(min(few)), told(max(few))
        return f"{value} ({low} to {high})" if low != high else f"{value} (all)"
    others = sorted({told(one) for one in few} - {value})
    return f"{value} (also {', '.join(others)})" if others else f"{value} (all)"


def pareto_sheet(sweep: Sweep, language: str) -> Sheet | None:
    """With several objectives, the trials that no other surpasses in all."""
    found = pareto(sweep, language) if len(sweep.objectives) > 1 else []
    if not found:
        return None
    names = short(sweep.settings)
    rows = tuple(
        (t.name, *(measured(o.name, t.score(o.name)) for o in sweep.objectives), listed(t.settings, names))
        for t in found
    )
    columns = ("trial", *(named(o.name) for o in sweep.objectives), "settings")
    return Sheet(f"{called(language)}: Pareto set", columns, "l" + "r" * len(sweep.objectives) + "l", rows)


def choice_sheet(sweep: Sweep, found: Sequence[Shared]) -> Sheet | None:
    """The chosen setting against each language's own best."""
    if not found:
        return None
    metric, chosen, rows = sweep.main.name, found[0], []
    for code in sweep.languages:
        own = best(sweep, code)
        assert own is not None  # what is finished everywhere is finished here
        cells = (measured(metric, chosen.trials[code].score(metric)), measured(metric, own.score(metric)))
        rank = f"{chosen.ranks[code]:g} of {len(found)}"
        rows.append((called(code), *cells, measured(metric, behind(sweep, chosen, code)), rank, own.name))
    columns = ("", named(metric), "own best", "behind", "rank", "own best is")
    return Sheet("Against each best", columns, "lrrrrl", tuple(rows))


def choices_sheet(sweep: Sweep, found: Sequence[Shared]) -> Sheet | None:
    """The first few settings by mean rank."""
    if len(found) < 2:
        return None
    names, metric = short(sweep.settings), sweep.main.name
    rows = tuple(
        (
            f"{one.mean_rank:.2f}",
            *(measured(metric, one.trials[code].score(metric)) for code in sweep.languages),
            listed(one.settings, names),
        )
        for one in found[:CHOICES]
    )
    columns = ("mean rank", *map(called, sweep.languages), "settings")
    return Sheet("First by mean rank", columns, "r" * (1 + len(sweep.languages)) + "l", rows)


def agreement_sheet(sweep: Sweep, found: Sequence[Shared]) -> Sheet | None:
    """Rank correlations between languages, pair by pair."""
    codes = sweep.languages
    pairs = {(a, b): agreement(found, a, b) for a in codes for b in codes if a != b}
    if all(value is None for value in pairs.values()):
        return None
    rows = tuple((called(a), *("" if a == b else signed(pairs[a, b], 2) for b in codes)) for a in codes)
    note = (
        f"Spearman's rank correlation of {named(sweep.main.name)} over the {len(found)} settings finished in "
        "every language: 1 where both put them in the same order, 0 where one says nothing of the other."
    )
    return Sheet("Do languages agree?", ("", *map(called, codes)), "l" + "r" * len(codes), rows, note)


def trials_sheet(sweep: Sweep, language: str) -> Sheet | None:
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
            figure(trial.step),
            duration(trial.seconds),
            listed(trial.settings, names),
        )
        for trial in found
    )
    columns = ("trial", "state", *(named(goal.name) for goal in goals), "step", "time", "settings")
    title = f"{called(language)}: the first {len(found)} of {len(sweep.of(language))} trials"
    return Sheet(title, columns, "ll" + "r" * (len(goals) + 2) + "l", rows)


def failed_sheet(sweep: Sweep) -> Sheet | None:
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
            figure(max(trial.step for trial in found)),
            next((trial.cause for trial in found if trial.cause), "no cause was told"),
            listed(found[0].settings, names),
        )
        for name, found in failed.items()
    )
    columns = ("trial", "language", "step", "cause", "settings")
    return Sheet("Failed trials", columns, "llrll", rows) if rows else None


def time_sheet(sweep: Sweep) -> Sheet | None:
    """Where the time went, as far as the trials or the sweep told."""
    parts = sweep.told.get("parts")
    found = dict(parts) if isinstance(parts, Mapping) else {}
    for trial in sweep.trials:
        for name, seconds in trial.times.items():
            found[f"trials: {name}"] = found.get(f"trials: {name}", 0.0) + seconds
    rows = tuple((str(n), duration(float(s))) for n, s in found.items() if isinstance(s, int | float))
    return Sheet("Where the time went", ("", "time"), "lr", rows) if rows else None
