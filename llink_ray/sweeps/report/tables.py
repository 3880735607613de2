"""Tables of a sweep's report: what to take, in each language and in all."""

from __future__ import annotations

from collections.abc import Sequence

from llink_ray.evaluation.table import Table, format_signed
from llink_ray.sweeps.report.data import Sweep, Trial, called
from llink_ray.sweeps.report.labels import listed, measured, named, short, told
from llink_ray.sweeps.report.selection import (
    ENOUGH_TO_DISAGREE,
    Shared,
    agreement,
    behind,
    best,
    pareto,
    top,
)

CHOICES = 5
"""Settings for all languages, the chosen one first."""


def best_sheet(sweep: Sweep, chosen: Shared | None) -> Table | None:
    """Settings of each language's best trial, and of the one chosen for all."""
    found = {code: trial for code in sweep.languages if (trial := best(sweep, code))}
    if not found:
        return None
    shown = dict.fromkeys([objective.name for objective in sweep.objectives])
    rows = [("trial", *(trial.name for trial in found.values()), "")]
    rows += [(named(m), *(measured(m, trial.score(m)) for trial in found.values()), "") for m in shown]
    ranged = any(len(sweep.scored(code, sweep.main.name)) >= ENOUGH_TO_DISAGREE for code in found)
    for name in sweep.settings:
        cells = [_with_range(sweep, code, trial, name) for code, trial in found.items()]
        rows.append((name, *cells, told(chosen.settings.get(name)) if chosen else ""))
    columns = ("", *map(called, found), "for all")
    if chosen is None:
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    note = (
        "In brackets: what the best quarter of the finished trials had (the best three, of few)."
        if ranged
        else ""
    )
    return Table("Best settings", columns, "l" + "r" * (len(columns) - 1), tuple(rows), note)


def _with_range(sweep: Sweep, language: str, trial: Trial, name: str) -> str:
    value = told(trial.settings.get(name))
    few = [one.settings[name] for one in top(sweep, language) if name in one.settings]
    if len(few) < 2 or len(sweep.scored(language, sweep.main.name)) < ENOUGH_TO_DISAGREE:
        return value
    if all(isinstance(one, int | float) and not isinstance(one, bool) for one in few):
        low, high = told(min(few)), told(max(few))
        return f"{value} ({low} to {high})" if low != high else f"{value} (all)"
    others = sorted({told(one) for one in few} - {value})
    return f"{value} (also {', '.join(others)})" if others else f"{value} (all)"


def pareto_sheet(sweep: Sweep, language: str) -> Table | None:
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
    return Table(f"{called(language)}: Pareto set", columns, "l" + "r" * len(sweep.objectives) + "l", rows)


def choice_sheet(sweep: Sweep, found: Sequence[Shared]) -> Table | None:
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
    note = "Rank: among the settings finished in every language; equal ones share the mean of their places."
    return Table("Against each best", columns, "lrrrrl", tuple(rows), note)


def choices_sheet(sweep: Sweep, found: Sequence[Shared]) -> Table | None:
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
    return Table("First by mean rank", columns, "r" * (1 + len(sweep.languages)) + "l", rows)


def agreement_sheet(sweep: Sweep, found: Sequence[Shared]) -> Table | None:
    """Rank correlations between languages, pair by pair."""
    codes = sweep.languages
    pairs = {(a, b): agreement(found, a, b) for a in codes for b in codes if a != b}
    if all(value is None for value in pairs.values()):
        return None
    rows = tuple(
        (called(a), *("" if a == b else format_signed(pairs[a, b], 2) for b in codes)) for a in codes
    )
    note = (
        f"Spearman's rank correlation of {named(sweep.main.name)} over the {len(found)} settings finished in "
        "every language: 1 where both put them in the same order, 0 where one says nothing of the other."
    )
    return Table("Do languages agree?", ("", *map(called, codes)), "l" + "r" * len(codes), rows, note)
