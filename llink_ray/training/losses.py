"""The losses of both stages, each a plain function of tensors (paper, sections 3.2 and 3.3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

_CHUNK = {"cpu": 1 << 21}
_CHUNK_ELSEWHERE = 1 << 26
"""Logits at a time in :func:`token_nats`: on a CPU what its caches hold, elsewhere what keeps it busy."""


def contrastive(
    queries: torch.Tensor,
    keys: torch.Tensor,
    own: torch.Tensor,
    temperature: float,
    negatives: torch.Tensor | None = None,
    negative_ids: torch.Tensor | None = None,
    hardest: int = 0,
) -> torch.Tensor:
    """InfoNCE of one direction: row i of ``queries`` (B, d) belongs to row i of ``keys`` (B, d).

    ``own`` (B,) identifies the sentence of each row; a row's own sentence is never its negative, neither
    elsewhere in the batch nor in ``negatives`` (Q, d), whose sentences are ``negative_ids`` (Q,). Of the
    latter each row takes its ``hardest`` by cosine. They have unit length already, so that many of them
    need not be normalised at every step. Returns the mean over rows.
    """
    queries, keys = F.normalize(queries, dim=-1), F.normalize(keys, dim=-1)
    logits = queries @ keys.T / temperature  # (B, B)
    same = own[:, None] == own[None, :]  # (B, B)
    itself = torch.eye(len(own), dtype=torch.bool, device=own.device)
    logits = logits.masked_fill(same & ~itself, float("-inf"))
    if negatives is not None and negative_ids is not None and len(negatives) and hardest:
        further = queries @ negatives.T / temperature  # (B, Q)
        further = further.masked_fill(own[:, None] == negative_ids[None, :], float("-inf"))
        if hardest < len(negatives):
            further = further.topk(hardest, dim=-1).values
        logits = torch.cat([logits, further], dim=1)
    loss: torch.Tensor = F.cross_entropy(logits, torch.arange(len(own), device=own.device))
    return loss


def direction(projected: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Mean squared distance of unit vectors, both (B, d): |u - v|² averaged over rows."""
    gap: torch.Tensor = F.normalize(projected, dim=-1) - F.normalize(teacher, dim=-1)
    return gap.square().sum(-1).mean()


def norm(projected: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Mean squared difference of log-norms, both (B, d)."""
    logs = [vectors.norm(dim=-1).clamp(min=1e-6).log() for vectors in (projected, teacher)]
    gap: torch.Tensor = logs[0] - logs[1]
    return gap.square().mean()


def predicting(labels: torch.Tensor) -> torch.Tensor:
    """(B, S), bool: positions whose next label counts; ``labels`` (B, S) are negative where they don't."""
    return F.pad(labels[:, 1:] >= 0, (0, 1))


def supervised(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Next-token loss by row: (sum of nats (B,), predicted tokens (B,)).

    ``logits`` (N, V) are those at the N positions that :func:`predicting` marks in ``labels`` (B, S).
    """
    counted = labels[:, 1:] >= 0  # (B, S-1)
    nats = token_nats(logits, labels[:, 1:][counted])  # (N,)
    rows = counted.nonzero()[:, 0]  # (N,)
    return nats.new_zeros(len(labels)).index_add(0, rows, nats), counted.sum(-1)


def token_nats(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy by token, (N,), at least float32; ``logits`` (N, V) in any format, ``targets`` (N,).

    The same figures as ``F.cross_entropy`` of the logits in float32, which nowhere exist as a whole: a fifth
    of a small decoder's step, and most of its memory, is such copies of the logits.
    """
    nats: torch.Tensor = _TokenNats.apply(logits, targets)  # type: ignore[no-untyped-call]
    return nats


class _TokenNats(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        wide = torch.promote_types(logits.dtype, torch.float32)
        largest, norms, nats = (logits.new_empty(len(logits), dtype=wide) for _ in range(3))
        for rows in _chunks(logits):
            largest[rows] = logits[rows].amax(-1)
            part = logits[rows] - largest[rows, None]
            own = part.gather(1, targets[rows, None])[:, 0]
            norms[rows] = part.exp_().sum(-1).log_()
            nats[rows] = norms[rows] - own
        ctx.save_for_backward(logits, targets, largest, norms)
        return nats

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[torch.Tensor, None]:
        logits, targets, largest, norms = ctx.saved_tensors
        gradient = torch.empty_like(logits)
        for rows in _chunks(logits):
            part = (logits[rows] - largest[rows, None]).sub_(norms[rows, None]).exp_()  # probabilities
            part[torch.arange(len(part), device=part.device), targets[rows]] -= 1
            gradient[rows] = part.mul_(upstream[rows, None])
        return gradient, None


def divergence(logits: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """KL divergence of a student's distributions from a teacher's by token, (N,), nats, at least float32.

    ``logits`` (N, V) get a gradient, those of ``teacher`` (N, V) none. As in :func:`token_nats` nothing of
    their size exists in float32.
    """
    nats: torch.Tensor = _Divergence.apply(logits, teacher)  # type: ignore[no-untyped-call]
    return nats


class _Divergence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
        wide = torch.promote_types(logits.dtype, torch.float32)
        nats = logits.new_empty(len(logits), dtype=wide)
        for rows in _chunks(logits):
            expected = teacher[rows].to(wide).log_softmax(-1)
            given = logits[rows].to(wide).log_softmax(-1)
            nats[rows] = (expected.exp() * (expected - given)).sum(-1)
        ctx.save_for_backward(logits, teacher)
        return nats

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[torch.Tensor, None]:
        logits, teacher = ctx.saved_tensors
        gradient = torch.empty_like(logits)
        for rows in _chunks(logits):
            part = logits[rows].to(upstream.dtype).softmax(-1)
            gradient[rows] = part.sub_(teacher[rows].to(upstream.dtype).softmax(-1)).mul_(
                upstream[rows, None]
            )
        return gradient, None


def _chunks(logits: torch.Tensor) -> Iterator[slice]:
    size = max(1, _CHUNK.get(logits.device.type, _CHUNK_ELSEWHERE) // max(1, logits.shape[1]))
    return (slice(start, start + size) for start in range(0, len(logits), size))


def usage(with_slots: torch.Tensor, ablated: torch.Tensor, margin: float) -> torch.Tensor:
    """Hinge by row, (B,): slots must win by ``margin`` nats a token.

    Both arguments are mean losses by row. The paper's text, not its code, gives the sign.
    """
    return F.relu(margin + with_slots - ablated)


def usage_as_in_the_papers_code(with_slots: torch.Tensor, ablated: torch.Tensor) -> torch.Tensor:
    """The authors' code, by row, (B,): ``relu(ablated - with_slots)`` is highest for the most useful slots.

    Kept to show what it does; arguments as in :func:`usage`.
    """
    return F.relu(ablated - with_slots)


def bag_of_words(
    logits: torch.Tensor, words: torch.Tensor, slot_counts: torch.Tensor | None = None
) -> torch.Tensor:
    """How well the slots, together, name the words: mean cross-entropy by row, (B,).

    ``logits`` (B, K, V) read each slot by the decoder's output rows; ``words`` (B, W) holds the token ids
    of the English, negative where padded; ``slot_counts`` (B,) the slots of each text where not all have K.
    """
    if slot_counts is not None:
        beyond = torch.arange(logits.shape[1], device=logits.device) >= slot_counts[:, None]  # (B, K)
        logits = logits.masked_fill(beyond[..., None], float("-inf"))
    together = torch.logsumexp(logits, dim=1).log_softmax(-1)  # (B, V)
    log_probabilities = together.gather(1, words.clamp(min=0))  # (B, W)
    present = words >= 0
    return -(log_probabilities * present).sum(-1) / present.sum(-1).clamp(min=1)


def words_in_order(
    logits: torch.Tensor, words: torch.Tensor, slot_counts: torch.Tensor | None = None
) -> torch.Tensor:
    """How well slot k names the words of the k-th of K parts of the English: mean nats by row, (B,).

    A bag says which words there are; the order says who did it and to whom. Arguments as for
    :func:`bag_of_words`, the words in reading order and padded on the right.
    """
    places = words.shape[1]
    slots = logits.shape[1] if slot_counts is None else slot_counts[:, None]  # K, or (B, 1)
    present = words >= 0
    counts = present.sum(-1, keepdim=True).clamp(min=1)  # (B, 1)
    part = torch.arange(places, device=words.device) * slots // counts  # (B, W)
    rows = torch.arange(len(words), device=words.device)[:, None]
    log_probabilities = logits.log_softmax(-1)[rows, part.clamp(max=slots - 1), words.clamp(min=0)]  # (B, W)
    return -(log_probabilities * present).sum(-1) / counts[:, 0]
