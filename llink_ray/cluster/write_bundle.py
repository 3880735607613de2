"""The end of a run: the trained weights are saved, measured as a user will load them, and bundled."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from llink_ray.bundles.bundle import write_bundle
from llink_ray.bundles.manifest import BundleInfo, ModelInfo, SlotsInfo, package_versions
from llink_ray.bundles.model_card import model_card
from llink_ray.bundles.pipeline import load, save_weights
from llink_ray.cluster.run_directory import RunDir
from llink_ray.corpus import UNSEEN
from llink_ray.corpus.seen import SeenText
from llink_ray.evaluation.measure import measure, measure_unseen
from llink_ray.features import Features
from llink_ray.models.llink import LlinkModel
from llink_ray.models.locate import weights_of
from llink_ray.models.novelty import MOST, NoveltyDetector
from llink_ray.settings import Settings
from llink_ray.storage.atomic import atomic_directory
from llink_ray.text.normalisation import FIRST_VERSION


def save_trained_weights(run: RunDir, model: LlinkModel) -> None:
    """Save the trained weights before anything is measured, all or nothing.

    Raises:
        JobFailed: the disk refused.
    """
    with atomic_directory(run.draft, "the trained weights", "start a run with --output elsewhere") as folder:
        save_weights(folder, model.projector, model.slots, model.decoder)


def measure_and_write_bundle(
    run: RunDir, settings: Settings, device: torch.device, features: dict[str, Features]
) -> None:
    """Measure the bundle as its user will load it, then write it again with its figures in it."""
    info = _info(run.read_json(run.record), settings, features)
    weights = run.draft
    unmeasured = write_bundle(run.path / "unmeasured", info, lambda to: _fill(to, weights, info, {}))
    encoder, decoder = settings.encoder.model, settings.decoder.model
    pipeline = load(unmeasured, str(device), encoder, decoder)
    trained, pairs = [*run.read_pairs("train"), *run.read_pairs("validation")], run.read_pairs("test")
    unseen = run.read_pairs(UNSEEN)
    teacher = features["english"].vectors[np.arange(len(trained), len(features["english"]))]
    raw = features["raw"].vectors[np.arange(len(features["raw"]))]
    count = min(len(pairs), settings.evaluation.retrieval_pairs)  # rows of the test pairs; the unseen follow
    metrics, answers = measure(pipeline, pairs, teacher[:count], raw[:count])
    if unseen:
        metrics["unseen"] = measure_unseen(pipeline, unseen, teacher[count:], raw[count:])
    kept = [{"text": text, **asdict(answer)} for text, answer in answers]
    run.write_json(run.path / "answers.json", kept)

    novelty = _novelty_detector(settings, features["foreign"])

    def fill(folder: Path) -> None:
        _fill(folder, weights, info, metrics)
        SeenText.of(trained).save(folder)
        if novelty is not None:
            novelty.save(folder)

    write_bundle(run.bundle, info, fill)
    run.write_json(run.metrics, metrics)
    shutil.rmtree(unmeasured, ignore_errors=True)
    shutil.rmtree(weights, ignore_errors=True)


def _novelty_detector(settings: Settings, foreign: Features) -> NoveltyDetector | None:
    """Fitted on the foreign text; None where the decoder reads the text itself."""
    if not settings.slots.uses_slots:
        return None
    rows = np.linspace(0, len(foreign) - 1, min(len(foreign), MOST)).astype(np.int64)
    return NoveltyDetector.fit(torch.from_numpy(foreign.vectors[rows]), len(settings.encoder.layers) or 1)


def _fill(folder: Path, weights: Path, info: BundleInfo, metrics: dict[str, Any]) -> None:
    shutil.copytree(weights, folder, dirs_exist_ok=True)
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=1), encoding="utf-8")
    (folder / "README.md").write_text(model_card(info, metrics), encoding="utf-8")


def _info(record: dict[str, Any], settings: Settings, features: dict[str, Features]) -> BundleInfo:
    prints = record["fingerprints"]
    return BundleInfo(
        language=record["language"],
        language_name=record["language_name"],
        encoder=ModelInfo(
            id=settings.encoder.model,
            revision=settings.encoder.revision,
            fingerprint=prints["encoder"],
            hidden_size=features["foreign"].dim,
            weights=weights_of(settings.encoder.model),
        ),
        decoder=ModelInfo(
            id=settings.decoder.model,
            revision=settings.decoder.revision,
            fingerprint=prints["decoder"],
            hidden_size=features["english"].dim,
            weights=weights_of(settings.decoder.model),
        ),
        slots=SlotsInfo(
            count=settings.slots.most_slots,
            variant=settings.slots.variant,
            numerals=settings.slots.numerals and settings.slots.uses_slots,
        ),
        settings=settings.model_dump(mode="json"),
        corpus_hash=record["corpus_hash"],
        seed=settings.seed,
        packages=package_versions(),
        commit=record.get("commit"),
        parent=record.get("parent"),
        normalisation=record.get("normalisation", FIRST_VERSION),  # a run from before there was another
    )
