"""Tables of a sweep's report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llink_ray.evaluation.table import DASH, Table, format_duration, format_number, format_signed, humanize
from llink_ray.sweeps.report.analysis import LanguageResults, SharedSetting, rank_correlation
from llink_ray.sweeps.search import Search
from llink_ray.sweeps.trials import Trial

SHOWN = 10
"""Trials of each language."""
SHOWN_SHARED = 5
ENOUGH_FOR_RANGES = 8
"""Finished trials, below which the best few are nearly all."""

_NAMES = {
    "retrieval.r1": "R@1",
    "retrieval.r5": "R@5",
    "retrieval.r10": "R@10",
    "retrieval.mrr": "MRR",
    "retrieval.mean_rank": "mean rank",
    "retrieval.margin": "margin",
    "answers.exact": "answers exact",
    "answers.f1": "answers F1",
    "numbers.exact": "numbers right",
    "slots": "slots K",
}
_DECIMALS = {"seconds": 1, "prompt_tokens": 1, "slots": 0, "retrieval.mean_rank": 2}
"""Of figures that are no shares."""


def metric_name(metric: str) -> str:
    """A figure in words."""
    return _NAMES.get(metric, humanize(metric.replace(".", " ")))


def metric_text(metric: str, value: float | None) -> str:
    """A figure with as many decimals as it is worth."""
    return format_number(value, _DECIMALS.get(metric, 3))


def value_text(value: object) -> str:
    """A setting's value, in three digits where it is no whole number."""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e6 else f"{value:.3g}"
    return str(value)


def config_text(config: Mapping[str, Any]) -> str:
    """Settings in one cell: ``count 8, hidden 512``."""
    ends = [key.rpartition(".")[2] for key in config]
    names = [end if ends.count(end) == 1 else key for end, key in zip(ends, config, strict=True)]
    pairs = zip(names, config.values(), strict=True)
    return ", ".join(f"{humanize(name)} {value_text(value)}" for name, value in pairs)


def best_table(results: Sequence[LanguageResults], shared: Sequence[SharedSetting]) -> Table | None:
    """Settings of each language's best trial, and of the one chosen for all."""
    best = {result: result.best for result in results if result.best}
    if not best:
        return None
    config = results[0].search.config
    chosen = next(iter(shared[0].trials.values())).config if shared else {}
    rows = [["trial", *(trial.name for trial in best.values()), ""]]
    for objective in config.objectives:
        values = [metric_text(objective.name, result.value(t, objective.name)) for result, t in best.items()]
        rows.append([metric_name(objective.name), *values, ""])
    for key in config.space.parameters:
        cells = [_value_with_range(result, trial, key) for result, trial in best.items()]
        rows.append([key, *cells, value_text(chosen[key]) if chosen else ""])
    columns = ["", *(result.name for result in best), "for all"][: None if shared else -1]
    ranged = any(len(result.scored) >= ENOUGH_FOR_RANGES for result in best)
    note = "In brackets: what the best quarter of the finished trials had." if ranged else ""
    cells_of = tuple(tuple(row[: len(columns)]) for row in rows)
    return Table("Best settings", tuple(columns), "l" + "r" * (len(columns) - 1), cells_of, note)


def _value_with_range(result: LanguageResults, trial: Trial, key: str) -> str:
    value = value_text(trial.config[key])
    if len(result.scored) < ENOUGH_FOR_RANGES:
        return value
    top = [t.config[key] for t in result.scored[: max(3, len(result.scored) // 4)]]
    if any(isinstance(v, str | bool | None) for v in top):
        return f"{value} ({', '.join(sorted(set(map(value_text, top))))})"
    return f"{value} ({value_text(min(top))} to {value_text(max(top))})"


def pareto_table(result: LanguageResults) -> Table | None:
    """With several objectives, the trials that no other surpasses in all."""
    objectives = result.search.config.objectives
    front = result.pareto(*objectives) if len(objectives) > 1 else []
    return _trials(result, f"{result.name}: Pareto set", front)


def trials_table(result: LanguageResults) -> Table | None:
    """The best few trials of a language."""
    shown = result.ordered[:SHOWN]
    title = f"{result.name}: the first {len(shown)} of {len(result.trials)} trials"
    return _trials(result, title, shown)


def _trials(result: LanguageResults, title: str, trials: Sequence[Trial]) -> Table | None:
    objectives = [objective.name for objective in result.search.config.objectives]
    rows = tuple(
        (
            trial.name,
            trial.state,
            *(metric_text(name, trial.last(result.language, name)) for name in objectives),
            format_number(trial.steps_in(result.language)),
            format_duration(trial.last(result.language, "seconds") or 0.0),
            config_text(trial.config),
        )
        for trial in trials
    )
    columns = ("trial", "state", *map(metric_name, objectives), "step", "time", "settings")
    return Table(title, columns, "ll" + "r" * (len(objectives) + 2) + "l", rows) if rows else None


def shared_table(results: Sequence[LanguageResults], shared: Sequence[SharedSetting]) -> Table:
    """The first few settings by mean rank, below each language's own best."""
    metric = results[0].objective.name

    def row(name: str, trials: Sequence[Trial], config: str) -> tuple[str, ...]:
        figures = [result.value(trial) for result, trial in zip(results, trials, strict=True)]
        return (name, *(metric_text(metric, figure) for figure in figures), config)

    rows = [row("own best", [result.scored[0] for result in results], "")]
    for setting in shared[:SHOWN_SHARED]:
        trials = [setting.trials[result.language] for result in results]
        rows.append(row(f"{setting.mean_rank:.2f}", trials, config_text(trials[0].config)))
    columns = ("mean rank", *(result.name for result in results), "settings")
    note = (
        "Ranks are among the settings finished in every language; equal ones share the mean of their places."
    )
    return Table("First by mean rank", columns, "r" * (1 + len(results)) + "l", tuple(rows), note)


def correlation_table(results: Sequence[LanguageResults], shared: Sequence[SharedSetting]) -> Table | None:
    """Rank correlations between languages, pair by pair."""
    codes = [result.language for result in results]
    pairs = {(a, b): rank_correlation(shared, a, b) for a in codes for b in codes if a != b}
    if all(value is None for value in pairs.values()):
        return None
    names = [result.name for result in results]
    rows = tuple(
        (name, *("" if a == b else format_signed(pairs[a, b], 2) for b in codes))
        for a, name in zip(codes, names, strict=True)
    )
    note = (
        f"Spearman's rank correlation over the {len(shared)} settings finished in every language: 1 where "
        "both put them in the same order, 0 where one says nothing of the other."
    )
    return Table("Do languages agree?", ("", *names), "l" + "r" * len(codes), rows, note)


def failed_table(search: Search) -> Table | None:
    """What failed, and why."""
    rows = tuple(
        (trial.name, format_number(trial.steps), str(trial.cause), config_text(trial.config))
        for trial in search.all_trials()
        if trial.state == "failed"
    )
    return Table("Failed trials", ("trial", "step", "cause", "settings"), "lrll", rows) if rows else None


def counts_table(results: Sequence[LanguageResults]) -> Table:
    """Trials, steps and time of each language."""
    rows = []
    for result in results:
        states = [trial.state for trial in result.trials]
        taken, unpruned = result.steps_saved() or (
            sum(t.steps_in(result.language) for t in result.trials),
            None,
        )
        seconds = sum(trial.last(result.language, "seconds") or 0.0 for trial in result.trials)
        rows.append(
            (
                result.name,
                *(format_number(states.count(state)) for state in ("finished", "pruned", "failed")),
                format_number(taken),
                format_number(unpruned),
                f"{taken / unpruned:.0%}" if unpruned else DASH,
                format_duration(seconds),
            )
        )
    columns = ("", "finished", "pruned", "failed", "steps", "without pruning", "share", "time of trials")
    note = (
        "Without pruning: the steps, had every pruned trial run as long as the longest finished result. "
        "Time: the trials' own, one after the other; side by side they end sooner."
    )
    if results[0].search.config.joint:
        note += " A joint trial's time is that of all its languages, and stands in each row."
    return Table("Trials, steps, time", columns, "lrrrrrrr", tuple(rows), note)


def space_table(search: Search) -> Table:
    """Each setting: where it was searched, and why."""
    parameters = search.config.space.parameters.items()
    rows = tuple((key, str(parameter), parameter.why) for key, parameter in parameters)
    return Table(f"Space {search.config.space.name}", ("setting", "searched", "why"), "lll", rows)
