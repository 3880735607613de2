"""Whatever is killed, the run comes to what it would have come to; what is done is not done again."""

from __future__ import annotations

import re
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from cluster_runs import STEPS, Job, Killer, alive, checkpointed, same_outcome, task, train_workers, wait_for

from llink_ray.bundles.registry import Registry
from llink_ray.cluster.run_directory import RunDir
from llink_ray.cluster.train_language import train_language
from llink_ray.errors import LlinkError

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
        document = train_language(task(run, store, "cluster.num_workers=2", f"deepspeed.zero_stage={zero}"))
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


@pytest.mark.parametrize(
    ("when", "number"),
    [
        ("starting", signal.SIGINT),
        ("b", signal.SIGINT),
        ("starting", signal.SIGTERM),
        ("a", signal.SIGTERM),
        ("b", signal.SIGTERM),
    ],
)
def test_a_stopped_run(
    when: str, number: signal.Signals, one_worker: Job, small_flags: list[str], tmp_path: Path
) -> None:
    """Ctrl-C, and SIGTERM, which reaches the job alone, and where Ctrl-C is ignored as well."""
    output = tmp_path / "runs"
    flags = [*small_flags, f"--output={output}"]
    with Job(tmp_path / "first", *flags, ignores_ctrl_c=number == signal.SIGTERM) as first:
        if when == "starting":  # Ray Train's controller is busy and hears nobody
            first.until(lambda: "training on" in first.err.read_text())
        else:
            first.until(lambda: newest_stage(output) == when)
        left = first.started()
        if number == signal.SIGINT:
            first.interrupt()
        else:
            first.process.send_signal(number)
        first.process.wait(60)
        assert wait_for(lambda: not alive(left), 30, pause=0.5), alive(left)
    told = first.err.read_text()
    assert first.process.returncode == 128 + number and first.out.read_text() == "", told
    assert "Traceback" not in told and "***" not in told
    *_, stopped, how = told.splitlines()
    run = only_run(output)
    assert stopped == "stopped" and how == f"go on with: python jobs/train.py --resume {run}"
    assert told.index("stopping; once more ends it at once") < told.index(how) < told.rindex("stopped")
    assert not (output / "tmp").exists() or not list((output / "tmp").iterdir())
    if when == "starting":
        return
    assert run and checkpointed(run)
    said = re.search(r"checkpoint after step (\d+) of Stage ([AB]) in ", told)
    assert said and checkpointed(run) == (said[2].lower(), int(said[1])), "the newest is another"
    assert not RunDir(run).stop.exists()

    with Job(tmp_path / "second", *how.split("train.py ")[1].split()) as second:
        document = second.document()
    same_outcome(document, one_worker.document())
    assert Registry(output / "registry").resolve("bo").name == document["published"] == "v0001"
    if number == signal.SIGTERM:
        return

    with Job(tmp_path / "third", f"--resume={run}") as third:
        assert third.document() == document
    assert len(Registry(output / "registry").list("bo")) == 1


def test_sigterm_to_a_comparison(small_flags: list[str], tmp_path: Path) -> None:
    flags = [flag for flag in small_flags if not flag.startswith("--lang")]
    with Job(
        tmp_path / "job", "--lang=tibetan", *flags, f"--output={tmp_path / 'runs'}", name="evaluate"
    ) as job:
        job.until(lambda: "training on" in job.err.read_text())
        left = job.started()
        job.process.send_signal(signal.SIGTERM)
        job.process.wait(60)
        assert wait_for(lambda: not alive(left), 30, pause=0.5), alive(left)
    assert job.process.returncode == 143 and job.out.read_text() == "", job.err.read_text()
    assert job.err.read_text().endswith(
        "stopped\nwhat was done is kept: the same command goes on from there\n"
    )


def test_sigterm_to_every_process_and_a_second_one(small_flags: list[str], tmp_path: Path) -> None:
    """As systemd and batch schedulers send it: Ray goes away beneath the job, which is no failure of it."""
    output = tmp_path / "runs"
    with Job(tmp_path / "job", *small_flags, f"--output={output}") as job:
        job.until(lambda: "training on" in job.err.read_text())
        left = job.started()
        for process in [psutil.Process(job.process.pid), *left]:
            with suppress(psutil.Error):
                process.send_signal(signal.SIGTERM)
        time.sleep(0.6)
        with suppress(ProcessLookupError):
            job.process.send_signal(signal.SIGTERM)
        job.process.wait(30)
        assert wait_for(lambda: not alive(left), 30, pause=0.5), alive(left)
    told = job.err.read_text()
    assert job.process.returncode == 143 and "Traceback" not in told, told
    assert told.endswith(f"go on with: python jobs/train.py --resume {only_run(output)}\n")


def test_what_is_trained_but_not_measured_is_not_trained_again(
    two_workers: dict[str, Any], store: Path, tmp_path: Path
) -> None:
    run = RunDir(tmp_path / "run")
    run.bundle.mkdir(parents=True)
    (run.bundle / "notes.txt").write_text("not a bundle")  # stands in the way as a full disk would
    asked = task(run.path, store, "cluster.num_workers=2")
    with pytest.raises(LlinkError, match="is not a bundle"):
        train_language(asked)
    told = run.error.read_text()
    assert told.count("worker 0:") == 1 and "Traceback" in told, "it was tried again, or not told in full"
    before = run.history.stat().st_mtime_ns, checkpointed(run.path)
    assert run.draft.is_dir()

    (run.bundle / "notes.txt").unlink()
    document = train_language(asked)
    assert (run.history.stat().st_mtime_ns, checkpointed(run.path)) == before
    assert not run.draft.exists()
    same_outcome(document, two_workers)


def test_a_damaged_resume_is_refused_in_words(one_worker: Job, tmp_path: Path) -> None:
    run = one_worker.document()["run_dir"]
    with Job(tmp_path / "job", f"--resume={run}", "--lang=khmer") as job:
        assert job.process.wait(120) == 2
    (line,) = job.err.read_text().splitlines()
    assert line.startswith("error: ") and "'bo'" in line and "'km'" in line
