"""Batches prepared ahead of the step that needs them, in a background thread."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")


class Prefetcher(Generic[T]):
    """Calls ``prepare(step)`` for the next ``depth`` steps while the current one is computed.

    A batch is a function of its step alone, so which steps were prepared ahead changes no value: asked for
    another step than the next, as after a restored checkpoint, it goes on from there. What ``prepare`` raises
    is raised by :meth:`take` at the step that it belongs to. The thread ends after the last step, with
    :meth:`close`, or with the last reference to this object.

    Args:
        prepare: step -> batch; called in one thread, in the order of the steps.
        steps: number of steps; none beyond is prepared.
        depth: batches held ready at most.
    """

    def __init__(self, prepare: Callable[[int], T], steps: int, depth: int = 2) -> None:
        self._prepare, self._steps, self._depth = prepare, steps, depth
        self._pending: deque[tuple[int, Future[T]]] = deque()
        self._executor: ThreadPoolExecutor | None = None
        self.wait_seconds = 0.0
        """Time that the last :meth:`take` waited for its batch."""

    def take(self, step: int) -> T:
        """The batch of ``step``, waited for if it is not ready."""
        if self._pending and self._pending[0][0] != step:
            self.close()
        started = time.perf_counter()
        self._submit(step, max(step + 1, min(step + self._depth, self._steps)))
        batch = self._pending.popleft()[1].result()
        self.wait_seconds = time.perf_counter() - started
        self._submit(step + 1, min(step + 1 + self._depth, self._steps))
        if not self._pending:
            self.close()
        return batch

    def close(self) -> None:
        """Drop what was prepared; the thread ends after the batch that it is at."""
        self._pending.clear()
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = None

    def _submit(self, first: int, end: int) -> None:
        """Have the steps from ``first`` to before ``end`` prepared, as far as they are not."""
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
        for step in range(self._pending[-1][0] + 1 if self._pending else first, end):
            self._pending.append((step, self._executor.submit(self._prepare, step)))
