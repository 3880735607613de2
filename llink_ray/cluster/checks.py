"""Checks of a request before any work is done for it."""

from __future__ import annotations

import os
from pathlib import Path

from llink_ray.cluster.local_ray import require_capacity
from llink_ray.corpus import phrasebook
from llink_ray.errors import LlinkError
from llink_ray.models.locate import locate, require_pooling
from llink_ray.settings import Settings
from llink_ray.storage.redact import EMBEDDED
from llink_ray.text.languages import Language, find


def check_output(output: Path) -> None:
    """Refuse a folder of runs that cannot be written.

    Raises:
        LlinkError: a file is in the way, or the folder is not writable.
    """
    path = output.absolute()
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    if not existing.is_dir():
        raise LlinkError(f"--output {output}: {existing} is a file: name a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise LlinkError(f"--output {output}: {existing} may not be written: name another folder")


def with_absolute_paths(settings: Settings) -> Settings:
    """The settings with every local path absolute: cluster processes have other working directories."""
    changed = {
        part: section.model_copy(update={"model": _absolute(section.model)})
        for part, section in (("encoder", settings.encoder), ("decoder", settings.decoder))
        if section.model != EMBEDDED and Path(section.model).expanduser().is_dir()
    }
    corpus, features = settings.corpus, settings.features
    return settings.model_copy(
        update={
            **changed,
            "corpus": corpus.model_copy(update={"path": corpus.path and _absolute(corpus.path)}),
            "features": features.model_copy(
                update={"directory": features.directory and _absolute(features.directory)}
            ),
        }
    )


def with_recommended_models(language: Language, settings: Settings) -> Settings:
    """The settings with models that the preset leaves open taken from the language table.

    Raises:
        LlinkError: the table has none for this language.
    """
    updates = {}
    for part, recommended in (("encoder", language.encoder), ("decoder", language.decoder)):
        section = getattr(settings, part)
        if not section.model:
            if recommended is None:
                raise LlinkError(f"no {part} is known to be good for {language.name}: give --{part}")
            updates[part] = section.model_copy(update={"model": recommended})
    return settings.model_copy(update=updates)


def check(language: Language, settings: Settings) -> None:
    """Refuse what cannot be trained: corpus, models, resources of the cluster.

    Raises:
        LlinkError: what is missing, and how to give it.
        JobFailed: a model cannot be fetched, or the cluster is too small.
    """
    check_corpus(language, settings)
    for part, model in (("encoder", settings.encoder.model), ("decoder", settings.decoder.model)):
        locate(model, part)
    cluster = settings.cluster
    require_capacity(cluster.num_workers, cluster.cpus_per_worker, cluster.gpus_per_worker)
    # Loaded late by the processes that need them, hence checked now.
    if settings.encoder.model != EMBEDDED and settings.encoder.pooling is None:
        require_pooling(settings.encoder.model, settings.encoder.revision)
    if settings.decoder.model != EMBEDDED:
        from llink_ray.models.decoder import load_tokenizer

        load_tokenizer(settings.decoder)


def check_corpus(language: Language, settings: Settings) -> None:
    """Refuse a corpus that is missing or that does not suit the models.

    Raises:
        LlinkError: what is missing, and how to give it.
    """
    path = settings.corpus.path
    if path is not None:
        if not Path(path).is_file():
            what = "is a directory" if Path(path).is_dir() else "does not exist"
            raise LlinkError(f"corpus {path} {what}: give a TSV or JSONL file")
        return
    real = [m for m in (settings.encoder.model, settings.decoder.model) if m != EMBEDDED]
    if real:
        raise LlinkError(
            f"real models ({real[0]}) need real text: give --corpus FILE with {language.name} "
            "and English (TSV with columns foreign and english, or JSONL)"
        )
    if language.code not in phrasebook.languages():
        raise LlinkError(
            f"there is no embedded phrasebook for {language.name}: give --corpus FILE, or one of "
            f"{', '.join(find(code).name for code in phrasebook.languages())}"
        )


def _absolute(path: str) -> str:
    return path if "://" in path else str(Path(path).expanduser().absolute())
