"""Log-probabilities of candidate answers: one forward over a prompt, then its candidates on the KV cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from transformers import DynamicCache

from llink_ray.engine.kv_cache import PaddedCache, left_mask
from llink_ray.models.decoder import positions
from llink_ray.progress import Advance, ignore_progress

LogProbs = npt.NDArray[np.float64]
"""(T,) log-probability of each token of one candidate."""


@dataclass(frozen=True)
class ScoringRequest:
    """One prompt and its candidate answers."""

    prompt: tuple[int, ...]
    """Token ids; ``SLOT_ID`` where soft slots go."""
    foreign: tuple[str, ...]
    """Texts that those slots stand for, in order."""
    candidates: tuple[tuple[int, ...], ...]
    """Token ids of each answer, one token at least."""

    @property
    def shared(self) -> int:
        """Number of tokens that all candidates begin with; each keeps one token or more of its own."""
        most = min(map(len, self.candidates)) - 1
        first = self.candidates[0]
        differs = (i for i in range(most) if any(c[i] != first[i] for c in self.candidates))
        return next(differs, most)

    @property
    def prefix(self) -> tuple[int, ...]:
        """The prompt, and what all candidates begin with."""
        return self.prompt + self.candidates[0][: self.shared]


class CausalModel(Protocol):
    """A causal model, and the way token ids become its input."""

    @property
    def model(self) -> Callable[..., Any]:
        """The model of ``transformers``, with adapters or without."""

    def embedded(
        self, rows: Sequence[Sequence[int]], foreign: Sequence[str]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Left-padded input embeddings (B, S, d) and their mask (B, S)."""

    def tokens_embedded(self, ids: torch.Tensor) -> torch.Tensor:
        """Input embeddings (B, T, d) of token ids (B, T)."""


@torch.inference_mode()
def log_probabilities(
    system: CausalModel,
    requests: Sequence[ScoringRequest],
    batch_tokens: int,
    done: Advance = ignore_progress,
) -> list[list[LogProbs]]:
    """Log-probabilities of every token of every candidate, by request and candidate.

    ``batch_tokens`` bounds the padded tokens of one forward, a single row apart. It changes the time, and
    the figures by rounding alone.
    """
    log_probs: list[list[LogProbs]] = [[] for _ in requests]
    for batch in _batches([len(request.prefix) for request in requests], batch_tokens):
        for i, rows in zip(batch, _batch(system, [requests[i] for i in batch], batch_tokens), strict=True):
            log_probs[i] = rows
        done(len(batch))
    return log_probs


def _batches(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Indices in batches of like length, whose padded size stays in bounds."""
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if batch and (len(batch) + 1) * lengths[i] > batch_tokens:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def _batch(
    system: CausalModel, requests: Sequence[ScoringRequest], batch_tokens: int
) -> list[list[LogProbs]]:
    shared = [request.shared for request in requests]
    embedded, mask = system.embedded([r.prefix for r in requests], [f for r in requests for f in r.foreign])
    cache, keep = DynamicCache(), max(shared) + 1
    logits = system.model(
        inputs_embeds=embedded,
        attention_mask=mask,
        position_ids=positions(mask),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=keep,
    ).logits[:, -keep:]  # (B, keep, V)
    prompts = PaddedCache.from_dynamic(cache, mask.sum(1).tolist())
    heads = [logits[i, keep - 1 - n :].float().log_softmax(-1) for i, n in enumerate(shared)]  # (n+1, V)
    tails = [(i, c[n:]) for i, (r, n) in enumerate(zip(requests, shared, strict=True)) for c in r.candidates]
    longer = [k for k, (_, tail) in enumerate(tails) if len(tail) > 1]
    rest: dict[int, LogProbs] = {}  # of the second and later tokens of each tail that has some
    for batch in _batches([len(tails[k][1]) - 1 for k in longer], batch_tokens):
        rows = [longer[j] for j in batch]
        rest |= zip(rows, _tail_log_probs(system, prompts, [tails[k] for k in rows]), strict=True)
    log_probs: list[list[LogProbs]] = [[] for _ in requests]
    for k, (i, tail) in enumerate(tails):
        tokens = (*requests[i].candidates[0][: shared[i]], tail[0])
        first = _gather(heads[i], tokens).double().cpu().numpy()
        log_probs[i].append(np.concatenate([first, rest.get(k, np.zeros(0))]))
    return log_probs


def _tail_log_probs(
    system: CausalModel, prompts: PaddedCache, tails: Sequence[tuple[int, tuple[int, ...]]]
) -> list[LogProbs]:
    """Of the second and later tokens of R tails, each after row ``i`` of the cache."""
    cache = prompts.select([i for i, _ in tails])
    width = max(len(tail) for _, tail in tails) - 1  # T
    ids = torch.zeros(len(tails), width, dtype=torch.long)  # (R, T)
    real = torch.zeros_like(ids)  # (R, T) 1 where a token is, 0 where padded
    for row, (_, tail) in enumerate(tails):
        ids[row, : len(tail) - 1] = torch.tensor(tail[:-1])
        real[row, : len(tail) - 1] = 1
    before = left_mask(cache.lengths, cache.width, cache.layers[0][0].device)  # (R, W)
    mask = torch.cat([before, real.to(before.device)], 1)  # (R, W + T)
    logits = system.model(
        inputs_embeds=system.tokens_embedded(ids),
        attention_mask=mask,
        position_ids=positions(mask)[:, -width:],
        past_key_values=cache.to_dynamic(),
        use_cache=True,
    ).logits  # (R, T, V)
    return [
        _gather(logits[row, : len(tail) - 1].float().log_softmax(-1), tail[1:]).double().cpu().numpy()
        for row, (_, tail) in enumerate(tails)
    ]


def _gather(log_probs: torch.Tensor, tokens: Sequence[int]) -> torch.Tensor:
    """(T,) log-probability of each of T tokens, from (T, V)."""
    index = torch.tensor(list(tokens), dtype=torch.long, device=log_probs.device)
    return log_probs.gather(-1, index[:, None])[:, 0]
