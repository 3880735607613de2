"""What Ray Train must not try a second time."""

from __future__ import annotations

from typing import Any

from ray.train import UserCallback

from llink_ray.errors import LlinkError


class StopOnUserError(UserCallback):  # type: ignore[misc]
    """Ends a run at a worker's own sentence to a person, which another try would only repeat.

    Lost workers and everything else are left to ``cluster.max_failures``.
    """

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Called in Ray Train's controller; what is raised here ends the run."""
        for error in worker_exceptions.values():
            if isinstance(error, LlinkError):
                raise error
