"""What the decoder was given for one text, and where it looked while it answered.

from llink_ray.text.languages import find
from llink_ray.evaluation.insight import insight
from llink_ray.evaluation.insight_tables import print_insight
from llink_ray.evaluation.insight_plots import draw_insight

seen = insight(taught, "What does this say in English?", text, others=more_texts)
print_insight(seen)
draw_insight(seen, Path("insight.png"))
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
class Near:
    """A token of the decoder's vocabulary beside a slot."""

    token: str
    """As text, blanks as they are."""
    score: float


@dataclass(frozen=True, slots=True)
class Slot:
    """One soft slot in words."""

    nearest: list[Near]
    """Input embeddings nearest to it, by cosine."""
    read: list[Near]
    """What the output rows read of it once it has their scale, by probability: what Stage B's
    words-in-order term trains."""


@dataclass(frozen=True, slots=True)
class Insight:
    """One text as the decoder had it: K slots, T tokens answered, L layers, B texts in all."""

    language: str
    instruction: str
    text: str
    others: list[str]
    """The B - 1 texts that it is compared with."""
    answer: str
    """What ``LlinkPipeline.answer`` says."""
    answer_tokens: list[str]
    """T tokens said; the one that ended the answer too, unless it was cut."""
    columns: list[str]
    """K + 4 names: slots ``1`` to ``K``, then marks, numerals, instruction, answer (so far)."""
    attention: list[list[float]]
    """(T, K + 4) shares, mean over heads and layers; a row is of the position that decided the token.
    Empty where the decoder does not say."""
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
    """What the encoder's tokenizer made of the text, with the tokens it adds."""
    unknown: int
    """How many of them stand for letters that the encoder does not know."""
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
    taught: LlinkPipeline, instruction: str, text: str, others: Sequence[str] = (), top: int = 5
) -> Insight:
    """Look at one text, answered as :meth:`LlinkPipeline.answer` does; ``others`` are only compared with it.

    ``top`` is how many vocabulary tokens each slot is shown with.
    """
    text, others = taught.normalise(text), [taught.normalise(other) for other in others]
    slots = taught.model.soft_slots(taught.sources([text]))
    decoder, settings = taught.decoder, taught.settings
    found = layout(decoder.prompt_builder, visible(instruction), text, settings.slots, find(taught.language))
    prompts = collate([found.ids]).to(decoder.device)
    heard = _Heard(taught.model.decoder)
    embedded = taught.model.embed(prompts, slots)
    (answer,) = decoder.greedy(embedded, prompts.mask, settings.evaluation.max_new_tokens, heard)
    ends = [i for i, token in enumerate(heard.ids) if token in decoder.stop_ids()]
    said = heard.ids[: ends[0] + 1] if ends else heard.ids
    looked = attention(taught.model, found, slots, said)  # (L, T, K+4)
    told = not isinstance(looked, str)
    size = settings.evaluation.batch_size
    batches = [list(others[i : i + size]) for i in range(0, len(others), size)]
    every = [slots, *(taught.model.soft_slots(taught.sources(batch)) for batch in batches)]
    unit = F.normalize(torch.cat([part.vectors for part in every]).float(), dim=-1)
    mean = F.normalize(torch.cat([part.mean() for part in every]).float(), dim=-1)
    pieces, unknown = _pieces(taught, text)
    return Insight(
        language=taught.language,
        instruction=instruction,
        text=text,
        others=others,
        answer=answer,
        answer_tokens=[readable(decoder.tokenizer, token) for token in said],
        columns=[*(str(i + 1) for i in range(slots.width)), *PARTS],
        attention=looked.mean(0).tolist() if isinstance(looked, torch.Tensor) else [],
        attention_by_layer=looked.tolist() if isinstance(looked, torch.Tensor) else [],
        attention_missing="" if told else str(looked),
        slots=_in_words(taught, slots.vectors[0], top),
        within=(unit @ unit.transpose(1, 2)).mean(0).tolist(),
        between=(mean @ mean.T).tolist(),
        pieces=pieces,
        unknown=unknown,
        numerals=numerals(text, find(taught.language)) if settings.slots.numerals else [],
        tokens_raw=len(decoder.prompt_builder.text_prompt(instruction, text)),
        tokens_slots=len(found.ids),
    )


class _Heard:
    """A decoder that generates as it does, and keeps the tokens."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.ids: list[int] = []

    def generate(self, **how: Any) -> torch.Tensor:
        made: torch.Tensor = self.model.generate(**how)  # (1, T)
        self.ids = made[0].tolist()
        return made


def readable(tokenizer: Any, token: int) -> str:
    """A token as text; as the vocabulary writes it where its bytes are only part of a letter."""
    text = str(tokenizer.decode([token]))
    if text and "\ufffd" not in text:
        return text
    return str(tokenizer.convert_ids_to_tokens(token) or "")


def _pieces(taught: LlinkPipeline, text: str) -> tuple[list[str], int]:
    """The encoder's tokens of a text as :meth:`Encoder.encode` reads it, and how many are unknown."""
    tokenizer, (ids,) = taught.encoder.tokenizer, taught.encoder.token_ids([text])
    return [readable(tokenizer, i) for i in ids], sum(i == tokenizer.unk_token_id for i in ids)


def _in_words(taught: LlinkPipeline, slots: torch.Tensor, top: int) -> list[Slot]:
    """Slots (K, d) as vocabulary tokens."""
    decoder = taught.decoder
    table, head = taught.model.decoder.get_input_embeddings(), taught.model.decoder.get_output_embeddings()
    known = min(len(decoder.tokenizer), table.weight.shape[0])  # tables are often longer than vocabularies
    unit = F.normalize(slots.float(), dim=-1)
    near = torch.cat(
        [
            unit @ F.normalize(table(block).float(), dim=-1).T
            for block in torch.arange(known, device=slots.device).split(8_192)
        ],
        dim=1,
    )  # (K, V)
    scaled = F.layer_norm(slots, slots.shape[-1:])  # as Stage B reads them
    read = head(scaled.to(head.weight.dtype)).float().softmax(-1)[:, :known]  # (K, V)

    def best(scores: torch.Tensor) -> list[list[Near]]:
        values, ids = scores.topk(min(top, scores.shape[1]))
        return [
            [Near(readable(decoder.tokenizer, i), v) for i, v in zip(row, worth, strict=True)]
            for row, worth in zip(ids.tolist(), values.tolist(), strict=True)
        ]

    return [Slot(n, r) for n, r in zip(best(near), best(read), strict=True)]
