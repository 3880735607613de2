"""One run from corpus to bundle: prepare, extract, train on Ray, report, publish."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llink_ray.cluster.extract import extract
from llink_ray.cluster.local import require
from llink_ray.cluster.progress import following
from llink_ray.cluster.rundir import SPLITS, RunDir
from llink_ray.corpus import Pair, prepare
from llink_ray.errors import JobFailed, LlinkError
from llink_ray.features import FeatureSpec
from llink_ray.features.spec import What
from llink_ray.languages import Language
from llink_ray.models.locate import fingerprint
from llink_ray.portable import model_name
from llink_ray.registry import Registry
from llink_ray.settings import Settings

Say = Callable[[str], None]


@dataclass(frozen=True)
class Task:
    """What one run is asked to do."""

    language: Language
    settings: Settings
    run_dir: Path
    store: str
    """URI of the feature store."""
    registry: str | None
    """Where to publish; nothing for not at all."""


def teach(task: Task, say: Say = lambda _: None) -> dict[str, Any]:
    """Carry out (or go on with) a run; Ray is initialised already. Returns the job's JSON document.

    Raises:
        LlinkError: what was asked is wrong.
        JobFailed: it could not be carried out; the run can be resumed.
    """
    started = time.monotonic()
    run, settings = RunDir(task.run_dir), task.settings
    cluster = settings.cluster
    require(cluster.num_workers, cluster.cpus_per_worker, cluster.gpus_per_worker)
    record = _prepared(run, task, say)
    forwards, dims = 0, {}
    if not (run.metrics.exists() and (run.bundle / "bundle.json").exists()):
        specs = _specs(run, settings, record["fingerprints"])
        say(f"features: {', '.join(f'{len(spec.texts)} {name}' for name, spec in specs.items())} texts")
        found = extract(
            task.store,
            specs.values(),
            batch_tokens=settings.features.batch_tokens,
            gpus_per_task=cluster.gpus_per_worker,
        )
        forwards = found.forwards
        features = {name: found.features[spec.key] for name, spec in specs.items()}
        dims = {name: feature.dim for name, feature in features.items()}
        if settings.slots.variant == "resampler" and dims["english"] % settings.slots.heads:
            raise LlinkError(
                f"slots.heads is {settings.slots.heads}, which does not divide the decoder's width "
                f"{dims['english']}: choose a divisor with --set slots.heads=N"
            )
        tokens = features["foreign"].tokens
        config = {
            "settings": settings.model_dump(mode="json"),
            "run_dir": str(run.path.resolve()),
            "store": found.features[specs["foreign"].key].uri,
            "features": {name: spec.key for name, spec in specs.items()},
            "token_dim": tokens.dim if tokens is not None else dims["foreign"],
        }
        say(f"training on {cluster.num_workers} worker{'s' * (cluster.num_workers != 1)}")
        with following(run.history, {"a": settings.stage_a.steps, "b": settings.stage_b.steps}):
            _fit(run, settings, config)
    return _close(task, run, record, forwards, time.monotonic() - started)


def _prepared(run: RunDir, task: Task, say: Say) -> dict[str, Any]:
    """The run's record; the corpus is read once, a resumed run takes the pairs that were kept."""
    settings, language = task.settings, task.language
    prints = {
        "encoder": fingerprint(settings.encoder.model, settings.encoder.revision, "encoder"),
        "decoder": fingerprint(settings.decoder.model, settings.decoder.revision, "decoder"),
    }
    if run.record.exists():
        run.check_same(language.code, settings)
        record: dict[str, Any] = run.read_json(run.record)
        for part, found in prints.items():
            if record["fingerprints"][part] != found:
                raise LlinkError(
                    f"the {part} of run {run.path} has changed since it was started: put the old files back, "
                    "or start a new run without --resume"
                )
        say(f"going on with {run.path}")
        return record
    prepared = prepare(language, settings.corpus, settings.seed)
    for split in SPLITS:
        run.write_pairs(split, getattr(prepared.splits, split))
    record = {
        "language": language.code,
        "language_name": language.name,
        "settings": settings.model_dump(mode="json"),
        "fingerprints": prints,
        "corpus_hash": prepared.corpus_hash,
        "corpus": {
            "kept": prepared.kept,
            "dropped": prepared.dropped_count,
            "reasons": {
                reason: {"count": d.count, "first_lines": list(d.first_lines)}
                for reason, d in prepared.dropped.items()
            },
            **{split: len(getattr(prepared.splits, split)) for split in SPLITS},
        },
    }
    run.write_json(run.record, record)
    return record


def _specs(run: RunDir, settings: Settings, prints: Mapping[str, str]) -> dict[str, FeatureSpec]:
    """Features of a run: row i of ``foreign`` and ``english`` is pair i of train + validation (+ test)."""
    pairs: list[Pair] = [*run.read_pairs("train"), *run.read_pairs("validation")]
    test = run.read_pairs("test")
    held_out = test[: settings.evaluation.retrieval_pairs]
    size = settings.features.shard_size
    what: What = "encoder+tokens" if settings.slots.variant == "resampler" else "encoder"

    def teacher(texts: list[str]) -> FeatureSpec:
        return FeatureSpec("teacher", tuple(texts), settings.decoder, prints["decoder"], size)

    return {
        "foreign": FeatureSpec(
            what, tuple(p.foreign for p in pairs), settings.encoder, prints["encoder"], size
        ),
        "english": teacher([p.english for p in [*pairs, *held_out]]),
        "raw": teacher([p.foreign for p in held_out]),
    }


def _fit(run: RunDir, settings: Settings, config: dict[str, Any]) -> None:
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer
    from ray.train.v2.api.exceptions import TrainingFailedError

    from llink_ray.cluster.worker import train

    cluster = settings.cluster
    resources = {"CPU": cluster.cpus_per_worker}
    if cluster.gpus_per_worker:
        resources["GPU"] = cluster.gpus_per_worker
    trainer = TorchTrainer(
        train,
        train_loop_config=config,
        scaling_config=ScalingConfig(
            num_workers=cluster.num_workers,
            use_gpu=cluster.gpus_per_worker > 0,
            resources_per_worker=resources,
        ),
        run_config=RunConfig(
            name="ray",
            storage_path=str(run.path.resolve()),
            failure_config=FailureConfig(max_failures=cluster.max_failures),
            checkpoint_config=CheckpointConfig(num_to_keep=settings.checkpoint.keep),
        ),
    )
    try:
        trainer.fit()
    except TrainingFailedError as error:
        raise _explained(error, run) from error


def _explained(error: Exception, run: RunDir) -> JobFailed:
    """The worker's own words, where it had any."""
    failures = getattr(error, "worker_failures", {})
    for failure in failures.values():
        cause = getattr(failure, "cause", None) or failure.__cause__ or failure
        text = str(cause).strip().splitlines()
        where = run.path / "error.txt"
        where.write_text("".join(traceback.format_exception(failure)), encoding="utf-8")
        return JobFailed(
            f"training stopped: {text[-1] if text else type(cause).__name__} (whole text in {where}); "
            f"mend it and go on with --resume {run.path}"
        )
    text = str(error).strip().splitlines()
    return JobFailed(f"training stopped: {text[-1] if text else error!r}; go on with --resume {run.path}")


def _close(task: Task, run: RunDir, record: dict[str, Any], forwards: int, seconds: float) -> dict[str, Any]:
    from llink_ray.evaluation import history
    from llink_ray.evaluation.report import write_report

    settings = task.settings
    published = None
    if task.registry is not None:
        published = Registry(task.registry).publish(run.bundle).name
    document = {
        "job": "train",
        "language": record["language"],
        "preset": settings.preset,
        "run_dir": str(run.path),
        "bundle": str(run.bundle),
        "published": published,
        "seconds": round(seconds, 1),
        "steps": {
            "stage_a": settings.stage_a.steps * settings.stage_a.enabled,
            "stage_b": settings.stage_b.steps,
        },
        **run.read_json(run.metrics),
        "corpus": record["corpus"],
        "corpus_hash": record["corpus_hash"],
        "models": {
            part: {"id": model_name(model.model), "revision": model.revision, "fingerprint": prints[:16]}
            for part, model, prints in (
                ("encoder", settings.encoder, record["fingerprints"]["encoder"]),
                ("decoder", settings.decoder, record["fingerprints"]["decoder"]),
            )
        },
        "features": {"forwards": forwards},
        "seed": settings.seed,
    }
    write_report(run.path, document, history.read(run.history))
    return document
