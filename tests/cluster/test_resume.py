"""Whatever is killed, the run comes to what it would have come to; what is done is not done again."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
from cluster_runs import STEPS, Job, Killer, alive, checkpointed, same_outcome, task, train_workers, wait_for

from llink_ray.cluster.rundir import RunDir
from llink_ray.cluster.teach import teach
from llink_ray.errors import LlinkError
from llink_ray.registry import Registry

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def only_run(output: Path) -> Path | None:
    """The run directory in a folder of runs, once it is there."""
    found = list(output.glob("bo-tiny-*"))
    return found[0] if found else None


def newest_stage(output: Path) -> str:
    """Stage of the newest checkpoint."""
    run = only_run(output)
    place = checkpointed(run) if run else None
    return place[0] if place else ""


@pytest.mark.parametrize("stage", list(STEPS))
def test_a_killed_worker(stage: str, two_workers: dict[str, Any], store: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    zero = {"a": 2, "b": 3}[stage]  # sharded weights come back, too
    with Killer(run, stage) as killer:
        document = teach(task(run, store, "cluster.num_workers=2", f"deepspeed.zero_stage={zero}"))
    assert killer.killed_at and killer.killed_at[0] == stage
    assert killer.checkpoint >= 5
    kept = len(killer.kept())
    assert killer.kept() == list(range(1, kept + 1)) and kept % 5 == 0, "it went on from no checkpoint"
    assert killer.checkpoint <= kept <= killer.killed_at[1], "it began anew"
    same_outcome(document, two_workers)
    assert wait_for(lambda: not train_workers(), 20)


def test_a_killed_driver(one_worker: Job, small_flags: list[str], tmp_path: Path) -> None:
    output = tmp_path / "runs"
    with Job(tmp_path / "first", *small_flags, f"--output={output}") as first:
        first.until(lambda: newest_stage(output) == "b")
        left = first.started()
        assert any("raylet" in process.name() for process in left)
        first.process.kill()
        first.process.wait()
        assert wait_for(lambda: not alive(left), 180, pause=0.5), alive(left)  # agents take a minute
    run = only_run(output)
    assert run and not (run / "metrics.json").exists()
    assert first.out.read_text() == ""

    with Job(tmp_path / "second", f"--resume={run}") as second:
        document = second.document()
    assert "going on with" in second.err.read_text()
    same_outcome(document, one_worker.document())


@pytest.mark.parametrize("when", ["starting", "stage b"])
def test_ctrl_c(when: str, one_worker: Job, small_flags: list[str], tmp_path: Path) -> None:
    output = tmp_path / "runs"
    with Job(tmp_path / "first", *small_flags, f"--output={output}") as first:
        if when == "starting":  # Ray Train's controller is busy and hears nobody
            first.until(lambda: "training on" in first.err.read_text())
        else:
            first.until(lambda: newest_stage(output) == "b")
        left = first.started()
        first.interrupt()
        first.process.wait(60)
        assert wait_for(lambda: not alive(left), 30, pause=0.5), alive(left)
    assert first.process.returncode == 130 and first.out.read_text() == ""
    told = first.err.read_text()
    assert "Traceback" not in told
    *_, stopped, how = told.splitlines()
    run = only_run(output)
    assert stopped == "stopped" and how == f"go on with: python jobs/train.py --resume {run}"
    assert not (output / "tmp").exists() or not list((output / "tmp").iterdir())
    if when == "starting":
        return
    assert run and checkpointed(run)

    with Job(tmp_path / "second", *how.split("train.py ")[1].split()) as second:
        document = second.document()
    same_outcome(document, one_worker.document())
    assert Registry(output / "registry").resolve("bo").name == document["published"] == "v0001"

    with Job(tmp_path / "third", f"--resume={run}") as third:
        assert third.document() == document
    assert len(Registry(output / "registry").list("bo")) == 1


def test_what_is_trained_but_not_measured_is_not_trained_again(
    two_workers: dict[str, Any], store: Path, tmp_path: Path
) -> None:
    run = RunDir(tmp_path / "run")
    run.bundle.mkdir(parents=True)
    (run.bundle / "notes.txt").write_text("not a bundle")  # stands in the way as a full disk would
    asked = task(run.path, store, "cluster.num_workers=2")
    with pytest.raises(LlinkError, match="is not a bundle"):
        teach(asked)
    told = run.error.read_text()
    assert told.count("worker 0:") == 1 and "Traceback" in told, "it was tried again, or not told in full"
    before = run.history.stat().st_mtime_ns, checkpointed(run.path)
    assert run.draft.is_dir()

    (run.bundle / "notes.txt").unlink()
    document = teach(asked)
    assert (run.history.stat().st_mtime_ns, checkpointed(run.path)) == before
    assert not run.draft.exists()
    same_outcome(document, two_workers)


def test_a_damaged_resume_is_refused_in_words(one_worker: Job, tmp_path: Path) -> None:
    run = one_worker.document()["run_dir"]
    with Job(tmp_path / "job", f"--resume={run}", "--lang=khmer") as job:
        assert job.process.wait(120) == 2
    (line,) = job.err.read_text().splitlines()
    assert line.startswith("error: ") and "'bo'" in line and "'km'" in line


def test_sigterm_leaves_no_process(small_flags: list[str], tmp_path: Path) -> None:
    output = tmp_path / "runs"
    with Job(tmp_path / "job", *small_flags, f"--output={output}") as job:
        job.until(lambda: newest_stage(output) == "a")
        left = job.started()
        assert any("RayTrainWorker" in " ".join(p.cmdline()) for p in left if psutil.pid_exists(p.pid))
        job.process.send_signal(signal.SIGTERM)
        assert job.process.wait(60) != 0
        assert wait_for(lambda: not alive(left), 30, pause=0.5), alive(left)
    assert job.out.read_text() == ""
    assert json.loads((only_run(output) or tmp_path).joinpath("run.json").read_text())
