"""Models small enough to compute by hand: a state depends on the letter, its place and the text's length."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from llink_ray.features import FeatureSpec
from llink_ray.settings import DecoderSettings, EncoderSettings

DIM = 6


class FakeModel:
    """Encoder and decoder in one, reading letters as tokens."""

    def __init__(self, fingerprint: str = "f1") -> None:
        self.fingerprint = fingerprint
        self.batches: list[list[str]] = []

    def token_counts(self, texts: list[str]) -> list[int]:
        return [len(text) for text in texts]

    def encode(self, texts: list[str], with_tokens: bool) -> SimpleNamespace:
        self.batches.append(texts)
        width = max(1, *map(len, texts))
        tokens = torch.full((len(texts), width, DIM), torch.nan)  # (B, T, d); what is masked must not be read
        mask = torch.zeros(len(texts), width, dtype=torch.bool)
        for i, text in enumerate(texts):
            mask[i, : len(text)] = True
            if text:
                tokens[i, : len(text)] = states(text)
        vectors = torch.stack([vector(text) for text in texts])
        return SimpleNamespace(
            vectors=vectors, tokens=tokens if with_tokens else None, mask=mask if with_tokens else None
        )

    def teacher_states(self, texts: list[str]) -> torch.Tensor:
        self.batches.append(texts)
        return -torch.stack([vector(text) for text in texts])


def states(text: str) -> torch.Tensor:
    """Token states of one text, (T, d)."""
    codes = torch.tensor([float(ord(letter) % 97) for letter in text])
    return codes[:, None] / 8 + torch.arange(DIM) + torch.arange(len(text))[:, None]


def vector(text: str) -> torch.Tensor:
    """Sentence vector of one text, (d,)."""
    return states(text).mean(0) if text else torch.zeros(DIM)


def spec(texts: list[str], what: str = "encoder", **changes: object) -> FeatureSpec:
    """A spec over fakes, in shards of 4."""
    model = DecoderSettings(model="fake") if what == "teacher" else EncoderSettings(model="fake")
    given = {"what": what, "texts": tuple(texts), "model": model, "fingerprint": "f1", "shard_size": 4}
    return FeatureSpec(**(given | changes))  # type: ignore[arg-type]


TEXTS = ["ཀ", "a longer line", "", "two", "three", "སྐད་ཡིག", "b", "cc", "a longer line", "z" * 40, "?"]
