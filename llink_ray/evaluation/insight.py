"""What the decoder reads for one text: slots in words, attention while it answers, similarities.

from llink_ray.evaluation.insight import insight
from llink_ray.evaluation.insight_tables import print_insight
from llink_ray.evaluation.insight_plots import draw_insight

result = insight(pipeline, "What does this say in English?", text, others=more_texts)
print_insight(result)
draw_insight(result, Path("insight.png"))
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch.nn import functional as F

from llink_ray.bundles.pipeline import LlinkPipeline
from llink_ray.evaluation.attention import PARTS, attention, layout
from llink_ray.models.llink import collate
from llink_ray.text.languages import find
from llink_ray.text.normalisation import visible
from llink_ray.text.numerals import numerals


@dataclass(frozen=True, slots=True)
class TokenScore:
    """A token of the decoder's vocabulary, and how near it is to a slot."""

    token: str
    """As text, blanks as they are."""
    score: float


@dataclass(frozen=True, slots=True)
class Slot:
    """One soft slot in words."""

    nearest: list[TokenScore]
    """Input embeddings nearest to it, by cosine."""
    read: list[TokenScore]
    """Output rows applied to the slot at their scale, by probability: what Stage B's words-in-order term
    trains."""


@dataclass(frozen=True, slots=True)
class Insight:
    """One text as the decoder reads it: K slots, T answer tokens, L layers, B texts in all."""

    language: str
    instruction: str
    text: str
    others: list[str]
    """The B - 1 texts that it is compared with."""
    answer: str
    """As ``LlinkPipeline.answer`` gives it."""
    answer_tokens: list[str]
    """T tokens; the one that ended the answer too, unless it was cut."""
    columns: list[str]
    """K + 4 names: slots ``1`` to ``K``, then marks, numerals, instruction, answer (so far)."""
    attention: list[list[float]]
    """(T, K + 4) shares, mean over heads and layers; a row is of the position that predicts the token.
    Empty where the decoder returns none."""
    attention_by_layer: list[list[list[float]]]
    """(L, T, K + 4), mean over heads."""
    attention_missing: str
    """Why there is no attention; empty where there is."""
    slots: list[Slot]
    within: list[list[float]]
    """(K, K) cosines of slots within a text, mean over the B texts."""
    between: list[list[float]]
    """(B, B) cosines of the texts' mean slots, the text itself first."""
    pieces: list[str]
    """The encoder's tokens of the text, with those that its tokenizer adds."""
    unknown: int
    """How many of them stand for letters outside of the encoder's vocabulary."""
    numerals: list[str]
    """The numerals lane; empty where the bundle has none."""
    tokens_raw: int
    """Tokens of the prompt with the text itself in it."""
    tokens_slots: int
    """Tokens of the prompt with slots for the text."""

    def as_dict(self) -> dict[str, Any]:
        """Lists, text and numbers only."""
        return asdict(self)


@torch.inference_mode()
def insight(
    pipeline: LlinkPipeline, instruction: str, text: str, others: Sequence[str] = (), top: int = 5
) -> Insight:
    """Inspect one text, answered as :meth:`LlinkPipeline.answer` does; ``others`` are only compared with it.

    ``top`` is how many vocabulary tokens each slot is shown with.
    """
    text, others = pipeline.normalise(text), [pipeline.normalise(other) for other in others]
    slots = pipeline.model.soft_slots(pipeline.encode([text]))
    decoder, settings = pipeline.decoder, pipeline.settings
    prompt = layout(
        decoder.prompt_builder, visible(instruction), text, settings.slots, find(pipeline.language)
    )
    prompts = collate([prompt.ids]).to(decoder.device)
    recorder = _TokenRecorder(pipeline.model.decoder)
    embedded = pipeline.model.embed(prompts, slots)
    (answer,) = decoder.greedy(embedded, prompts.mask, settings.evaluation.max_new_tokens, recorder)
    ends = [i for i, token in enumerate(recorder.ids) if token in decoder.stop_ids()]
    tokens = recorder.ids[: ends[0] + 1] if ends else recorder.ids
    weights = attention(pipeline.model, prompt, slots, tokens)  # (L, T, K+4)
    size = settings.evaluation.batch_size
    batches = [list(others[i : i + size]) for i in range(0, len(others), size)]
    every = [slots, *(pipeline.model.soft_slots(pipeline.encode(batch)) for batch in batches)]
    width = max(part.width for part in every)
    padded = [F.pad(part.vectors, (0, 0, 0, width - part.width)) for part in every]
    unit = F.normalize(torch.cat(padded).float(), dim=-1)
    summaries = [pipeline.model.slots.summary(part) for part in every]
    mean = F.normalize(torch.cat(summaries).float(), dim=-1)
    pieces, unknown = _pieces(pipeline, text)
    return Insight(
        language=pipeline.language,
        instruction=instruction,
        text=text,
        others=others,
        answer=answer,
        answer_tokens=[readable(decoder.tokenizer, token) for token in tokens],
        columns=[*(str(i + 1) for i in range(slots.width)), *PARTS],
        attention=[] if isinstance(weights, str) else weights.mean(0).tolist(),
        attention_by_layer=[] if isinstance(weights, str) else weights.tolist(),
        attention_missing=weights if isinstance(weights, str) else "",
        slots=_in_words(pipeline, slots.vectors[0], top),
        within=(unit @ unit.transpose(1, 2)).mean(0).tolist(),
        between=(mean @ mean.T).tolist(),
        pieces=pieces,
        unknown=unknown,
        numerals=numerals(text, find(pipeline.language)) if settings.slots.numerals else [],
        tokens_raw=len(decoder.prompt_builder.text_prompt(instruction, text)),
        tokens_slots=len(prompt.ids),
    )


class _TokenRecorder:
    """A causal model that keeps the tokens it generates."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.ids: list[int] = []

    def generate(self, **arguments: Any) -> torch.Tensor:
        ids: torch.Tensor = self.model.generate(**arguments)  # (1, T)
        self.ids = ids[0].tolist()
        return ids


def readable(tokenizer: Any, token: int) -> str:
    """A token as text; as the vocabulary writes it where its bytes are only part of a letter."""
    text = str(tokenizer.decode([token]))
    if text and "\ufffd" not in text:
        return text
    return str(tokenizer.convert_ids_to_tokens(token) or "")


def _pieces(pipeline: LlinkPipeline, text: str) -> tuple[list[str], int]:
    """The encoder's tokens of a text as :meth:`Encoder.encode` reads it, and how many are unknown."""
    tokenizer, (ids,) = pipeline.encoder.tokenizer, pipeline.encoder.token_ids([text])
    return [readable(tokenizer, i) for i in ids], sum(i == tokenizer.unk_token_id for i in ids)


def _in_words(pipeline: LlinkPipeline, slots: torch.Tensor, top: int) -> list[Slot]:
    """Slots (K, d) as vocabulary tokens."""
    decoder = pipeline.decoder
    table, head = (
        pipeline.model.decoder.get_input_embeddings(),
        pipeline.model.decoder.get_output_embeddings(),
    )
    known = min(
        len(decoder.tokenizer), table.weight.shape[0]
    )  # embedding tables are often longer than vocabularies
    unit = F.normalize(slots.float(), dim=-1)
    near = torch.cat(
        [
            unit @ F.normalize(table(block).float(), dim=-1).T
            for block in torch.arange(known, device=slots.device).split(8_192)
        ],
        dim=1,
    )  # (K, V)
    scaled = F.layer_norm(slots, slots.shape[-1:])  # as in Stage B's loss
    read = head(scaled.to(head.weight.dtype)).float().softmax(-1)[:, :known]  # (K, V)

    def top_tokens(scores: torch.Tensor) -> list[list[TokenScore]]:
        values, ids = scores.topk(min(top, scores.shape[1]))
        return [
            [TokenScore(readable(decoder.tokenizer, i), v) for i, v in zip(row, best, strict=True)]
            for row, best in zip(ids.tolist(), values.tolist(), strict=True)
        ]

    return [Slot(n, r) for n, r in zip(top_tokens(near), top_tokens(read), strict=True)]
