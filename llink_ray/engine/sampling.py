"""From logits to a token: greedy or drawn, and what the decoder thought of it."""

from __future__ import annotations

import secrets

import torch

from llink_ray.engine.types import SamplingParams, TokenLogprob
from llink_ray.engine.vocabulary import Vocabulary

COLDEST = 1e-6
"""Temperatures below take the likeliest token: what they would divide by is lost in the logits' rounding."""


class Sampler:
    """Chooses the tokens of one request with a generator of its own."""

    def __init__(self, sampling: SamplingParams) -> None:
        self.sampling = sampling
        self.greedy = sampling.temperature < COLDEST
        self._generator = torch.Generator()
        if not self.greedy:
            self._generator.manual_seed(secrets.randbits(62) if sampling.seed is None else sampling.seed)

    def __call__(self, logits: torch.Tensor) -> int:
        """Logits (V,), float32 -> a token id.

        One number is drawn a token and looked up in the cumulated probabilities in the order of the
        vocabulary: the rounding of another batch size moves the borders by 1e-6 and never their order.
        """
        if self.greedy:
            return int(logits.argmax())
        chances = (logits.double() / self.sampling.temperature).softmax(-1)  # (V,)
        if self.sampling.top_p < 1:
            ordered, ids = chances.sort(descending=True, stable=True)
            before = ordered.cumsum(-1) - ordered
            chances[ids[before >= self.sampling.top_p]] = 0.0  # the first stays: nothing is before it
        cumulated = chances.cumsum(-1)
        drawn = torch.rand((), generator=self._generator, dtype=torch.float64).item() * float(cumulated[-1])
        found = int(torch.searchsorted(cumulated, drawn, right=True))
        return found if found < len(chances) else int(chances.argmax())


def token_logprob(logits: torch.Tensor, chosen: int, count: int, vocabulary: Vocabulary) -> TokenLogprob:
    """The chosen token and the ``count`` likeliest by logits (V,), float32."""
    logprobs = logits.log_softmax(-1)

    def token(i: int, logprob: float, top: tuple[TokenLogprob, ...] = ()) -> TokenLogprob:
        return TokenLogprob(i, vocabulary.name_of(i), logprob, vocabulary.bytes_of(i), top)

    values, ids = logprobs.topk(min(count, len(logprobs)))
    top = tuple(map(token, ids.tolist(), values.tolist()))
    return token(chosen, float(logprobs[chosen]), top)
