"""Feature extraction by parallel Ray actors that share only the store."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from llink_ray.cluster.local_ray import require_capacity, worker_capacity
from llink_ray.errors import JobFailed, LlinkError
from llink_ray.features.extract import ExtractionProgress, ExtractionResult, Work, compute_batches, distinct
from llink_ray.features.frozen import Loader, ModelHolder, load_model
from llink_ray.features.spec import FeatureSpec, Shard
from llink_ray.features.store import FeatureStore

_RESTARTS = 3


def extract(
    store_uri: str,
    specs: Iterable[FeatureSpec],
    *,
    batch_tokens: int = 8_192,
    cpus_per_task: float = 1.0,
    gpus_per_task: float = 0.0,
    max_tasks: int | None = None,
    load: Loader = load_model,
) -> ExtractionResult:
    """Compute what is missing of ``specs`` on the cluster, and open all of it.

    Pass encoder and teacher specs together: the same actors then serve both, each importing its libraries
    once. Where nothing is missing, neither Ray nor a model is used.

    Args:
        store_uri: a store that every machine of the cluster reaches.
        specs: equal ones are computed once.
        batch_tokens: padded tokens in one forward.
        cpus_per_task: CPUs, and torch threads, of one actor.
        gpus_per_task: GPUs of one actor; more than 0 puts the models there.
        max_tasks: most actors at a time; None for as many as the cluster has room for.
        load: builds the models.

    Raises:
        JobFailed: the cluster can never run one such actor, or a model or the store failed.
        LlinkError: the models cannot be loaded as configured.
    """
    store = FeatureStore(store_uri)
    unique = distinct(specs)
    shards = [shard for spec in unique for shard in store.missing(spec)]
    forwards = 0
    if shards:
        require_capacity(1, cpus_per_task, gpus_per_task)
        size = min(len(shards), worker_capacity(cpus_per_task, gpus_per_task), max_tasks or len(shards))
        pool = _Pool(size, cpus_per_task, gpus_per_task, (store.uri, load, batch_tokens, cpus_per_task))
        forwards = pool.run(shards)
    return ExtractionResult({spec.key: store.finish(spec) for spec in unique}, forwards)


class _Worker:
    """An actor; holds one model at a time.

    Set up by its first call, not by its constructor, whose failures Ray would report as a death.
    """

    def __init__(self, store_uri: str, load: Loader, batch_tokens: int, threads: float, device: str) -> None:
        self._uri, self._load, self._device = store_uri, load, device
        self._batch_tokens, self._threads = batch_tokens, max(1, int(threads))

    def ready(self) -> int:
        """Set up; no forwards yet."""
        import torch

        torch.set_num_threads(self._threads)
        self._store = FeatureStore(self._uri)
        self._models = ModelHolder(self._load, self._device)
        return 0

    def compute(self, shard: Shard) -> Iterator[Work]:
        """Compute and store one shard; yields the work of each forward."""
        if not hasattr(self, "_models"):  # Ray has restarted this process
            self.ready()
        yield from compute_batches(self._store, shard, self._models.get(shard), self._batch_tokens)


class _Pool:
    """Actors that each take the next shard when they are free.

    An actor gets work only once it runs: on a busy cluster some may have to wait for room, and their shards
    must not wait with them.
    """

    def __init__(self, size: int, cpus: float, gpus: float, arguments: tuple[Any, ...]) -> None:
        import ray

        actor = ray.remote(num_cpus=cpus, num_gpus=gpus, max_restarts=_RESTARTS, max_task_retries=_RESTARTS)(
            _Worker
        )
        device = "cuda" if gpus > 0 else "cpu"
        self._workers = [actor.remote(*arguments, device) for _ in range(size)]

    def run(self, shards: list[Shard]) -> int:
        """Compute all; returns the forwards. The actors are gone afterwards."""
        import ray

        queue, forwards = deque(shards), 0
        try:
            busy: dict[Any, tuple[Any, Shard | None]] = {
                worker.ready.remote(): (worker, None) for worker in self._workers
            }
            with ExtractionProgress(shards) as progress:
                # An actor that has no room yet is not waited for once nothing is left to do.
                while queue or any(shard for _, shard in busy.values()):
                    (ready, *_), _ = ray.wait(list(busy), num_returns=1)
                    worker, shard = busy[ready]
                    batch = _next(ready, shard, shards[0])
                    if shard is not None and batch is not None:
                        progress.update(shard, batch)
                        forwards += 1
                        continue
                    del busy[ready]
                    if queue:
                        next_shard = queue.popleft()
                        progress.start(next_shard)
                        batches = worker.compute.options(num_returns="streaming").remote(next_shard)
                        busy[batches] = (worker, next_shard)
        finally:
            for worker in self._workers:
                ray.kill(worker)
        return forwards


def _next(ready: Any, shard: Shard | None, first: Shard) -> Work | None:
    """The work of the next forward; None where the shard is stored, or the actor set up."""
    if shard is None:
        _result(ready, first)
        return None
    try:
        batch: Work = _result(next(ready), shard)
    except StopIteration:
        return None
    return batch


def _result(reference: Any, shard: Shard) -> Any:
    """Result of an actor for a shard, or its failure in a sentence."""
    import ray
    from ray.exceptions import RayActorError, RayTaskError

    where = f"shard {shard.index + 1} of {shard.total} of the {shard.what} features of {shard.model.model}"
    try:
        return ray.get(reference)
    except RayTaskError as error:
        if isinstance(error.cause, LlinkError):
            raise error.cause from None
        reason = next(iter(str(error.cause).strip().splitlines()), "")
        raise JobFailed(
            f"Computing {where} failed with {type(error.cause).__name__}: {reason}. What is done is kept; "
            f"if memory ran out, lower features.batch_tokens."
        ) from error
    except RayActorError as error:
        raise JobFailed(
            f"The process that computed {where} died {_RESTARTS + 1} times, most likely of too little "
            f"memory: lower features.batch_tokens, or give it a larger machine. What is done is kept."
        ) from error
