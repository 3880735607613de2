"""The frozen multilingual sentence encoder: foreign text -> vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from llink_ray.models.locate import explained, fingerprint, locate, require_pooling, require_vocabulary
from llink_ray.settings import EncoderSettings

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


@dataclass(frozen=True)
class Encoded:
    """What the encoder says of B texts."""

    vectors: torch.Tensor
    """Sentence vectors, (B, d_enc), float32."""
    tokens: torch.Tensor | None = None
    """Token states, (B, T, d_enc), float32, zero where padded."""
    mask: torch.Tensor | None = None
    """(B, T), bool: where a token stands."""


class Encoder:
    """A sentence-transformers model, or a plain transformer with the pooling that settings name."""

    def __init__(self, model: SentenceTransformer, settings: EncoderSettings) -> None:
        self.model = model.eval().requires_grad_(False)
        self.settings = settings
        self.dim = int(model.get_embedding_dimension() or 0)
        self.token_dim = int(model[0].get_embedding_dimension())
        self.fingerprint = fingerprint(settings.model, settings.revision, "encoder")
        self.forwards = 0
        """Batches read so far; what a second run on the same text keeps at zero."""

    @classmethod
    def load(cls, settings: EncoderSettings, device: str = "cpu") -> Encoder:
        """Load from a directory or the hub.

        Raises:
            LlinkError: no such model, no tokenizer, or a plain transformer and no pooling named.
        """
        found = locate(settings.model, "encoder")
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

        exact = {"dtype": torch.float32}  # in half precision a text's vector depends on its batch
        with explained(settings.model, "encoder"):
            if settings.pooling is None:
                require_pooling(settings.model, settings.revision)
                model = SentenceTransformer(
                    found, revision=settings.revision, device=device, model_kwargs={**exact}
                )
            else:
                pinned = {"revision": settings.revision} if settings.revision else {}
                transformer = Transformer(
                    found,
                    model_kwargs={**pinned, **exact},
                    config_kwargs={**pinned},
                    processor_kwargs={**pinned},
                )
                pooling = Pooling(transformer.get_embedding_dimension(), settings.pooling)
                model = SentenceTransformer(modules=[transformer, pooling], device=device)
            require_vocabulary(model.tokenizer, settings.model, "encoder")
        return cls(model, settings)

    def _prepared(self, texts: list[str]) -> list[str]:
        return [self.settings.prompt + text[: self.settings.max_characters] for text in texts]

    def token_counts(self, texts: list[str]) -> list[int]:
        """Tokens each text costs, for batching by length."""
        counts = self.model.tokenizer(self._prepared(texts), truncation=True, max_length=self._max_tokens)
        return [len(ids) for ids in counts["input_ids"]]

    @property
    def _max_tokens(self) -> int:
        return int(self.model.max_seq_length or 512)

    @torch.inference_mode()
    def encode(self, texts: list[str], with_tokens: bool = False) -> Encoded:
        """Read B texts in one forward."""
        self.forwards += 1
        batch = self.model.preprocess(self._prepared(texts))
        batch = {k: v.to(self.model.device) if isinstance(v, torch.Tensor) else v for k, v in batch.items()}
        out = self.model(batch)
        vectors = out["sentence_embedding"].float().cpu()  # (B, d_enc)
        if not with_tokens:
            return Encoded(vectors)
        mask = out["attention_mask"].bool().cpu()  # (B, T)
        tokens = out["token_embeddings"].float().cpu() * mask[..., None]  # (B, T, d_enc)
        return Encoded(vectors, tokens, mask)
