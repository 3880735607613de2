"""One run from corpus to bundle: prepare, extract, train on Ray, report, publish."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llink_ray.bundles.base import check_start
from llink_ray.bundles.bundle import read_bundle
from llink_ray.bundles.manifest import INDEX, project_commit
from llink_ray.bundles.registry import Registry
from llink_ray.cluster.extract import extract
from llink_ray.cluster.final_checkpoint import checkpoint_when_stopped
from llink_ray.cluster.local_ray import require_capacity
from llink_ray.cluster.progress import say_and_log, show_progress
from llink_ray.cluster.ray_train import run_ray_train
from llink_ray.cluster.run_directory import RunDir
from llink_ray.corpus import SPLITS, UNSEEN, Pair, prepare
from llink_ray.errors import JobFailed, LlinkError
from llink_ray.features import FeatureSpec
from llink_ray.features.spec import What, extraction_dtype
from llink_ray.models.locate import fingerprint, weights_of
from llink_ray.progress import progress_output
from llink_ray.settings import Settings
from llink_ray.storage.redact import model_name
from llink_ray.text.languages import Language
from llink_ray.text.normalisation import VERSION

PrintLine = Callable[[str], None]


@dataclass(frozen=True)
class TrainingTask:
    """What one run is to do."""

    language: Language
    settings: Settings
    run_dir: Path
    store: str
    """URI of the feature store."""
    registry: str | None
    """Where to publish; None for not at all."""


def train_language(task: TrainingTask, say: PrintLine = lambda _: None) -> dict[str, Any]:
    """Start or resume a run; Ray is initialised already. Returns the job's JSON document.

    Raises:
        LlinkError: the task is wrong.
        JobFailed: it failed; the run can be resumed.
    """
    run = RunDir(task.run_dir)
    log = say_and_log(run, say)
    with progress_output(log):
        return _train_language(task, run, log, say)


def _train_language(task: TrainingTask, run: RunDir, say: PrintLine, follow: PrintLine) -> dict[str, Any]:
    """``say`` also writes into the run's log; ``follow`` gets the lines that the workers write into it."""
    started, settings = time.monotonic(), task.settings
    fresh = not run.path.exists()
    workers, forwards = settings.cluster.num_workers, 0
    try:
        record = prepare_run(run, task, say)
        if run.document.exists() and _measured(run):
            document: dict[str, Any] = run.read_json(run.document)
            document |= {"run_dir": str(run.path), "bundle": str(run.bundle)}
            return document | {"published": _published(task, run, fresh)}
        if not _measured(run):
            config, forwards = extract_run(run, task, record, say)
    except LlinkError:
        if fresh:  # all that was done is in the feature store
            shutil.rmtree(run.path, ignore_errors=True)
        raise
    if not _measured(run):
        say(f"training on {workers} worker{'s' * (workers != 1)}")
        steps = {"a": settings.stage_a.planned_steps(record["corpus"]["train"]), "b": settings.stage_b.steps}
        with show_progress(run, steps, follow), checkpoint_when_stopped(lambda: [run.path], follow):
            run_ray_train(run, settings, config)
    return _write_document(task, run, record, forwards, time.monotonic() - started, fresh)


def _measured(run: RunDir) -> bool:
    return run.metrics.exists() and (run.bundle / INDEX).exists()


def extract_run(
    run: RunDir, task: TrainingTask, record: Mapping[str, Any], say: PrintLine
) -> tuple[dict[str, Any], int]:
    """Extract a run's features; returns the workers' config and the forwards of frozen models spent."""
    settings, cluster = task.settings, task.settings.cluster
    require_capacity(cluster.num_workers, cluster.cpus_per_worker, cluster.gpus_per_worker)
    specs = _specs(run, settings, record["fingerprints"])
    say(f"features: {', '.join(f'{len(spec.texts)} {name}' for name, spec in specs.items())} texts")
    result = extract(
        task.store,
        specs.values(),
        batch_tokens=settings.features.batch_tokens,
        gpus_per_task=cluster.gpus_per_worker,
    )
    features = {name: result.features[spec.key] for name, spec in specs.items()}
    width, tokens = features["english"].dim, features["foreign"].tokens
    settings.slots.check_width(width)
    config = {
        "settings": settings.model_dump(mode="json"),
        "run_dir": str(run.path.resolve()),
        "store": features["foreign"].uri,
        "features": {name: spec.key for name, spec in specs.items()},
        "token_dim": tokens.dim if tokens is not None else features["foreign"].dim,
        "trained": run.draft.is_dir(),
        "measured": True,
    }
    return config, result.forwards


def prepare_run(run: RunDir, task: TrainingTask, say: PrintLine) -> dict[str, Any]:
    """The run's record. The corpus is read once; a resumed run takes the pairs that were kept."""
    settings, language = task.settings, task.language
    fingerprints = {
        "encoder": fingerprint(settings.encoder.model, settings.encoder.revision, "encoder"),
        "decoder": fingerprint(settings.decoder.model, settings.decoder.revision, "decoder"),
    }
    if run.record.exists():
        run.check_same(language.code, settings)
        record: dict[str, Any] = run.read_json(run.record)
        for part, current in fingerprints.items():
            if record["fingerprints"][part] != current:
                raise LlinkError(
                    f"the {part} of run {run.path} has changed since it was started: put the old files back, "
                    "or start a new run without --resume"
                )
        say(f"going on with {run.path}")
        return record
    parent = check_start(settings, fingerprints)
    prepared = prepare(language, settings.corpus, settings.seed)
    pairs, workers = len(prepared.splits.train), settings.cluster.num_workers
    if pairs < workers:
        raise LlinkError(
            f"{pairs} training pair{'s' * (pairs != 1)} cannot be divided among {workers} workers: give more "
            f"pairs, or at most {pairs} with --num-workers"
        )
    for split in SPLITS:
        run.write_pairs(split, getattr(prepared.splits, split))
    record = {
        "language": language.code,
        "language_name": language.name,
        "settings": settings.model_dump(mode="json"),
        "fingerprints": fingerprints,
        "corpus_hash": prepared.corpus_hash,
        "corpus": prepared.account(),
        "normalisation": VERSION,
        "commit": project_commit(),
        "parent": parent.digest if parent else None,
    }
    run.write_json(run.record, record)
    return record


def _specs(run: RunDir, settings: Settings, prints: Mapping[str, str]) -> dict[str, FeatureSpec]:
    """Features of a run: row i of ``foreign`` and ``english`` is pair i of train and validation.

    In ``english`` the held-out pairs follow, test and unseen, and those alone are in ``raw``.
    """
    train = run.read_pairs("train")
    pairs: list[Pair] = [*train, *run.read_pairs("validation")]
    most = settings.evaluation.retrieval_pairs
    held_out = [*run.read_pairs("test")[:most], *run.read_pairs(UNSEEN)[:most]]
    size, dtype = settings.features.shard_size, extraction_dtype(settings)
    what: What = "encoder+tokens" if settings.slots.reads_tokens else "encoder"

    def teacher(texts: list[str]) -> FeatureSpec:
        return FeatureSpec("teacher", tuple(texts), settings.decoder, prints["decoder"], size, dtype=dtype)

    def encoded(what: What, texts: list[str]) -> FeatureSpec:
        return FeatureSpec(what, tuple(texts), settings.encoder, prints["encoder"], size, dtype=dtype)

    specs = {"foreign": encoded(what, [p.foreign for p in pairs])}
    starts = settings.starts_from_embeddings
    if starts or (settings.stage_a.enabled and settings.stage_a.english):
        specs["encoded_english"] = encoded(
            "encoder+tokens" if starts else "encoder", [p.english for p in train]
        )
    return specs | {
        "english": teacher([p.english for p in [*pairs, *held_out]]),
        "raw": teacher([p.foreign for p in held_out]),
    }


def _published(task: TrainingTask, run: RunDir, fresh: bool) -> str | None:
    """Version of the bundle in the registry; a resumed run may have published it before."""
    # A bundle that reads English must not serve the language.
    if task.registry is None or task.settings.stage_b.source == "english":
        return None
    try:
        registry, digest = Registry(task.registry), read_bundle(run.bundle).digest
        for version in [] if fresh else registry.list(task.language.code):
            with suppress(LlinkError):  # another version's damage is not this run's
                if registry.info(version).digest == digest:
                    return version.name
        return registry.publish(run.bundle).name
    except LlinkError as error:
        raise JobFailed(
            f"{error}; the bundle is in {run.bundle}, and --resume {run.path} publishes it"
        ) from error


def _write_document(
    task: TrainingTask, run: RunDir, record: dict[str, Any], forwards: int, seconds: float, fresh: bool
) -> dict[str, Any]:
    from llink_ray.evaluation.report import write_report
    from llink_ray.training import history

    settings = task.settings
    document = {
        "job": "train",
        "language": record["language"],
        "preset": settings.preset,
        "run_dir": str(run.path),
        "bundle": str(run.bundle),
        "published": _published(task, run, fresh),
        "seconds": round(seconds, 1),
        "steps": {
            "stage_a": settings.stage_a.planned_steps(record["corpus"]["train"]),
            "stage_b": settings.stage_b.steps,
        },
        **run.read_json(run.metrics),
        "corpus": record["corpus"],
        "corpus_hash": record["corpus_hash"],
        "models": {
            part: {
                "id": model_name(model.model),
                "revision": model.revision,
                "fingerprint": prints[:16],
                "weights": weights_of(model.model),
            }
            for part, model, prints in (
                ("encoder", settings.encoder, record["fingerprints"]["encoder"]),
                ("decoder", settings.decoder, record["fingerprints"]["decoder"]),
            )
        },
        "features": {"forwards": forwards},
        "seed": settings.seed,
        "commit": record.get("commit"),
    }
    write_report(run.path, document, history.read(run.history))
    run.write_json(run.document, document)
    return document
