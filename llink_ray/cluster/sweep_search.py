"""The search itself: features first, then trials on Ray Tune, then what they leave."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llink_ray.cluster.job import say
from llink_ray.cluster.local_ray import ray_env_vars, worker_capacity
from llink_ray.cluster.run_directory import RunDir
from llink_ray.cluster.sweep_trial import TrialContext, world_name
from llink_ray.cluster.train_language import TrainingTask, extract_run, prepare_run
from llink_ray.corpus.pair import TRANSLATION_KIND
from llink_ray.errors import JobFailed, LlinkError
from llink_ray.settings import Settings, configure
from llink_ray.settings.slots import SLOT_VARIANTS
from llink_ray.sweeps import space as spaces
from llink_ray.sweeps.journal import JOINT, NAME, Journal, Trial
from llink_ray.sweeps.objective import objectives
from llink_ray.sweeps.plan import Plan, Search
from llink_ray.sweeps.results import best_yaml, write_results
from llink_ray.text.languages import find

RECORD = "sweep.json"
_WAITING_BYTES = 1 << 20


def room(settings: Settings, stage_b: bool) -> int:
    """Trials that the cluster can hold at a time, each whole: more would wait for each other's workers."""
    cluster = settings.cluster
    workers = worker_capacity(cluster.cpus_per_worker, cluster.gpus_per_worker)
    return max(1, workers // cluster.num_workers if stage_b else workers)


def search_in(folder: Path, record: dict[str, Any], started: float) -> dict[str, Any]:
    """Carry out what is left of the sweep in ``folder``; returns the JSON document that ends the job.

    Raises:
        JobFailed: no trial was finished.
    """
    from llink_ray.cluster.sweep_loggers import loggers
    from llink_ray.cluster.sweep_table import TrialTable
    from llink_ray.cluster.sweep_tune import carry_out
    from llink_ray.sweeps.report import report as sweep_report

    search = Search(
        space=spaces.from_json(record["space"]),
        languages=tuple(record["languages"]),
        joint=record["joint"],
        trials=record["trials"],
        objectives=objectives(",".join(record["objectives"])),
        algorithm=record["algorithm"],
        seed=record["seed"],
        prune=record["scheduler"] == "asha",
        window=record["window"],
    )
    told = TrialContext(
        folder=str(folder.resolve()),
        bases=record["bases"],
        languages={study: search.languages_of(study) for study in search.studies},
        looks=record["looks"],
        stage_b=record["stage_b"],
        environment=ray_env_vars(),
    )
    say(f"sweep {folder}")
    RunDir(folder).write_json(folder / RECORD, record)
    record["forwards"] += _worlds(folder, record, search.space)
    RunDir(folder).write_json(folder / RECORD, record)
    plan = Plan(search, Journal(folder / NAME), lambda trial: _possible(told, trial))
    settings = Settings.model_validate(record["bases"][record["languages"][0]])
    at_a_time = room(settings, record["stage_b"])
    at_a_time = min(at_a_time, record["at_a_time"] or at_a_time)
    ready = time.monotonic()
    with TrialTable(plan, folder) as table:
        carry_out(
            plan,
            told,
            _resources(settings, record["stage_b"]),
            at_a_time,
            table.changed,
            loggers(folder.name, say),
        )
    searched = time.monotonic()
    write_results(plan, folder)
    record["parts"] = {"before the first trial": ready - started, "trials": searched - ready}
    RunDir(folder).write_json(folder / RECORD, record)
    document = _closed(folder, record, plan, told)
    document["report"] = str(sweep_report.write(folder))
    document["parts"] = {
        "before": round(ready - started, 1),
        "trials": round(searched - ready, 1),
        "after": round(time.monotonic() - searched, 1),
        "at_a_time": at_a_time,
        "of_trials": _times(plan),
    }
    return document | {"seconds": round(time.monotonic() - started, 1)}


def _times(plan: Plan) -> dict[str, float]:
    """Seconds that trials spent on each part, added up over trials, which ran side by side."""
    total: dict[str, float] = {}
    for trial in plan.journal.trials.values():
        for reports in trial.reports.values():
            for name, seconds in reports[-1].times.items():
                total[name] = round(total.get(name, 0.0) + seconds, 1)
    return total


def _resources(settings: Settings, stage_b: bool) -> dict[str, float]:
    """What Ray Tune sets aside for a trial's own process; workers inside it ask for themselves.

    Such a process only waits. It has to ask for something, but a share of a CPU would be one that its own
    worker may then lack.
    """
    if stage_b:
        return {"memory": _WAITING_BYTES}
    wanted = {"CPU": settings.cluster.cpus_per_worker, "GPU": settings.cluster.gpus_per_worker}
    return {name: amount for name, amount in wanted.items() if amount}


def _possible(told: TrialContext, trial: Trial) -> None:
    for language in told.languages[trial.study]:
        told.settings(language, trial.config)


def _worlds(folder: Path, record: Mapping[str, Any], space: spaces.Space) -> int:
    """Pairs and features for every language and every encoder that trials may meet; forwards it took."""
    forwards = 0
    for code in record["languages"]:
        for models in space.models():
            settings = configure.resolve(record["bases"][code], spaces.tree(models))
            tried = getattr(space.ranges.get("slots.variant"), "values", ())
            reader = next((name for name in tried if SLOT_VARIANTS[name].reads_tokens), None)
            if reader:  # then the features that all trials share have token states
                settings = configure.resolve(settings.model_dump(mode="json"), {"slots": {"variant": reader}})
            path = folder / "worlds" / world_name(code, settings)
            task = TrainingTask(find(code), settings, path, record["store"], None)
            run = RunDir(path)
            pairs = prepare_run(run, task, lambda _: None)
            _check_pairs(run, record["objectives"])
            config, spent = extract_run(run, task, pairs, say)
            run.write_json(path / "world.json", config)
            forwards += spent
    return forwards


def _check_pairs(run: RunDir, names: Sequence[str]) -> None:
    """Refuse a corpus that has not the figures that trials are to be compared by."""
    held_out = run.read_pairs("validation")
    if not held_out:
        raise LlinkError(
            "the corpus leaves no validation pairs to compare trials by: give more pairs, or a larger "
            "corpus.validation_fraction"
        )
    asking = [name for name in names if name.startswith(("answers.", "numbers.", "prompt_tokens"))]
    if asking and not any(q.kind != TRANSLATION_KIND for pair in held_out for q in pair.questions):
        raise LlinkError(
            f"{asking[0]} wants pairs with questions, and the corpus has none: give it questions (JSONL), or "
            "--objective=loss or retrieval.r1"
        )


def _closed(folder: Path, record: Mapping[str, Any], plan: Plan, told: TrialContext) -> dict[str, Any]:
    for left in (*(folder / "trials").glob("*/ray"), *(folder / "trials").glob("*/draft")):
        shutil.rmtree(left, ignore_errors=True)  # checkpoints of those that were given up
    studies: dict[str, Any] = {}
    for study in plan.search.studies:
        trials = plan.trials(study)
        counts = {state: sum(t.state == state for t in trials) for state in ("finished", "pruned", "failed")}
        best = plan.best(study)
        studies[study] = {
            **counts,
            "steps": sum(trial.steps for trial in trials),
            "best": [_told(plan, trial) for trial in best],
        }
        if best:
            _write_best(folder, plan, told, study, best[0])
    if not any(found["best"] for found in studies.values()):
        causes = {trial.cause for study in plan.search.studies for trial in plan.trials(study) if trial.cause}
        raise JobFailed(
            f"no trial was finished: {'; '.join(sorted(causes)[:3])}; what each came to is in {folder}"
        )
    return {
        "job": "tune",
        "space": record["space"]["name"],
        "run_dir": str(folder),
        "objectives": record["objectives"],
        "studies": studies,
        "features": {"forwards": record["forwards"]},
        "seed": record["seed"],
    }


def _told(plan: Plan, trial: Trial) -> dict[str, Any]:
    last = {
        code: dict(plan.judged(trial, code)[-1].metrics) for code in plan.search.languages_of(trial.study)
    }
    return {"trial": trial.name, "config": trial.config, "metrics": last}


def _write_best(folder: Path, plan: Plan, told: TrialContext, study: str, trial: Trial) -> None:
    codes = plan.search.languages_of(study)
    only = len(plan.search.studies) == 1
    for code in codes:
        names = [folder / f"best-{code}.yaml"] + [folder / "best.yaml"] * (only and code == codes[0])
        last = plan.judged(trial, code)[-1].metrics
        figures = {o.name: last[o.name] for o in plan.search.objectives if o.name in last}
        for path in names:
            command = f"python jobs/train.py --lang={','.join(codes)} --settings {path.name}"
            text = best_yaml(trial, told.settings(code, trial.config), figures, command)
            path.write_text(text, encoding="utf-8")
    assert study != JOINT or only
