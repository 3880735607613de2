"""The training job: from the command line's request to runs, in the order choose, check, connect, train."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from llink_ray.cluster.checks import (
    check,
    check_corpus,
    check_output,
    with_absolute_paths,
    with_recommended_models,
)
from llink_ray.cluster.local_ray import connect, resources
from llink_ray.cluster.multi_language import how_to_go_on, train_languages
from llink_ray.cluster.run_directory import RunDir
from llink_ray.cluster.train_language import TrainingTask, train_language
from llink_ray.corpus import phrasebook
from llink_ray.errors import LlinkError
from llink_ray.models.pretrained.acquire import ensure
from llink_ray.settings import Settings, configure
from llink_ray.stopping import resumable
from llink_ray.text.languages import Language, find


@dataclass(frozen=True)
class Request:
    """What the command line asked for."""

    languages: str = ""
    preset: str | None = None
    settings_file: str | None = None
    assignments: list[str] = field(default_factory=list)
    resume: str | None = None
    output: str | None = None
    registry: str | None = None
    publish: bool = True
    address: str | None = None
    check_only: bool = False


def say(text: str) -> None:
    """Print to stderr; stdout is for the last line."""
    print(text, file=sys.stderr, flush=True)


def run(request: Request) -> dict[str, Any]:
    """Carry out a request; returns the JSON document that ends the job.

    Raises:
        LlinkError: the request is wrong, found before any work where possible.
        JobFailed: a run failed.
        KeyboardInterrupt: stopped by the person; its text says how to resume.
    """
    resumed = RunDir(Path(request.resume)) if request.resume else None
    languages = requested_languages(request, resumed)
    if resumed is None:
        # Resolving with any preset finds wrong files, keys and values before Ray is started.
        settings = configure.resolve(
            *configure.layers(request.preset or "tiny", request.settings_file, request.assignments)
        )
        if settings.corpus.path and len(languages) > 1:
            raise LlinkError(
                f"a corpus goes with one language, but --lang names {len(languages)}: run one job each"
            )
    output = Path(request.output) if request.output else resumed.path.parent if resumed else default_output()
    check_output(output)
    with connect(request.address, output / "tmp"):
        own = (request.address or os.environ.get("RAY_ADDRESS") or "local") == "local"
        alone = own and len(languages) == 1
        tasks = [new_task(request, language, resumed, output, alone) for language in languages]
        if request.check_only:
            return _check_only(tasks)
        if len(tasks) == 1:
            return _run_one(tasks[0])
        return train_languages(tasks, say)


def requested_languages(request: Request, resumed: RunDir | None) -> list[Language]:
    if resumed is not None and not request.languages:
        return [find(resumed.language_and_settings()[0])]
    if request.languages.strip().casefold() == "all":
        names = phrasebook.languages()
    else:
        names = [name for name in request.languages.split(",") if name.strip()]
    if not names:
        raise LlinkError(
            f"no language is named: give --lang, e.g. --lang={find(phrasebook.languages()[0]).name.lower()}"
        )
    languages = list({language.code: language for language in map(find, names)}.values())
    if resumed and len(languages) > 1:
        raise LlinkError(
            f"--resume goes with one language, but --lang names {len(languages)}: run one job each"
        )
    return languages


def default_output() -> Path:
    """``runs`` in the working directory; for a submitted job, whose directory is deleted, in the home."""
    submitted = os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR")
    return Path.home() / "llink_ray" / "runs" if submitted else Path("runs")


def new_task(
    request: Request, language: Language, resumed: RunDir | None, output: Path, alone: bool
) -> TrainingTask:
    if resumed is not None:
        _, stored = resumed.language_and_settings()
        settings = stored
        if request.assignments or request.settings_file or request.preset:
            layers = configure.layers(
                request.preset or stored.preset, request.settings_file, request.assignments
            )
            settings = with_absolute_paths(
                configure.resolve(stored.model_dump(mode="json"), *(layers if request.preset else layers[1:]))
            )
        resumed.check_same(language.code, settings)
        path = resumed.path
    else:
        name = request.preset
        if name is None:
            name, reason = _choice(language, request)
            say(f"preset {name}: {reason}")
        layers = configure.layers(name, request.settings_file, request.assignments)
        settings = with_absolute_paths(with_recommended_models(language, configure.resolve(*layers)))
        if alone:
            settings = _with_threads(settings)
        path = _new_path(output, language, name)
    check_corpus(language, settings)  # before models are downloaded
    ensure(settings, say)
    check(language, settings)
    registry = (request.registry or str(output / "registry")) if request.publish else None
    store = settings.features.directory or str((output / "features").resolve())
    return TrainingTask(language, settings, path, store, registry)


def _with_threads(settings: Settings) -> Settings:
    """One run on a Ray of its own may use every core, however few its workers ask for."""
    cluster = settings.cluster
    if cluster.threads is not None or cluster.gpus_per_worker:
        return settings
    threads = max(1, int(resources()["CPU"]) // cluster.num_workers)
    return settings.model_copy(update={"cluster": cluster.model_copy(update={"threads": threads})})


def _choice(language: Language, request: Request) -> tuple[str, str]:
    """Preset and the reason for it."""
    gpus = resources()["GPU"]
    if not gpus:
        return "tiny", "the cluster has no GPU"
    named = any(a.startswith("decoder.model=") for a in request.assignments)
    if named or (language.encoder and language.decoder):
        models = "the models you named" if named else f"{language.encoder} and {language.decoder}"
        return "real", f"the cluster has {gpus:g} GPUs, so {models} can be trained"
    return (
        "tiny",
        f"no encoder is known to read {language.name}: name real models with --encoder and --decoder",
    )


def _new_path(output: Path, language: Language, preset: str) -> Path:
    """Path of a new run directory."""
    stem = f"{language.code}-{preset}-{time.strftime('%Y%m%d-%H%M%S')}"
    return next(
        p for i in range(1, 1_000) if not (p := output / (stem if i == 1 else f"{stem}-{i}")).exists()
    )


def _show(settings: Settings) -> None:
    """The whole settings, a section a line or two."""
    tree = settings.model_dump(mode="json")
    say(
        yaml.safe_dump(tree, default_flow_style=None, sort_keys=False, width=110, allow_unicode=True).rstrip()
    )


def _run_one(task: TrainingTask) -> dict[str, Any]:
    from llink_ray.evaluation.run_tables import print_metrics

    _show(task.settings)
    say(f"run {task.run_dir}")
    with resumable(lambda: how_to_go_on(task)):
        document = train_language(task, say)
    print_metrics(document)
    _samples(task)
    return document


def _samples(task: TrainingTask, count: int = 3) -> None:
    """Print a few of the measured answers, of different kinds."""
    run = RunDir(task.run_dir)
    by_kind: dict[str, dict[str, str]] = {}
    for answer in run.read_json(run.path / "answers.json"):
        by_kind.setdefault(answer["kind"], answer)
    kinds = list(by_kind)
    for i in range(min(count, len(kinds))):
        answer = by_kind[kinds[i * (len(kinds) - 1) // max(1, count - 1)]]
        given, known = answer["given"], answer["expected"]
        say(f"\n{answer['text']}\n  {answer['instruction']}  →  {given}    (known: {known})")


def _check_only(tasks: list[TrainingTask]) -> dict[str, Any]:
    from llink_ray.corpus import prepare
    from llink_ray.evaluation.run_tables import print_metrics

    documents = []
    for task in tasks:
        _show(task.settings)
        prepared = prepare(task.language, task.settings.corpus, task.settings.seed)
        document = {
            "language": task.language.code,
            "preset": task.settings.preset,
            "corpus": prepared.account(),
            "corpus_hash": prepared.corpus_hash,
        }
        print_metrics(document)
        documents.append(document)
    return {"job": "check", "runs": documents}
