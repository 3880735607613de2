"""How failures of Ray Train reach a person; the workers here train nothing."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cluster_runs import settings

from llink_ray.cluster.ray_train import as_user_error, run_ray_train
from llink_ray.cluster.run_directory import RunDir
from llink_ray.errors import JobFailed, LlinkError

Loop = Callable[[], None]
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def fitted(ray_cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Loop, int], None]:
    """Call ``run_ray_train`` with ``loop`` as what a worker does; it may fail ``max_failures`` times."""
    from ray import cloudpickle

    from llink_ray.cluster import worker

    cloudpickle.register_pickle_by_value(sys.modules[__name__])

    def run(loop: Loop, max_failures: int) -> None:
        def train(config: dict[str, Any]) -> None:
            with (Path(config["run_dir"]) / "attempts").open("a") as file:
                file.write("x")
            worker.TrainingWorker.__init__ = lambda self, config, log: None  # type: ignore[method-assign]
            worker.TrainingWorker.run = lambda self: loop()  # type: ignore[method-assign]
            worker.train(config)

        with monkeypatch.context() as patch:
            patch.setattr("llink_ray.cluster.worker.train", train)
            run_ray_train(
                RunDir(tmp_path), settings(f"cluster.max_failures={max_failures}"), {"run_dir": str(tmp_path)}
            )

    return run


def test_a_workers_own_sentence_comes_out_once(fitted: Any, tmp_path: Path) -> None:
    def loop() -> None:
        try:
            raise OSError("the disk's own words")
        except OSError as error:
            raise JobFailed("could not write the bundle: free some space") from error

    with pytest.raises(JobFailed) as caught:
        fitted(loop, 3)
    assert str(caught.value) == (
        f"could not write the bundle: free some space; then go on with --resume {tmp_path}"
    )
    assert (tmp_path / "attempts").read_text() == "x", "what cannot go well was tried again"
    told = (tmp_path / "error.txt").read_text()
    assert "the disk's own words" in told and told.count("Traceback") == 2


@pytest.mark.slow
def test_an_unknown_error_is_tried_again_and_told(fitted: Any, tmp_path: Path) -> None:
    def loop() -> None:
        raise RuntimeError("CUDA error: out of luck\nand more lines")

    with pytest.raises(JobFailed) as caught:
        fitted(loop, 1)
    assert str(caught.value) == (
        f"training stopped: RuntimeError: CUDA error: out of luck (whole text in {tmp_path / 'error.txt'}); "
        f"go on with --resume {tmp_path}"
    )
    assert (tmp_path / "attempts").read_text() == "xx"
    assert (tmp_path / "error.txt").read_text().count("\nand more lines") == 2


@pytest.mark.slow
def test_a_dying_process_is_named_as_such(fitted: Any, tmp_path: Path) -> None:
    def loop() -> None:
        time.sleep(3)  # Ray must have seen the workers run: a death at the start is another failure
        os._exit(1)

    with pytest.raises(JobFailed, match=r"process died 2 times.*memory.*--resume"):
        fitted(loop, 1)
    assert (tmp_path / "attempts").read_text() == "xx"
    assert (tmp_path / "error.txt").read_text()


def test_the_cause_is_found_among_collateral_failures(tmp_path: Path) -> None:
    from ray.train import ControllerError, WorkerGroupError
    from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError

    run = RunDir(tmp_path)
    lost = WorkerHealthCheckFailedError("A worker health check failed.", RuntimeError("actor died"))
    gloo = RuntimeError("Connection closed by peer")
    wrong = LlinkError("lora.targets names no layers")
    said = as_user_error(WorkerGroupError("…", {0: gloo, 1: lost}), run, 3)
    assert "process died 4 times" in str(said) and said.exit_code == 1
    assert as_user_error(WorkerGroupError("…", {0: gloo, 1: wrong}), run, 3) is wrong
    assert as_user_error(ControllerError(wrong), run, 3) is wrong
    assert "Connection closed by peer" in str(as_user_error(WorkerGroupError("…", {0: gloo}), run, 3))
