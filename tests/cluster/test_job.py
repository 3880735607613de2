"""Several languages in one job, and a job handed in to a cluster."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from cluster_runs import (
    ROOT,
    alive,
    environment,
    same_outcome,
    settings_file,
    task,
    train_workers,
    wait_for,
)

from llink_ray.cluster.job import Request, run
from llink_ray.cluster.multi_language import train_languages
from llink_ray.errors import JobFailed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_several_languages_and_the_failure_of_one(ray_cluster: None, store: Path, tmp_path: Path) -> None:
    document = run(
        Request(
            languages="tibetan,khmer",
            preset="tiny",
            settings_file=str(settings_file(tmp_path)),
            assignments=[f"features.directory={store}"],
            output=str(tmp_path / "runs"),
        )
    )
    assert document["failed"] == []
    documents = {one["language"]: one for one in document["runs"]}
    assert documents.keys() == {"bo", "km"}
    for one in documents.values():
        assert (Path(one["run_dir"]) / "report.md").exists() and one["published"] == "v0001"

    # A run that is done beside one that cannot be.
    (tmp_path / "bad.tsv").write_bytes(b"english\tforeign\nHorse\t\xff\xfe\n")
    done = task(Path(documents["bo"]["run_dir"]), store, f"features.directory={store}")
    bad = task(tmp_path / "bad", store, f"corpus.path={tmp_path / 'bad.tsv'}", language="khmer")
    said: list[str] = []
    both = train_languages([replace(done, registry=None), bad], said.append)
    assert [one["language"] for one in both["runs"]] == ["bo"]
    (failure,) = both["failed"]
    assert failure["language"] == "km" and "bad.tsv line 2 is not UTF-8" in failure["error"]
    assert "\n" not in failure["error"] and not (tmp_path / "bad").exists()
    with pytest.raises(JobFailed, match=r"^km: .*is not UTF-8"):
        train_languages([bad], said.append)


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


@pytest.fixture
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, dict[str, str]]]:
    """``ray start --head`` on this machine alone: the dashboard's port, and an environment for clients."""
    folder = tmp_path_factory.mktemp("head")
    environ = environment(
        HOME=str(folder), RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0", RAY_USAGE_STATS_ENABLED="0"
    )
    names = ("port", "dashboard-port", "dashboard-agent-listen-port", "metrics-export-port")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    ray = str(Path(sys.executable).with_name("ray"))
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [
                *(ray, "start", "--head", "--block", "--num-cpus=2"),
                *("--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1"),
                *(f"--{name}={port}" for name, port in ports.items()),
                *(f"--temp-dir={folder / 'r'}", f"--object-store-memory={256 << 20}"),
            ],
            env=environ,
            stdout=log,
            stderr=log,
        )

    def listens() -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", ports["dashboard-port"])) == 0

    assert wait_for(listens, 120, pause=0.5), (folder / "log").read_text()
    left = psutil.Process(server.pid).children(recursive=True)
    try:
        yield ports["dashboard-port"], environ
    finally:
        left += psutil.Process(server.pid).children(recursive=True)
        server.terminate()
        server.wait(60)
        if not wait_for(lambda: not alive(left), 30, pause=0.5):
            for process in left:
                process.kill()


def submitted(head: tuple[int, dict[str, str]], project: Path, *command: str) -> dict[str, Any]:
    """The last line of a job that was handed in from ``project``."""
    port, environ = head
    ray = str(Path(sys.executable).with_name("ray"))
    done = subprocess.run(
        [
            *(ray, "job", "submit", f"--address=http://127.0.0.1:{port}", "--working-dir=."),
            *("--", sys.executable, *command),
        ],
        cwd=project,
        env=environ,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith('{"job"'))
    # Behind the job's last line only what `ray job submit` itself says.
    assert "succeeded" in "".join(lines[start + 1 :])
    document: dict[str, Any] = json.loads(lines[start])
    return document


def stopped(head: tuple[int, dict[str, str]], project: Path, *command: str) -> str:
    """What a job says that ``ray job stop`` ends once it trains, with its exit code."""
    port, environ = head
    ray, address = str(Path(sys.executable).with_name("ray")), f"--address=http://127.0.0.1:{port}"
    job = f"{shlex.join([sys.executable, *command])}; echo ended with $?"
    patience = {"RAY_JOB_STOP_WAIT_TIME_S": "30"}  # for a busy machine; three seconds else
    log = project.parent / "stopped"
    with log.open("w") as out:
        submitting = subprocess.Popen(
            [
                *(ray, "job", "submit", address, "--submission-id=stopped", "--working-dir=."),
                f"--runtime-env-json={json.dumps({'env_vars': patience})}",
                *("--", "sh", "-c", f"trap : TERM; {job}"),
            ],
            cwd=project,
            env=environ,
            stdout=out,
            stderr=out,
        )
    try:
        trains = wait_for(lambda: "Stage A  20/60" in log.read_text() or submitting.poll(), 300, pause=0.2)
        assert trains and submitting.poll() is None, log.read_text()
        stop = [ray, "job", "stop", address, "stopped"]
        subprocess.run(stop, env=environ, capture_output=True, check=True, timeout=120)
        submitting.wait(60)
    finally:
        submitting.kill()
        submitting.wait()
    return log.read_text()


def test_submitted_jobs(head: tuple[int, dict[str, str]], tmp_path: Path) -> None:
    project = tmp_path / "project"  # what a person has checked out, with a settings file of their own
    for name in ("llink_ray", "jobs", "tune_spaces"):
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    settings_file(project)
    flags = ["--lang=tibetan", "--preset=tiny", "--settings=small.yaml"]
    document = submitted(head, project, "jobs/train.py", *flags)
    assert document["language"] == "bo"
    home = head[1]["HOME"]
    assert Path(document["bundle"]).is_relative_to(home), "kept in a folder that Ray deletes"
    assert (Path(document["bundle"]) / "bundle.json").exists()

    said = stopped(head, project, "jobs/train.py", *flags)
    how = re.search(r"go on with: python (jobs/train\.py) --resume (\S+)", said)
    assert how and "ended with 143" in said and "checkpoint after step" in said, said
    assert wait_for(lambda: not train_workers(), 30), "a worker is left"
    same_outcome(submitted(head, project, how[1], f"--resume={how[2]}"), document)

    sweep = submitted(head, project, "jobs/tune.py", *flags, "--space=smoke", "--trials=2")
    assert sweep["studies"]["bo"]["finished"] == 2
    assert sweep["features"]["forwards"] == 0, "the run before has computed them"
    folder = Path(sweep["run_dir"])
    assert folder.is_relative_to(home) and (folder / "best.yaml").exists() and (folder / "report.md").exists()
