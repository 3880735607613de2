"""From logits to a token: greedy or sampled, and its log-probability."""

from __future__ import annotations

import secrets

import torch

from llink_ray.engine.types import SamplingParams, TokenLogprob
from llink_ray.engine.vocabulary import Vocabulary

GREEDY_BELOW = 1e-6
"""Temperatures below are greedy: division by them overflows float32 logits."""


class Sampler:
    """Chooses the tokens of one request, with a random generator of its own."""

    def __init__(self, sampling: SamplingParams) -> None:
        self.sampling = sampling
        self.greedy = sampling.temperature < GREEDY_BELOW
        self._generator = torch.Generator()
        if not self.greedy:
            self._generator.manual_seed(secrets.randbits(62) if sampling.seed is None else sampling.seed)

    def __call__(self, logits: torch.Tensor) -> int:
        """Logits (V,), float32 -> a token id.

        One uniform number a token is looked up in the cumulative probabilities in vocabulary order: rounding
        that differs with the batch size moves the borders by 1e-6 and never their order.
        """
        if self.greedy:
            return int(logits.argmax())
        probabilities = (logits.double() / self.sampling.temperature).softmax(-1)  # (V,)
        if self.sampling.top_p < 1:
            ordered, ids = probabilities.sort(descending=True, stable=True)
            before = ordered.cumsum(-1) - ordered
            probabilities[ids[before >= self.sampling.top_p]] = 0.0  # never the first: nothing is before it
        cumulative = probabilities.cumsum(-1)
        uniform = torch.rand((), generator=self._generator, dtype=torch.float64).item()
        token = int(torch.searchsorted(cumulative, uniform * float(cumulative[-1]), right=True))
        return token if token < len(probabilities) else int(probabilities.argmax())


def token_logprob(
    logits: torch.Tensor, token_id: int, top_count: int, vocabulary: Vocabulary
) -> TokenLogprob:
    """A token and the ``top_count`` likeliest by logits (V,), float32."""
    logprobs = logits.log_softmax(-1)

    def entry(i: int, logprob: float, top: tuple[TokenLogprob, ...] = ()) -> TokenLogprob:
        return TokenLogprob(i, vocabulary.name_of(i), logprob, vocabulary.bytes_of(i), top)

    values, ids = logprobs.topk(min(top_count, len(logprobs)))
    return entry(token_id, float(logprobs[token_id]), tuple(map(entry, ids.tolist(), values.tolist())))
