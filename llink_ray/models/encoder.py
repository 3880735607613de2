"""The frozen multilingual sentence encoder: foreign text -> vectors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from llink_ray.errors import LlinkError
from llink_ray.models.loading import quiet_loading
from llink_ray.models.locate import explain_errors, fingerprint, locate, require_pooling, require_vocabulary
from llink_ray.settings import EncoderSettings

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


@dataclass(frozen=True)
class Encoded:
    """The encoder's output for B texts."""

    vectors: torch.Tensor
    """What the projector reads, (B, d_in), float32: the sentence vectors, or, with ``encoder.layers``, the
    mean states of these layers side by side."""
    tokens: torch.Tensor | None = None
    """Token states, (B, T, d_enc), float32, zero where padded."""
    mask: torch.Tensor | None = None
    """(B, T), bool: where a token stands."""
    sentence: torch.Tensor | None = None
    """The model's own sentence vectors, (B, d_enc), float32."""
    slot_counts: torch.Tensor | None = None
    """(B,), long: soft slots of each text; None where each has ``slots.count``."""

    def with_slot_counts(self, counts: Iterable[int]) -> Encoded:
        """The same, and how many slots stand for each text."""
        return replace(self, slot_counts=torch.tensor([*counts], dtype=torch.long))

    def to(self, device: torch.device | str) -> Encoded:
        """The same on another device."""
        moved = (None if part is None else part.to(device) for part in vars(self).values())
        return Encoded(*moved)  # type: ignore[arg-type]  # vectors are never None


Spans = list[tuple[int, int, int]]
"""Position in the token sequence, start and end in the text, of each of a text's own tokens."""


def text_token_spans(
    tokenizer: Any, texts: list[str], settings: EncoderSettings, max_tokens: int | None
) -> list[Spans]:
    """The tokens of each text itself, without those of the prompt and special ones.

    A text of which the tokenizer makes no token of its own has its last token, with an empty span.

    Raises:
        LlinkError: the tokenizer does not say where its tokens stand.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise LlinkError(
            f"encoder {settings.model!r} has a tokenizer without offsets, which encoder.text_tokens_only "
            "needs: set it to false"
        )
    before = len(settings.prompt)
    prepared = [settings.prompt + text[: settings.max_characters] for text in texts]
    # Called as the model calls it, padding included: see Encoder.characters_read.
    tokens = tokenizer(
        prepared, padding=True, truncation=True, max_length=max_tokens, return_offsets_mapping=True
    )
    spans = []
    for mask, offsets in zip(tokens["attention_mask"], tokens["offset_mapping"], strict=True):
        own = [
            (i, max(0, start - before), end - before)
            for i, (start, end) in enumerate(offsets)
            if mask[i] and end > max(start, before)
        ]
        spans.append(own or [(max(i for i, there in enumerate(mask) if there), 0, 0)])
    return spans


def load_encoder_tokenizer(settings: EncoderSettings) -> Any:
    """The encoder's tokenizer, without its weights.

    Raises:
        LlinkError: no such model, or no tokenizer.
    """
    from transformers import AutoTokenizer

    with explain_errors(settings.model, "encoder"):
        return AutoTokenizer.from_pretrained(locate(settings.model, "encoder"), revision=settings.revision)


def _rows_at(states: torch.Tensor, spans: list[Spans]) -> tuple[torch.Tensor, torch.Tensor]:
    """The states (B, T', d) at the positions of ``spans``, zero where padded, and their mask (B, T')."""
    rows = [row[[i for i, _, _ in own]] for row, own in zip(states, spans, strict=True)]
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones(len(row)) for row in rows], batch_first=True).bool()
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True), mask


class Encoder:
    """A sentence-transformers model, or a plain transformer with the pooling that settings name.

    A static one (``StaticEmbedding``, model2vec) has no transformer: token states are its token embeddings.
    """

    def __init__(self, model: SentenceTransformer, settings: EncoderSettings) -> None:
        self.model = model.eval().requires_grad_(False)
        self.settings = settings
        self.token_dim = int(model[0].get_embedding_dimension())
        self.sentence_dim = int(model.get_embedding_dimension() or 0)
        self.dim = len(settings.layers) * self.token_dim or self.sentence_dim
        if settings.layers or settings.token_layer:
            self._enable_hidden_states()
        self.fingerprint = fingerprint(settings.model, settings.revision, "encoder")
        self.forwards = 0
        """Batches encoded so far; 0 where all features came from the store."""

    @classmethod
    def load(
        cls, settings: EncoderSettings, device: str = "cpu", dtype: torch.dtype = torch.float32
    ) -> Encoder:
        """Load from a directory or the hub. In half precision a text's vector depends slightly on its batch.

        Raises:
            LlinkError: no such model, no tokenizer, a plain transformer without a pooling setting, or a first
                module that is neither a transformer nor a static embedding.
        """
        found = locate(settings.model, "encoder")
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding, Transformer

        precision = {"dtype": dtype}
        with explain_errors(settings.model, "encoder"), quiet_loading():
            if settings.pooling is None:
                require_pooling(settings.model, settings.revision)
                model = SentenceTransformer(
                    found, revision=settings.revision, device=device, model_kwargs={**precision}
                )
            else:
                pinned = {"revision": settings.revision} if settings.revision else {}
                transformer = Transformer(
                    found,
                    model_kwargs={**pinned, **precision},
                    config_kwargs={**pinned},
                    processor_kwargs={**pinned},
                )
                pooling = Pooling(transformer.get_embedding_dimension(), settings.pooling)
                model = SentenceTransformer(modules=[transformer, pooling], device=device)
            if not isinstance(model[0], Transformer | StaticEmbedding):
                raise LlinkError(
                    f"encoder {settings.model!r} begins with {type(model[0]).__name__}, which gives no "
                    "vectors of tokens: give a model that begins with Transformer or StaticEmbedding"
                )
            require_vocabulary(model.tokenizer, settings.model, "encoder")
        return cls(model, settings)

    def _enable_hidden_states(self) -> None:
        """Have the model return its hidden states.

        Raises:
            LlinkError: a static encoder, or one that has fewer layers.
        """
        config = getattr(getattr(self.model[0], "auto_model", None), "config", None)
        count = getattr(config, "num_hidden_layers", 0)
        named = {
            "encoder.layers": self.settings.layers,
            "encoder.token_layer": (self.settings.token_layer or 0,),
        }
        wrong = [(key, n) for key, layers in named.items() for n in layers if not 0 <= n <= count]
        if wrong:
            raise LlinkError(
                f"{wrong[0][0]} names layer {wrong[0][1]}, but encoder {self.settings.model!r} has {count}: "
                f"name some of 0 to {count}, or none"
            )
        assert config is not None
        config.output_hidden_states = True

    def _truncated(self, texts: list[str]) -> list[str]:
        return [self.settings.prompt + text[: self.settings.max_characters] for text in texts]

    def token_counts(self, texts: list[str]) -> list[int]:
        """Tokens each text costs, for batching by length."""
        return [len(ids) for ids in self.token_ids(texts)]

    def token_ids(self, texts: list[str]) -> list[list[int]]:
        """Of texts as :meth:`encode` tokenises them."""
        prepared = self._truncated(texts)
        if self._static_embedding is not None:
            encodings = self.model.tokenizer.encode_batch(prepared, add_special_tokens=False)
            return [encoding.ids for encoding in encodings]
        counts = self.model.tokenizer(prepared, truncation=True, max_length=self._max_tokens)
        ids: list[list[int]] = counts["input_ids"]
        return ids

    @property
    def _max_tokens(self) -> int:
        return int(self.model.max_seq_length or 512)

    def characters_read(self, texts: list[str]) -> list[int]:
        """How many characters of each text are read; those behind them change no vector.

        Texts are truncated to ``max_characters`` and to the model's maximum of tokens; the latter is not seen
        with a tokenizer without offsets (static encoders, slow tokenizers).
        """
        tokenizer = self.model.tokenizer
        counts = [min(len(text), self.settings.max_characters) for text in texts]
        if not getattr(tokenizer, "is_fast", False) or not texts:
            return counts
        # Called as the model calls it, padding included: other options would change the tokenizer's state
        # for concurrent calls.
        tokens = tokenizer(
            self._truncated(texts),
            padding=True,
            truncation=True,
            max_length=self._max_tokens,
            return_offsets_mapping=True,
        )
        before = len(self.settings.prompt)
        for i, (mask, offsets) in enumerate(
            zip(tokens["attention_mask"], tokens["offset_mapping"], strict=True)
        ):
            if sum(mask) >= self._max_tokens:
                counts[i] = min(counts[i], max(0, max(end for _, end in offsets) - before))
        return counts

    @property
    def tokenizer(self) -> Any:
        """As a transformers tokenizer, also of a static encoder."""
        if self._static_embedding is None:
            return self.model.tokenizer
        from transformers import PreTrainedTokenizerFast

        plain = self.model.tokenizer
        return PreTrainedTokenizerFast(
            tokenizer_object=plain, unk_token=getattr(plain.model, "unk_token", None)
        )

    @property
    def _static_embedding(self) -> torch.nn.EmbeddingBag | None:
        """Token embeddings of a static encoder."""
        return getattr(self.model[0], "embedding", None)

    @torch.inference_mode()
    def encode(self, texts: list[str], with_tokens: bool = False) -> Encoded:
        """Encode B texts in one forward."""
        self.forwards += 1
        batch = self.model.preprocess(self._truncated(texts))
        batch = {k: v.to(self.model.device) if isinstance(v, torch.Tensor) else v for k, v in batch.items()}
        out = self.model(batch)
        sentence = out["sentence_embedding"].float().cpu()  # (B, d_enc)
        vectors = self._layer_means(out) if self.settings.layers else sentence
        if not with_tokens:
            return Encoded(vectors, sentence=sentence)
        if self._static_embedding is not None:
            return Encoded(
                vectors, *self._static_states(self.token_ids(texts), self._static_embedding), sentence
            )
        layer = self.settings.token_layer
        tokens = out["all_layer_embeddings"][layer] if layer else out["token_embeddings"]  # (B, T, d_enc)
        mask = out["attention_mask"].bool().cpu()  # (B, T)
        if self.settings.text_tokens_only:
            spans = text_token_spans(self.model.tokenizer, texts, self.settings, self._max_tokens)
            return Encoded(vectors, *_rows_at(tokens.float().cpu(), spans), sentence)
        return Encoded(vectors, tokens.float().cpu() * mask[..., None], mask, sentence)

    def token_spans(self, texts: list[str]) -> list[Spans]:
        """Where the tokens stand whose states :meth:`encode` gives with ``text_tokens_only``."""
        return text_token_spans(self.model.tokenizer, texts, self.settings, self._max_tokens)

    def _static_states(
        self, ids: list[list[int]], table: torch.nn.EmbeddingBag
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Token states (B, T, d_enc) and mask (B, T) of a static encoder."""
        rows = [torch.tensor(row or [0]) for row in ids]  # a text without tokens gets one, zero
        padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)  # (B, T)
        places, counts = (
            torch.arange(padded.shape[1]),
            torch.tensor([[len(row)] for row in ids]),
        )  # (T,), (B, 1)
        states = table.weight.float().cpu()[padded] * (places < counts)[..., None]
        return states, places < counts.clamp(min=1)

    def _layer_means(self, out: dict[str, Any]) -> torch.Tensor:
        """Means over the tokens of each of the settings' layers, side by side, (B, L·d)."""
        states, mask = out["all_layer_embeddings"], out["attention_mask"][..., None].float()  # (B, T, 1)
        means = [(states[layer].float() * mask).sum(1) / mask.sum(1) for layer in self.settings.layers]
        return torch.cat(means, dim=-1).cpu()
