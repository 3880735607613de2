"""A finished run beside the untouched decoder and direct fine-tuning, and the command that does it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cluster_runs import ROOT, STEPS, Job, environment, losses

from llink_ray.cluster.compare import Comparison, compare
from llink_ray.cluster.job import Request
from llink_ray.errors import LlinkError
from llink_ray.evaluation.judge import JudgeSettings

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def run(one_worker: Job, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished run, to itself."""
    copy = tmp_path_factory.mktemp("compare") / "run"
    return shutil.copytree(one_worker.document()["run_dir"], copy)


def evaluate(*flags: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "jobs/evaluate.py", *flags],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=600,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
def test_a_run_against_baselines_by_two_commands(run: Path, ray_cluster: None) -> None:
    request = Request(output=str(run.parent))
    found = compare(Comparison(request, ["base", "finetune"], str(run), JudgeSettings()))
    assert found["job"] == "evaluate" and found["language"] == "bo"
    ours, base, tuned = (found["contestants"][name] for name in ("ours", "base", "finetune"))
    assert ours["answers"]["count"] == base["answers"]["count"] == tuned["answers"]["count"] > 0
    assert ours["tokens"]["slots"] < base["tokens"]["slots"] == tuned["tokens"]["slots"]
    assert tuned["slot_gain"] == {} and set(ours["slot_gain"]) == {"zero", "shuffle"}
    trained = losses(run / "comparison" / "finetune", "b")
    assert len(trained) == STEPS["b"] and sum(trained[-5:]) < sum(trained[:5])
    for name in ("base", "finetune"):
        told = found["judge"][name]
        assert told["wins"] + told["losses"] + told["ties"] == told["contests"] == len(answers(run))
        assert (run / "comparison" / "judge" / name / "judgements.jsonl").stat().st_size > 0
    for name in ("report.md", "document.json", "plots/comparison.png", "plots/retrieval.png", "base.json"):
        assert (run / "comparison" / name).stat().st_size > 0, name

    # The command: nothing is trained again, and the figures are the same.
    code, out, err = evaluate(f"--run={run}", "--against=base,finetune", f"--output={run.parent}")
    assert code == 0, err
    again = json.loads(out)
    assert again["contestants"] == found["contestants"] and again["judge"] == found["judge"]
    assert "done already" in err and "Comparison" in err and "Traceback" not in err


def answers(run_dir: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((run_dir / "answers.json").read_text())
    return rows


def test_a_run_has_one_language(run: Path, ray_cluster: None) -> None:
    asked = Comparison(Request(languages="khmer", output=str(run.parent)), ["base"], str(run))
    with pytest.raises(LlinkError, match="teaches Tibetan: leave out --lang"):
        compare(asked)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--lang=tibetan", "--against=nobody"], "nothing named 'nobody' to compare with"),
        (["--lang=tibetan", "--judge=judy"], "backend: Input should be 'reference' or 'endpoint'"),
        (["--lang=tibetan", "--judge=endpoint"], "needs both url and model"),
        (["--lang=tibetan", "--judge-set=modell=x"], "unknown setting 'modell': did you mean model"),
        (["--against=base"], "no language is named"),
        (["--run=/nowhere/at/all"], "not a run directory"),
    ],
)
def test_wrong_use_is_told_in_a_sentence(flags: list[str], said: str, tmp_path: Path) -> None:
    code, out, err = evaluate(*flags, f"--output={tmp_path}")
    assert (code, out) == (2, "") and said in err
    assert err.startswith("error: ") and len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--inspect=x"], "--inspect needs a decoder"),
        (["--lang=bo", "--inspect=x"], "nothing is published for bo"),
        (["--bundle=/nowhere/at/all", "--inspect=x"], "there is no bundle at /nowhere/at/all"),
        (["--bundle=/nowhere/at/all", "--inspect= "], "empty text"),
    ],
)
def test_wrong_use_of_inspect_is_told_in_a_sentence(flags: list[str], said: str, tmp_path: Path) -> None:
    code, out, err = evaluate(*flags, f"--output={tmp_path}")
    assert (code, out) == (2, "") and said in err
    assert err.startswith("error: ") and len(err.splitlines()) == 1


def test_inspect_shows_what_the_decoder_was_given(one_worker: Job, tmp_path: Path) -> None:
    bundle, asked = one_worker.document()["bundle"], answers(Path(one_worker.document()["run_dir"]))[0]
    flags = [f"--bundle={bundle}", f"--inspect={asked['text']}", f"--instruction={asked['instruction']}"]
    code, out, err = evaluate(*flags, f"--output={tmp_path}")
    assert code == 0, err
    found = json.loads(out)
    assert found["answer"] == asked["given"] and len(found["slots"]) == 8
    assert Path(found["picture"]).stat().st_size > 10_000
    assert "Slots in words" in err and "Warning" not in err and "Loading" not in err
