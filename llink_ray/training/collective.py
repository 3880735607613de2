"""Collective operations of the stages' workers; with one worker everything is local."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.distributed as dist


def world() -> tuple[int, int]:
    """(rank, number of workers)."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def _sendable(tensor: torch.Tensor) -> torch.Tensor:
    """``tensor`` on a device that the backend can send from: NCCL sends nothing from host memory."""
    return (tensor.cuda() if dist.get_backend() == "nccl" else tensor).contiguous()


def gather(local: torch.Tensor) -> torch.Tensor:
    """Rows of all workers in rank order, any number from each; gradients flow into this worker's only.

    Each worker then computes the loss of the *whole* batch, and the gradients of the workers add up
    (``sum``, not mean) to the gradient that one worker with all rows would have.
    """
    rank, workers = world()
    if workers == 1:
        return local
    counts = row_counts(len(local))
    padded = local.new_zeros(max(counts), *local.shape[1:])
    padded[: len(local)] = local.detach()
    sent = _sendable(padded)
    parts = [torch.empty_like(sent) for _ in range(workers)]
    dist.all_gather(parts, sent)
    parts = [part[:count].to(local.device) for part, count in zip(parts, counts, strict=True)]
    parts[rank] = local
    return torch.cat(parts)


def row_counts(count: int) -> list[int]:
    """Number of rows of each worker, in rank order; this one has ``count``."""
    workers = world()[1]
    if workers == 1:
        return [count]
    sent = _sendable(torch.tensor([count]))
    parts = [torch.empty_like(sent) for _ in range(workers)]
    dist.all_gather(parts, sent)
    return [int(part) for part in parts]


def sum_gradients(parameters: list[torch.nn.Parameter]) -> None:
    """Add up the gradients of all workers, in one message."""
    if world()[1] == 1:
        return
    grads = [p.grad for p in parameters if p.grad is not None]
    flat = _sendable(torch.cat([g.flatten() for g in grads]))
    dist.all_reduce(flat)
    for grad, total in zip(grads, flat.split([g.numel() for g in grads]), strict=True):
        grad.copy_(total.view_as(grad))


def broadcast_from_first(tensors: Iterable[torch.Tensor]) -> None:
    """Overwrite every worker's values with the first worker's: arithmetic may differ between machines."""
    if world()[1] == 1:
        return
    for tensor in tensors:
        sent = _sendable(tensor.detach().clone())
        dist.broadcast(sent, 0)
        tensor.data.copy_(sent.to(tensor.device))


def mean_over_workers(values: dict[str, float]) -> dict[str, float]:
    """Mean of each figure over the workers, in one message; all name the same figures."""
    workers = world()[1]
    if workers == 1:
        return values
    packed = _sendable(torch.tensor(list(values.values()), dtype=torch.float64))
    dist.all_reduce(packed)
    return dict(zip(values, (packed / workers).tolist(), strict=True))


def local_rows(count: int) -> slice:
    """This worker's contiguous part of ``count`` rows; ``count`` divides by the workers."""
    rank, workers = world()
    size = count // workers
    return slice(rank * size, (rank + 1) * size)
