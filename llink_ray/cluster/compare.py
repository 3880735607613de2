"""Trains and measures baselines on the text of our run, and compares them with it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llink_ray.cluster.checks import check_output
from llink_ray.cluster.job import Request, default_output, new_task, requested_languages, say
from llink_ray.cluster.local_ray import connect, ray_env_vars
from llink_ray.cluster.progress import log_writer, tail_logs
from llink_ray.cluster.run_directory import RunDir
from llink_ray.cluster.train_language import TrainingTask, train_language
from llink_ray.errors import LlinkError
from llink_ray.evaluation.baselines import BASE, OURS, settings_of, stage_a_of
from llink_ray.evaluation.comparison import (
    Baseline,
    answer_pairs,
    described,
    from_run,
    summary_dict,
    untrained_baseline,
)
from llink_ray.evaluation.comparison_report import ComparisonResult, write_comparison
from llink_ray.evaluation.judge import JudgeSettings, Summary, backend, judge
from llink_ray.evaluation.table import print_tables
from llink_ray.progress import progress_output
from llink_ray.settings import Settings
from llink_ray.stopping import resumable
from llink_ray.text.languages import find
from llink_ray.training import history


@dataclass(frozen=True)
class Comparison:
    """What the command line asked for."""

    request: Request
    """Of our run, where there is none yet; and where everything is written."""
    against: Sequence[str]
    """Names of baselines and ablations."""
    run: str | None = None
    """Our run directory; None: it is trained first."""
    judge: JudgeSettings | None = None
    """None: no judge."""


def compare(comparison: Comparison) -> dict[str, Any]:
    """Compare in each language in turn; finished parts are reused. Returns the job's document.

    Raises:
        LlinkError: the comparison is wrong.
        JobFailed: a part failed; the same command resumes.
        KeyboardInterrupt: stopped by the person; its text says how to resume.
    """
    request, run = comparison.request, RunDir(Path(comparison.run)) if comparison.run else None
    languages = requested_languages(request, run)
    if run is not None:
        code, settings = run.language_and_settings()
        if languages != [find(code)]:
            raise LlinkError(
                f"run {run.path} teaches {find(code).name}: leave out --lang, or name that one alone"
            )
        if request.preset or request.settings_file or request.assignments:
            raise LlinkError(
                f"run {run.path} has its settings: leave out --preset, --settings, --set and the like"
            )
    output = Path(request.output) if request.output else default_output()
    check_output(output)
    with connect(request.address, output / "tmp"):
        documents = []
        for language in languages:
            if run is not None:
                folder = run.path / "comparison"
                store = settings.features.directory or str((run.path.parent / "features").resolve())
                ours = TrainingTask(language, settings, run.path, store, None)
            else:
                task = new_task(request, language, None, output, alone=True)
                folder = output / "comparisons" / f"{language.code}-{task.settings.preset}"
                ours = replace(task, run_dir=folder / OURS, registry=None)
            with resumable(lambda: "what was done is kept: the same command goes on from there"):
                documents.append(_compare_one(comparison, ours, folder))
    return documents[0] if len(documents) == 1 else {"job": "evaluate", "runs": documents}


def _compare_one(comparison: Comparison, ours: TrainingTask, folder: Path) -> dict[str, Any]:
    started = time.monotonic()
    others = {
        name: replace(ours, settings=settings_of(name, ours.settings), run_dir=folder / name, registry=None)
        for name in comparison.against
        if name != BASE
    }
    say(f"{ours.language.name}: {', '.join([OURS, *comparison.against])} in {folder}")
    document = _trained(OURS, ours)
    own = _measured(OURS, document, ours)
    baselines = [own]
    for name in comparison.against:
        if name == BASE:
            baselines.append(_base(folder, ours, document, own))
        else:
            baselines.append(_measured(name, _trained(name, others[name]), others[name]))
    summaries = _judge_all(comparison.judge, own, baselines[1:], ours, folder) if comparison.judge else {}
    final = {
        "job": "evaluate",
        "language": ours.language.code,
        "preset": ours.settings.preset,
        "run_dir": str(folder),
        "contestants": {b.name: b.figures for b in baselines},
        "judge": summary_dict(summaries),
        "corpus_hash": document["corpus_hash"],
        "models": document["models"],
        "seed": ours.settings.seed,
        "seconds": round(time.monotonic() - started, 1),
    }
    judged_by = comparison.judge.backend if comparison.judge else ""
    result = ComparisonResult(baselines, summaries, judged_by, _histories(ours, others))
    print_tables(result.tables())
    run = RunDir(folder)
    run.write_json(run.document, final)
    write_comparison(folder, f"{ours.language.code}, preset {ours.settings.preset}", result)
    return final


def _trained(name: str, task: TrainingTask) -> dict[str, Any]:
    done = RunDir(task.run_dir).document.exists()
    say(f"{name}: {described(name)}, " + ("done already" if done else f"run {task.run_dir}"))
    return train_language(task, say)


def _measured(name: str, document: Mapping[str, Any], task: TrainingTask) -> Baseline:
    count = task.settings.slots.most_slots or None
    return from_run(name, document, _answers(task.run_dir), count)


def _histories(
    ours: TrainingTask, others: Mapping[str, TrainingTask]
) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """Histories of those that trained Stage A, the first of each way to do so."""
    seen: list[dict[str, Any]] = []
    found = {}
    for name, task in {OURS: ours, **others}.items():
        way = stage_a_of(task.settings)
        if way is not None and way not in seen:
            seen.append(way)
            found[name] = history.read(RunDir(task.run_dir).history)
    return found


def _answers(run_dir: Path) -> list[dict[str, Any]]:
    run = RunDir(run_dir)
    rows: list[dict[str, Any]] = run.read_json(run.path / "answers.json")
    return rows


def _base(folder: Path, ours: TrainingTask, document: Mapping[str, Any], own: Baseline) -> Baseline:
    """The untrained decoder on the questions of our run; kept, as it takes a while."""
    run, questions = RunDir(folder), [(row["instruction"], row["text"]) for row in own.answers]
    path = folder / f"{BASE}.json"
    kept = run.read_json(path) if path.exists() else {}
    if kept.get("asked") != [list(question) for question in questions]:
        say(f"{BASE}: {described(BASE)}, {len(questions)} questions")
        log = folder / "run.log"
        with tail_logs({"": log}, say):
            kept = {"asked": questions, "given": _untrained(ours.settings, questions, log.resolve())}
        run.write_json(path, kept)
    return untrained_baseline(document, own.answers, kept["given"])


def _untrained(settings: Settings, questions: list[tuple[str, str]], log: Path) -> list[str]:
    import ray

    def answer() -> list[str]:
        import torch

        from llink_ray.models.decoder import Decoder

        gpu = settings.cluster.gpus_per_worker > 0
        torch.set_num_threads(settings.cluster.threads or 1)
        decoder = Decoder.load(settings.decoder, "cuda" if gpu else "cpu")
        wanted = settings.evaluation
        with progress_output(log_writer(log)):
            return decoder.answer_english(questions, wanted.batch_size, wanted.max_new_tokens)

    remote = ray.remote(
        num_cpus=settings.cluster.cpus_per_worker,
        num_gpus=settings.cluster.gpus_per_worker,
        runtime_env={"env_vars": ray_env_vars()},
    )(answer)
    given: list[str] = ray.get(remote.remote())
    return given


def _judge_all(
    settings: JudgeSettings, own: Baseline, others: Sequence[Baseline], ours: TrainingTask, folder: Path
) -> dict[str, Summary]:
    meanings = {pair.foreign: pair.english for pair in RunDir(ours.run_dir).read_pairs("test")}
    found = {}
    for other in others:
        judged = judge(
            answer_pairs(own, other, meanings),
            backend(settings),
            folder / "judge" / other.name,
            cache=folder / "judge" / "cache",
            settings=settings,
            seed=ours.settings.seed,
            tell=lambda line, name=other.name: say(f"judge, {OURS} against {name}: {line}"),  # type: ignore[misc]
        )
        found[other.name] = judged.summary
    return found
