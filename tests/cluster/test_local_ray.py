"""A Ray on this machine: closed to the outside, refused requests, nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from llink_ray.cluster.local_ray import connect, require_capacity, resources, worker_capacity
from llink_ray.errors import JobFailed

SCRIPT = """
import json, os, signal, sys, time
from pathlib import Path
from llink_ray.cluster.local_ray import connect
from llink_ray.errors import JobFailed

end, run_tmp = sys.argv[1], Path(sys.argv[2])
before = {name: value for name, value in os.environ.items()}
with connect(None, run_tmp, num_cpus=1):
    import psutil, ray

    @ray.remote
    def package():
        import llink_ray
        return llink_ray.__file__

    seen = {"package": ray.get(package.remote()), "tmp": os.environ["RAY_TMPDIR"]}
    seen["processes"] = {p.pid: p.name() for p in psutil.Process().children(recursive=True)}
    print(json.dumps(seen), flush=True)
    if end == "raise":
        raise RuntimeError("as a bug would")
    while end != "return":
        time.sleep(0.05)
after = {name: value for name, value in os.environ.items() if not name.startswith("RAY_CLIENT")}
assert after == before, set(after.items()) ^ set(before.items())
"""


def test_every_listener_is_on_loopback(ray_cluster: None) -> None:
    names, addresses = set(), set()
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):  # what an earlier test left may end while we look
            names.add(process.name())
            addresses |= {
                socket.laddr.ip
                for socket in process.net_connections("inet")
                if socket.laddr and (socket.status == psutil.CONN_LISTEN or not socket.raddr)
            }
    assert {"raylet", "gcs_server"} <= names
    assert addresses, "no listener was seen at all"
    assert addresses <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


def test_a_service_calls_over_grpc(ray_cluster: None) -> None:
    import ray

    def uses_grpc() -> bool:
        from ray.serve._private import constants

        return bool(constants.RAY_SERVE_USE_GRPC_BY_DEFAULT)

    assert ray.get(ray.remote(num_cpus=0.1)(uses_grpc).remote())


def test_workers_allocate_by_jemalloc(ray_cluster: None) -> None:
    import ray

    def own_maps() -> str:
        return Path("/proc/self/maps").read_text()

    library = Path(ray.__file__).parent / "core" / "libjemalloc.so"
    if not library.exists():
        pytest.skip("Ray brings no jemalloc for this machine")
    assert str(library) in ray.get(ray.remote(num_cpus=0.1)(own_maps).remote())


def test_resources(ray_cluster: None) -> None:
    assert resources()["CPU"] == 2
    assert worker_capacity(0.5) == 4
    assert worker_capacity(0.7) == 2
    assert worker_capacity(1, gpus=1) == (2 if resources()["GPU"] >= 2 else min(2, int(resources()["GPU"])))


@pytest.mark.parametrize(
    ("workers", "cpus", "gpus", "said"),
    [
        (7, 1, 0, r"7 workers of 1 CPU each.* has 2 CPU, room for 2.*--num-workers"),
        (1, 64, 0, r"1 worker of 64 CPU each.* has 2 CPU, room for 0.*cluster\.cpus_per_worker"),
        (3, 0.9, 0, r"3 workers of 0\.9 CPU each.* has 2 CPU, room for 2"),
        (500, 0.001, 1, r"500 workers of 0\.001 CPU and 1 GPU each.* GPU, room for "),
    ],
)
def test_what_can_never_be_placed_is_refused_at_once(
    ray_cluster: None, workers: int, cpus: float, gpus: float, said: str
) -> None:
    start = time.monotonic()
    with pytest.raises(JobFailed, match=said):
        require_capacity(workers, cpus, gpus)
    assert time.monotonic() - start < 1


def test_what_fits_is_not_refused(ray_cluster: None) -> None:
    require_capacity(2, 1)
    require_capacity(4, 0.5)
    require_capacity(20, 0.1)


def test_a_ray_that_is_there_is_used_and_left(ray_cluster: None) -> None:
    import ray

    node = ray.get_runtime_context().get_node_id()
    with connect("10.255.255.1:1"):
        assert ray.get_runtime_context().get_node_id() == node
    assert ray.is_initialized()


@pytest.mark.parametrize(
    "end",
    [
        "SIGINT",
        pytest.param("return", marks=pytest.mark.slow),
        pytest.param("raise", marks=pytest.mark.slow),
        pytest.param("SIGTERM", marks=pytest.mark.slow),
        pytest.param("SIGKILL", marks=pytest.mark.slow),
    ],
)
def test_nothing_is_left_behind(end: str, tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    run_tmp = tmp_path / ("long" * 40)  # its sockets would have too long names
    root = Path(__file__).parents[2]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    job = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, end, str(run_tmp)],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(root), "HOME": str(tmp_path), "TMPDIR": str(tmp_path / "tmp")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert job.stdout and job.stderr
    try:
        line = job.stdout.readline()
        assert line, job.stderr.read()
        if end.startswith("SIG"):
            job.send_signal(signal.Signals[end])
        code = job.wait(60)
    finally:
        job.kill()
        job.communicate()
    seen = json.loads(line)
    assert Path(seen["package"]).is_relative_to(root)
    assert "raylet" in seen["processes"].values()
    assert (code == 0) == (end == "return")

    # Killed, Ray's two agents try for a minute to tell a head node that is dead already.
    deadline = time.monotonic() + (150 if end == "SIGKILL" else 20)
    left = [int(pid) for pid in seen["processes"]]
    while left and time.monotonic() < deadline:
        time.sleep(0.1)
        left = [pid for pid in left if _runs(pid)]
    assert not left, {pid: seen["processes"][str(pid)] for pid in left}
    assert Path(seen["tmp"]).exists() == (end == "SIGKILL")
    shutil.rmtree(seen["tmp"], ignore_errors=True)
    assert not (tmp_path / ".ray").exists()
    assert (run_tmp / "ray-logs").is_dir() == (end == "raise")


def _runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


SLOW_START = """
import sys
import psutil, ray
from ray._private import services
from llink_ray.cluster.local_ray import connect
from llink_ray.errors import JobFailed

real, starts, slow = services.get_node, [], int(sys.argv[1])

def get_node(*arguments):
    if not starts or starts[-1] is None:
        starts.append({p.name() for p in psutil.Process().children(recursive=True)})
        if len(starts) <= slow:
            starts.append(None)
            raise Exception("The current node timed out during startup.")
    return real(*arguments)

services.get_node = get_node
try:
    with connect(None, None, num_cpus=1):
        names = [p.name() for p in psutil.Process().children(recursive=True)]
        assert names.count("raylet") == names.count("gcs_server") == 1, names
        print(ray.get(ray.remote(lambda: "works").remote()))
except JobFailed as error:
    print(error)
left = [p.name() for p in psutil.Process().children(recursive=True) if p.status() != "zombie"]
assert not left, left
"""


@pytest.mark.slow
@pytest.mark.parametrize(("slow", "said"), [(1, "works"), (9, "Ray does not start on this machine")])
def test_a_start_that_is_too_slow_is_tried_again(slow: int, said: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SLOW_START, str(slow)],
        env={k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
        | {"PYTHONPATH": str(Path(__file__).parents[2])},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert said in done.stdout


def test_no_cluster_at_the_address(tmp_path: Path) -> None:
    script = "from llink_ray.cluster.local_ray import connect\nwith connect('127.0.0.1:1'): pass"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "JobFailed: No Ray cluster answers at 127.0.0.1:1" in done.stderr
    assert "ray start --head" in done.stderr
