"""Several languages in one job: one run each, as many at a time as the cluster has room for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from llink_ray.cluster.final_checkpoint import checkpoint_when_stopped
from llink_ray.cluster.local_ray import ray_env_vars, worker_capacity
from llink_ray.cluster.progress import tail_logs
from llink_ray.cluster.run_directory import RunDir
from llink_ray.cluster.train_language import PrintLine, TrainingTask, train_language
from llink_ray.errors import JobFailed, LlinkError
from llink_ray.stopping import resumable


def train_languages(tasks: list[TrainingTask], say: PrintLine) -> dict[str, Any]:
    """Run all tasks; the failure of one does not affect the others. Returns one document for all.

    Raises:
        JobFailed: not one of them ended well.
        KeyboardInterrupt: stopped by the person; its text says how to go on with each.
    """
    # Cluster processes have other working directories.
    tasks = [
        replace(task, run_dir=task.run_dir.absolute(), registry=_absolute(task.registry)) for task in tasks
    ]
    documents: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    with (
        resumable(lambda: "\n".join(filter(None, map(how_to_go_on, tasks)))),
        checkpoint_when_stopped(lambda: [task.run_dir for task in tasks], say),
        tail_logs({task.language.code: RunDir(task.run_dir).log for task in tasks}, say),
    ):
        _run_all(tasks, documents, failed, say)
    if not documents:
        raise JobFailed("; ".join(f"{f['language']}: {f['error']}" for f in failed))
    return {"job": "train", "runs": documents, "failed": failed}


def how_to_go_on(task: TrainingTask) -> str:
    """The command that resumes a run; empty where there is no run yet, or it is done."""
    run = RunDir(task.run_dir)
    unfinished = run.record.exists() and not run.document.exists()
    return f"go on with: python jobs/train.py --resume {task.run_dir}" if unfinished else ""


def _run_all(
    tasks: list[TrainingTask], documents: list[dict[str, Any]], failed: list[dict[str, Any]], say: PrintLine
) -> None:
    import ray

    from llink_ray.evaluation.run_tables import print_metrics

    cluster = tasks[0].settings.cluster
    room = worker_capacity(cluster.cpus_per_worker, cluster.gpus_per_worker) // cluster.num_workers
    say(f"{len(tasks)} languages, {min(room, len(tasks))} at a time")
    remote = ray.remote(num_cpus=0, max_retries=0, runtime_env={"env_vars": ray_env_vars()})(train_language)
    waiting = list(tasks)
    running: dict[Any, TrainingTask] = {}
    while waiting or running:
        while waiting and len(running) < room:
            task = waiting.pop(0)
            say(f"{task.language.name}: run {task.run_dir}")
            running[remote.remote(task)] = task
        (done, *_), _ = ray.wait(list(running), num_returns=1)
        task = running.pop(done)
        try:
            document = ray.get(done)
        except Exception as error:
            reason = _one_line(error)
            failed.append({"language": task.language.code, "run_dir": str(task.run_dir), "error": reason})
            say(f"{task.language.name} failed: {reason}")
        else:
            documents.append(document)
            print_metrics(document)


def _one_line(error: Exception) -> str:
    """A run's failure as one line; its own sentence where it has one."""
    cause = getattr(error, "cause", None) or error
    if isinstance(cause, LlinkError):
        return str(cause)
    return ": ".join([type(cause).__name__, *str(cause).strip().splitlines()[:1]])


def _absolute(uri: str | None) -> str | None:
    return uri if uri is None or "://" in uri else str(Path(uri).absolute())
