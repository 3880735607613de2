"""What the stages need of several workers; with one worker, or none, everything is local."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.distributed as dist


def world() -> tuple[int, int]:
    """(rank, number of workers)."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def _sent(tensor: torch.Tensor) -> torch.Tensor:
    """``tensor`` where the workers' channel takes it: NCCL carries nothing that lies in host memory."""
    return (tensor.cuda() if dist.get_backend() == "nccl" else tensor).contiguous()


def gather(local: torch.Tensor) -> torch.Tensor:
    """Rows of all workers in rank order, each with as many as it has; gradients flow into this worker's only.

    Each worker then computes the loss of the *whole* batch, and the gradients of the workers add up
    (``sum``, not mean) to the gradient that one worker with all rows would have.
    """
    rank, workers = world()
    if workers == 1:
        return local
    counts = row_counts(len(local))
    padded = local.new_zeros(max(counts), *local.shape[1:])
    padded[: len(local)] = local.detach()
    mine = _sent(padded)
    parts = [torch.empty_like(mine) for _ in range(workers)]
    dist.all_gather(parts, mine)
    parts = [part[:count].to(local.device) for part, count in zip(parts, counts, strict=True)]
    parts[rank] = local
    return torch.cat(parts)


def row_counts(count: int) -> list[int]:
    """How many rows each worker has, in rank order; this one has ``count``."""
    workers = world()[1]
    if workers == 1:
        return [count]
    mine = _sent(torch.tensor([count]))
    parts = [torch.empty_like(mine) for _ in range(workers)]
    dist.all_gather(parts, mine)
    return [int(part) for part in parts]


def sum_gradients(parameters: list[torch.nn.Parameter]) -> None:
    """Add up the gradients of all workers, in one message."""
    if world()[1] == 1:
        return
    grads = [p.grad for p in parameters if p.grad is not None]
    flat = _sent(torch.cat([g.flatten() for g in grads]))
    dist.all_reduce(flat)
    for grad, total in zip(grads, flat.split([g.numel() for g in grads]), strict=True):
        grad.copy_(total.view_as(grad))


def broadcast_from_first(tensors: Iterable[torch.Tensor]) -> None:
    """Give every worker the first worker's values, in place: arithmetic may differ between machines."""
    if world()[1] == 1:
        return
    for tensor in tensors:
        sent = _sent(tensor.detach().clone())
        dist.broadcast(sent, 0)
        tensor.data.copy_(sent.to(tensor.device))


def mean_over_workers(values: dict[str, float]) -> dict[str, float]:
    """Mean of each figure over the workers, in one message; all name the same figures."""
    workers = world()[1]
    if workers == 1:
        return values
    packed = _sent(torch.tensor(list(values.values()), dtype=torch.float64))
    dist.all_reduce(packed)
    return dict(zip(values, (packed / workers).tolist(), strict=True))


def local_rows(count: int) -> slice:
    """This worker's contiguous part of ``count`` rows; ``count`` divides by the workers."""
    rank, workers = world()
    size = count // workers
    return slice(rank * size, (rank + 1) * size)
