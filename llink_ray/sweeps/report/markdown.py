"""``report.md`` of a sweep: what to take, how sure that is, and what was seen on the way.

    from llink_ray.sweeps.report import write_report
    write_report(Path("runs/sweep-joint-20260102-030405"))

May be written again and again, while the sweep runs too.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from llink_ray.evaluation.report import NAME, PLOTS, escape, section
from llink_ray.evaluation.table import Table
from llink_ray.storage.atomic import disk_refused
from llink_ray.sweeps import config, trials
from llink_ray.sweeps.report import plots, tables
from llink_ray.sweeps.report.analysis import (
    ENOUGH_FOR_IMPORTANCE,
    ENOUGH_TO_CORRELATE,
    LanguageResults,
    SharedSetting,
    shared_settings,
)
from llink_ray.sweeps.report.tables import metric_name, metric_text
from llink_ray.sweeps.search import read_search

Results = Sequence[LanguageResults]


def write_report(directory: Path) -> Path:
    """Write ``report.md``, and ``plots/`` into a sweep's folder; returns the report's path.

    Raises:
        LlinkError: there is no sweep, or it cannot be read.
        JobFailed: the disk refused.
    """
    search = read_search(directory)
    try:
        results = [LanguageResults(search, code) for code in search.config.languages]
        text = "\n".join(_lines(results, directory))
        path, fresh = directory / NAME, directory / f"{NAME}.tmp"
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)
    except OSError as error:
        raise disk_refused("the sweep's report", directory, error, "copy the sweep elsewhere") from error
    return path


def _lines(results: Results, directory: Path) -> list[str]:
    search, folder, shared = results[0].search, directory / PLOTS, shared_settings(results)
    title = ", ".join(result.name for result in results)
    lines = [f"# Sweep: {title}", "", *_verdict(results, shared), ""]
    lines += _tables(tables.best_table(results, shared))
    lines += _pictures("Best so far", plots.best_so_far(results, folder / "best.png"))
    lines += _tables(*map(tables.pareto_table, results))
    main, *others = search.config.objectives
    pareto = plots.tradeoffs(results, [(other, main) for other in others], folder / "pareto.png")
    lines += _pictures("Pareto line", *pareto)
    lines += _one_for_all(results, shared)
    lines += _settings_and_outcome(results, folder)
    if slots := plots.tradeoffs(results, plots.slot_pairs(results), folder / "slots.png"):
        lines += ["## Number of slots", "", *_pictures("Quality by prompt tokens and K", *slots)]
        lines += ["On the line: no finished trial is as good with fewer tokens.", ""]
    lines += _tables(*map(tables.trials_table, results), tables.failed_table(search))
    lines += _tables(tables.counts_table(results), tables.space_table(search))
    return [*lines, *_files(directory)]


def _tables(*sections: Table | None) -> list[str]:
    return [line for table in sections if table is not None for line in section(table)]


def _pictures(title: str, *paths: Path | None) -> list[str]:
    return [line for p in paths if p for line in (f"![{escape(title)}]({PLOTS}/{quote(p.name)})", "")]


def _verdict(results: Results, shared: Sequence[SharedSetting]) -> list[str]:
    """The first sentences: the best, and what is missing."""
    planned, objectives, lines = results[0].search.config.trials, results[0].search.config.objectives, []
    metric = objectives[0].name
    for result in results:
        value = f"no trial has finished with a figure of {metric_name(metric)}"
        if result.best:
            equal = sum(result.score(trial) == result.score(result.best) for trial in result.scored) - 1
            best = metric_text(metric, result.value(result.best))
            value = f"**{metric_name(metric)} {best}**, {result.best.name}"
            value += f", {equal} more as good" if equal else ""
        lines.append(f"- *{result.name}*: {value} ({len(result.trials)} of {planned} trials)")
    if shared:
        farthest = max(results, key=shared[0].behind)
        behind = metric_text(metric, shared[0].behind(farthest))
        lines.append(f"- *One setting for all*: at most {behind} behind ({farthest.name})")
    c = results[0].search.config
    goals = [f"{metric_name(o.name)} ({'more' if o.sign > 0 else 'less'} is better)" for o in c.objectives]
    how = f"{c.algorithm}, {'successive halving' if c.prune else 'not pruned'}, seed {c.seed}"
    how += ", one setting for all languages by the mean of its ranks" if c.joint else ""
    lines += ["", f"Searched for {', '.join(goals)}: {how}."]
    ended = [trial for result in results for trial in result.trials if trial.state != "running"]
    if len(ended) < planned * len(results):
        lines += ["", "The sweep is not finished: the best may still change."]
    if len(objectives) > 1:
        lines += ["", f"Best by {metric_name(metric)}, the first objective; the Pareto sets have the others."]
    return lines


def _one_for_all(results: Results, shared: Sequence[SharedSetting]) -> list[str]:
    """One setting for all languages, how far it is from each best, and whether languages agree."""
    if len(results) < 2:
        return []
    lines = ["## One setting for all languages", ""]
    if not shared:
        return [*lines, "No setting was finished in every language. `--joint` tries each in all.", ""]
    names = ", ".join(dict.fromkeys(trial.name for trial in shared[0].trials.values()))
    lines += [
        f"The best mean of ranks ({shared[0].mean_rank:.2f}; 1 would be the best in each language) of the "
        f"{len(shared)} settings finished in every language: {names}.",
        "",
    ]
    deeper = _tables(tables.shared_table(results, shared), tables.correlation_table(results, shared))
    lines += [f"#{line}" if line.startswith("## ") else line for line in deeper]
    if len(shared) < ENOUGH_TO_CORRELATE:
        lines += [f"Whether languages agree is told from {ENOUGH_TO_CORRELATE} settings in common on.", ""]
    return lines


def _settings_and_outcome(results: Results, folder: Path) -> list[str]:
    """What mattered, and each setting against what trials came to."""
    importances = {result.name: result.importances() for result in results}
    shares = {name: by_setting for name, (by_setting, _, _) in importances.items()}
    drawn = plots.importance_bars(shares, results[0].objective.name, folder / "importance.png")
    lines = ["## What mattered", "", *_pictures("Importance", drawn)]
    if drawn:
        lines += [
            "Optuna's importance, by random forest: each setting's share in what moved the objective within "
            "the ranges searched. With few trials it is rough.",
            "",
        ]
    for name, (by_setting, count, evaluation) in importances.items():
        lines.append(
            f"- {name}: over {count} trials at evaluation {evaluation}, pruned ones too."
            if by_setting
            else f"- {name}: not told. It wants {ENOUGH_FOR_IMPORTANCE} trials with a figure "
            f"at the same evaluation, in which the objective and the settings vary; {count} finished."
        )
    order = [key for by_setting in shares.values() for key in by_setting]
    order = list(dict.fromkeys([*order, *results[0].search.config.space.parameters]))
    drawn = plots.settings_and_outcome(results, order, folder / "settings.png")
    lines += ["", *_pictures("Settings and outcome", drawn)]
    return lines


def _files(directory: Path) -> list[str]:
    """What else lies there, and how to look at curves."""
    names = [config.FILE, trials.FILE, *sorted(p.name for p in directory.glob("best*.yaml"))]
    lines = [f"- [{escape(name)}]({quote(name)})" for name in names if (directory / name).is_file()]
    if (directory / "tune").is_dir():
        lines += ["- curves and settings of every trial: `tensorboard --logdir tune`, in this folder"]
    return ["## Files", "", *lines, ""]
