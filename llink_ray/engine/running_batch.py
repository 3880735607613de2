"""The running batch: requests join it, get one token a step together, and leave it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable

import torch

from llink_ray.engine.forward import Forward
from llink_ray.engine.kv_cache import PaddedCache
from llink_ray.engine.request_state import RequestState

_log = logging.getLogger(__name__)
_NOT_FINITE = (
    "the decoder's output for this request is not a number: look at its prompt embeddings and adapter"
)
_Part = tuple[list[RequestState], torch.Tensor, PaddedCache]
"""Rows, their logits (B, V) and their cache."""


class RunningBatch:
    """Rows over one padded cache. A row that fails leaves alone; ``on_leave`` is told of each that ends."""

    def __init__(self, forward: Forward, on_leave: Callable[[RequestState], None]) -> None:
        self._forward, self._on_leave = forward, on_leave
        self.rows: list[RequestState] = []
        self._cache: PaddedCache | None = None
        self.counts = Counter[str]()
        """``prompt_tokens``, ``tokens``, ``joins``."""
        self.sizes = Counter[int]()
        """Decoding steps by the number of rows in them."""

    def keep(self, stays: Callable[[RequestState], bool]) -> None:
        """Drop the rows that do not stay; they have ended."""
        kept = [i for i, row in enumerate(self.rows) if stays(row)]
        if len(kept) < len(self.rows):
            self.rows = [self.rows[i] for i in kept]
            self._cache = self._cache.select(kept) if self._cache is not None and kept else None

    def clear(self) -> None:
        """Drop all rows."""
        self.rows, self._cache = [], None

    def join(self, rows: list[RequestState]) -> None:
        """Prefill the rows' prompts together, choose their first tokens and merge them in."""
        self.counts["joins"] += len(rows)
        for part in self._prefill(rows):
            self._settle(*part)

    def step(self) -> bool:
        """One more token for every row. False where there is none."""
        if not self.rows:
            return False
        assert self._cache is not None, "running rows have a cache"
        self.sizes[len(self.rows)] += 1
        rows, cache = self.rows, self._cache
        self.clear()
        for part in self._decode(rows, cache):
            self._settle(*part)
        return True

    def _prefill(self, rows: list[RequestState]) -> list[_Part]:
        """Process prompts; where that fails, by halves, so that the row at fault ends alone."""
        try:
            prompts = [row.request.prompt for row in rows]
            logits, cache = self._forward.prefill(prompts, [row.adapter for row in rows])
        except Exception as error:
            if len(rows) == 1:
                return self._fail(rows[0], error)
            half = len(rows) // 2
            return self._prefill(rows[:half]) + self._prefill(rows[half:])
        self.counts["prompt_tokens"] += sum(cache.lengths)
        for row in rows:
            row.prompt_tokens = row.request.prompt.length
        return [(rows, logits, cache)]

    def _decode(self, rows: list[RequestState], cache: PaddedCache) -> list[_Part]:
        """Feed each row's last token; where that fails, by halves."""
        try:
            tokens, adapters = [row.last_token for row in rows], [row.adapter for row in rows]
            return [(rows, *self._forward.step(tokens, cache, adapters))]
        except Exception as error:
            if len(rows) == 1:
                return self._fail(rows[0], error)
            half, indices = len(rows) // 2, range(len(rows))
            first = self._decode(rows[:half], cache.select(indices[:half]))
            return first + self._decode(rows[half:], cache.select(indices[half:]))

    def _fail(self, row: RequestState, error: Exception) -> list[_Part]:
        _log.error("a request failed: %s", type(error).__name__, exc_info=error)
        row.end("error", f"the decoder failed on this request ({type(error).__name__})")
        self._on_leave(row)
        return []

    def _settle(self, rows: list[RequestState], logits: torch.Tensor, cache: PaddedCache) -> None:
        """Choose each row's token from logits (B, V); rows that go on are merged in."""
        best, ids = (part.tolist() for part in logits.max(-1))  # NaN anywhere makes the maximum NaN
        kept = []
        for i, row in enumerate(rows):
            try:
                if not abs(best[i]) < float("inf"):
                    row.end("error", _NOT_FINITE)
                else:
                    self.counts["tokens"] += 1
                    token = ids[i] if row.sampler.greedy else row.sampler(logits[i])
                    if row.advance(token, logits[i]):
                        kept.append(i)
                        continue
                self._on_leave(row)
            except Exception as error:
                self._fail(row, error)
        if not kept:
            return
        stays = cache if len(kept) == len(rows) else cache.select(kept)
        self.rows += [rows[i] for i in kept]
        self._cache = stays if self._cache is None else self._cache.concat(stays)
