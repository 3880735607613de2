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
def run(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The last line of the job."""
    from llink_ray.models.pretrained.acquire import get_pair

    try:
        get_pair("small")
    except JobFailed as error:
        pytest.skip(f"neither hub nor index has the pair: {error}")
    output = tmp_path_factory.mktemp("runs")
    command = [sys.executable, "jobs/train.py", "--lang=nepali", "--preset=small", f"--corpus={corpus}"]
    command += [f"--output={output}", *(f"--set={one}" for one in FEW)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1_500)
    assert ended.returncode == 0, ended.stderr[-3_000:]
    assert "features: " in ended.stderr and "texts, " in ended.stderr, "the rate is shown"
    document: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return document


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
