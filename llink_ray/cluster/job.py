"""The training job between the command line and the runs: choose, check, connect, teach, tell."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from llink_ray import configure, phrasebook
from llink_ray.cluster.local import connect, places, require, resources
from llink_ray.cluster.rundir import RunDir
from llink_ray.cluster.teach import Task, teach
from llink_ray.errors import JobFailed, LlinkError
from llink_ray.languages import Language, find
from llink_ray.models.locate import EMBEDDED, locate
from llink_ray.settings import Settings


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
    """Tell the person; stdout is for the last line."""
    print(text, file=sys.stderr, flush=True)


def run(request: Request) -> dict[str, Any]:
    """Carry out a request; returns the JSON document that ends the job.

    Raises:
        LlinkError: what was asked is wrong, found before any work where possible.
        JobFailed: it could not be done.
        KeyboardInterrupt: stopped by the person; its text says how to go on.
    """
    resumed = RunDir(Path(request.resume)) if request.resume else None
    languages = _languages(request, resumed)
    if resumed is None:
        # A first reading with any preset finds wrong files, keys and values before Ray is started.
        configure.resolve(
            *configure.layers(request.preset or "tiny", request.settings_file, request.assignments)
        )
    output = Path(request.output or _default_output())
    with connect(request.address, output / "tmp"):
        tasks = [_task(request, language, resumed, output) for language in languages]
        if request.check_only:
            return _checked(tasks)
        if len(tasks) == 1:
            return _one(tasks[0])
        return _many(tasks)


def _languages(request: Request, resumed: RunDir | None) -> list[Language]:
    if not request.languages:
        if resumed is not None:
            return [find(resumed.read_json(resumed.record)["language"])]
        raise LlinkError(
            f"no language is named: give --lang, e.g. --lang={find(phrasebook.languages()[0]).name.lower()}"
        )
    if request.languages.strip().casefold() == "all":
        names = phrasebook.languages()
    else:
        names = [name for name in request.languages.split(",") if name.strip()]
    languages = list({language.code: language for language in map(find, names)}.values())
    if len(languages) > 1 and (resumed or any(a.startswith("corpus.path=") for a in request.assignments)):
        flag = "--resume" if resumed else "--corpus"
        raise LlinkError(
            f"{flag} goes with one language, but --lang names {len(languages)}: run one job each"
        )
    return languages


def _default_output() -> str:
    """``runs`` here; in a submitted job, whose folder goes away, a folder of the user's home."""
    submitted = os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR")
    return str(Path.home() / "llink_ray" / "runs") if submitted else "runs"


def _task(request: Request, language: Language, resumed: RunDir | None, output: Path) -> Task:
    if resumed is not None:
        stored = Settings.model_validate(resumed.read_json(resumed.record)["settings"])
        settings = stored
        if request.assignments or request.settings_file or request.preset:
            layers = configure.layers(
                request.preset or stored.preset, request.settings_file, request.assignments
            )
            settings = configure.resolve(
                stored.model_dump(mode="json"), *(layers if request.preset else layers[1:])
            )
        resumed.check_same(language.code, settings)
        path, output = resumed.path, Path(request.output) if request.output else resumed.path.parent
    else:
        name = request.preset
        if name is None:
            name, why = _choice(language, request)
            say(f"preset {name}: {why}")
        settings = _complete(
            language,
            configure.resolve(*configure.layers(name, request.settings_file, request.assignments)),
        )
        path = _fresh(output, language, name)
    _check(language, settings)
    registry = (request.registry or str(output / "registry")) if request.publish else None
    store = settings.features.directory or str((output / "features").resolve())
    return Task(language, settings, path, store, registry)


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


def _complete(language: Language, settings: Settings) -> Settings:
    """Models that a preset leaves open come from the language table."""
    named = {}
    for part, recommended in (("encoder", language.encoder), ("decoder", language.decoder)):
        section = getattr(settings, part)
        if not section.model:
            if recommended is None:
                raise LlinkError(f"no {part} is known to be good for {language.name}: give --{part}")
            named[part] = section.model_copy(update={"model": recommended})
    return settings.model_copy(update=named)


def _check(language: Language, settings: Settings) -> None:
    models = {"encoder": settings.encoder.model, "decoder": settings.decoder.model}
    for part, model in models.items():
        locate(model, part)
    foreign = [model for model in models.values() if model != EMBEDDED]
    if settings.corpus.path is None:
        if foreign:
            raise LlinkError(
                f"real models ({foreign[0]}) need real text: give --corpus FILE with {language.name} "
                "and English (TSV with columns foreign and english, or JSONL)"
            )
        if language.code not in phrasebook.languages():
            raise LlinkError(
                f"there is no embedded phrasebook for {language.name}: give --corpus FILE, or one of "
                f"{', '.join(find(code).name for code in phrasebook.languages())}"
            )
    elif not Path(settings.corpus.path).is_file():
        what = "is a directory" if Path(settings.corpus.path).is_dir() else "does not exist"
        raise LlinkError(f"corpus {settings.corpus.path} {what}: give a TSV or JSONL file")
    cluster = settings.cluster
    require(cluster.num_workers, cluster.cpus_per_worker, cluster.gpus_per_worker)


def _fresh(output: Path, language: Language, preset: str) -> Path:
    """A run directory that does not exist yet."""
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


def _one(task: Task) -> dict[str, Any]:
    from llink_ray.evaluation.tables import print_tables

    _show(task.settings)
    say(f"run {task.run_dir}")
    try:
        document = teach(task, say)
    except KeyboardInterrupt:
        how = f"go on with: python jobs/train.py --resume {task.run_dir}"
        raise KeyboardInterrupt(how) from None
    print_tables(document)
    _samples(task)
    return document


def _samples(task: Task, count: int = 3) -> None:
    """A few of the answers that were measured, so that a person sees what the figures mean."""
    run = RunDir(task.run_dir)
    asked = run.read_json(run.path / "answers.json")
    kinds = list(dict.fromkeys(a["kind"] for a in asked))
    for place in range(min(count, len(kinds))):
        kind = kinds[place * (len(kinds) - 1) // max(1, count - 1)]
        answer = next(a for a in asked if a["kind"] == kind)
        given, known = answer["given"], answer["expected"]
        say(f"\n{answer['text']}\n  {answer['instruction']}  →  {given}    (known: {known})")


def _checked(tasks: list[Task]) -> dict[str, Any]:
    from llink_ray.corpus import prepare

    found = []
    for task in tasks:
        _show(task.settings)
        prepared = prepare(task.language, task.settings.corpus, task.settings.seed)
        corpus = {"kept": prepared.kept, "dropped": prepared.dropped_count}
        found.append({"language": task.language.code, "preset": task.settings.preset, "corpus": corpus})
    return {"job": "check", "runs": found}


def _many(tasks: list[Task]) -> dict[str, Any]:
    """One run a language, as many at a time as the cluster has room for."""
    import ray

    from llink_ray.evaluation.tables import print_tables

    cluster = tasks[0].settings.cluster
    room = places(cluster.cpus_per_worker, cluster.gpus_per_worker) // cluster.num_workers
    say(f"{len(tasks)} languages, {min(room, len(tasks))} at a time")
    remote = ray.remote(num_cpus=0, max_retries=0)(teach)
    waiting, runs, failed = list(tasks), [], []
    running: dict[Any, Task] = {}
    while waiting or running:
        while waiting and len(running) < room:
            task = waiting.pop(0)
            say(f"{task.language.name}: run {task.run_dir}")
            running[remote.remote(task)] = task
        done, _ = ray.wait(list(running), num_returns=1)
        task = running.pop(done[0])
        try:
            document = ray.get(done[0])
        except Exception as error:
            cause = getattr(error, "cause", error)
            known = isinstance(cause, LlinkError)
            said = str(cause) if known else f"{type(cause).__name__}: {str(cause).splitlines()[-1:]}"
            failed.append({"language": task.language.code, "run_dir": str(task.run_dir), "error": said})
            say(f"{task.language.name} failed: {said}; go on with --resume {task.run_dir}")
            continue
        runs.append(document)
        print_tables(document)
    if not runs:
        raise JobFailed("; ".join(f"{f['language']}: {f['error']}" for f in failed))
    return {"job": "train", "runs": runs, "failed": failed}
