"""The end of a run without the run: figures on both kinds of held-out pairs, and what the bundle carries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from model_zoo import Lesson, in_memory, learn, small_settings

from llink_ray.bundles.bundle import read_bundle
from llink_ray.bundles.pipeline import load
from llink_ray.cluster.run_directory import RunDir
from llink_ray.cluster.write_bundle import measure_and_write_bundle, save_trained_weights
from llink_ray.corpus.pair import Pair
from llink_ray.corpus.phrasebook import pairs as phrasebook
from llink_ray.corpus.seen import FILE, SeenText
from llink_ray.features import Features, ShardedRows
from llink_ray.models import novelty
from llink_ray.text.normalisation import FIRST_VERSION, VERSION

TRAIN, VALIDATION, TEST, UNSEEN = 48, 4, 10, 7
MOST = 8


@pytest.fixture(scope="module")
def parts() -> dict[str, list[Pair]]:
    written, found = iter(phrasebook("bo", TRAIN + VALIDATION + TEST + UNSEEN, seed=0)), {}
    for name, count in (("train", TRAIN), ("validation", VALIDATION), ("test", TEST), ("unseen", UNSEEN)):
        found[name] = [next(written) for _ in range(count)]
    return found


@pytest.fixture(scope="module")
def lesson(parts: dict[str, list[Pair]]) -> Lesson:
    evaluation = {
        "max_new_tokens": 4,
        "answers": 6,
        "translations": 2,
        "retrieval_pairs": MOST,
        "gain_examples": 4,
    }
    return learn(small_settings("embedded", "embedded", evaluation=evaluation), parts["train"])


def finished(path: Path, lesson: Lesson, parts: dict[str, list[Pair]], **told: Any) -> dict[str, Any]:
    run, taught = RunDir(path), lesson.taught
    record = {
        "language": "bo",
        "language_name": "Tibetan",
        "settings": taught.settings.model_dump(mode="json"),
        "fingerprints": {"encoder": taught.encoder.fingerprint, "decoder": taught.decoder.fingerprint},
        "corpus_hash": "c0ffee",
        **told,
    }
    run.write_json(run.record, record)
    for name, pairs in parts.items():
        run.write_pairs(name, pairs)
    save_trained_weights(run, taught.model)
    trained = [*parts["train"], *parts["validation"]]
    held_out = [*parts["test"][:MOST], *parts.get("unseen", [])[:MOST]]

    def teacher(texts: list[str]) -> Features:
        return Features("", "", ShardedRows([taught.decoder.teacher_states(texts).numpy()]))

    features = {
        "foreign": in_memory(taught.encoder.encode([pair.foreign for pair in trained], with_tokens=True)),
        "english": teacher([pair.english for pair in [*trained, *held_out]]),
        "raw": teacher([pair.foreign for pair in held_out]),
    }
    measure_and_write_bundle(run, taught.settings, torch.device("cpu"), features)
    metrics: dict[str, Any] = run.read_json(run.metrics)
    return metrics


def test_unseen_sources_are_measured_beside_the_test(
    lesson: Lesson, parts: dict[str, list[Pair]], tmp_path: Path
) -> None:
    both = finished(tmp_path / "both", lesson, parts)
    turned = finished(
        tmp_path / "turned", lesson, {**parts, "test": parts["unseen"], "unseen": parts["test"]}
    )
    assert both["unseen"]["pairs"] == UNSEEN
    assert both["retrieval"]["stage_ab"]["count"] == MOST
    assert both["unseen"]["retrieval"]["stage_ab"]["count"] == UNSEEN
    for key in ("retrieval", "answers", "fidelity"):  # as they would be as test pairs
        assert both["unseen"][key] == turned[key] and turned["unseen"][key] == both[key]
    assert both["unseen"]["answers"]["by_type"]["translate"]["count"] == 2


def test_the_bundle_knows_what_it_was_trained_on(
    lesson: Lesson, parts: dict[str, list[Pair]], tmp_path: Path
) -> None:
    without = {name: pairs for name, pairs in parts.items() if name != "unseen"}
    metrics = finished(
        tmp_path / "run", lesson, without, commit="abc"
    )  # a run from before there were sources
    assert "unseen" not in metrics
    bundle = tmp_path / "run" / "bundle"
    assert FILE in read_bundle(bundle).files
    assert read_bundle(bundle).commit == "abc"
    assert read_bundle(bundle).normalisation == FIRST_VERSION  # from before there was another
    seen = SeenText.load(bundle)
    assert seen is not None
    assert seen.near_duplicates([*parts["train"], *parts["validation"]]).all()
    own = SeenText.of([*parts["train"], *parts["validation"]])
    assert (seen.near_duplicates(parts["test"]) == own.near_duplicates(parts["test"])).all()


def test_the_bundle_tells_text_unlike_its_own(
    lesson: Lesson, parts: dict[str, list[Pair]], tmp_path: Path
) -> None:
    finished(tmp_path / "run", lesson, parts, normalisation=VERSION)
    assert read_bundle(tmp_path / "run" / "bundle").normalisation == VERSION
    assert novelty.FILE in read_bundle(tmp_path / "run" / "bundle").files
    taught = load(tmp_path / "run" / "bundle")
    assert not any(taught.outside([pair.foreign for pair in parts["train"]]))
    assert taught.outside([phrasebook("am", 1, seed=0)[0].foreign]) == [True]
