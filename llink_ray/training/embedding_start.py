"""A start of Stage B without the decoder's layers: token states learn the embeddings of English tokens.

A multilingual encoder's states of a word and of its translation are alike. So the slots' MLP learns, from
pairs of texts alone, to give each token the decoder's embedding of the English token that it stands for:

- an English token, that of the decoder's token at the same place in the text;
- a foreign token, that of the English token whose state is its mutual nearest neighbour in the translation
  (as SimAlign aligns words, arXiv 2004.08728).

A decoder then reads the slots as English word by word, in foreign order, before its first step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from llink_ray.corpus.pair import Pair
from llink_ray.features import Features
from llink_ray.models.decoder import Decoder
from llink_ray.models.encoder import Spans, load_encoder_tokenizer, text_token_spans
from llink_ray.models.slots import SlotModule
from llink_ray.progress import track
from llink_ray.settings import EmbeddingStartSettings, EncoderSettings
from llink_ray.training.schedule import warm_cosine

LEAST_SIMILARITY = 0.2
"""Cosine below which mutual neighbours are not taken for translations."""
SPAN_TEXTS = 256
"""Texts tokenised at a time."""
MEAN_TEXTS = 500
"""Texts that a language's mean state is computed over."""


def start_slots(
    slots: SlotModule,
    decoder: Decoder,
    encoder: EncoderSettings,
    pairs: Sequence[Pair],
    foreign: tuple[Features, Sequence[int]],
    english: tuple[Features, Sequence[int]],
    settings: EmbeddingStartSettings,
    seed: int,
) -> float:
    """Start ``slots`` from what their pairs say of words; returns the loss at the end, nats.

    Args:
        slots: of a variant that maps single tokens.
        decoder: its embeddings are learned.
        encoder: that the features are of.
        pairs: the first ``settings.pairs`` of them are used; they may be of several languages.
        foreign: features with token states, and the row of each pair's foreign text in them.
        english: the same for the English.
        settings: how long.
        seed: of the draws.
    """
    used = pairs[: settings.pairs]
    texts = [pair.english for pair in used]
    tokenizer = load_encoder_tokenizer(encoder)
    spans = [
        own
        for start in range(0, len(texts), SPAN_TEXTS)
        for own in text_token_spans(tokenizer, texts[start : start + SPAN_TEXTS], encoder, None)
    ]
    languages = [pair.language for pair in used]
    examples = token_examples(foreign, english, texts, spans, languages, decoder.tokenizer)
    embeddings = decoder.model.get_input_embeddings().weight
    return train_start(slots, embeddings, examples, settings, seed)


@dataclass(frozen=True)
class TokenExamples:
    """Encoder tokens and the decoder's token that each is to be read as."""

    states: torch.Tensor
    """(M, d_enc), float16."""
    targets: torch.Tensor
    """(M,) token ids of the decoder."""


def mutual_nearest(foreign: torch.Tensor, english: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of ``foreign`` (T, d) and ``english`` (U, d) that are each other's nearest, (n,) each."""
    similarity = F.normalize(foreign, dim=-1) @ F.normalize(english, dim=-1).T  # (T, U)
    best = similarity.argmax(1)  # (T,)
    rows = torch.arange(len(best))
    mutual = (similarity.argmax(0)[best] == rows) & (similarity[rows, best] > LEAST_SIMILARITY)
    return rows[mutual], best[mutual]


def tokens_at(tokenizer: Any, text: str, spans: Spans) -> list[int]:
    """The decoder's token that overlaps most with each span of ``text``; -1 where none does."""
    tokens = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids, places = tokens["input_ids"], tokens["offset_mapping"]
    found = []
    for _, start, end in spans:
        overlaps = [min(end, stop) - max(start, begin) for begin, stop in places]
        best = max(range(len(overlaps)), key=overlaps.__getitem__, default=-1)
        found.append(ids[best] if best >= 0 and overlaps[best] > 0 else -1)
    return found


def token_examples(
    foreign: tuple[Features, Sequence[int]],
    english: tuple[Features, Sequence[int]],
    texts: Sequence[str],
    spans: Sequence[Spans],
    languages: Sequence[str],
    tokenizer: Any,
) -> TokenExamples:
    """Examples of n pairs.

    Args:
        foreign: features with token states, and the row of each pair's foreign text in them.
        english: the same for the English.
        texts: the English (n).
        spans: where the tokens of each English text stand in it.
        languages: code of each foreign text.
        tokenizer: the decoder's.
    """
    means = {
        code: _mean(*foreign, [i for i, c in enumerate(languages) if c == code]) for code in set(languages)
    }
    english_mean = _mean(*english, range(len(texts)))
    states: list[torch.Tensor] = []
    targets: list[int] = []
    with track("words aligned", "pairs", len(texts)) as progress:
        for i, (text, own, code) in enumerate(zip(texts, spans, languages, strict=True)):
            there, here = _states(*english, i), _states(*foreign, i)
            ids = tokens_at(tokenizer, text, own)[: len(there)]
            known = [k for k, token in enumerate(ids) if token >= 0]
            rows, matches = mutual_nearest(here - means[code], there - english_mean)
            pairs = [
                (row, ids[match])
                for row, match in zip(rows.tolist(), matches.tolist(), strict=True)
                if match < len(ids) and ids[match] >= 0
            ]
            states += [there[known].half(), here[[row for row, _ in pairs]].half()]
            targets += [*(ids[k] for k in known), *(token for _, token in pairs)]
            progress.advance()
    return TokenExamples(torch.cat(states), torch.tensor(targets, dtype=torch.long))


def train_start(
    slots: SlotModule,
    embeddings: torch.Tensor,
    examples: TokenExamples,
    settings: EmbeddingStartSettings,
    seed: int,
) -> float:
    """Teach ``slots`` (:meth:`SlotModule.token_vectors`) the rows of ``embeddings`` (V, d_dec).

    InfoNCE against the other tokens of the batch and tokens drawn at random. Returns the mean loss of the
    last tenth of the steps, nats.
    """
    generator = torch.Generator().manual_seed(seed)
    directions = F.normalize(embeddings.float() - embeddings.float().mean(0), dim=-1)  # (V, d)
    used = torch.unique(examples.targets)
    trained = [p for p in slots.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, weight_decay=0.0)
    count, size = len(examples.targets), settings.batch_size
    steps = max(1, round(settings.passes * count / size))
    losses: list[float] = []
    with track("start of the slots", "steps", steps) as progress:
        for step in range(steps):
            rate = settings.learning_rate * warm_cosine(step, steps, steps // 20)
            for group in optimizer.param_groups:
                group["lr"] = rate
            batch = torch.randint(count, (size,), generator=generator)
            drawn = used[torch.randint(len(used), (settings.negatives,), generator=generator)]
            candidates, places = torch.unique(
                torch.cat([examples.targets[batch], drawn]), return_inverse=True
            )
            vectors = F.normalize(slots.token_vectors(examples.states[batch].float()), dim=-1)
            logits = vectors @ directions[candidates].T / settings.temperature  # (B, C)
            loss = F.cross_entropy(logits, places[:size])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
            progress.update(step + 1, note=f"loss {loss.item():.3f}")
    return float(np.mean(losses[-max(1, steps // 10) :]))


def _states(features: Features, rows: Sequence[int], index: int) -> torch.Tensor:
    """(T, d_enc): token states of one text."""
    assert features.tokens is not None, "the features hold token states"
    states, mask = features.tokens.gather([rows[index]])
    return torch.from_numpy(states[mask])


def _mean(features: Features, rows: Sequence[int], indices: Sequence[int]) -> torch.Tensor:
    """(d_enc,): mean token state of some of the texts."""
    return torch.cat([_states(features, rows, i) for i in indices[:MEAN_TEXTS]]).mean(0)
