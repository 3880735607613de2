"""The text of the shared base: pairs of many languages, and questions that the decoder itself answers."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from llink_ray.corpus import Pair, prepare
from llink_ray.corpus.pair import Question
from llink_ray.corpus.read import read
from llink_ray.corpus.sentence_key import sentence_key
from llink_ray.models.decoder import Decoder
from llink_ray.models.precision import computes_bf16
from llink_ray.settings import Settings
from llink_ray.storage.atomic import write_atomic
from llink_ray.text.languages import find

INSTRUCTIONS = (
    "What is this text about?",
    "Name the topic in a few words.",
    "Give this text a title.",
    "Summarize this in one short sentence.",
    "Who or what is mentioned here?",
    "What kind of text is this?",
    "Say this in simpler words.",
    "What happens here?",
    "Which category does this belong to?",
    "Ask a question that this text answers.",
    "List the most important words.",
    "What does the writer want to say?",
)
"""Asked about the English, so that its answers can be asked of the slots."""
ANSWER_TOKENS = 24
"""Tokens that such an answer may have; a longer one is left out."""
VALIDATED = 512
"""Pairs set apart to choose Stage A's best step."""


@dataclass(frozen=True)
class BaseText:
    """Pairs of all languages, shuffled; none shares a sentence with what a language's own run holds out."""

    train: list[Pair]
    validation: list[Pair]
    counts: dict[str, int]
    """Training pairs by language."""


def read_text(folders: Sequence[Path], codes: Sequence[str], most: int, settings: Settings) -> BaseText:
    """At most ``most`` pairs of each language that a run of its own would train on."""
    held_out: set[str] = set()
    kept: dict[str, list[Pair]] = {}
    for code in codes:
        files = [
            file
            for folder in folders
            for ending in ("tsv", "jsonl")
            for file in [folder / f"{code}.{ending}"]
        ]
        pairs: list[Pair] = []
        for file in filter(Path.is_file, files):
            sources = {pair.source for pair in read(str(file))}
            held_out_sources = tuple(s for s in settings.corpus.held_out_sources if s in sources)
            corpus = settings.corpus.model_copy(
                update={"path": str(file), "held_out_sources": held_out_sources}
            )
            splits = prepare(find(code), corpus, settings.seed).splits
            pairs += splits.train
            for pair in (*splits.validation, *splits.test, *splits.unseen):
                held_out |= {sentence_key(pair.english), sentence_key(pair.foreign)}
        kept[code] = [replace(pair, language=code) for pair in pairs]
    limit, train, validation, counts = settings.encoder.max_characters, [], [], {}
    for code, pairs in kept.items():
        fitting = [pair for pair in pairs if len(pair.foreign) <= limit and len(pair.english) <= limit]
        clean = [
            p for p in fitting if held_out.isdisjoint((sentence_key(p.english), sentence_key(p.foreign)))
        ]
        random.Random(f"{settings.seed}:{code}").shuffle(clean)
        apart = VALIDATED // len(kept)
        validation += clean[:apart]
        train += clean[apart : apart + most]
        counts[code] = len(clean[apart : apart + most])
    random.Random(settings.seed).shuffle(train)
    return BaseText(train, validation, counts)


def self_answers(pairs: Sequence[Pair], settings: Settings, count: int, file: Path) -> list[Pair]:
    """The first ``count`` pairs with a question each, answered by the decoder that reads the English.

    So the adapters learn to follow other instructions than to translate, and no answer is written by hand.
    Pairs whose answer is longer than ``ANSWER_TOKENS`` stay without a question.
    """
    if not file.is_file():
        rng = random.Random(f"{settings.seed}:questions")
        asked = [(rng.choice(INSTRUCTIONS), pair.english) for pair in pairs[:count]]
        order = sorted(range(len(asked)), key=lambda i: len(asked[i][1]))
        decoder = Decoder.load(settings.decoder, dtype=torch.bfloat16 if computes_bf16() else None)
        answers = decoder.answer_english(
            [asked[i] for i in order], batch_size=64, max_new_tokens=ANSWER_TOKENS
        )
        counted = decoder.tokenizer(answers, add_special_tokens=False)["input_ids"]
        # One that was cut off would teach to stop in mid sentence.
        whole = [a if len(ids) < ANSWER_TOKENS - 1 else "" for a, ids in zip(answers, counted, strict=True)]
        by_pair = dict(zip(order, whole, strict=True))
        write_atomic(file, json.dumps([[asked[i][0], by_pair[i]] for i in range(len(asked))]))
    questions = json.loads(file.read_text("utf-8"))
    answered = [
        replace(pair, questions=(Question("distilled", instruction, answer),)) if answer else pair
        for pair, (instruction, answer) in zip(pairs, questions, strict=False)
    ]
    return [*answered, *pairs[len(answered) :]]
