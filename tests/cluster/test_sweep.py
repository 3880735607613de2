"""Sweeps on a real Ray: from the command to ``best.yaml``, through failures, kills and queues."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from cluster_runs import ROOT, alive, environment, wait_for
from sweep_runs import own_space, run, small_file, trials_in

from llink_ray.cluster.ray_train import run_ray_train
from llink_ray.cluster.run_directory import RunDir
from llink_ray.cluster.train_language import TrainingTask, extract_run, prepare_run
from llink_ray.errors import JobFailed
from llink_ray.settings import configure
from llink_ray.text.languages import find
from llink_ray.training import history

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def smoke(ray_cluster: None, store: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Six trials, unbroken."""
    return run(tmp_path_factory.mktemp("smoke"), store, trials=6)


def test_a_sweep_ends_with_a_table_and_a_best_setting(smoke: dict[str, Any]) -> None:
    folder = Path(smoke["run_dir"])
    found = smoke["studies"]["bo"]
    assert found["finished"] + found["pruned"] == 6 and found["pruned"] and not found["failed"]
    trials = trials_in(folder)
    assert {trial.name for trial in trials} == {f"bo-{n:04d}" for n in range(6)}
    finals = [trial.last("bo", "retrieval.r1") for trial in trials if trial.steps == 30]
    assert found["best"][0]["metrics"]["bo"]["retrieval.r1"] == max(value or 0.0 for value in finals)
    for name in ("sweep.json", "report.md", "best.yaml", "best-bo.yaml", "trials.jsonl"):
        assert (folder / name).stat().st_size, name
    assert len(list((folder / "tune").rglob("events.out.tfevents*"))) == 6, "TensorBoard logs are missing"


def test_frozen_models_run_for_the_features_alone(ray_cluster: None, tmp_path: Path) -> None:
    """As many forwards as one run needs, whatever the number of trials."""
    fresh = run(tmp_path, tmp_path / "features", trials=3)
    record = json.loads((Path(fresh["run_dir"]) / "sweep.json").read_text())
    settings = configure.resolve(record["base_settings"]["bo"])
    task = TrainingTask(find("bo"), settings, tmp_path / "one", str(tmp_path / "other"), None)
    world = RunDir(task.run_dir)
    _, forwards = extract_run(world, task, prepare_run(world, task, print), print)
    assert fresh["features"]["forwards"] == forwards > 0


def test_the_best_setting_trained_again_gives_the_same_figure(
    smoke: dict[str, Any], store: Path, tmp_path: Path
) -> None:
    """``best.yaml`` on the path that ``jobs/train.py`` takes, as far as Stage A goes."""
    layers = configure.layers("tiny", str(Path(smoke["run_dir"]) / "best.yaml"), ["stage_b.steps=1"])
    task = TrainingTask(find("bo"), configure.resolve(*layers), tmp_path / "run", str(store), None)
    world = RunDir(task.run_dir)
    config, forwards = extract_run(world, task, prepare_run(world, task, print), print)
    assert forwards == 0, "the sweep's features were computed again"
    run_ray_train(world, task.settings, config | {"measured": False})
    (last,) = [r for r in history.read(world.history) if r["stage"] == "a" and r["step"] == 30]
    best = smoke["studies"]["bo"]["best"][0]["metrics"]["bo"]
    assert last["validation/r1"] == pytest.approx(best["retrieval.r1"], abs=1e-3)
    assert last["loss"] == pytest.approx(best["stage_a.loss"], abs=1e-3)


def test_a_failing_trial_is_kept_with_its_cause_and_the_others_go_on(
    ray_cluster: None, store: Path, tmp_path: Path
) -> None:
    why = "why='some cannot be'"
    space = own_space(
        tmp_path,
        f"{{'stage_a.learning_rate': choice(1e-3, 1e30, {why}),"
        f" 'projector.hidden': choice(64, 10**12, {why})}}",
    )
    document = run(tmp_path, store, "stage_a.clip=1e30", space=space, trials=8, algorithm="random")
    told = document["studies"]["bo"]
    assert told["failed"] and told["finished"] and told["failed"] + told["finished"] + told["pruned"] == 8
    causes = {str(t.cause) for t in trials_in(document["run_dir"]) if t.state == "failed"}
    assert any("out of memory" in cause for cause in causes), causes
    assert any("the loss is" in cause or "not a finite number" in cause for cause in causes), causes


def test_a_trial_whose_process_is_killed_is_kept_as_well(
    ray_cluster: None, store: Path, tmp_path: Path
) -> None:
    def kill_one() -> None:
        def reported() -> list[Path]:
            found = (tmp_path / "runs").glob("sweep-*/trials.jsonl")
            return [path for path in found if any(trial.steps for trial in trials_in(path.parent))]

        if wait_for(reported, 200):
            for process in psutil.Process().children(recursive=True):
                if "ImplicitFunc" in " ".join(process.cmdline()):
                    process.kill()
                    return

    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    document = run(tmp_path, store, "stage_a.steps=400", trials=3, scheduler="none", max_concurrent=1)
    killer.join()
    told = document["studies"]["bo"]
    assert (told["failed"], told["finished"]) == (1, 2)
    (cause,) = {str(t.cause) for t in trials_in(document["run_dir"]) if t.state == "failed"}
    assert "its process died" in cause


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_sweep_resumes_to_the_same_end(
    number: signal.Signals, smoke: dict[str, Any], store: Path, tmp_path: Path
) -> None:
    flags = [
        "--lang=tibetan",
        "--preset=tiny",
        "--space=smoke",
        "--trials=6",
        "--evaluations=5",
        f"--settings={small_file(tmp_path)}",
        f"--set=features.directory={store}",
        f"--output={tmp_path / 'runs'}",
    ]
    command = [sys.executable, "jobs/tune.py"]
    with (tmp_path / "err").open("w") as err:
        killed = subprocess.Popen(
            [*command, *flags], cwd=ROOT, env=environment(), stderr=err, stdout=err, start_new_session=True
        )

    def ended() -> set[str]:
        (folder,) = (tmp_path / "runs").glob("sweep-*")
        return {trial.name for trial in trials_in(folder) if trial.state != "running"}

    def far_enough() -> bool:
        return bool(list((tmp_path / "runs").glob("sweep-*/trials.jsonl"))) and len(ended()) >= 2

    assert wait_for(far_enough, 120), (tmp_path / "err").read_text()
    if number == signal.SIGKILL:
        os.killpg(killed.pid, number)
        killed.wait()
    else:
        left = psutil.Process(killed.pid).children(recursive=True)
        killed.send_signal(number)
        assert killed.wait(60) == 143, (tmp_path / "err").read_text()
        assert wait_for(lambda: not alive(left), 30), alive(left)
        (folder,) = (tmp_path / "runs").glob("sweep-*")
        how = f"stopped\ngo on with: python jobs/tune.py --resume {folder}\n"
        assert (tmp_path / "err").read_text().endswith(how)
    before = ended()
    assert len(before) < 6
    (folder,) = (tmp_path / "runs").glob("sweep-*")
    resumed = subprocess.run(
        [*command, f"--resume={folder}"], cwd=ROOT, env=environment(), capture_output=True, text=True
    )
    assert resumed.returncode == 0, resumed.stderr
    document = json.loads(resumed.stdout)
    mine, theirs = document["studies"]["bo"], smoke["studies"]["bo"]
    assert mine == theirs
    assert not before & {path.name for path in (folder / "tune" / "2").iterdir()}, "run again"
    assert {(t.name, t.state) for t in trials_in(folder)} == {
        (t.name, t.state) for t in trials_in(smoke["run_dir"])
    }


def test_what_can_never_be_placed_is_refused_at_once(ray_cluster: None, store: Path, tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(JobFailed, match=r"8 GPU.*the cluster has 2 CPU and 0 GPU"):
        run(tmp_path, store, "cluster.gpus_per_worker=8")
    assert time.monotonic() - started < 15
    assert not list((tmp_path / "runs").glob("sweep-*"))


@pytest.mark.timeout(500)
def test_trials_with_workers_of_their_own_cannot_hang(ray_cluster: None, store: Path, tmp_path: Path) -> None:
    """More trials queued than the two CPUs can hold, each a Ray Train run inside."""
    why = "why='two are enough'"
    space = own_space(tmp_path, f"{{'slots.count': choice(2, 4, {why}), 'lora.rank': choice(2, 4, {why})}}")
    document = run(tmp_path, store, space=space, trials=4, evaluations=2)
    told = document["studies"]["bo"]
    assert told["finished"] + told["pruned"] == 4
    (best, *_) = told["best"]
    assert {"answers.exact", "numbers.exact", "prompt_tokens", "slots"} <= best["metrics"]["bo"].keys()
    assert best["metrics"]["bo"]["slots"] == best["config"]["slots.count"]


def test_languages_side_by_side_and_one_setting_for_all(
    ray_cluster: None, store: Path, tmp_path: Path
) -> None:
    apart = run(tmp_path / "apart", store, lang="tibetan,khmer", trials=3, scheduler="none")
    assert set(apart["studies"]) == {"bo", "km"}
    for code in ("bo", "km"):
        assert (Path(apart["run_dir"]) / f"best-{code}.yaml").exists()
    together = run(tmp_path / "joint", store, lang="tibetan,khmer", trials=3, joint=True, scheduler="none")
    figures = {(t.study, t.number): t.last(t.study, "retrieval.r1") for t in trials_in(apart["run_dir"])}
    for trial in trials_in(together["run_dir"]):  # the same settings come to the same figures
        for code in ("bo", "km"):
            assert trial.last(code, "retrieval.r1") == figures[code, trial.number]
    settings = [
        configure.read_file(str(Path(together["run_dir"]) / f"best{name}.yaml"))
        for name in ("", "-bo", "-km")
    ]
    assert settings[0] == settings[1] == settings[2]
