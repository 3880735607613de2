"""The whole job: what it prints and leaves, and that the way it is spread changes nothing."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cluster_runs import ROOT, STEPS, Job, apart, environment, losses, same_outcome, task

from llink_ray.bundles.bundle import read_bundle
from llink_ray.bundles.registry import Registry
from llink_ray.cluster.run_directory import RunDir
from llink_ray.cluster.train_language import train_language
from llink_ray.corpus.seen import SeenText
from llink_ray.errors import LlinkError
from llink_ray.settings import configure
from llink_ray.text.normalisation import VERSION
from llink_ray.training import history

pytestmark = pytest.mark.timeout(900)

FRESH = """
import json, sys
import llink_ray
taught = llink_ray.load(sys.argv[1])
known = json.load(open(sys.argv[2]))
for size in (1, 16):
    given = taught.answer_all([(a["instruction"], a["text"]) for a in known], size)
    assert given == [a["given"] for a in known], size
print(len(known))
"""


def test_the_command_ends_with_one_document_and_a_full_run_directory(one_worker: Job) -> None:
    document = one_worker.document()
    assert document["job"] == "train" and document["language"] == "bo" and document["preset"] == "tiny"
    assert document["steps"] == {"stage_a": STEPS["a"], "stage_b": STEPS["b"]}
    assert document["seconds"] > 0 and document["features"]["forwards"] > 0
    for system in ("base", "stage_a", "stage_ab"):
        found = document["retrieval"][system]
        assert 0 <= found["r1"] <= found["r5"] <= found["r10"] <= 1 and found["mean_rank"] >= 1
    assert {"exact", "f1", "numbers", "by_type"} <= document["answers"].keys()
    assert {"zero", "shuffle"} <= document["slot_gain"].keys()
    assert document["tokens"]["slots"] < document["tokens"]["raw"]
    assert document["corpus"]["kept"] + document["corpus"]["dropped"] == 1_200
    assert {"encoder", "decoder"} == document["models"].keys()

    run, bundle = Path(document["run_dir"]), Path(document["bundle"])
    for name in ("run.json", "metrics.json", "answers.json", "report.md", "history.jsonl", "document.json"):
        assert (run / name).stat().st_size, name
    assert {path.name for path in (run / "plots").iterdir()} >= {"loss.png", "retrieval.png"}
    assert list((run / "tensorboard").iterdir())
    for stage, further in (("a", {"loss/contrastive"}), ("b", {"loss/usage", "learning_rate/slots"})):
        record = next(r for r in history.read(run / history.NAME) if r["stage"] == stage)
        assert further | {"loss", "learning_rate", "gradient_norm"} <= record.keys()
        assert record["throughput/examples_per_second"] > 0 and record["memory/device_bytes"] > 0
        assert record["throughput/data_wait_seconds"] < record["throughput/step_seconds"]
    assert not [name for name in ("draft", "unmeasured", "error.txt") if (run / name).exists()]
    assert read_bundle(bundle).language == "bo"
    assert read_bundle(bundle).normalisation == VERSION
    seen, kept = SeenText.load(bundle), RunDir(run)
    assert seen is not None
    assert seen.near_duplicates([*kept.read_pairs("train"), *kept.read_pairs("validation")]).all()
    assert not seen.near_duplicates(kept.read_pairs("test")).all()
    assert kept.read_pairs("unseen") == [] and "unseen" not in document
    assert len(list((run / "ray").glob("checkpoint_2*"))) == 2  # checkpoint.keep

    registry = run.parent / "registry"
    published = Registry(registry).resolve("bo")
    assert published.name == document["published"] == "v0001"
    assert read_bundle(registry / published.folder).digest == read_bundle(bundle).digest
    assert not (run.parent / "tmp").exists(), "Ray's folder was left behind"

    told = one_worker.err.read_text()
    assert "Traceback" not in told and "Warning" not in told
    for heading in ("Retrieval", "Answers", "Slot gain", "held-out"):
        assert heading.casefold() in told.casefold(), told
    log = (run / "run.log").read_text()
    for line in ("features: ", "training on 1 worker", "Stage A  20/60  loss ", "Stage B  20/20  loss "):
        assert line in told and line in log, told


def test_both_stages_learn(ray_cluster: None, store: Path, tmp_path: Path) -> None:
    rates = configure.resolve(configure.preset("tiny")).stage_b
    names = ("lora_learning_rate", "slot_learning_rate", "scale_learning_rate")
    train_language(
        task(tmp_path / "run", store, *(f"stage_b.{name}={getattr(rates, name)}" for name in names))
    )
    # Messages of one sentence and of several make the whole loss of Stage B jump from batch to batch;
    # what slots name of the English is alike in all of them.
    for stage, part in (("a", "loss"), ("b", "loss/words_in_order")):
        curve = losses(tmp_path / "run", stage, part)
        assert sum(curve[-5:]) < 0.9 * sum(curve[:5])


@pytest.mark.slow
def test_a_second_run_on_the_same_text_does_no_forward(two_workers: dict[str, Any]) -> None:
    assert two_workers["features"]["forwards"] == 0


@pytest.mark.slow
def test_one_worker_and_two_learn_the_same(one_worker: Job, two_workers: dict[str, Any]) -> None:
    alone = Path(one_worker.document()["run_dir"])
    for stage in STEPS:
        assert apart(losses(alone, stage), losses(Path(two_workers["run_dir"]), stage)) <= 1e-3


@pytest.mark.slow
def test_weights_spread_over_workers_learn_the_same(
    two_workers: dict[str, Any], store: Path, tmp_path: Path
) -> None:
    spread = ["cluster.num_workers=2", "deepspeed.zero_stage=3"]  # the preset has 2
    document = train_language(task(tmp_path / "run", store, *spread))
    for stage, tolerance in (("a", 0.0), ("b", 1e-3)):
        theirs = losses(Path(two_workers["run_dir"]), stage)
        assert apart(losses(tmp_path / "run", stage), theirs) <= tolerance
    same_outcome(document, two_workers)


@pytest.mark.slow
def test_accumulation_checkpointed_activations_and_no_zero_change_nothing(
    ray_cluster: None, store: Path, tmp_path: Path
) -> None:
    # Terms that look across the batch see a part of it where gradients are accumulated.
    own = ["stage_b.contrastive_weight=0", "stage_b.usage.ablation=zero"]
    # As many micro-batches as a step's texts need, where DeepSpeed by itself has the same number always.
    parts = [
        "stage_b.micro_batch_tokens=512",
        "decoder.gradient_checkpointing=true",
        "deepspeed.zero_stage=0",
    ]
    train_language(task(tmp_path / "whole", store, *own))
    train_language(task(tmp_path / "parts", store, *own, *parts))
    assert apart(*(losses(tmp_path / name, "b") for name in ("whole", "parts"))) <= 1e-3


@pytest.mark.slow
def test_bf16_stays_near(two_workers: dict[str, Any], store: Path, tmp_path: Path) -> None:
    train_language(task(tmp_path / "run", store, "cluster.num_workers=2", "deepspeed.bf16=true"))
    mine, theirs = (losses(run, "b") for run in (tmp_path / "run", Path(two_workers["run_dir"])))
    assert 0 < apart(mine, theirs) < 0.5


@pytest.mark.slow
def test_a_run_starts_from_another_ones_bundle(
    two_workers: dict[str, Any], store: Path, tmp_path: Path
) -> None:
    parent = Path(two_workers["bundle"])
    start = (f"init_from={parent}", "stage_a.enabled=false")
    document = train_language(task(tmp_path / "run", store, *start))
    bundle = Path(document["bundle"])
    assert read_bundle(bundle).parent == read_bundle(parent).digest
    name = "projector.safetensors"  # without a Stage A of its own it is the parent's
    assert (bundle / name).read_bytes() == (parent / name).read_bytes()
    mine, theirs = (losses(Path(run["run_dir"]), "b", "loss/supervised") for run in (document, two_workers))
    assert mine[0] < theirs[0]
    other = task(tmp_path / "other", store, f"init_from={parent}", "slots.count=4")
    with pytest.raises(LlinkError, match=r"slots\.count=8, this run 4"):
        train_language(other)
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
def test_pooled_slots_start_from_embeddings(ray_cluster: None, store: Path, tmp_path: Path) -> None:
    variant = "slots={variant: pooled, count: 24, letters_per_slot: 3}"
    plain = train_language(task(tmp_path / "plain", store, variant))
    start = "stage_b.embedding_start.passes=1"
    document = train_language(task(tmp_path / "run", store, variant, start, "cluster.num_workers=2"))
    mine, theirs = (losses(Path(run["run_dir"]), "b", "loss/supervised") for run in (document, plain))
    # Two workers alone come to the same (see above); the embedded encoder knows no English, so not to less.
    assert apart(mine[:1], theirs[:1]) > 0.001 and all(map(math.isfinite, mine))
    counts = document["retrieval"]
    assert counts["stage_ab"]["r1"] == pytest.approx(counts["stage_a"]["r1"], abs=0.02)


@pytest.mark.slow
def test_the_papers_recipe_on_the_tiny_models(ray_cluster: None, store: Path, tmp_path: Path) -> None:
    document = train_language(task(tmp_path / "run", store, preset="tiny-paper-recipe"))
    assert document["preset"] == "tiny-paper-recipe"
    assert all(map(math.isfinite, losses(tmp_path / "run", "b")))


@pytest.mark.slow
def test_a_corpus_smaller_than_a_batch(ray_cluster: None, store: Path, tmp_path: Path) -> None:
    from llink_ray.corpus import phrasebook

    rows = [f"{pair.english}\t{pair.foreign}\n" for pair in phrasebook.pairs("bo", 40, seed=3)]
    (tmp_path / "few.tsv").write_text("english\tforeign\n" + "".join(rows), encoding="utf-8")
    few = [f"corpus.path={tmp_path / 'few.tsv'}", "corpus.validation_fraction=0.000001"]
    document = train_language(task(tmp_path / "run", store, "cluster.num_workers=2", *few))
    assert document["corpus"]["kept"] <= 40 and document["corpus"]["validation"] == 0
    assert all(map(math.isfinite, losses(tmp_path / "run", "b")))


@pytest.mark.slow
def test_held_out_sources_are_measured_apart_also_of_the_english_ceiling(
    ray_cluster: None, store: Path, tmp_path: Path
) -> None:
    from llink_ray import load
    from llink_ray.corpus import phrasebook

    rows = [
        f"{'apart' if n % 5 == 0 else 'own'}\t{pair.english}\t{pair.foreign}\n"
        for n, pair in enumerate(phrasebook.pairs("bo", 320, seed=4))
    ]
    (tmp_path / "own.tsv").write_text("source\ten\tforeign\n" + "".join(rows), encoding="utf-8")
    asked = [f"corpus.path={tmp_path / 'own.tsv'}", "corpus.held_out_sources=[apart]", "stage_b.steps=4"]
    english = ["stage_b.source=english", "slots.variant=none", "stage_a.enabled=false"]
    short = ["slots.max_sentences=1", "stage_b.passage_share=0"]
    document = train_language(
        task(tmp_path / "run", store, *asked, *english, *short, registry=tmp_path / "registry")
    )
    corpus, unseen = document["corpus"], document["unseen"]
    assert corpus["sources"]["apart"] == {"train": 0, "validation": 0, "test": 0, "unseen": corpus["unseen"]}
    assert unseen["pairs"] == corpus["unseen"] > 50
    assert unseen["retrieval"]["direct"]["count"] == unseen["pairs"]
    assert unseen["answers"]["by_type"]["translate"]["count"] == 4
    # The same decoder, hardly trained, on the same English: nothing is easier to find again.
    assert document["retrieval"]["direct"]["r1"] > 0.9 > document["retrieval"]["base"]["r1"]
    assert document["tokens"]["slots"] < document["tokens"]["raw"] / 2
    assert "Unseen sources" in (tmp_path / "run" / "report.md").read_text(encoding="utf-8")

    run = RunDir(tmp_path / "run")
    meanings = {pair.foreign: pair.english for pair in run.read_pairs("test")}
    answers = json.loads((run.path / "answers.json").read_text())
    taught = load(document["bundle"])
    given = taught.answer_all([(a["instruction"], meanings[a["text"]]) for a in answers])
    assert given == [a["given"] for a in answers]
    seen = SeenText.load(run.bundle)
    assert seen is not None and not seen.near_duplicates(run.read_pairs("unseen")).all()
    assert document["published"] is None  # it reads English: the language's service must not find it


@pytest.mark.slow
def test_a_bundle_answers_the_same_in_a_fresh_process(one_worker: Job) -> None:
    document = one_worker.document()
    answers = Path(document["run_dir"]) / "answers.json"
    done = subprocess.run(
        [sys.executable, "-c", FRESH, document["bundle"], str(answers)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == len(json.loads(answers.read_text())) > 20


@pytest.mark.slow
def test_real_text(ray_cluster: None, store: Path, tmp_path: Path) -> None:
    code = "ka"
    data = os.environ.get("LLINK_DATA")
    if not data:
        pytest.skip("LLINK_DATA names no folder with real text")
    header, *lines = (Path(data) / "parallel" / f"{code}.tsv").read_text("utf-8").splitlines(keepends=True)
    corpus = tmp_path / f"{code}.tsv"
    mine = ["made up\tan English side alone\t\n", lines[0], lines[0]]  # lines 2, 3 and 4
    corpus.write_text("".join([header, *mine, *lines[1:1_500]]), encoding="utf-8")
    document = train_language(task(tmp_path / "run", store, f"corpus.path={corpus}", language=code))
    reasons = document["corpus"]["reasons"]
    assert document["corpus"]["kept"] + document["corpus"]["dropped"] == 1_502
    assert 4 in reasons["duplicate"]["first_lines"]
    assert [line for entry in reasons.values() for line in entry["first_lines"] if line < 4] == [2]
    report = (tmp_path / "run" / "report.md").read_text(encoding="utf-8").splitlines()
    for reason, entry in reasons.items():
        (row,) = [line for line in report if line.startswith("| ·") and reason in line]
        assert f"{entry['count']:,}" in row
        assert ", ".join(map(str, entry["first_lines"])) in row
