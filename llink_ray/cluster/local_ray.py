"""A Ray to run on: the one that is there, or one on this machine for as long as the job lasts.

A Ray that is started here listens on the loopback address only, asks for a token, writes nothing outside
its own folder, and is gone when the block ends, however it ends.
"""

from __future__ import annotations

import logging
import math
import os
import re
import secrets
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from llink_ray.errors import JobFailed, LlinkError
from llink_ray.network import no_proxy_variables
from llink_ray.stopping import handles_signals, removed_if_killed

if TYPE_CHECKING:
    import psutil

_EVERYWHERE = {
    # Reports of a worker block for this long, 2 s by default.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    # Importing torch, transformers and deepspeed on busy cores takes longer than the default of 60.
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "240",
    # A quarter less processor time a request than calls of actors (docs/experiments.md, 14).
    "RAY_SERVE_USE_GRPC_BY_DEFAULT": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # what Ray will do anyway; unset, it says so in each process
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
_LOOPBACK = "127.0.0.1"
_KNOCK_SECONDS = 5.0
_STARTS = 3  # Ray gives a node 30 s to come up, which busy cores can miss
_SOCKET_PATH_LIMIT = 107  # bytes, of a Unix socket on Linux
_SOCKET_IN_PARENT = len("/ray-12345678/session_2000-01-01_00-00-00_000000_4194304/sockets/plasma_store")
_OBJECT_STORE_BYTES = 256 << 20
_token = secrets.token_hex(32)  # one for all clusters of this process: Ray reads it only once


@contextmanager
def connect(
    address: str | None = None, run_tmp: Path | None = None, *, num_cpus: int | None = None
) -> Iterator[None]:
    """Ray is initialised inside this block.

    In order: Ray is used as it is where this process has it already; a cluster is joined where ``address``
    or ``RAY_ADDRESS`` (as inside a submitted job) names one; otherwise a local one is started.

    Args:
        address: of a cluster: ``host:port``, ``auto`` for one on this machine, ``local`` for none.
        run_tmp: folder of the run; a local Ray keeps its state there, or, where that path is too long for
            its sockets, in a temporary directory. Its logs are left in ``ray-logs`` if the block fails.
        num_cpus: CPUs of a local Ray; nothing means all.

    Raises:
        JobFailed: no cluster answers at ``address``, or the local one does not start.
    """
    import ray

    if ray.is_initialized():
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS")
    with ExitStack() as stack:
        ours = {k: os.environ.get(k, v) for k, v in _EVERYWHERE.items()}
        stack.enter_context(_environment({**ours, **no_proxy_variables()}))
        if address and address != "local":
            stack.callback(_shut_down)
            _join(address)
        else:
            _start(stack, run_tmp, num_cpus)
        yield


def _join(address: str) -> None:
    import ray

    try:
        _knock(address)
        with _own_sigterm():
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (RuntimeError, ValueError, OSError) as error:
        raise JobFailed(
            f"No Ray cluster answers at {address} ({_first_line(error)}): start one with "
            f"`ray start --head`, or give no address to run on this machine alone."
        ) from error


def _knock(address: str) -> None:
    """Find out in seconds that nobody answers; Ray itself tries for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_SECONDS).close()


def _start(stack: ExitStack, run_tmp: Path | None, num_cpus: int | None) -> None:
    import ray
    from ray._private import ray_constants

    tmp = stack.enter_context(_short_folder(run_tmp))
    token = tmp / "token"
    token.touch(mode=0o600)
    token.write_text(_token)
    package = str(Path(__file__).parents[2])  # so that workers find it where it is not installed
    stack.enter_context(
        _environment(
            {
                # Else Ray replaces the loopback address by the machine's outer one. Ray reads it when
                # it is imported, which may have been long ago, hence the attribute too.
                ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR: "0",
                "RAY_AUTH_TOKEN_PATH": str(token),
                "RAY_TMPDIR": str(tmp),
                # Else processes of a Ray whose driver was killed try for a minute to report it to nobody.
                "RAY_gcs_rpc_server_reconnect_timeout_s": "10",
                "PYTHONPATH": os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH")))),
                # Ray sets this one itself at its first start in a process.
                "RAY_AUTH_MODE": os.environ.get("RAY_AUTH_MODE"),
                "LD_PRELOAD": _allocator(),
            }
        )
    )
    stack.callback(setattr, ray_constants, "ENABLE_RAY_CLUSTER", ray_constants.ENABLE_RAY_CLUSTER)
    ray_constants.ENABLE_RAY_CLUSTER = False
    stack.callback(_shut_down)  # first of all at the end, also where ray.init was interrupted half-way
    for attempt in range(_STARTS):
        before = _children()
        try:
            with _own_sigterm():
                ray.init(
                    address="local",
                    num_cpus=num_cpus,
                    object_store_memory=_OBJECT_STORE_BYTES,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    _node_ip_address=_LOOPBACK,
                    _temp_dir=str(tmp),
                )
            return
        except BaseException as error:  # Ray raises bare ones too
            _shut_down()
            _end(_children() - before)
            if not isinstance(error, Exception):
                raise
            if attempt + 1 < _STARTS:
                continue
            where = f"; its logs are in {run_tmp / 'ray-logs'}" if run_tmp else ""
            raise JobFailed(f"Ray does not start on this machine ({_first_line(error)}){where}.") from error


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """A handler of SIGTERM that is there stays, or is put back.

    Ray has two of its own: one in Python kills the node, one in C++ prints a stack and aborts soon after.
    """
    from ray._private import utils

    handler, theirs = signal.getsignal(signal.SIGTERM), utils.set_sigterm_handler
    if not callable(handler) or threading.current_thread() is not threading.main_thread():
        yield
        return
    utils.set_sigterm_handler = lambda _: None
    try:
        yield
    finally:
        utils.set_sigterm_handler = theirs
        signal.signal(signal.SIGTERM, handler)


def _children() -> set[psutil.Process]:
    import psutil

    return set(psutil.Process().children(recursive=True))


def _end(processes: set[psutil.Process]) -> None:
    """Kill what a failed start has left; Ray itself forgets those."""
    import psutil

    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=10)


@contextmanager
def _environment(changes: dict[str, str | None]) -> Iterator[None]:
    """Environment variables for this block and the processes started in it; None unsets."""
    before = {name: os.environ.get(name) for name in changes}

    def apply(values: dict[str, str | None]) -> None:
        for name, value in values.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

    apply(changes)
    try:
        yield
    finally:
        apply(before)


def _allocator() -> str | None:
    """What ``LD_PRELOAD`` is to be: jemalloc, as Ray's package brings it, where no other was set.

    Texts of ever other lengths leave gaps in glibc's heap (docs/experiments.md, 32).
    """
    import ray

    library = str(Path(ray.__file__).parent / "core" / "libjemalloc.so")
    separates = re.search(r"[\s:]", library)  # two names, to the dynamic linker
    usable = Path(library).exists() and not separates
    return os.environ.get("LD_PRELOAD") or (library if usable else None)


@contextmanager
def _short_folder(run_tmp: Path | None) -> Iterator[Path]:
    """A folder for Ray's session whose sockets have paths short enough; removed at the end."""
    parents = [*([run_tmp.resolve()] if run_tmp else []), Path(tempfile.gettempdir()), Path("/tmp")]  # noqa: S108
    room = _SOCKET_PATH_LIMIT - _SOCKET_IN_PARENT
    parent = next((p for p in parents if len(os.fsencode(p)) <= room), parents[-1])
    made = [place for place in (parent, *parent.parents) if not place.exists()]
    parent.mkdir(parents=True, exist_ok=True)
    tmp = Path(tempfile.mkdtemp(prefix="ray-", dir=parent))
    try:
        with removed_if_killed(tmp):
            yield tmp
    except Exception as error:
        wrong_use = isinstance(error, LlinkError) and error.exit_code == LlinkError.exit_code
        logs = tmp / "session_latest" / "logs"
        if run_tmp and logs.is_dir() and not wrong_use:
            shutil.copytree(logs, run_tmp / "ray-logs", dirs_exist_ok=True, ignore_dangling_symlinks=True)
        raise
    finally:
        shutil.rmtree(tmp, ignore_errors=True)
        for place in made:  # a job that ends with an error leaves no empty folders
            with suppress(OSError):
                place.rmdir()


def ray_env_vars() -> dict[str, str]:
    """Environment that processes of the cluster want, as it is here inside :func:`connect`."""
    return {name: os.environ[name] for name in _EVERYWHERE if name in os.environ}


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ctrl-C once more must not leave half a Ray behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    if handles_signals():  # and ends everything at the second
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _shut_down() -> None:
    import ray

    with _undisturbed():
        ray.shutdown()


def resources() -> dict[str, float]:
    """CPUs and GPUs of the whole cluster, free or not."""
    import ray

    total = ray.cluster_resources()
    return {"CPU": float(total.get("CPU", 0.0)), "GPU": float(total.get("GPU", 0.0))}


def worker_capacity(cpus: float, gpus: float = 0.0) -> int:
    """How many processes of ``cpus`` CPUs and ``gpus`` GPUs the nodes have room for when nothing runs."""
    import ray

    wanted = {name: amount for name, amount in (("CPU", cpus), ("GPU", gpus)) if amount > 0}
    room = 0
    for node in ray.nodes():
        if node["Alive"] and wanted:
            has = node["Resources"]
            room += min(math.floor(has.get(name, 0.0) / amount + 1e-6) for name, amount in wanted.items())
    return room


def require_capacity(num_workers: int, cpus: float, gpus: float = 0.0) -> None:
    """Refuse at once what the cluster can never place; Ray itself would wait for ever.

    Args:
        num_workers: processes that must run at the same time.
        cpus: CPUs of each.
        gpus: GPUs of each.

    Raises:
        JobFailed: with what is asked and what is there.
    """
    room = worker_capacity(cpus, gpus)
    if num_workers <= room:
        return
    there = resources()
    each = f"{cpus:g} CPU" + (f" and {gpus:g} GPU" if gpus else "")
    has = f"{there['CPU']:g} CPU" + (f" and {there['GPU']:g} GPU" if gpus or there["GPU"] else "")
    remedy = (
        f"ask for at most {room} with --num-workers, for less with cluster.cpus_per_worker, or add nodes"
        if room
        else "ask for less with cluster.cpus_per_worker and cluster.gpus_per_worker, or add nodes"
    )
    raise JobFailed(
        f"{num_workers} worker{'s' * (num_workers != 1)} of {each} each cannot be placed: the cluster has "
        f"{has}, room for {room}; {remedy}."
    )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
