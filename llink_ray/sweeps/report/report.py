"""``report.md`` of a sweep: what to take, how sure that is, and what was seen on the way.

    from llink_ray.evaluation import sweep_report
    sweep_report.write(Path("runs/sweep-joint-20260102-030405"))

May be written again and again, while the sweep runs too.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from urllib.parse import quote

from llink_ray.evaluation.report import NAME, PLOTS, escape, section
from llink_ray.evaluation.table import Table
from llink_ray.storage.atomic import disk_refused
from llink_ray.sweeps.report import tables as sheets
from llink_ray.sweeps.report import trials as tried
from llink_ray.sweeps.report.data import Sweep, called
from llink_ray.sweeps.report.importance import ENOUGH, Importance, basis, importance
from llink_ray.sweeps.report.importance_plot import importance_dots
from llink_ray.sweeps.report.labels import joined, measured, named
from llink_ray.sweeps.report.parallel_plot import parallel
from llink_ray.sweeps.report.pareto import fronts, objective_pairs, slot_pairs
from llink_ray.sweeps.report.plots import best_so_far, joint_choice
from llink_ray.sweeps.report.read import RESULTS, SWEEP, read
from llink_ray.sweeps.report.selection import ENOUGH_TO_COMPARE, Shared, behind, best, disagreed, shared
from llink_ray.sweeps.report.tensorboard import FOLDER, write_events

Shares = dict[str, dict[str, Importance]]


def write(directory: Path) -> Path:
    """Write ``report.md``, ``plots/`` and ``tensorboard/`` into a sweep's folder; returns the report's path.

    Raises:
        LlinkError: there is no sweep, or it cannot be read.
        JobFailed: the disk refused.
    """
    sweep = read(directory)
    try:
        write_events(sweep, directory / FOLDER)
        text = "\n".join(_lines(sweep, directory))
        path, fresh = directory / NAME, directory / f"{NAME}.tmp"
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)
    except OSError as error:
        raise disk_refused("the sweep's report", directory, error, "copy the sweep elsewhere") from error
    return path


def _lines(sweep: Sweep, directory: Path) -> list[str]:
    plots, found = directory / PLOTS, shared(sweep)
    shares: Shares = {code: importance(sweep, code) for code in sweep.languages}
    names = joined([called(code) for code in sweep.languages]) or "no trial yet"
    lines = [f"# Sweep: {escape(names)}", "", *_verdict(sweep, found), ""]
    lines += _tables(sheets.best_sheet(sweep, found[0] if found else None))
    lines += _pictures("Best so far", best_so_far(sweep, plots / "best.png"))
    lines += _tables(*(sheets.pareto_sheet(sweep, code) for code in sweep.languages))
    lines += _pictures("Pareto line", *fronts(sweep, objective_pairs(sweep), plots / "pareto.png"))
    lines += _for_all(sweep, found, shares, plots)
    lines += _mattered(sweep, shares, plots)
    lines += _seen(sweep, shares, plots)
    lines += _tables(*(tried.trials_sheet(sweep, code) for code in sweep.languages))
    lines += _tables(tried.failed_sheet(sweep), tried.count_sheet(sweep), tried.time_sheet(sweep))
    lines += _tables(tried.asked_sheet(sweep), tried.space_sheet(sweep))
    return lines + _files(directory)


def _tables(*found: Table | None) -> list[str]:
    return [line for sheet in found if sheet is not None for line in section(sheet)]


def _pictures(title: str, *paths: Path | None) -> list[str]:
    return [line for p in paths if p for line in (f"![{escape(title)}]({PLOTS}/{quote(p.name)})", "")]


def _verdict(sweep: Sweep, found: Sequence[Shared]) -> list[str]:
    """The first sentences: the best, and what is missing."""
    if not sweep.trials:
        return ["No trial has reported yet."]
    metric, told = sweep.main.name, []
    for code in sweep.languages:
        trial, count = best(sweep, code), len(sweep.of(code))
        ended = f"{count} of {sweep.planned} trials" if sweep.planned else f"{count} trials"
        value = f"**{named(metric)} {measured(metric, trial.score(metric))}**, {trial.name}" if trial else ""
        value = value or f"no trial has finished with a figure of {named(metric)}"
        alike = sum(t.score(metric) == trial.score(metric) for t in sweep.of(code)) - 1 if trial else 0
        equal = f", {alike} more as good" if alike else ""
        told.append(f"- *{escape(called(code))}*: {value}{equal} ({ended})")
    if found:
        far, where = _loss(sweep, found[0])
        told.append(f"- *One setting for all*: at most {measured(metric, far)} behind ({escape(where)})")
    if sweep.planned and any(len(sweep.of(code)) < sweep.planned for code in sweep.languages):
        told += ["", "The sweep is not finished: the best may still change."]
    if len(sweep.objectives) > 1:
        told += ["", f"Best by {named(metric)}, the first objective; the Pareto sets have the others."]
    return told


def _loss(sweep: Sweep, chosen: Shared) -> tuple[float, str]:
    """By how much the chosen setting is behind a language's own best where it is farthest, and where."""
    far, code = max((behind(sweep, chosen, code), code) for code in sweep.languages)
    return far, called(code)


def _for_all(sweep: Sweep, found: Sequence[Shared], shares: Shares, plots: Path) -> list[str]:
    """One setting for all languages, how far it is from each best, and where languages disagree."""
    if len(sweep.languages) < 2:
        return []
    lines = ["## One setting for all languages", ""]
    if not found:
        return [*lines, "No setting was finished in every language. `--joint` tries each in all.", ""]
    chosen = found[0]
    trials = joined(list(dict.fromkeys(trial.name for trial in chosen.trials.values())))
    lines += [
        f"The best mean of ranks ({chosen.mean_rank:.2f}; 1 would be the best in each language) of the "
        f"{len(found)} settings finished in every language: {escape(trials)}.",
        "",
    ]
    lines += _lower(sheets.choice_sheet(sweep, found))
    lines += _pictures("One setting for all", joint_choice(sweep, chosen, plots / "joint.png"))
    lines += _lower(sheets.choices_sheet(sweep, found), sheets.agreement_sheet(sweep, found))
    if len(found) < ENOUGH_TO_COMPARE:
        lines += [f"Whether languages agree is told from {ENOUGH_TO_COMPARE} settings in common on.", ""]
    return lines + _apart(sweep, shares)


def _apart(sweep: Sweep, shares: Shares) -> list[str]:
    """Settings that mattered and that languages want otherwise. Of the others, differences are chance."""
    told = [found for found in shares.values() if found]
    mattered = [
        n for n in sweep.settings if told and fmean(f[n].share * len(f) if n in f else 0.0 for f in told) > 1
    ]
    apart = [f"`{name}`" for name in mattered if disagreed(sweep, name)]
    if apart:
        return [
            f"Of the settings that mattered, languages want different values of {joined(apart)}: what their "
            "best trials had does not overlap.",
            "",
        ]
    if mattered:
        return ["Of the settings that mattered, none has best values that differ clearly by language.", ""]
    return []


def _lower(*found: Table | None) -> list[str]:
    """Tables a heading deeper."""
    return [f"#{line}" if line.startswith("## ") else line for line in _tables(*found)]


def _mattered(sweep: Sweep, shares: Shares, plots: Path) -> list[str]:
    if not sweep.trials:
        return []
    drawn = importance_dots(sweep, shares, plots / "importance.png")
    lines = ["## What mattered", "", *_pictures("Importance", drawn)]
    if any(shares.values()):
        lines += [
            "Optuna's importance, by random forest: each setting's share in what moved the objective within "
            "the ranges searched. Bars, for up to four languages: the middle 80 % over trials drawn anew; "
            "where they are wide, more trials are needed to tell.",
            "",
        ]
    for code, found in shares.items():
        seen, name = basis(sweep, code), escape(called(code))
        if not found:
            lines.append(
                f"- {name}: not told. It wants {ENOUGH} trials with a figure at the same step, in which the "
                f"objective and two settings or more vary; {len(seen.values)} finished."
            )
        elif seen.step is None:
            lines.append(f"- {name}: over {len(seen.values)} finished trials.")
        else:
            lines.append(
                f"- {name}: over {len(seen.values)} trials at step {seen.step}, pruned ones too, since fewer "
                f"than {ENOUGH} finished. It says what mattered up to there."
            )
    return [*lines, ""]


def _seen(sweep: Sweep, shares: Shares, plots: Path) -> list[str]:
    """Parallel coordinates and the price of slots."""
    lines = []
    for code in sweep.languages:
        order = list(dict.fromkeys([*shares[code], *sweep.settings]))
        drawn = parallel(sweep, code, order, plots / f"parallel-{code}.png")
        lines += _pictures(f"{called(code)}: parallel coordinates", drawn)
    lines = ["## Settings and outcome", "", *lines] if lines else []
    found = fronts(sweep, slot_pairs(sweep), plots / "slots.png")
    if found:
        lines += ["## Number of slots", "", *_pictures("Quality by prompt tokens and K", *found)]
        lines += ["On the line: no finished trial is as good with fewer tokens.", ""]
    return lines


def _files(directory: Path) -> list[str]:
    """What else lies there, and how to look at curves."""
    kept = [directory / SWEEP, directory / RESULTS, *sorted(directory.glob("best*.yaml"))]
    lines = [f"- [{escape(path.name)}]({quote(path.name)})" for path in kept if path.is_file()]
    if (directory / FOLDER).is_dir():
        lines += [f"- curves and settings of every trial: `tensorboard --logdir {FOLDER}`, in this folder"]
    return ["## Files", "", *lines, ""] if lines else []
