"""Preset ``small`` end to end: real pretrained models, real text, a few steps of both stages, answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cluster_runs import ROOT

from llink_ray.errors import JobFailed

FEW = (
    "stage_a.passes=2",
    "stage_a.least_steps=20",
    "stage_a.batch_size=64",
    "stage_b.steps=3",
    "stage_b.batch_size=4",
    "stage_b.evaluate_every=3",
    "corpus.held_out_sources=[sib200_test]",
    "evaluation={retrieval_pairs: 24, translations: 3, answers: 4, gain_examples: 4, batch_size: 4, "
    "max_new_tokens: 12}",
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 short pairs of real Nepali, some of a source that is held out."""
    data = os.environ.get("LLINK_DATA")
    file = Path(data or "") / "parallel" / "ne.tsv"
    if not data or not file.is_file():
        pytest.skip("LLINK_DATA names no folder of real text with parallel/ne.tsv in it")
    head, *lines = file.read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if len(line) < 220]
    held_out = [line for line in rows if line.startswith("sib200_test\t")][:24]
    others = [line for line in rows if not line.startswith("sib200")][:276]
    path = tmp_path_factory.mktemp("real") / "ne.tsv"
    path.write_text("\n".join([head, *held_out, *others]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def pair() -> None:
    """The models, or a reason to skip."""
    from llink_ray.models.pretrained.acquire import get_pair

    try:
        get_pair("small")
    except JobFailed as error:
        pytest.skip(f"neither hub nor index has the pair: {error}")


def job(*command: str) -> dict[str, Any]:
    """The last line of a job."""
    ended = subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=1_500
    )
    assert ended.returncode == 0, ended.stderr[-3_000:]
    document: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return document


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def run(corpus: Path, pair: None, output: Path) -> dict[str, Any]:
    """A run from new modules."""
    command = ["jobs/train.py", "--lang=nepali", "--preset=small", f"--corpus={corpus}"]
    return job(*command, f"--output={output}", *(f"--set={one}" for one in FEW))


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_the_small_preset_trains_and_answers(run: dict[str, Any]) -> None:
    import llink_ray
    from llink_ray.bundles.bundle import read_bundle

    assert run["steps"]["stage_b"] == 3 and run["corpus"]["unseen"] == 24
    assert run["retrieval"]["stage_a"]["r1"] > 0.3, "also after a few steps: it starts as a regression"
    assert run["unseen"]["retrieval"]["stage_a"]["r1"] > 0.3
    info = read_bundle(Path(run["bundle"]))
    assert info.encoder.weights and info.decoder.weights
    assert run["models"]["encoder"]["weights"] == info.encoder.weights
    taught = llink_ray.load(run["bundle"])
    first, second = taught.translate(["नमस्ते, तपाईंलाई कस्तो छ?", "म भोलि बजार जान्छु।"])
    assert isinstance(first, str) and isinstance(second, str)
    vectors = taught.embed(["म भोलि बजार जान्छु।", "आज पानी पर्यो।"])
    assert vectors.shape == (2, taught.decoder.dim)


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_a_language_starts_from_the_shared_base(run: dict[str, Any], corpus: Path, output: Path) -> None:
    from llink_ray.bundles.base import SHIPPED
    from llink_ray.bundles.bundle import read_bundle

    command = ["jobs/train.py", "--lang=nepali", "--preset=small", "--init-from=base"]
    document = job(*command, f"--corpus={corpus}", f"--output={output}", *(f"--set={one}" for one in FEW))
    assert read_bundle(Path(document["bundle"])).parent == read_bundle(SHIPPED).digest
    assert document["answers"]["chrf"] > run["answers"]["chrf"], "three steps alone read nothing"
    assert document["slot_gain"]["shuffle"] > run["slot_gain"]["shuffle"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_demo_of_real_models(pair: None, tmp_path: Path) -> None:
    document = job("jobs/demo_real.py", f"--output={tmp_path}")
    assert document["seconds_to_first_answer"] < 300
    assert {answer["language"] for answer in document["answers"]} == {"ne", "km", "am", "ka"}
    assert all(answer["translation"] for answer in document["answers"])
    assert sorted(document["published"]) == ["am/v0001", "ka/v0001", "km/v0001", "ne/v0001"]
    # A second call publishes nothing twice; teaching wants a corpus.
    assert job("jobs/demo_real.py", f"--output={tmp_path}")["published"] == []
    refused = subprocess.run(
        [sys.executable, "jobs/demo_real.py", "--lang=nepali"], cwd=ROOT, capture_output=True, text=True
    )
    assert refused.returncode == 2 and "--corpus" in refused.stderr
