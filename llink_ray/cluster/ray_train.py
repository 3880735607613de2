"""Ray Train around the workers' loop: how it is started and interrupted, and how its failures are told."""

from __future__ import annotations

import traceback
from typing import Any

from llink_ray.cluster.final_checkpoint import clear_stop_request
from llink_ray.cluster.run_directory import RunDir
from llink_ray.errors import JobFailed, LlinkError
from llink_ray.settings import Settings


def run_ray_train(run: RunDir, settings: Settings, config: dict[str, Any]) -> None:
    """Train to the end; lost workers are replaced and go on from the newest checkpoint.

    Args:
        run: keeps the checkpoints; training resumes from the newest, if any.
        settings: of the run.
        config: ``train_loop_config`` of the workers, plain data.

    Raises:
        LlinkError: a worker's own sentence.
        JobFailed: why training stopped; the whole text is in the run's ``error.txt``.
        KeyboardInterrupt: by the person; the workers go when Ray does.
    """
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig, TrainingFailedError
    from ray.train.torch import TorchConfig, TorchTrainer

    from llink_ray.cluster.user_errors import StopOnUserError
    from llink_ray.cluster.worker import train

    cluster = settings.cluster
    resources = {"CPU": cluster.cpus_per_worker}
    if cluster.gpus_per_worker:
        resources["GPU"] = cluster.gpus_per_worker
    trainer = TorchTrainer(
        train,
        train_loop_config=config,
        # Stage A gathers on the CPU also where Stage B is on GPUs.
        torch_config=TorchConfig(backend="cpu:gloo,cuda:nccl" if cluster.gpus_per_worker else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=cluster.num_workers,
            use_gpu=cluster.gpus_per_worker > 0,
            resources_per_worker=resources,
        ),
        run_config=RunConfig(
            name="ray",
            storage_path=str(run.path.resolve()),
            failure_config=FailureConfig(max_failures=cluster.max_failures),
            checkpoint_config=CheckpointConfig(num_to_keep=settings.checkpoint.keep),
            callbacks=[StopOnUserError()],
        ),
    )
    # Ray Train's own answer to Ctrl-C waits for a controller that may be busy for minutes, then exits with 0.
    trainer._register_sigint_handler = lambda controller: None
    run.error.unlink(missing_ok=True)
    clear_stop_request(run)
    try:
        trainer.fit()
    except TrainingFailedError as error:
        if not run.error.exists():  # the workers write their own, if they live to
            run.error.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        raise as_user_error(error, run, cluster.max_failures) from error


def as_user_error(error: Exception, run: RunDir, max_failures: int) -> LlinkError:
    """A failure of Ray Train in one sentence: a worker's own words, where it had any."""
    from ray.exceptions import RayActorError
    from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError

    died = (WorkerHealthCheckFailedError, RayActorError)
    causes = list(getattr(error, "worker_failures", {}).values())
    causes += [cause] if (cause := getattr(error, "controller_failure", None)) else []
    for cause in causes:
        if isinstance(cause, JobFailed):
            return JobFailed(f"{cause}; then go on with --resume {run.path}")
        if isinstance(cause, LlinkError):
            return cause
    if any(isinstance(c, died) for c in causes):  # the others only missed it
        reason = (
            f"a worker's process died {max_failures + 1} times, most likely of too little memory: give it "
            "more, or lower stage_b.batch_size in a new run"
        )
    else:
        cause = causes[0] if causes else error
        reason = ": ".join([type(cause).__name__, *str(cause).strip().splitlines()[:1]])
    return JobFailed(
        f"training stopped: {reason} (whole text in {run.error}); go on with --resume {run.path}"
    )
