"""The search itself: features first, then trials on Ray Tune, then what they leave."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

from llink_ray.cluster.job import say
from llink_ray.cluster.local_ray import ray_env_vars, worker_capacity
from llink_ray.cluster.run_directory import RunDir
from llink_ray.cluster.sweep_trial import SHARED_DATA, TrialContext
from llink_ray.cluster.train_language import TrainingTask, extract_run, prepare_run
from llink_ray.corpus.pair import TRANSLATION_KIND
from llink_ray.errors import JobFailed, LlinkError
from llink_ray.settings import Settings, configure
from llink_ray.settings.slots import SLOT_VARIANTS
from llink_ray.sweeps.best_settings import best_yaml
from llink_ray.sweeps.config import SweepConfig
from llink_ray.sweeps.search import Search
from llink_ray.sweeps.space import nested
from llink_ray.sweeps.trials import FILE, TIME, Trial, repair
from llink_ray.text.languages import find


def capacity(settings: Settings, stage_b: bool) -> int:
    """Trials that the cluster can hold at a time, each whole: more would wait for each other's workers."""
    cluster = settings.cluster
    workers = worker_capacity(cluster.cpus_per_worker, cluster.gpus_per_worker)
    return max(1, workers // cluster.num_workers if stage_b else workers)


def run_search(folder: Path, config: SweepConfig, started: float) -> dict[str, Any]:
    """Carry out what is left of the sweep in ``folder``; returns the JSON document that ends the job.

    Raises:
        LlinkError: the corpus lacks what trials are to be compared by.
        JobFailed: no trial was finished.
    """
    from llink_ray.cluster.sweep_table import TrialTable
    from llink_ray.cluster.sweep_tune import run_trials
    from llink_ray.sweeps.report import write_report

    say(f"sweep {folder}")
    context = TrialContext(str(folder.resolve()), config, ray_env_vars())
    config.write(folder)
    config = dataclasses.replace(config, forwards=config.forwards + _share_data(context))
    config.write(folder)
    repair(folder / FILE)
    search = Search(config, folder / FILE, context.check)
    settings = Settings.model_validate(config.base_settings[config.languages[0]])
    at_a_time = capacity(settings, config.stage_b)
    at_a_time = min(at_a_time, config.max_concurrent or at_a_time)
    ready = time.monotonic()
    with TrialTable(search) as table:
        run_trials(search, context, settings, at_a_time, table.changed)
    searched = time.monotonic()
    document = _finish(folder, search, context)
    document["report"] = str(write_report(folder))
    spent: Counter[str] = Counter()
    for trial in search.all_trials():
        for reports in trial.reports.values():
            spent.update({k.removeprefix(TIME): v for k, v in reports[-1].items() if k.startswith(TIME)})
    document["parts"] = {
        "before": round(ready - started, 1),
        "trials": round(searched - ready, 1),
        "after": round(time.monotonic() - searched, 1),
        "at_a_time": at_a_time,
        "of_trials": {name: round(seconds, 1) for name, seconds in spent.items()},
    }
    return document | {"seconds": round(time.monotonic() - started, 1)}


def _share_data(context: TrialContext) -> int:
    """Pairs and features for every language and every pair of frozen models; returns the forwards it took."""
    config, forwards = context.config, 0
    variants = config.space.parameters.get("slots.variant")
    names = [str(name) for name in variants.bounds] if variants else []
    readers = [name for name in names if SLOT_VARIANTS[name].reads_tokens]
    for code in config.languages:
        for models in config.space.frozen_model_configs():
            over = (
                {**models, "slots.variant": readers[0]} if readers else models
            )  # features have token states
            settings = configure.resolve(config.base_settings[code], nested(over))
            run = RunDir(context.data_folder(code, settings))
            task = TrainingTask(find(code), settings, run.path, config.feature_store, None)
            record = prepare_run(run, task, lambda _: None)
            _check_pairs(run, config)
            worker_config, spent = extract_run(run, task, record, say)
            run.write_json(run.path / SHARED_DATA, worker_config)
            forwards += spent
    return forwards


def _check_pairs(run: RunDir, config: SweepConfig) -> None:
    """Refuse a corpus that has not the figures that trials are to be compared by."""
    pairs = run.read_pairs("validation")
    if not pairs:
        raise LlinkError(
            "the corpus leaves no validation pairs to compare trials by: give more pairs, or a larger "
            "corpus.validation_fraction"
        )
    prefixes = ("answers.", "numbers.", "prompt_tokens")
    names = [objective.name for objective in config.objectives if objective.name.startswith(prefixes)]
    if names and not any(q.kind != TRANSLATION_KIND for pair in pairs for q in pair.questions):
        raise LlinkError(
            f"{names[0]} wants pairs with questions, and the corpus has none: give it questions (JSONL), or "
            "--objective=loss or retrieval.r1"
        )


def _finish(folder: Path, search: Search, context: TrialContext) -> dict[str, Any]:
    """Remove the checkpoints of pruned trials, write the best settings; returns the figures of each study."""
    for left in (*(folder / "trials").glob("*/ray"), *(folder / "trials").glob("*/draft")):
        shutil.rmtree(left, ignore_errors=True)
    config, studies = search.config, {}
    for study in config.studies:
        trials, best = search.trials(study), search.best(study)
        states = [trial.state for trial in trials]
        studies[study] = {
            **{state: states.count(state) for state in ("finished", "pruned", "failed")},
            "steps": sum(trial.steps for trial in trials),
            "best": [_best_entry(search, trial) for trial in best],
        }
        if best:
            _write_best(folder, search, context, best[0])
    if not any(study["best"] for study in studies.values()):
        causes = sorted({trial.cause for trial in search.all_trials() if trial.cause})
        raise JobFailed(f"no trial was finished: {'; '.join(causes[:3])}; what each came to is in {folder}")
    return {
        "job": "tune",
        "space": config.space.name,
        "run_dir": str(folder),
        "objectives": [objective.name for objective in config.objectives],
        "studies": studies,
        "features": {"forwards": config.forwards},
        "seed": config.seed,
    }


def _best_entry(search: Search, trial: Trial) -> dict[str, Any]:
    """A trial in the last line; figures of time are left out, since they never repeat."""
    metrics = {
        code: {
            name: value
            for name, value in search.complete(trial, code)[-1].items()
            if name not in ("step", "seconds") and not name.startswith(TIME)
        }
        for code in search.config.languages_of(trial.study)
    }
    return {"trial": trial.name, "config": trial.config, "metrics": metrics}


def _write_best(folder: Path, search: Search, context: TrialContext, trial: Trial) -> None:
    codes = search.config.languages_of(trial.study)
    for code in codes:
        names = [f"best-{code}.yaml"]
        if len(search.config.studies) == 1 and code == codes[0]:
            names.append("best.yaml")
        last = search.complete(trial, code)[-1]
        figures = {o.name: last[o.name] for o in search.config.objectives}
        for name in names:
            command = f"python jobs/train.py --lang={','.join(codes)} --settings {name}"
            text = best_yaml(trial, context.settings(code, trial.config), figures, command)
            (folder / name).write_text(text, encoding="utf-8")
