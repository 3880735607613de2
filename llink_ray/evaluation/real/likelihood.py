"""How likely a decoder finds given answers: one forward over a prompt, then its candidates on the cache."""

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

Nats = npt.NDArray[np.float64]
"""(T,) log-probability of each token of one candidate."""


@dataclass(frozen=True)
class Trial:
    """One prompt and the answers that are weighed behind it."""

    prompt: tuple[int, ...]
    """Token ids; ``SLOT_ID`` where soft slots go."""
    foreign: tuple[str, ...]
    """Texts that those slots stand for, in order."""
    candidates: tuple[tuple[int, ...], ...]
    """Token ids of each answer, one token at least."""

    @property
    def shared(self) -> int:
        """Tokens that all candidates begin with; each keeps one token or more of its own."""
        most = min(map(len, self.candidates)) - 1
        first = self.candidates[0]
        differs = (i for i in range(most) if any(c[i] != first[i] for c in self.candidates))
        return next(differs, most)

    @property
    def opened(self) -> tuple[int, ...]:
        """The prompt, and what all candidates begin with."""
        return self.prompt + self.candidates[0][: self.shared]


class Causal(Protocol):
    """What is asked: a causal model, and the way rows of ids become its input."""

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
    causal: Causal, trials: Sequence[Trial], batch_tokens: int, done: Advance = ignore_progress
) -> list[list[Nats]]:
    """Log-probabilities of every token of every candidate: trial by trial, candidate by candidate.

    ``batch_tokens`` bounds the padded tokens of one forward, a single row apart. It changes the time, and
    the figures by rounding alone.
    """
    found: list[list[Nats]] = [[] for _ in trials]
    for part in _batches([len(trial.opened) for trial in trials], batch_tokens):
        for place, nats in zip(part, _batch(causal, [trials[i] for i in part], batch_tokens), strict=True):
            found[place] = nats
        done(len(part))
    return found


def _batches(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Places in batches of like length, whose padded size stays in bounds."""
    part: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if part and (len(part) + 1) * lengths[place] > batch_tokens:
            yield part
            part = []
        part.append(place)
    if part:
        yield part


def _batch(causal: Causal, trials: Sequence[Trial], batch_tokens: int) -> list[list[Nats]]:
    shared = [trial.shared for trial in trials]
    embedded, mask = causal.embedded([t.opened for t in trials], [f for t in trials for f in t.foreign])
    cache, keep = DynamicCache(), max(shared) + 1
    logits = causal.model(
        inputs_embeds=embedded,
        attention_mask=mask,
        position_ids=positions(mask),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=keep,
    ).logits[:, -keep:]  # (B, keep, V)
    remembered = PaddedCache.from_dynamic(cache, mask.sum(1).tolist())
    opening = [logits[i, keep - 1 - n :].float().log_softmax(-1) for i, n in enumerate(shared)]  # (n+1, V)
    rows = [(i, c[n:]) for i, (t, n) in enumerate(zip(trials, shared, strict=True)) for c in t.candidates]
    firsts = [
        torch.cat([_picked(opening[i][:-1], t.candidates[0][:n]), opening[i][-1:, [tail[0]]].flatten()])
        for i, tail in rows
        for t, n in [(trials[i], shared[i])]
    ]
    found: list[list[Nats]] = [[] for _ in trials]
    rest: list[Nats] = [np.zeros(0)] * len(rows)
    longer = [place for place, (_, tail) in enumerate(rows) if len(tail) > 1]
    for part in _batches([len(rows[place][1]) - 1 for place in longer], batch_tokens):
        places = [longer[k] for k in part]
        behind = _behind(causal, remembered, [rows[place] for place in places])
        for place, nats in zip(places, behind, strict=True):
            rest[place] = nats
    for (i, _), first, nats in zip(rows, firsts, rest, strict=True):
        found[i].append(np.concatenate([first.double().cpu().numpy(), nats]))
    return found


def _behind(
    causal: Causal, remembered: PaddedCache, rows: Sequence[tuple[int, tuple[int, ...]]]
) -> list[Nats]:
    """Log-probabilities of the second and later tokens of R tails, each behind row ``i`` of the cache."""
    cache = remembered.select([i for i, _ in rows])
    width = max(len(tail) for _, tail in rows) - 1  # T
    ids = torch.zeros(len(rows), width, dtype=torch.long)  # (R, T)
    there = torch.zeros(len(rows), width, dtype=torch.long)  # (R, T)
    for row, (_, tail) in enumerate(rows):
        ids[row, : len(tail) - 1] = torch.tensor(tail[:-1])
        there[row, : len(tail) - 1] = 1
    before = left_mask(cache.lengths, cache.width, cache.layers[0][0].device)  # (R, W)
    mask = torch.cat([before, there.to(before.device)], 1)  # (R, W + T)
    logits = causal.model(
        inputs_embeds=causal.tokens_embedded(ids),
        attention_mask=mask,
        position_ids=positions(mask)[:, -width:],
        past_key_values=cache.to_dynamic(),
        use_cache=True,
    ).logits  # (R, T, V)
    found = []
    for row, (_, tail) in enumerate(rows):
        nats = _picked(logits[row, : len(tail) - 1].float().log_softmax(-1), tail[1:])
        found.append(nats.double().cpu().numpy())
    return found


def _picked(told: torch.Tensor, tokens: Sequence[int]) -> torch.Tensor:
    """(T,) what log-probabilities (T, V) say of T tokens."""
    wanted = torch.tensor(list(tokens), dtype=torch.long, device=told.device)
    return told.gather(-1, wanted[:, None])[:, 0]
